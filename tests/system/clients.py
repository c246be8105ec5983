"""The real clients, through the built helper, against a registry that takes only passwords which
the fake AWS issued.

    python3 tests/system/clients.py

As root, on Debian 12. Installs what it needs, then goes into namespaces of its own (ns.py) in
which the real ECR host names lead to loopback. Each case runs twice: the first time the helper
must ask AWS once for each registry, the second time not at all.

A client that can be had and fails, or that could not be installed, is a failure. Those that no
package registry here has are listed with the reason.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

import install
import ns
from cases import A, B, CLIENTS, HOSTS, IMAGE, NOT_TESTED, P, ROWS, WAYS
from daemon import Daemon
from registry import Front

HELPER = "docker-credential-ecr-login"

PACKAGES = {"skopeo": "skopeo", "podman": "podman", "buildah": "buildah",
            "docker-registry": "docker-registry", "openssl": "openssl", "mount": "mount",
            "unshare": "util-linux"}
NEWER = ["dash", "coreutils", "docker-cli", "docker-buildx", "docker-compose", "oras", "skopeo",
         "podman", "crun", "netavark", "buildah", "cosign"]
NEWEST = ["crane"]
FROM_PYPI = ["docker==7.2.0", "oras==0.2.43"]
FROM_NPM = "testcontainers@10.28.0"

API = ("api.ecr.us-east-1.amazonaws.com", "api.ecr.eu-central-1.amazonaws.com",
       "api.ecr-public.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com")
OTHER_KEY = "AKIAOTHERTOOL0000000"
AWS_ADDRESS, FRONT_ADDRESS, CONTROL = "127.0.0.2", "127.0.0.3", 8080

RECORDER = """#!/bin/sh
# Keeps what the client says to the helper and what it answers, and is otherwise the helper.
umask 077
now=$(date +%s%N)
at=$(mktemp -d "$ECR_TEST_RECORDS/$now.XXXXXX")
printf '%s' "$*" > "$at/args"
# What has no input must not wait for any: testcontainers leaves its pipe open.
case "$1" in get | store | erase) cat > "$at/stdin"; exec < "$at/stdin" ;; esac
{helper} "$@" > "$at/stdout" 2> "$at/stderr"
code=$?
printf '%s' "$code" > "$at/code"
cat "$at/stdout"
cat "$at/stderr" >&2
exit "$code"
"""


def main():
    options = argparse.ArgumentParser(description="the real clients, through the helper")
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name matches this")
    options.add_argument("--markdown", help="writes the table here")
    options.add_argument("--json", help="writes every case here, with what the helper was asked")
    options.add_argument("--keep", action="store_true", help="keeps the directory of the run")
    options = options.parse_args()
    if not os.environ.get(ns.INSIDE):
        os.environ["ECR_TEST_SETUP"] = json.dumps(set_up(options))
    ns.enter()
    sys.exit(run(options, json.loads(os.environ["ECR_TEST_SETUP"])))


def set_up(options):
    """Everything that needs a network. What could not be had becomes a failure later."""
    state, missing, paths = install.state_dir(), {}, {}
    if not (options.helper and options.fake):
        helper, fake = install.program_and_fake()
        options.helper, options.fake = options.helper or helper, options.fake or fake
    paths |= {"helper": str(Path(options.helper).resolve()), "fake": str(Path(options.fake).resolve())}
    for name, what in {
        "host": lambda: install.debian(PACKAGES),
        "docker.io": lambda: install.docker_cli(state),
        "newer": lambda: install.newer_debian(state, NEWER, NEWEST),
        "newest": lambda: newest(paths["newer"]),
        "pypi": lambda: install.from_pypi(state, *FROM_PYPI),
        "npm": lambda: install.from_npm(state, FROM_NPM),
    }.items():
        try:
            paths[name] = str(what() or "")
        except (install.Missing, KeyError, OSError) as reason:
            missing[name] = str(reason)
    return {"paths": paths, "missing": missing}


def newest(root):
    if not all((Path(root) / "usr/bin" / program).exists() for program in NEWEST):
        raise install.Missing("Debian unstable could not be installed")
    return root


# --- the world the clients run in -----------------------------------------------------------

class World:
    """The fake AWS, the registries and their front, the docker daemon's stand-in."""

    def __init__(self, work, paths, processes):
        self.work, self.paths, self.processes = work, paths, processes
        self.authority = ns.Authority(work / "ca")
        self.bin = work / "bin"
        self.bin.mkdir()
        recorder = self.bin / HELPER
        recorder.write_text(RECORDER.format(helper=paths["helper"]))
        recorder.chmod(0o755)

    def names(self):
        return {**{host: FRONT_ADDRESS for host in HOSTS}, **{api: AWS_ADDRESS for api in API}}

    def start(self):
        cert, key = self.authority.issue(*API)
        self.processes.start(
            "aws", [self.paths["fake"], "--http", f"{AWS_ADDRESS}:{CONTROL}", "--https",
                    f"{AWS_ADDRESS}:443", "--cert", cert, "--key", key, "--forever"],
            port=(AWS_ADDRESS, CONTROL))
        backends = {}
        for number, host in enumerate(HOSTS):
            port, storage = 5001 + number, self.work / f"registry-{number}"
            config = self.work / f"registry-{number}.yml"
            config.write_text(json.dumps({
                "version": 0.1, "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(storage)},
                            "delete": {"enabled": True}},
                "http": {"addr": f"127.0.0.1:{port}"}}))
            self.processes.start(f"registry-{number}", ["docker-registry", "serve", config], port)
            backends[host] = port
        cert, key = self.authority.issue(*HOSTS)
        self.backends = backends
        self.front = Front((FRONT_ADDRESS, 443), cert, key, backends, self.passwords)
        self.daemon = Daemon(self.work / "docker.sock")

    def seed(self):
        """A small image in every registry, made by hand."""
        layout = self.work / "image"
        self.image_id = make_image(layout)
        for host, port in self.backends.items():
            ns.run("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                   "--format", "v2s2", f"oci:{layout}:1",
                   f"docker://127.0.0.1:{port}/{IMAGE}:1")
        # After the conversion to docker's own format the digest is another.
        self.digest = self.manifest(A, IMAGE, "1")[1]

    def control(self, path):
        with urllib.request.urlopen(f"http://{AWS_ADDRESS}:{CONTROL}/__control/{path}") as reply:
            return json.load(reply)

    def calls(self):
        """How many calls to AWS there were, but for those of `password` below."""
        return sum(c["access_key_id"] != OTHER_KEY for c in self.control("calls"))

    def passwords(self, host):
        """Those that AWS issued for this registry: the n-th good answer gave the n-th password."""
        calls = [c for c in self.control("calls")
                 if c["service"] in ("ecr", "ecr_public") and c["answer"] == "ok"]
        for call, password in zip(calls, self.control("passwords")):
            account = call["params"].get("registryIds")
            region, public = call["signing_region"], call["service"] == "ecr_public"
            if host == (P if public else f"{account}.dkr.ecr.{region}.amazonaws.com"):
                yield password

    def password(self, host):
        """What `aws ecr get-login-password` would print."""
        account, region = host.split(".")[0], host.split(".")[3]
        request = urllib.request.Request(
            f"http://{AWS_ADDRESS}:{CONTROL}/", json.dumps({"registryIds": [account]}).encode(),
            {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
             "X-Amz-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
             "Authorization": f"AWS4-HMAC-SHA256 Credential={OTHER_KEY}/20260101/"
                              f"{region}/ecr/aws4_request, SignedHeaders=host, Signature=0"})
        with urllib.request.urlopen(request) as reply:
            token = json.load(reply)["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(token).decode().partition(":")[2]

    def manifest(self, host, repo, tag):
        """Status and digest of a manifest, past the front."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.backends[host]}/v2/{repo}/manifests/{tag}", headers={
                "Accept": "application/vnd.docker.distribution.manifest.v2+json,"
                          "application/vnd.docker.distribution.manifest.list.v2+json,"
                          "application/vnd.oci.image.manifest.v1+json,"
                          "application/vnd.oci.image.index.v1+json"})
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError as error:
            return error.code, None

    def close(self):
        self.front.close()
        self.daemon.close()


def make_image(layout):
    """An OCI layout with one layer that has one file."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as layer:
        entry = tarfile.TarInfo("hello")
        entry.size = 6
        layer.addfile(entry, io.BytesIO(b"hello\n"))
    layer = blob(tar.getvalue())
    config = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode())
    kind = "application/vnd.oci.image."
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json", **config},
        "layers": [{"mediaType": kind + "layer.v1.tar", **layer}]}).encode())
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({
        "schemaVersion": 2, "manifests": [{
            "mediaType": kind + "manifest.v1+json", **manifest,
            "annotations": {"org.opencontainers.image.ref.name": "1"}}]}))
    return config["digest"].removeprefix("sha256:")


