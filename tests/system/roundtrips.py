#!/usr/bin/env python3
"""Round trips of a cold `get`, from every source of credentials, with the Go helper next to it.

    tests/system/roundtrips.py [--slope | --loss]

As root, on Debian. Two network namespaces with TCP stacks of their own and a wire between them
(wire.py): on the far side AWS under its real names, with TLS 1.3 and a chain of certificates as
long as Amazon's, and its resolver; on the near side the programs. Counted are the packets that
wait for each other, so the machine's speed does not matter. --slope measures the same by the
X
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import install
import network_cases
import ns
import wire
from network_cases import ID, NO_KEYS, STATIC, config

ROOT = Path(__file__).resolve().parents[2]
HELPER = "docker-credential-ecr-login"
GO = "/usr/bin/docker-credential-ecr-login"
REGISTRY = f"{ID}.dkr.ecr.us-east-1.amazonaws.com"
# Far: AWS, AWS with P-256 alone, what a credential_process asks, a proxy, the resolver.
AWS, P256, ASKED, PROXY, RESOLVER = (f"10.77.1.{n}" for n in range(1, 6))
# Near: metadata and container credentials.
METADATA = "http://127.0.0.1:8080"
RTT, TRIES = 0.1, 5
KEYS = {"AWS_ACCESS_KEY_ID": network_cases.KEY, "AWS_SECRET_ACCESS_KEY": network_cases.SECRET}
PROFILE = {**NO_KEYS, "AWS_PROFILE": "p", "AWS_SDK_LOAD_CONFIG": "1"}
ROLE = f"arn:aws:iam::{ID}:role"


@dataclasses.dataclass(frozen=True)
class Case:
    """One source and the round trips that it takes: no more, and no fewer, which would be a fault
    in how they are counted."""

    what: str
    round_trips: int
    env: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)
    at: str = AWS
    go: bool = True
    resolv: str = ""


def role(chain):
    names = ["p", *(f"p{n}" for n in range(1, chain + 1))]
    text = f"[profile {names[-1]}]\nregion = us-east-1\n{STATIC}"
    for name, source in zip(names, names[1:]):
        text += f"[profile {name}]\nrole_arn = {ROLE}/{name}\nsource_profile = {source}\nregion = us-east-1\n"
    return config(text)


def process(round_trips):
    """A credential_process that makes this many round trips, one after the other."""
    answer = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s"}
    ask = f"exec 3<>/dev/udp/{ASKED}/7\n" + "echo >&3; read -r <&3\n" * round_trips
    files = {"process": f"{ask}echo '{json.dumps(answer)}'\n"}
    return files | config("[profile p]\nregion = us-east-1\ncredential_process = /bin/bash {home}/process\n")


WEB = {**NO_KEYS, "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token", "AWS_ROLE_ARN": f"{ROLE}/r",
       "AWS_REGION": "us-east-1"}
TOKEN = {"token": "e30.e30.e30"}
ON_INSTANCE = {**NO_KEYS, "AWS_EC2_METADATA_DISABLED": "false",
               "AWS_EC2_METADATA_SERVICE_ENDPOINT": METADATA}
TASK = {**NO_KEYS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{METADATA}/v2/credentials/task"}
VIA = {"HTTPS_PROXY": f"http://{PROXY}:3128"}
START = "https://example.awsapps.com/start"
# The form without an sso-session, which is the one that the Go helper knows.
SSO = config(f"[profile p]\nsso_start_url = {START}\nsso_region = us-east-1\n"
             f"sso_account_id = {ID}\nsso_role_name = r\nregion = us-east-1\n") | {
    f".aws/sso/cache/{hashlib.sha1(START.encode()).hexdigest()}.json": json.dumps(
        {"startUrl": START, "region": "us-east-1", "accessToken": "sso-token",
         "expiresAt": network_cases.in_seconds(3600)})}
EXPIRED = network_cases.sso("us-east-1", "region = us-east-1", expires_in=-60)
CASES = [
    Case("static keys", 4, KEYS),
    Case("container credentials", 4, TASK),
    Case("instance metadata", 4, ON_INSTANCE),
    Case("role", 5, PROFILE, role(1)),
    Case("web identity", 5, WEB, TOKEN),
    Case("SSO", 5, PROFILE, SSO),
    Case("chain of two roles", 6, PROFILE, role(2)),
    Case("SSO with refresh", 6, PROFILE, EXPIRED, go=False),
    *(Case(f"process that takes {t}", max(t, 3) + 1, PROFILE, process(t)) for t in (0, 2, 3, 5)),
    Case("static keys, P-256 alone", 4, KEYS, at=P256),
    Case("role, P-256 alone", 5, PROFILE, role(1), at=P256),
    Case("static keys, in a pod (ndots:5)", 4, KEYS, resolv="search default.svc.cluster.local "
         "svc.cluster.local cluster.local ec2.internal\noptions ndots:5\n"),
    Case("static keys, through a proxy", 4, KEYS | VIA),
    Case("role, through a proxy", 5, PROFILE | VIA, role(1)),
    Case("process that takes 4, through a proxy", 5, PROFILE | VIA, process(4)),
]


def main():
    options = argparse.ArgumentParser(description="round trips of a cold get")
    options.add_argument("--helper", help="the program; packaging/build-static builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name matches this")
    options.add_argument("--slope", action="store_true", help="measure by the clock as well")
    options.add_argument("--loss", action="store_true", help="times with packets lost, instead")
    options.add_argument("--runs", type=int, default=80, help="of each case with packets lost")
    options.add_argument("--packets", action="store_true", help="print the packets of each case")
    options.add_argument("--against", help="processor time, instead: this build must not need 10 %% less")
    options.add_argument("--far", action="store_true", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.far:
        return asyncio.run(far_side())
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    helper = options.helper or os.environ.get("STATIC_HELPER")
    if not os.environ.get(ns.INSIDE):
        install.debian({"openssl": "openssl", "mount": "mount", "unshare": "util-linux",
                        GO: "amazon-ecr-credential-helper"})
        if not helper:
            built = subprocess.run([ROOT / "packaging/build-static"], cwd=ROOT, check=True,
                                   stdout=subprocess.PIPE, text=True)
            os.environ["STATIC_HELPER"] = built.stdout.split("\n")[-2]
        if not options.fake:
            build = ["cargo", "build", "--locked", "--example", "fake-aws"]
            subprocess.run(build, cwd=ROOT, check=True)
    ns.enter()
    fake = Path(options.fake or target / "debug/examples/fake-aws").resolve()
    with tempfile.TemporaryDirectory(prefix="roundtrips-") as directory:
        directory = Path(directory)
        with ns.Processes(directory / "logs") as processes:
            world = World(directory, (ROOT / helper).resolve(), fake, processes, options)
            return world.run()


class World:
    def __init__(self, directory, helper, fake, processes, options):
        self.dir, self.fake, self.processes, self.options = directory, fake, processes, options
        self.programs = {"ours": helper, "Go": Path(GO)}
        self.number = 0

    def run(self):
        ns.loopback_up()
        authority = ns.Authority(self.dir / "ca")
        cert, key = chain(authority, "*.amazonaws.com", "*.us-east-1.amazonaws.com",
                          "*.ecr.us-east-1.amazonaws.com", "*.sso.us-east-1.amazonaws.com")
        tls = ["--cert", str(cert), "--key", str(key), "--forever"]
        self.processes.start("near", [self.fake, "--http", "127.0.0.1:8080", "--forever"], 8080)
        self.at = self.dir / "address"
        self.at.write_text(AWS)
        servers = [[str(self.fake), "--https", f"{AWS}:443", *tls],
                   [str(self.fake), "--https", f"{P256}:443", *tls, "--p256-only"],
                   [sys.executable, __file__, "--far"]]
        args = json.dumps([str(self.dir / "wire"), [AWS, P256, ASKED, PROXY, RESOLVER], servers])
        with ns.Namespace({}, [authority.pem]) as self.space:
            os.environ["ADDRESS_FILE"] = str(self.at)
            self.processes.start("wire", [sys.executable, wire.__file__, args])
            self.await_wire()
            only = re.compile(self.options.only)
            cases = [case for case in CASES if only.search(case.what)]
            if self.options.against:
                self.programs["other"] = Path(self.options.against).resolve()
                return self.processor()
            return self.losses() if self.options.loss else self.table(cases)

    def await_wire(self):
        end = time.monotonic() + 15
        while not (self.dir / "wire").exists():
            if time.monotonic() > end:
                raise RuntimeError((self.dir / "logs/wire.log").read_text())
            time.sleep(0.02)
        self.wire = wire.Client(self.dir)
        self.wire.reset(0)
        for address, port in (AWS, 443), (P256, 443), (PROXY, 3128):
            ns.await_port((address, port))

    # --- one get --------------------------------------------------------------------------------

    def get(self, program, case, rtt, loss=0, seed=0, under=()):
        """Seconds and what the wire has seen; why not, if it failed."""
        self.number += 1
        home = self.dir / f"home-{self.number}"
        home.mkdir()
        fill = lambda text: text.replace("{home}", str(home))
        for path, text in case.files.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(fill(text))
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true",
               "AWS_ECR_TIMEOUT": "60"}
        env = {name: fill(value) for name, value in (env | case.env).items() if value is not None}
        self.at.write_text(case.at)
        self.space.put("/etc/resolv.conf", f"nameserver {RESOLVER}\n{case.resolv}")
        self.wire.reset(rtt, loss, seed)
        began = time.monotonic()
        done = subprocess.run([*under, self.programs[program], "get"], input=REGISTRY, env=env,
                              capture_output=True, text=True, timeout=60)
        took, seen = time.monotonic() - began, self.wire.seen()
        self.space.unbind("/etc/resolv.conf")
        good = done.returncode == 0 and json.loads(done.stdout)["Secret"]
        shutil.rmtree(home)
        return took, seen, "" if good else f"exit {done.returncode}: {done.stdout}{done.stderr}"

    # --- counted --------------------------------------------------------------------------------

    def table(self, cases):
        failures = 0
        slope = f"{'by the clock':>16}" if self.options.slope else ""
        print(f"{'round trips':40}{'ours':>6}{'Go':>6}{'least':>6}{slope}", flush=True)
        for case in cases:
            count, why = self.fewest("ours", case, case.round_trips)
            go = self.fewest("Go", case, 0, 2)[0] or "fails" if case.go else ""
            slopes = ""
            if self.options.slope:
                programs = ["ours", "Go"] if case.go else ["ours"]
                slopes = "".join(f"{self.slope(name, case):8.1f}" for name in programs)
            print(f"{case.what:40}{count!s:>6}{go!s:>6}{case.round_trips:>6}{slopes}", flush=True)
            if count != case.round_trips:
                failures += 1
                print(f"FAILED {case.what}\n  {why}")
        print(f"{len(cases) - failures} passed, {failures} failed")
        return 1 if failures or not cases else 0

    def fewest(self, program, case, enough, tries=TRIES):
        """Of a few tries: on a busy machine a packet may miss the flight that it belongs to."""
        best, shown = None, ""
        for _ in range(tries):
            _, seen, why = self.get(program, case, RTT)
            packets = "\n  ".join(seen["log"])
            if why:
                return None, f"{why}\n  {packets}"
            if best is None or seen["round_trips"] < best:
                best, shown = seen["round_trips"], packets
            if best <= enough:
                break
        if self.options.packets:
            print(f"{program}: {case.what}\n  {shown}")
        return best, shown

    def slope(self, program, case):
        """Of the time over the round-trip time."""
        points = []
        for rtt in 0.04, 0.08, 0.12, 0.16:
            took = [self.get(program, case, rtt) for _ in range(5)]
            points.append((rtt, min(seconds for seconds, _, _ in took)))
        return statistics.linear_regression(*zip(*points)).slope

    # --- processor time -------------------------------------------------------------------------

    def processor(self):
        """Instructions as valgrind counts them, and processor time, in turns."""
        failures = 0
        only = re.compile(self.options.only)
        for case in (case for case in (CASES[0], CASES[3]) if only.search(case.what)):
            counts, times = {}, {}
            for program in ("ours", "other") * 3:
                out = self.dir / "callgrind"
                valgrind = ["/usr/bin/valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
                _, seen, why = self.get(program, case, 0, under=valgrind)
                if why:
                    raise RuntimeError("\n".join([why, *seen["log"]]))
                count = int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)[1])
                counts[program] = min(count, counts.get(program, count))
            for program in ("ours", "other") * self.options.runs:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                self.get(program, case, 0)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                times.setdefault(program, []).append(used * 1000)
            for program in "other", "ours":
                print(f"{case.what:20}{program:8}{counts[program] / 1e6:8.2f} million instructions, "
                      f"{statistics.median(times[program]):6.2f} ms (median of {self.options.runs})")
            if counts["ours"] > counts["other"] * 1.1:
                failures += 1
                print(f"FAILED {case.what}: more than 10 % more instructions")
        return 1 if failures else 0

    # --- packets lost ---------------------------------------------------------------------------

    def losses(self):
        failures, only = 0, re.compile(self.options.only)
        print(f"{'packets lost, 80 ms':24}{'p50':>8}{'p95':>8}{'p99':>8}{'most':>8}{'packets':>10}")
        for loss in 0, 0.01, 0.03:
            for case in (case for case in (CASES[0], CASES[3]) if only.search(case.what)):
                runs = [self.get("ours", case, 0.08, loss, seed) for seed in range(self.options.runs)]
                failed = [why for _, _, why in runs if why]
                failures += len(failed)
                took = sorted(took for took, _, _ in runs)
                at = lambda share: took[min(len(took) - 1, round(share * len(took)))]
                packets = statistics.mean(seen["packets"] for _, seen, _ in runs)
                print(f"{case.what + f', {loss * 100:.0f} %':24}" + "".join(
                    f"{s:8.2f}" for s in (at(0.5), at(0.95), at(0.99), took[-1])) + f"{packets:10.1f}"
                    + "".join(f"\nFAILED {why}" for why in failed), flush=True)
        return 1 if failures else 0


def chain(authority, *names):
    """A certificate of RSA 2048 behind two authorities in between, as Amazon's are."""
    issuer_cert, issuer_key, above = authority.pem, authority.key, ""
    for index in range(3):
        stem = authority.dir / f"chain-{index}"
        key, request, cert, extensions = (stem.with_suffix(end) for end in (".key", ".csr", ".pem", ".ext"))
        ns.run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        ns.run("openssl", "req", "-new", "-key", key, "-subj", f"/CN=Chain {index}", "-out", request)
        extensions.write_text(
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n" if index < 2 else
            "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
            + "\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n")
        ns.run("openssl", "x509", "-req", "-in", request, "-CA", issuer_cert, "-CAkey", issuer_key,
               "-CAcreateserial", "-out", cert, "-days", "2", "-extfile", extensions)
        above = cert.read_text() + above
        issuer_cert, issuer_key = cert, key
    whole = authority.dir / "chain.pem"
    whole.write_text(above)
    return whole, issuer_key


# --- the far side: a resolver, an echo, a proxy ---------------------------------------------------


class Resolver(asyncio.DatagramProtocol):
    """AWS's names lead to the address that the file names; none has an IPv6 address."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, client):
        end = query.index(0, 12) + 5
        known, record = query[12:end - 4].endswith(b"\x09amazonaws\x03com\0"), b""
        if known and struct.unpack_from(">H", query, end - 4)[0] == 1:
            address = Path(os.environ["ADDRESS_FILE"]).read_text()
            record = struct.pack(">HHHIH4B", 0xC00C, 1, 1, 60, 4, *map(int, address.split(".")))
        head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, 1 if record else 0, 0, 0)
        self.transport.sendto(head + query[12:end] + record, client)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        self.transport.sendto(data, client)


async def proxy(reader, writer):
    async def copy(source, target):
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()

    try:
        await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return
    upstream, sink = await asyncio.open_connection(AWS, 443)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(copy(reader, sink), copy(upstream, writer))


async def far_side():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Resolver, (RESOLVER, 53))
    await loop.create_datagram_endpoint(Echo, (ASKED, 7))
    await asyncio.start_server(proxy, PROXY, 3128)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
