"""Several accounts with real clients: one rules file, two accounts in one command, an own name over
TLS, and a second helper for all other logins.

    python3 tests/system/accounts.py

As root, on Debian 12, in namespaces of its own (ns.py) in which the real ECR host names lead to
loopback. Each registry takes only passwords that the fake AWS issued for its account, and the fake
says which access key asked for each.
"""

import argparse
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import install
import ns
from cases import A, B, IMAGE
from clients import API, AWS_ADDRESS, CONTROL, FRONT_ADDRESS, HELPER, PATH, TIMEOUT, make_image
from daemon import Daemon
from registry import Front, Handler, Server, basic

OWN, HUB, HUB_URL = "registry.example.com", "index.docker.io", "https://index.docker.io/v1/"
HUB_ADDRESS = "127.0.0.4"
KEYS = {A: "AKIAACCOUNTONE000001", B: "AKIAACCOUNTTWO000002"}
RULES = f"""[{A.split(".")[0]}]
profile = one

[{B.split(".")[0]}]
profile = two

[{OWN}]
registry = {A}
"""
PACKAGES = {"skopeo": "skopeo", "docker-registry": "docker-registry", "openssl": "openssl",
            "mount": "mount", "unshare": "util-linux"}

# Keeps logins in files; what a keychain does elsewhere.
VAULT = """#!/usr/bin/python3
import json, os, sys, urllib.parse
place = os.path.join(os.environ["HOME"], "vault")
os.makedirs(place, exist_ok=True)
at = lambda url: os.path.join(place, urllib.parse.quote(url, safe=""))
given = sys.stdin.read() if sys.argv[1] != "list" else ""
if sys.argv[1] == "store":
    open(at(json.loads(given)["ServerURL"]), "w").write(given)
elif sys.argv[1] == "list":
    logins = [json.load(open(os.path.join(place, name))) for name in os.listdir(place)]
    print(json.dumps({login["ServerURL"]: login["Username"] for login in logins}))
elif not os.path.exists(at(given.strip())):
    sys.exit(print("credentials not found in native keychain") or 1)
elif sys.argv[1] == "get":
    print(open(at(given.strip())).read())
else:
    os.unlink(at(given.strip()))
"""


class Wrong(Exception):
    """What was found to be otherwise than it should be."""


class HubHandler(Handler):
    """Docker Hub's registry, as far as a login needs it."""

    def do_GET(self):
        good = basic(self.headers.get("Authorization")) == ("me", "hub-password")
        self.reply(200 if good else 401, [("WWW-Authenticate", 'Basic realm="hub"')], b"{}")


