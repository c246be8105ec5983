#!/usr/bin/env python3
"""Locked-down networks: the real host names of AWS in every partition, real proxies,
private CAs and endpoints, IPv6, and packets that are dropped.

    tests/system/network.py

As root, on Debian 12. Installs what it needs, then goes into namespaces of its own (ns.py) in
which the names of AWS lead to loopback, where a fake AWS has certificates of its own CA for
them. The expected calls are in network_cases.py.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import install
import network_cases as cases
import ns

ROOT = Path(__file__).resolve().parents[2]
HELPER = "docker-credential-ecr-login"
PACKAGES = {"openssl": "openssl", "tinyproxy": "tinyproxy-bin", "squid": "squid-openssl",
            "mount": "mount", "unshare": "util-linux"}
NOT_FOUND = "credentials not found in native keychain\n"
# There is no answer at first, then the fake answers.
LINK_LOCAL = ["169.254.169.254", "169.254.170.2", "169.254.170.23"]
ADDRESSES = ["10.11.12.13", "2001:db8::5", "fd00:ec2::254", "fd00:ec2::23"]
CERTGEN = "/usr/lib/squid/security_file_certgen"
SYSTEM_STORE = "/etc/ssl/certs"


def main():
    options = argparse.ArgumentParser(description="locked-down networks")
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name matches this")
    options = options.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    helper = Path(options.helper or target / HELPER).resolve()
    fake = Path(options.fake or target / "examples/fake-aws").resolve()
    if not os.environ.get(ns.INSIDE):
        with no_daemons():
            install.debian(PACKAGES)
        if not (options.helper and options.fake):
            build = ["cargo", "build", "--locked", "--bin", HELPER, "--example", "fake-aws"]
            subprocess.run(build, cwd=ROOT, check=True)
    ns.enter()

    with tempfile.TemporaryDirectory(prefix="network-") as directory:
        directory = Path(directory)
        directory.chmod(0o755)
        with ns.Processes(directory / "logs") as processes:
            world = World(directory, helper, fake, processes)
            return world.run(re.compile(options.only))


class World:
    def __init__(self, directory, helper, fake, processes):
        self.dir, self.helper, self.fake, self.processes = directory, helper, fake, processes
        self.ca, self.number = directory / "ca", 0

    def run(self, only):
        led = cases.hosts()
        ns.loopback_up(ADDRESSES)
        self.certificates(led)
        with ns.Namespace(led, [self.ca / "aws/ca.pem"]) as self.space:
            self.space.put("/etc/resolv.conf", "nameserver 127.0.0.1\n")
            resolver()
            self.servers()
            self.proxies = Proxies(self)
            groups = [*cases.apis(), *cases.STS, *cases.sessions(self.elliptic_key), *cases.ABSENT,
                      *cases.PROXIES, *cases.AUTHORITIES, *cases.ENDPOINTS, *cases.RETRIES, *cases.KEYS]
            failures, passed = [], 0
            with dropping("169.254.169.254"), dropping("169.254.170.2"), dropping("10.99.0.7"):
                passed += self.some(cases.DROPPED, only, failures)
            ns.loopback_up(LINK_LOCAL)
            passed += self.some(cases.LINK_LOCAL, only, failures)
            passed += self.some(groups, only, failures)
        for name, why in failures:
            print(f"FAILED {name}\n  " + why.replace("\n", "\n  "))
        print(f"{passed} passed, {len(failures)} failed")
        return 1 if failures or not passed else 0

    def some(self, group, only, failures):
        passed = 0
        for case in group:
            if not only.search(case.what):
                continue
            try:
                self.check(case)
                passed += 1
            except AssertionError as error:
                failures.append((case.what, str(error)))
        return passed

    # --- one case -------------------------------------------------------------------------------

    def check(self, case):
        self.number += 1
        home = self.dir / f"home-{self.number}"
        home.mkdir()
        fill = lambda text: text.replace("{home}", str(home)).replace("{ca}", str(self.ca))
        for path, text in case.files.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(fill(text() if callable(text) else text))
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true",
               "AWS_ACCESS_KEY_ID": cases.KEY, "AWS_SECRET_ACCESS_KEY": cases.SECRET} | case.env
        env = {name: fill(value) for name, value in env.items() if value is not None}
        self.control("behaviour", case.aws)
        self.control("forget", {})
        self.proxies.forget()
        if case.without_system_store:
            self.space.bind(self.dir / "nothing", SYSTEM_STORE)
        try:
            calls, answer = self.get(case.host, env, case.at_most, case.fails)
        finally:
            if case.without_system_store:
                self.space.unbind(SYSTEM_STORE)
        shown = f"\n{answer.stderr}"
        if case.calls != ("*",):
            equal("calls", calls, case.calls, shown)
        seen = self.proxies.requests(len(case.via))
        if case.via != ("*",):
            equal("what the proxies logged", seen, case.via, shown)
        if case.again is not None:
            self.control("forget", {})
            calls, _ = self.get(case.host, env, case.at_most, ())
            equal("calls of a second get", calls, case.again, "")
        shutil.rmtree(home)

    def get(self, host, env, at_most, fails):
        began = time.monotonic()
        try:
            done = subprocess.run([self.helper, "get"], input=host, env=env, capture_output=True,
                                  text=True, timeout=at_most + 10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {at_most + 10} s") from None
        took = time.monotonic() - began
        everything = done.stdout + done.stderr
        check(cases.SECRET not in everything and cases.PASSWORD not in done.stderr, "a secret", done)
        check(took <= at_most, f"took {took:.1f} s, not {at_most}", done)
        if fails:
            check((done.returncode, done.stdout) == (1, NOT_FOUND), "not a failure", done)
            form = r"docker-credential-ecr-login: .+\nhint: .+\n"
            check(re.fullmatch(form, done.stderr), "not a cause and a hint", done)
            for text in fails:
                check(re.search(text, done.stderr), f"does not say /{text}/", done)
        else:
            check((done.returncode, done.stderr) == (0, ""), "not a success", done)
            answer = json.loads(done.stdout)
            check(answer["ServerURL"] == host and answer["Username"] == "AWS", "not the login", done)
            self.passwords |= set(self.control("passwords"))
            check(answer["Secret"] in self.passwords, "a password that AWS did not issue", done)
        return tuple(shown_call(call) for call in self.control("calls")), done

    # --- the fake AWS and what else listens -----------------------------------------------------

    def certificates(self, led):
        """All by openssl. That of the fake holds each real name, whatever leads elsewhere apart."""
        aws, corp = (ns.Authority(self.ca / name, f"{name} test authority") for name in ("aws", "corp"))
        elsewhere = ("ecr.corp.example", "expired.corp.example", "other.corp.example",
                     "api.ecr.ap-southeast-1.amazonaws.com")
        self.aws = aws.issue(*(name for name in led if name not in elsewhere), "localhost")
        self.corp = corp.issue("ecr.corp.example")
        self.other = aws.issue("another.corp.example")
        self.proxy = aws.issue("proxy.corp.example")
        self.expired = outdated(aws, "expired.corp.example")
        good = (self.ca / "corp/ca.pem").read_bytes()
        key = (self.ca / "corp/ca.key").read_bytes()
        bad = self.ca / "bad"
        for directory in bad / "no-certificates", self.ca / "dir", self.ca / "hashed", self.dir / "nothing":
            directory.mkdir(parents=True)
        for name, content in {
            "empty": b"", "junk": bytes(range(256)) * 9, "cut": good[:len(good) // 2],
            "bad-der": good + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "private-key": key, "no-certificates/README": b"nothing",
        }.items():
            (bad / name).write_bytes(content)
        (self.ca / "dir/corp.pem").write_bytes(good)
        (self.ca / "hashed/corp.pem").write_bytes(good)
        ns.run("openssl", "rehash", self.ca / "hashed")

    def servers(self):
        cert, key = self.aws
        at = ["--https", "127.0.0.1:443", "--https", "127.0.0.1:8443", "--https", "[::1]:443",
              "--http", "0.0.0.0:80", "--http", "[::]:80", "--http", "0.0.0.0:8080", "--http", "[::]:8080"]
        self.processes.start("aws", [self.fake, *at, "--cert", cert, "--key", key, "--forever"], 8080)
        cert, key = self.corp
        at = ["--https", "127.0.0.11:443", "--http", "127.0.0.11:8081"]
        self.processes.start("corp", [self.fake, *at, "--cert", cert, "--key", key, "--forever"],
                             ("127.0.0.11", 8081))
        greeter("127.0.0.12", *self.expired)
        greeter("127.0.0.13", *self.other)
        self.passwords = set()

    def control(self, what, body=None):
        """Steers both fakes; lists are put together."""
        data = None if body is None else json.dumps(body).encode()
        answers = []
        for base in "http://127.0.0.1:8080", "http://127.0.0.11:8081":
            request = urllib.request.Request(f"{base}/__control/{what}", data)
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
                answers.append(json.load(reply))
        return answers[0] + answers[1] if body is None else None

    @staticmethod
    def elliptic_key():
        return ns.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")


class Proxies:
    """tinyproxy without and with a password, squid over HTTP and TLS: their logs are the proof."""

    def __init__(self, world):
        self.logs, self.at = {}, {}
        common = "Listen 127.0.0.1\nListen ::1\nTimeout 30\nLogLevel Info\nMaxClients 50\n"
        for name, port, more in (("open", 3128, ""),
                                 ("locked", 3129, f"BasicAuth user {cases.PASSWORD}\n")):
            conf = world.dir / f"{name}.conf"
            conf.write_text(f"Port {port}\n{common}{more}")
            process = world.processes.start(name, ["tinyproxy", "-d", "-c", conf], port)
            self.logs[name] = process.log
        logs = world.dir / "squid"
        logs.mkdir()
        shutil.chown(logs, "proxy", "proxy")
        cert, key = (shutil.copy(file, logs) for file in world.proxy)
        shutil.copy(world.ca / "corp/ca.pem", logs)
        shutil.copy(world.ca / "corp/ca.key", logs)
        ns.run(CERTGEN, "-c", "-s", logs / "certs", "-M", "4MB")
        for path in logs.rglob("*"):
            shutil.chown(path, "proxy", "proxy")
        conf = world.dir / "squid.conf"
        conf.write_text(f"""