# --- one case -------------------------------------------------------------------------------

class Wrong(Exception):
    """What a case found to be otherwise than it should be."""


class Case:
    """One client, one way to configure it, one thing to do."""

    def __init__(self, number, client, way, row):
        self.number, self.client, self.way, self.row = number, client, way, row
        self.seconds, self.calls, self.asked, self.error = 0.0, [], [], None

    def __str__(self):
        return f"{self.client.name} ({self.client.needs}) | {self.way} | {self.row.what}"

    def run(self, world):
        started = time.monotonic()
        self.world, self.home = world, world.work / f"case-{self.number}"
        self.tag = f"case{self.number}"
        try:
            self.prepare()
            for number, step in enumerate(self.row.steps):
                self.step(number, step)
        except (Wrong, OSError, ValueError, RuntimeError, subprocess.TimeoutExpired) as error:
            self.error = f"{type(error).__name__}: {error}"
            if getattr(error, "output", None):
                self.error += "\n  it said: " + error.output.decode(errors="replace")[-1500:]
        self.seconds = time.monotonic() - started

    def prepare(self):
        for part in "run", "tmp", "records", "out", "context":
            (self.home / part).mkdir(parents=True)
        (self.home / "run").chmod(0o700)
        self.write(".config/containers/policy.json", {"default": [{"type": "insecureAcceptAnything"}]})
        (self.home / "context/Dockerfile").write_text(f"FROM {A}/{IMAGE}:1\nLABEL a=b\n")
        (self.home / "context/compose.yaml").write_text(
            f"services:\n  one:\n    image: {A}/{IMAGE}:1\n")
        (self.home / "context/artifact.txt").write_text(self.tag)
        for path, content in {**self.row.files, **WAYS[self.way].files}.items():
            self.write(path, content)

    def write(self, path, content):
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def environment(self, step):
        home = str(self.home)
        environment = {
            "HOME": home, "PATH": f"{self.world.bin}:{PATH}",
            "XDG_RUNTIME_DIR": f"{home}/run", "TMPDIR": f"{home}/tmp", "LANG": "C.UTF-8",
            "DOCKER_HOST": f"unix://{self.world.work}/docker.sock",
            "ECR_TEST_RECORDS": f"{home}/records",
            "REQUESTS_CA_BUNDLE": ns.BUNDLE, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIACLIENTS000000001", "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            **{name: value.format(home=home) for name, value in WAYS[self.way].environment.items()},
            **step.environment,
        }
        return {name: value for name, value in environment.items() if value is not None}

    def fill(self, text, number):
        values = {"A": A, "B": B, "P": P, "home": self.home, "image": IMAGE, "n": number, "case": self.tag,
                  "layout": self.world.work / "image", "new": f"{self.tag}-{number}",
                  "digest": self.world.digest, "id": self.world.image_id}
        return re.sub(r"\{([A-Za-z]+)\}", lambda m: str(values[m[1]]), text)

    def step(self, number, step):
        world, records = self.world, self.home / "records"
        shutil.rmtree(records)
        records.mkdir()
        world.front.forget()
        world.daemon.sent.clear()
        before = world.calls()
        argv = self.client.command(world.paths, [self.fill(a, number) for a in step.argv])
        given = None if step.login is None else world.password(step.login)
        client = subprocess.run(
            argv, input=given or "", env=self.environment(step), cwd=self.home / "context",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False)
        calls = world.calls() - before
        records = [Record(at) for at in sorted(records.iterdir())]
        self.calls.append(calls)
        self.asked += [r.said for r in records if r.said not in self.asked]
        said = f"\n  command: {' '.join(argv)}\n  it said: {client.stdout.strip()[-1500:]}\n  helper: " + \
            "; ".join(f"{r.said} -> {r.code} {r.stderr.strip()}" for r in records)
        if client.returncode != 0:
            raise Wrong(f"exit status {client.returncode}{said}")
        if step.says and not re.search(self.fill(step.says, number), client.stdout):
            raise Wrong(f"does not say {self.fill(step.says, number)!r}{said}")
        if calls != step.calls:
            raise Wrong(f"{calls} calls to AWS, not {step.calls}{said}")
        self.check_helper(step, records, said)
        for host in step.used:
            if not world.front.logins(host):
                raise Wrong(f"{host} was not sent the password{said}")
        if step.sent and step.sent not in [kind for kind, _ in world.daemon.sent]:
            raise Wrong(f"the daemon was sent no {step.sent}{said}")
        for host, repo, tag in step.pushed:
            if world.manifest(host, repo, self.fill(tag, number))[0] != 200:
                raise Wrong(f"nothing arrived at {host}/{repo}{said}")
        for path in step.writes:
            if not (self.home / self.fill(path, number)).exists():
                raise Wrong(f"no {path}{said}")

    def check_helper(self, step, records, said):
        for action in step.helper.keys() - set(step.may):
            if not any(r.action == action for r in records):
                raise Wrong(f"the helper was not asked to {action}{said}")
        for record in records:
            allowed = step.helper.get(record.action)
            if allowed is None or record.subject not in allowed:
                raise Wrong(f"the helper was asked to {record.said}{said}")
            if step.fails:
                if record.code != 1 or record.stdout.strip() != NOT_FOUND or record.stderr:
                    raise Wrong(f"not a silent refusal: {record.stdout!r}{said}")
                continue
            if record.code != 0 or record.stderr:
                raise Wrong(f"the helper failed{said}")
            if record.action == "get":
                answer = json.loads(record.stdout)
                if answer["ServerURL"] != record.stdin.strip() or answer["Username"] != "AWS":
                    raise Wrong(f"the helper answered for {answer['ServerURL']}{said}")
        for host in step.gets:
            if not any(r.action == "get" and host in r.subject for r in records):
                raise Wrong(f"the helper was not asked for {host}{said}")


PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 30  # seconds, for one command of a client
NOT_FOUND = "credentials not found in native keychain"


class Record:
    """One run of the helper, as the recorder kept it."""

    def __init__(self, at):
        read = lambda name: (at / name).read_text() if (at / name).exists() else ""
        self.action, self.stdin = read("args"), read("stdin")
        self.stdout, self.stderr, self.code = read("stdout"), read("stderr"), int(read("code") or -1)
        # What store and list carry on stdin is more than a server, and a secret in store's case.
        self.subject = self.stdin
        if self.action == "store":
            self.subject = json.loads(self.stdin)["ServerURL"]
        elif self.action == "list":
            self.subject = ""
        self.said = f"{self.action} {self.subject!r}"


# --- all of them ----------------------------------------------------------------------------

def run(options, setup):
    paths, missing = setup["paths"], setup["missing"]
    # Not mkdtemp: podman and buildah refuse the `-_` that its random names may make.
    work = Path(tempfile.gettempdir()) / f"ecr-clients-{secrets.token_hex(8)}"
    work.mkdir(mode=0o700)
    cases = [Case(0, client, way, row)
             for client in CLIENTS for row in ROWS[client.tool]
             for way in row.ways or client.ways]
    cases = [c for c in cases if re.search(options.only, str(c))]
    for number, case in enumerate(cases, 1):
        case.number = number
    try:
        with ns.Processes(work / "logs") as processes:
            world = World(work, paths, processes)
            with ns.Namespace(world.names(), [world.authority.pem]) as here:
                if "newer" in paths:
                    here.also_in(paths["newer"], [work, Path(paths["helper"]).parent])
                world.start()
                try:
                    world.seed()
                    for case in cases:
                        if case.client.needs in missing:
                            case.error = f"not installed: {missing[case.client.needs]}"
                        else:
                            case.run(world)
                        report(case)
                    versions = {c: version(c, world) for c in CLIENTS if c.needs in paths}
                finally:
                    world.close()
    finally:
        if options.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    for client, reason in NOT_TESTED:
        print(f"not tested: {client}: {reason}")
    if options.markdown:
        Path(options.markdown).write_text(markdown(cases, versions))
    if options.json:
        Path(options.json).write_text(json.dumps({
            "cases": [{"client": c.client.name, "version": versions.get(c.client), "way": c.way,
                       "what": c.row.what, "passed": c.error is None, "aws_calls": c.calls,
                       "helper_was_asked": c.asked, "seconds": round(c.seconds, 2),
                       "error": c.error} for c in cases],
            "not_tested": dict(NOT_TESTED)}, indent=1))
    failed = sum(c.error is not None for c in cases)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