class World:
    def __init__(self, work, paths, processes):
        self.work, self.paths, self.processes = work, paths, processes
        self.authority = ns.Authority(work / "ca")
        self.home, self.bin = work / "home", work / "bin"
        (self.home / ".aws").mkdir(parents=True)
        self.bin.mkdir()
        (self.bin / HELPER).symlink_to(paths["helper"])

    def names(self):
        fronts = {name: FRONT_ADDRESS for name in (A, B, OWN)}
        return {**fronts, **{api: AWS_ADDRESS for api in API}, HUB: HUB_ADDRESS}

    def start(self):
        cert, key = self.authority.issue(*API)
        self.processes.start(
            "aws", [self.paths["fake"], "--http", f"{AWS_ADDRESS}:{CONTROL}", "--https",
                    f"{AWS_ADDRESS}:443", "--cert", cert, "--key", key, "--forever"],
            port=(AWS_ADDRESS, CONTROL))
        layout, backends = self.work / "image", {}
        make_image(layout)
        for number, host in enumerate((A, B)):
            port, config = 5101 + number, self.work / f"registry-{number}.yml"
            config.write_text(json.dumps({
                "version": 0.1, "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(self.work / f"data-{number}")}},
                "http": {"addr": f"127.0.0.1:{port}"}}))
            self.processes.start(f"registry-{number}", ["docker-registry", "serve", config], port)
            backends[host] = port
            ns.run("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false",
                   "--format", "v2s2", f"oci:{layout}:1", f"docker://127.0.0.1:{port}/{IMAGE}:1")
        cert, key = self.authority.issue(A, B, OWN)
        self.front = Front((FRONT_ADDRESS, 443), cert, key, {**backends, OWN: backends[A]},
                           self.passwords)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue(HUB))
        self.hub = Server((HUB_ADDRESS, 443), HubHandler)
        self.hub.socket = context.wrap_socket(self.hub.socket, server_side=True,
                                              do_handshake_on_connect=False)
        threading.Thread(target=self.hub.serve_forever, daemon=True).start()
        self.daemon = Daemon(self.work / "docker.sock")

    def control(self, path):
        with urllib.request.urlopen(f"http://{AWS_ADDRESS}:{CONTROL}/__control/{path}") as reply:
            return json.load(reply)

    def issued(self):
        """Registry and access key of each password, in the order in which they were issued."""
        for call in self.control("calls"):
            if call["service"] == "ecr" and call["answer"] == "ok":
                account, region = call["params"]["registryIds"], call["signing_region"]
                yield f"{account}.dkr.ecr.{region}.amazonaws.com", call["access_key_id"]

    def passwords(self, host):
        host = A if host == OWN else host
        for (registry, key), password in zip(self.issued(), self.control("passwords")):
            # A registry knows its own account's principals only.
            if registry == host and key == KEYS[host]:
                yield password

    def fresh_user(self, docker, rules):
        """A home without a cache; what AWS was asked before does not count."""
        shutil.rmtree(self.home)
        for path, text in {
            ".docker/config.json": json.dumps(docker),
            ".aws/ecr-login": rules,
            ".aws/config": "".join(
                f"[profile {name}]\naws_access_key_id = {key}\naws_secret_access_key = fake\n"
                for name, key in zip(("one", "two"), KEYS.values())),
            ".config/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
            "context/Dockerfile": f"FROM {A}/{IMAGE}:1 AS one\nFROM {B}/{IMAGE}:1\n",
        }.items():
            at = self.home / path
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_text(text)
            at.chmod(0o600)
        self.before = len(list(self.issued()))
        self.front.forget()
        self.daemon.sent.clear()

    def client(self, *argv, given="", fails=False):
        environment = {
            "HOME": str(self.home), "PATH": f"{self.bin}:{PATH}", "LANG": "C.UTF-8",
            "DOCKER_HOST": f"unix://{self.work}/docker.sock", "DOCKER_BUILDKIT": "0",
            "AWS_EC2_METADATA_DISABLED": "true", "TMPDIR": str(self.work)}
        argv = [self.paths["docker.io"], *argv[1:]] if argv[0] == "docker" else argv
        done = subprocess.run(argv, input=given, env=environment, cwd=self.home / "context",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT, check=False)
        if (done.returncode != 0) != fails:
            raise Wrong(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def expect_keys(self, *hosts):
        """AWS was asked once for each of these registries, each with its account's own key."""
        asked = sorted(list(self.issued())[self.before:])
        expected = sorted((host, KEYS[host]) for host in hosts)
        if asked != expected:
            raise Wrong(f"asked for {asked}, not {expected}")

    def expect_logins(self, *hosts):
        for host in hosts:
            if not self.front.logins(host):
                raise Wrong(f"{host} was not sent a good password")

    def close(self):
        self.front.close()
        self.daemon.close()
        self.hub.shutdown()
        self.hub.server_close()


# --- the cases ------------------------------------------------------------------------------

def skopeo_copies_from_one_account_to_another(world):
    """Twice: the second time without AWS."""
    world.fresh_user({"credHelpers": {A: "ecr-login", B: "ecr-login"}}, RULES)
    for tag in "2", "3":
        world.client("skopeo", "copy", f"docker://{A}/{IMAGE}:1", f"docker://{B}/{IMAGE}:{tag}")
    world.expect_keys(A, B)
    world.expect_logins(A, B)


def docker_builds_from_two_accounts(world):
    world.fresh_user({"credHelpers": {A: "ecr-login", B: "ecr-login"}}, RULES)
    world.client("docker", "build", ".")
    kind, sent = world.daemon.sent[-1]
    users = {host: login.get("username") for host, login in sent.items()}
    if kind != "build" or users != {A: "AWS", B: "AWS"}:
        raise Wrong(f"docker sent {kind} {users}")
    world.expect_keys(A, B)
    world.expect_logins(A, B)


def docker_pulls_from_two_accounts_with_creds_store(world):
    world.fresh_user({"credsStore": "ecr-login"}, RULES)
    for host in A, B, A, B:
        world.client("docker", "pull", f"{host}/{IMAGE}:1")
    world.expect_keys(A, B)
    world.expect_logins(A, B)


def wrong_profile_gets_no_image(world):
    """That the registries tell the accounts apart, and no other identity is tried."""
    world.fresh_user({"credHelpers": {A: "ecr-login"}}, RULES.replace("one", "absent"))
    output = world.client("skopeo", "inspect", f"docker://{A}/{IMAGE}:1", fails=True)
    if 'there is no profile "absent"' not in output:
        raise Wrong(output)
    world.expect_keys()
    world.fresh_user({"credHelpers": {A: "ecr-login"}}, RULES.replace("one", "two"))
    world.client("skopeo", "inspect", f"docker://{A}/{IMAGE}:1", fails=True)


def skopeo_pulls_by_an_own_name(world):
    world.fresh_user({"credHelpers": {A: "ecr-login", OWN: "ecr-login"}}, RULES)
    world.client("skopeo", "copy", f"docker://{OWN}/{IMAGE}:1", f"dir:{world.home}/image")
    world.client("skopeo", "inspect", f"docker://{A}/{IMAGE}:1")
    world.expect_keys(A)
    world.expect_logins(OWN, A)


def docker_keeps_hubs_login_in_the_other_helper(world):
    world.fresh_user({"credsStore": "ecr-login"}, RULES + "\n[*]\nother_registries = vault\n")
    vault = world.bin / "docker-credential-vault"
    vault.write_text(VAULT)
    vault.chmod(0o755)
    world.client("docker", "login", "-u", "me", "--password-stdin", given="hub-password")
    if "hub-password" in (world.home / ".docker/config.json").read_text():
        raise Wrong("docker keeps the password itself")
    world.client("docker", "pull", f"{A}/{IMAGE}:1")
    world.daemon.sent.clear()
    # The stand-in for the daemon has no Docker Hub to pull from: what docker sends counts.
    world.client("docker", "pull", "docker.io/team/tiny", fails=True)
    _, sent = world.daemon.sent[-1]
    if (sent.get("username"), sent.get("password")) != ("me", "hub-password"):
        raise Wrong(f"docker sent {sent}")
    listed = json.loads(world.client(str(world.bin / HELPER), "list"))
    if listed != {A: "AWS", OWN: "AWS", HUB_URL: "me"}:
        raise Wrong(f"list says {listed}")
    world.client("docker", "logout")
    if os.listdir(world.home / "vault"):
        raise Wrong("the login is still there")
    world.expect_keys(A)


CASES = [skopeo_copies_from_one_account_to_another, docker_builds_from_two_accounts,
         docker_pulls_from_two_accounts_with_creds_store, wrong_profile_gets_no_image,
         skopeo_pulls_by_an_own_name, docker_keeps_hubs_login_in_the_other_helper]


def main():
    sys.exit(run("several accounts, with real clients", World, CASES, PACKAGES))


def run(about, world_of, cases, packages):
    """Runs the cases, in a namespace of their own; the exit status."""
    options = argparse.ArgumentParser(description=about)
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name contains this")
    options = options.parse_args()
    if not os.environ.get(ns.INSIDE):
        if not (options.helper and options.fake):
            helper, fake = install.program_and_fake()
            options.helper, options.fake = options.helper or helper, options.fake or fake
        install.debian(packages)
        os.environ["ECR_TEST_SETUP"] = json.dumps({
            "helper": str(Path(options.helper).resolve()),
            "fake": str(Path(options.fake).resolve()),
            "docker.io": str(install.docker_cli(install.state_dir()))})
    ns.enter()
    paths = json.loads(os.environ["ECR_TEST_SETUP"])
    failed, work = 0, Path(tempfile.mkdtemp(prefix="ecr-accounts."))
    cases = [case for case in cases if options.only in case.__name__]
    try:
        with ns.Processes(work / "logs") as processes:
            world = world_of(work, paths, processes)
            with ns.Namespace(world.names(), [world.authority.pem]):
                world.start()
                for case in cases:
                    name = case.__name__.replace("_", " ")
                    try:
                        case(world)
                        print(f"ok     {name}", flush=True)
                    except (Wrong, OSError, ValueError, subprocess.TimeoutExpired) as error:
                        failed += 1
                        print(f"FAILED {name}: {error}", flush=True)
                world.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    main()
