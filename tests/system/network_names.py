#!/usr/bin/env python3
"""Name look-up where resolvers misbehave: each situation that made a C library's resolver fail or
wait, for the static binary and for the one linked with glibc.

    tests/system/network_names.py

As root. Goes into namespaces of its own (ns.py) in which /etc/resolv.conf leads to name servers of
this script: a process of its own, which delays its responses by 50 ms and counts queries.
"""

import argparse
import asyncio
import dataclasses
import fcntl
import ipaddress
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import install
import ns

ROOT = Path(__file__).resolve().parents[2]
HELPER = "docker-credential-ecr-login"
MUSL = "x86_64-unknown-linux-musl"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
API = "api.ecr.us-east-1.amazonaws.com"
DELAY = 0.05
# Name servers, and where AWS listens.
FIRST, SECOND, CLOSED = "127.0.1.1", "127.0.1.2", "127.0.1.9"
AWS4, AWS6, PROXY = "127.0.2.1", "2001:db8::5", "127.0.2.2"
# Packets to them vanish.
NOWHERE4, NOWHERE6 = ("10.98.0.2", "10.98.0.3"), "2001:db8:98::2"
LONG = [f"{'x' * 40}{n}.corp.example" for n in range(8)]
FOUR = "default.svc.cluster.local svc.cluster.local cluster.local ec2.internal"
EIGHT = FOUR + " a.example b.example c.example d.example"


@dataclasses.dataclass(frozen=True)
class Case:
    """One `get` that must succeed within `at_most` seconds with at most `queries` queries.

    rules: for each name server, what it says: (pattern of "NAME TYPE", what), the first that fits.
    """

    what: str
    at_most: float = 0.6
    queries: int = 99
    conf: str = f"nameserver {FIRST}"
    rules: tuple = ((),)
    hosts: str = ""
    env: dict = dataclasses.field(default_factory=dict)


def k8s(search, bad=None, **more):
    rules = (((r"internal A|internal AAAA|example A|example AAAA", bad),) if bad else (),)
    conf = f"nameserver {FIRST}\nsearch {search}\noptions ndots:5"
    what = f"ndots:5, {len(search.split())} search domains"
    return Case(what + (f", {bad}" if bad else ""), 0.6, 2, conf, rules, **more)


BOTH = f"nameserver {FIRST}\nnameserver {SECOND}"
CASES = [
    Case("plain", queries=2),
    Case("IPv6 only", rules=(((f"{API} A$", "nodata"),),), queries=2),
    Case("IPv4 only", rules=(((f"{API} AAAA", "nodata"),),), queries=2),
    Case("in /etc/hosts", hosts=f"{AWS4} {API}", queries=0),
    Case("in /etc/hosts, ndots:5", hosts=f"{AWS4} {API}", queries=0,
         conf=f"nameserver {FIRST}\nsearch {FOUR}\noptions ndots:5"),
    Case("truncated, TCP", rules=(((".*", "truncated"),),)),
    k8s(FOUR), k8s(EIGHT),
    *(k8s(FOUR, bad) for bad in ("nodata", "servfail", "refused", "silence")),
    # 0.3 s more than the plain case may take.
    *(Case(f"AAAA {bad}", 0.9, rules=(((r" AAAA$", bad),),))
      for bad in ("servfail", "nxdomain", "refused", "silence")),
    Case("second server nearer, NXDOMAIN", 0.9, conf=BOTH, rules=((), ((".*", "nxdomain-now"),))),
    Case("first server silent", 1.1, conf=BOTH, rules=(((".*", "silence"),), ())),
    Case("first server closed", 1.1, conf=f"nameserver {CLOSED}\nnameserver {FIRST}"),
    Case("first query lost", 1.1, rules=(((".*", "lost"),),)),
    Case("proxy by short name, long search list", 1.6,
         conf=f"nameserver {FIRST}\nsearch {' '.join(LONG)} corp.example",
         rules=(((r"^proxy\.corp\.example A$", f"={PROXY}"), (".*", "nxdomain")),),
         env={"HTTPS_PROXY": "http://proxy:3128"}),
    # What is waited for is the connection: 0.25 s for each address.
    Case("IPv6 leads nowhere", 0.9, 2, rules=(((f"{API} AAAA$", f"={NOWHERE6}"),),)),
    Case("two of three IPv4 addresses lead nowhere", 1.1, 2,
         rules=(((f"{API} A$", "=" + ",".join((*NOWHERE4, AWS4))), (" AAAA$", "nodata")),)),
    Case("use-vc where UDP is silent", 0.9, conf=f"nameserver {FIRST}\noptions use-vc",
         rules=(((".*", "silent-udp"),),)),
    # musl does not know the option: it waits for the AAAA, but the second resolver does not ask.
    Case("no-aaaa where AAAA is silent", 0.9, 3, conf=f"nameserver {FIRST}\noptions no-aaaa",
         rules=(((" AAAA$", "silence"),),)),
    Case("rotate", 0.9, 4, conf=f"{BOTH}\noptions rotate"),
    Case("RES_OPTIONS", queries=2, env={"RES_OPTIONS": "ndots:9"},
         conf=f"nameserver {FIRST}\nsearch {FOUR}"),
]