http_port 127.0.0.1:3130
https_port 127.0.0.1:3131 tls-cert={cert} tls-key={key}
http_port 127.0.0.1:3132 ssl-bump tls-cert={logs}/ca.pem tls-key={logs}/ca.key generate-host-certificates=on
sslcrtd_program {CERTGEN} -s {logs}/certs -M 4MB
sslcrtd_children 2 startup=1 idle=1
ssl_bump bump all
acl denied dstdomain api.ecr.sa-east-1.amazonaws.com
http_access deny denied
http_access allow all
access_log stdio:{logs}/access.log squid
cache_log {logs}/cache.log
cache deny all
pid_filename none
coredump_dir {logs}
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
visible_hostname squid.corp.example
""")
        (logs / "access.log").touch()
        shutil.chown(logs / "access.log", "proxy", "proxy")
        self.logs["squid"] = logs / "access.log"
        world.processes.start("squid", ["squid", "-N", "-f", conf], 3130, 30)
        ns.await_port(("127.0.0.1", 3131), seconds=30)
        self.forget()

    def forget(self):
        self.at = {name: log.stat().st_size for name, log in self.logs.items()}

    def requests(self, expected):
        """`proxy METHOD target` for each request since; squid writes when a connection has ended."""
        end = time.monotonic() + (3 if expected else 0)
        while True:
            seen = []
            for name, log in self.logs.items():
                with log.open("rb") as file:
                    file.seek(self.at[name])
                    text = file.read().decode()
                if name == "squid":
                    lines = (line.split() for line in text.splitlines())
                    seen += [f"{name} {f[5]} {f[6]}" for f in lines if not f[6].startswith("error:")]
                else:
                    found = re.findall(r"Request \(file descriptor \d+\): (\S+ \S+)", text)
                    seen += [f"{name} {request}" for request in found]
            if len(seen) >= expected or time.monotonic() > end:
                return tuple(seen)
            time.sleep(0.02)


def shown_call(call):
    scheme = "https" if call["tls"] else "http"
    path = call["path"] if call["service"] in ("ecr", "ecr_public", "sts") else "/"
    host = call["host"]
    name = host.partition(":")[0]
    # The name in the greeting is the one in the request.
    if call["tls"] and call["server_name"] != name:
        host += f" (greeted as {call['server_name']})"
    path = "" if path == "/" else path
    return f"{call['service']} {scheme}://{host}{path} {call['signing_region'] or '-'}"


def check(good, what, done):
    if not good:
        raise AssertionError(f"{what}: exit {done.returncode}\nstdout: {done.stdout}stderr: {done.stderr}")


def equal(what, found, expected, more):
    if sorted(found) != sorted(expected) or (what != "what the proxies logged" and found != expected):
        lines = "\n".join(found) or "none"
        wanted = "\n".join(expected) or "none"
        raise AssertionError(f"{what}:\n{lines}\nexpected:\n{wanted}{more}")


def outdated(authority, name):
    """A certificate that was good in January 2020."""
    cert, key = authority.issue(name)
    stem = cert.with_suffix("")
    (authority.dir / "index.txt").write_text("")
    (authority.dir / "serial").write_text("01\n")
    conf = authority.dir / "ca.conf"
    conf.write_text(f"""