def report(case):
    calls = ", ".join(map(str, case.calls))
    print(f"{'ok    ' if case.error is None else 'FAILED'} {case} | AWS calls {calls} | "
          f"{case.seconds:.1f} s", flush=True)
    if case.error:
        print("  " + case.error, flush=True)


def version(client, world):
    if client.version[0] == "package":
        names = (Path(world.paths[client.needs]) / "packages").read_text()
        return re.search(rf"(?m)^{client.version[1]}_([\d.]+)", names)[1]
    done = subprocess.run(client.command(world.paths, client.version), text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={"PATH": PATH, "HOME": "/"})
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found[0] if found else ""


def markdown(cases, versions):
    """Client x way x passed: versions and ways that did the same share a line."""
    lines = {}
    for client, way in dict.fromkeys((c.client, c.way) for c in cases):
        mine = [c for c in cases if (c.client, c.way) == (client, way)]
        passed = "; ".join(c.row.what for c in mine if c.error is None)
        failed = "; ".join(c.row.what for c in mine if c.error is not None)
        found = lines.setdefault((client.name, passed, failed), ([], []))
        for list_, item in zip(found, (versions.get(client, ""), way)):
            if item not in list_:
                list_.append(item)
    text = ["# Clients", "",
            "Written by `tests/system/clients.py --markdown docs/clients.md`: the real clients against a real",
            "registry under ECR's host names, with passwords that only the AWS behind it issues. Each case runs",
            "twice: the first `get` makes one call to ECR for each registry, the second none.", "",
            "| client | version | configured by | passed | failed |", "|---|---|---|---|---|"]
    text += [f"| {name} | {', '.join(found[0])} | {', '.join(found[1])} | {passed} | {failed or '-'} |"
             for (name, passed, failed), found in lines.items()]
    text += ["", "Not tested: " + "; ".join(f"{c} ({reason})" for c, reason in NOT_TESTED) + "."]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