def main():
    options = argparse.ArgumentParser(description="name look-up")
    options.add_argument("--helper", help="linked with glibc; cargo builds it otherwise")
    options.add_argument("--static", help="the static one; packaging/build-static builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name matches this")
    options.add_argument("--measure", action="store_true", help="print every case's time and queries")
    options.add_argument("--resolver", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.resolver:
        return asyncio.run(resolve(Path(options.resolver)))
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    helper = Path(options.helper or target / "debug" / HELPER).resolve()
    fake = Path(options.fake or target / "debug/examples/fake-aws").resolve()
    static = options.static or os.environ.get("STATIC_HELPER")
    if not os.environ.get(ns.INSIDE):
        install.debian({"openssl": "openssl", "ip": "iproute2", "mount": "mount", "unshare": "util-linux"})
        if not (options.helper and options.fake):
            build = ["cargo", "build", "--locked", "--bin", HELPER, "--example", "fake-aws"]
            subprocess.run(build, cwd=ROOT, check=True)
        if not static:
            built = subprocess.run([ROOT / "packaging/build-static"], cwd=ROOT, check=True,
                                   stdout=subprocess.PIPE, text=True)
            os.environ["STATIC_HELPER"] = built.stdout.split("\n")[-2]
    ns.enter()
    binaries = {"glibc": helper}
    if static != "none":
        binaries["static"] = (ROOT / static).resolve()
    with tempfile.TemporaryDirectory(prefix="names-") as directory:
        directory = Path(directory)
        with ns.Processes(directory / "logs") as processes:
            return World(directory, fake, processes, options).run(binaries)


class World:
    def __init__(self, directory, fake, processes, options):
        self.dir, self.fake, self.processes, self.options = directory, fake, processes, options
        self.script, self.log = directory / "rules.json", directory / "queries"

    def run(self, binaries):
        ns.loopback_up([AWS6])
        authority = ns.Authority(self.dir / "ca")
        cert, key = authority.issue(API)
        only, failures, passed = re.compile(self.options.only), [], 0
        with ns.Namespace({}, [authority.pem]) as space:
            at = ["--https", f"{AWS4}:443", "--https", f"[{AWS6}]:443", "--http", "127.0.0.1:8080"]
            self.processes.start("aws", [self.fake, *at, "--cert", cert, "--key", key, "--forever"], 8080)
            self.script.write_text("[[], []]")
            self.processes.start(
                "resolver", [sys.executable, __file__, "--resolver", self.dir], (FIRST, 53))
            tunnels()
            tunnel = nowhere()
            for case in CASES:
                if not only.search(case.what):
                    continue
                space.put("/etc/resolv.conf", case.conf + "\n")
                space.put("/etc/hosts", f"127.0.0.1 localhost\n{case.hosts}\n")
                for name, binary in binaries.items():
                    why = self.check(case, name, binary)
                    passed += not why
                    failures += [(f"{name}: {case.what}", why)] if why else []
                space.unbind("/etc/hosts")
                space.unbind("/etc/resolv.conf")
            os.close(tunnel)
        for name, why in failures:
            print(f"FAILED {name}\n  " + why.replace("\n", "\n  "))
        print(f"{passed} passed, {len(failures)} failed")
        return 1 if failures or not passed else 0

    def check(self, case, name, binary):
        """What is wrong, nothing if one of three tries is good: the machine may be busy."""
        why = ""
        for _ in range(3):
            rules = [*case.rules, ()][:2]
            self.script.write_text(json.dumps(rules))
            self.log.write_text("")
            env = {"HOME": str(self.dir), "PATH": "/usr/bin:/bin", "AWS_ECR_DISABLE_CACHE": "true",
                   "AWS_ECR_CACHE_DIR": str(self.dir / f"cache-{time.monotonic_ns()}"),
                   "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIANETWORKTEST00001",
                   "AWS_SECRET_ACCESS_KEY": "secret"} | case.env
            began = time.monotonic()
            try:
                done = subprocess.run([binary, "get"], input=REGISTRY, env=env, capture_output=True,
                                      text=True, timeout=30)
            except subprocess.TimeoutExpired:
                why = "still running after 30 s"
                continue
            took = time.monotonic() - began
            queries = self.log.read_text().splitlines()
            if self.options.measure:
                print(f"{name:7} {case.what:44} {took:5.2f} s {len(queries):3} queries", flush=True)
            shown = f"{took:.2f} s, queries:\n" + "\n".join(queries) + f"\n{done.stderr}"
            if done.returncode != 0:
                return f"exit {done.returncode} after {shown}"
            if took <= case.at_most and len(queries) <= case.queries:
                return ""
            why = f"at most {case.at_most} s and {case.queries} queries, not {shown}"
        return why


def nowhere():
    """A tunnel that is never read."""
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tunnel, 0x400454CA, struct.pack("16sH22x", b"nowhere", 0x1001))
    for address in f"{NOWHERE4[0]}/24", f"{NOWHERE6}/64":
        network = ipaddress.ip_interface(address).network
        more = ["nodad"] if network.version == 6 else []
        ns.run("ip", "addr", "add", f"{network[9]}/{network.prefixlen}", "dev", "nowhere", *more)
    ns.run("ip", "link", "set", "nowhere", "up")
    return tunnel