[ca]
default_ca = one
[one]
database = {authority.dir}/index.txt
serial = {authority.dir}/serial
new_certs_dir = {authority.dir}
default_md = sha256
policy = any
[any]
commonName = supplied
""")
    ns.run("openssl", "ca", "-batch", "-config", conf, "-cert", authority.pem, "-keyfile", authority.key,
           "-in", f"{stem}.csr", "-out", cert, "-notext", "-extfile", f"{stem}.ext",
           "-startdate", "20200101000000Z", "-enddate", "20200131000000Z")
    return cert, key


def greeter(address, cert, key):
    """A TLS server that says no more than who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server((address, 443))

    def serve():
        while True:
            client, _ = listener.accept()
            client.settimeout(5)
            try:
                context.wrap_socket(client, server_side=True).close()
            except OSError:
                client.close()

    threading.Thread(target=serve, daemon=True).start()


def resolver():
    """What is not in /etc/hosts does not exist, but for the names in network_cases.py."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, client = server.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name = ".".join(labels)
            if name in cases.NEVER_RESOLVES:
                continue
            code = 2 if name in cases.FAILS_TO_RESOLVE else 3
            head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, 0, 0, 0)
            server.sendto(head + query[12:at + 5], client)

    threading.Thread(target=serve, daemon=True).start()


@contextlib.contextmanager
def no_daemons():
    """squid's package would start one; `policy-rc.d` is how Debian is told not to."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


class dropping:
    """All packets to the address (and its neighbours) vanish: they go to a tunnel that is never read."""

    made = 0

    def __init__(self, address):
        self.address = address

    def __enter__(self):
        TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001
        SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, UP = 0x8916, 0x891C, 0x8914, 0x41
        dropping.made += 1
        name = f"tun{dropping.made}".encode()
        self.tunnel = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.tunnel, TUNSETIFF, struct.pack("16sH22x", name, IFF_TUN_NO_PI))
        ours = socket.inet_aton(self.address)[:3] + b"\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for request, data in ((SIOCSIFADDR, ours), (SIOCSIFNETMASK, b"\xff\xff\xff\0")):
                packed = struct.pack("16sHH4s16x", name, socket.AF_INET, 0, data)
                fcntl.ioctl(any_socket, request, packed)
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", name, UP))

    def __exit__(self, *_):
        os.close(self.tunnel)


if __name__ == "__main__":
    sys.exit(main())