def tunnels():
    """A proxy that leads every name to AWS."""
    listener = socket.create_server((PROXY, 3128))

    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def tunnel(client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        server = socket.create_connection((AWS4, 443))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=copy, args=(client, server), daemon=True).start()
        copy(server, client)

    def serve():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=tunnel, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


# --- the name servers, as a process of their own --------------------------------------------


async def resolve(directory):
    loop = asyncio.get_running_loop()
    for index, address in enumerate((FIRST, SECOND)):
        server = Server(directory, index)
        await loop.create_datagram_endpoint(lambda server=server: server, (address, 53))
        await asyncio.start_server(server.tcp, address, 53)
    await asyncio.Event().wait()


class Server(asyncio.DatagramProtocol):
    def __init__(self, directory, index):
        self.dir, self.index, self.lost = directory, index, {}

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, client):
        delay, response = self.answer(query, "UDP")
        if response:
            later = asyncio.get_running_loop().call_later
            later(delay, self.transport.sendto, response, client)

    async def tcp(self, reader, writer):
        try:
            length, = struct.unpack(">H", await reader.readexactly(2))
            delay, response = self.answer(await reader.readexactly(length), "TCP")
            await asyncio.sleep(delay)
            writer.write(struct.pack(">H", len(response)) + response)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()

    def answer(self, query, over):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = {1: "A", 28: "AAAA"}.get(struct.unpack_from(">H", query, at + 1)[0], "?")
        question = f"{'.'.join(labels)} {kind}"
        with (self.dir / "queries").open("a") as log:
            log.write(f"{self.index + 1} {over} {question}\n")
        text = (self.dir / "rules.json").read_text()
        says = "default"
        for pattern, what in json.loads(text)[self.index]:
            if re.search(pattern, question):
                says = what
                break
        if says == "default":
            known = question.startswith(API + " ")
            says = ("=" + (AWS4 if kind == "A" else AWS6)) if known else "nxdomain"
        # Lost are the first two queries of a run, that is of one content of the log.
        if says == "lost":
            count = len((self.dir / "queries").read_text().splitlines())
            says = "silence" if count <= 2 else "=" + (AWS4 if kind == "A" else AWS6)
        if says == "truncated" and over == "TCP":
            says = "=" + (AWS4 if kind == "A" else AWS6)
        if says == "silent-udp":
            says = "silence" if over == "UDP" else "=" + (AWS4 if kind == "A" else AWS6)
        if says == "silence":
            return 0, None
        delay = 0 if says.endswith("-now") else DELAY
        flags = {"nxdomain": 0x8183, "nxdomain-now": 0x8183, "servfail": 0x8182, "refused": 0x8185,
                 "truncated": 0x8380}.get(says, 0x8180)
        records = b""
        addresses = says[1:].split(",") if says.startswith("=") else []
        for address in addresses:
            family, number = (socket.AF_INET6, 28) if ":" in address else (socket.AF_INET, 1)
            data = socket.inet_pton(family, address)
            records += struct.pack(">HHHIH", 0xC00C, number, 1, 60, len(data)) + data
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
        return delay, head + query[12:at + 5] + records


if __name__ == "__main__":
    sys.exit(main())
