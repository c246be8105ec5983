#!/usr/bin/env python3
"""What other users of the machine can do, and what a full disk does.

    tests/system/hostile.py

As root, in namespaces of its own (ns.py): it takes several users, owners and small file systems,
which the tests in Rust cannot have. What has one user and one disk is tested there.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import ns

ROOT = Path(__file__).resolve().parents[2]
HELPER = "docker-credential-ecr-login"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
OTHER = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
NOT_FOUND = "credentials not found in native keychain\n"
# Users of no account: all that counts is that they differ.
ALICE, MALLORY = 54321, 54322
# An address that is not this machine's, but for the script.
ELSEWHERE = "198.51.100.7"


def main():
    options = argparse.ArgumentParser(description="hostile surroundings")
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--only", default="", help="cases whose name contains this")
    options = options.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    helper = Path(options.helper or target / HELPER).resolve()
    fake = Path(options.fake or target / "examples/fake-aws").resolve()
    if not os.environ.get(ns.INSIDE) and not (options.helper and options.fake):
        build = ["cargo", "build", "--locked", "--bin", HELPER, "--example", "fake-aws"]
        subprocess.run(build, cwd=ROOT, check=True)
    ns.enter()
    ns.loopback_up()
    cases = [case for case in CASES if options.only in case.__name__]
    failed = 0
    for case in cases:
        with World(helper, fake) as world:
            try:
                case(world)
            except Failed as failure:
                failed += 1
                print(f"FAILED {case.__name__}: {failure}", flush=True)
    print(f"hostile surroundings: {len(cases)} cases, {failed} failed")
    return 1 if failed or not cases else 0


class Failed(Exception):
    """Something was not as it should be."""


def check(is_so, what):
    if not is_so:
        raise Failed(what)


class World:
    """A directory that all users can enter, with Alice's home in it, and an AWS."""

    def __init__(self, helper, fake):
        self.built, self.fake = helper, fake

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        name = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-"))
        self.dir = Path(name)
        self.dir.chmod(0o755)
        # Where it is built, other users may not be able to go.
        self.helper = self.dir / HELPER
        shutil.copy(self.built, self.helper)
        self.helper.chmod(0o755)
        self.aws = subprocess.Popen([self.fake], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.aws.kill)
        self.url = json.loads(self.aws.stdout.readline())["http"][0]
        if "://" not in self.url:
            self.url = f"http://{self.url}"
        self.home = self.new("home", ALICE)
        self.cache = self.home / ".cache" / HELPER
        return self

    def __exit__(self, *_):
        self.aws.stdin.close()
        self.aws.wait(10)
        self.stack.close()

    def new(self, name, owner, mode=0o700):
        """A directory of this user's."""
        path = self.dir / name
        path.mkdir()
        path.chmod(mode)
        os.chown(path, owner, owner)
        return path

    def mount(self, path, *options):
        """A small file system of Alice's; it ends with the case."""
        path.mkdir(exist_ok=True)
        owner = f"uid={ALICE},gid={ALICE},mode=0700"
        ns.run("mount", "-t", "tmpfs", "-o", ",".join([owner, *options]), "none", path)
        self.stack.callback(ns.run, "umount", "--lazy", path)

    def calls(self):
        with urllib.request.urlopen(f"{self.url}/__control/calls") as reply:
            return sum(call["service"] == "ecr" for call in json.load(reply))

    def command(self, *argv, uid=ALICE, **environment):
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(self.home), "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": "AKIAHOSTILE000000000", "AWS_SECRET_ACCESS_KEY": "s",
            **environment}
        privileges = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        return {"args": [*privileges, *argv], "env": environment, "cwd": self.dir}

    def run(self, verb="get", host=HOST, uid=ALICE, **environment):
        return subprocess.run(
            **self.command(self.helper, verb, uid=uid, **environment), input=host, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)

    def get(self, host=HOST, uid=ALICE, **environment):
        """The password, which there has to be."""
        done = self.run("get", host, uid, **environment)
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")
        return json.loads(done.stdout)["Secret"]

    def why(self, uid=ALICE, **environment):
        """What the debug log says of the cache; it must be one line."""
        done = self.run("get", HOST, uid, AWS_ECR_LOG="debug", **environment)
        check(done.returncode == 0, f"{done.stdout}{done.stderr}")
        lines = [line for line in done.stderr.splitlines() if "cache: not used" in line]
        check(len(lines) == 1, f"lines about the cache: {lines} in {done.stderr}")
        return lines[0]

    def entry(self):
        entries = list(self.cache.rglob("*.json"))
        check(len(entries) == 1, f"entries: {entries}")
        return entries[0]

    def owners(self):
        """Who owns what below Alice's home."""
        return {str(path): path.lstat().st_uid for path in [self.home, *self.home.rglob("*")]}


def root_in_alices_home(world):
    """As `sudo docker` runs it: HOME is the user's, the user ID is root's."""
    alices = world.get()
    before = {path: path.read_bytes() for path in world.cache.rglob("*") if path.is_file()}
    roots = world.get(uid=0)
    check(roots != alices, "root was served Alice's token")
    check("is owned by another user" in world.why(uid=0), "the reason")
    check(world.calls() == 3, f"{world.calls()} requests")
    check(set(world.owners().values()) == {ALICE}, f"owners: {world.owners()}")
    after = {path: path.read_bytes() for path in world.cache.rglob("*") if path.is_file()}
    check(before == after, "Alice's cache was changed")
    check(world.get() == alices, "Alice's token is lost")


def root_in_a_new_home(world):
    """The same where there is no cache yet: nothing of root's may appear."""
    world.get(uid=0)
    check("is owned by another user" in world.why(uid=0), "the reason")
    check(list(world.home.iterdir()) == [], f"left behind: {list(world.home.iterdir())}")
    world.get()
    world.get()
    check(world.calls() == 3, f"{world.calls()} requests")


def root_stores_and_erases_nothing_of_alices(world):
    alices = world.get()
    check(world.run("erase", HOST, uid=0).returncode == 0, "erase failed")
    check(world.run("list", "", uid=0).stdout == "{}\n", "list shows Alice's")
    check(world.get() == alices, "Alice's token is lost")
    check(set(world.owners().values()) == {ALICE}, f"owners: {world.owners()}")


def an_entry_of_another_user(world):
    """Planted, or restored by another user: it is not read."""
    first = world.get()
    entry = world.entry()
    text = entry.read_text()
    os.chown(entry, MALLORY, MALLORY)
    entry.chmod(0o644)
    done = world.run(AWS_ECR_LOG="debug")
    check(first not in done.stdout, "it was read")
    check(str(entry) in done.stderr and "is owned by another user" in done.stderr, done.stderr)
    check(entry.stat().st_uid == ALICE and entry.read_text() != text, "it was not replaced")
    check(stat.S_IMODE(entry.stat().st_mode) == 0o600, "its mode")


def a_directory_of_another_user(world):
    """At each level, whatever its mode."""
    for level in ("base", "version", "host"):
        first = world.get()
        entry = world.entry()
        text = entry.read_text()
        path = {"base": world.cache, "version": world.cache / "v1", "host": entry.parent}[level]
        for mode in (0o755, 0o777):
            os.chown(path, MALLORY, MALLORY)
            path.chmod(mode)
            check(world.get() != first, f"{level}: it was read")
            check("is owned by another user" in world.why(), f"{level}: the reason")
            check(entry.read_text() == text, f"{level}: it was written")
            left = [path for path in entry.parent.iterdir() if path.suffix != ".issued"]
            check(left == [entry], f"{level}: a file was left")
        os.chown(path, ALICE, ALICE)
        path.chmod(0o700)
        check(world.get() == first, f"{level}: it is ours again")


def links_of_another_user(world):
    """In a directory such as /tmp, where every user can plant one."""
    public = world.new("public", 0, 0o1777)
    target = world.new("target", ALICE)
    for owner, followed in (MALLORY, False), (ALICE, True), (0, True):
        link = public / f"link-{owner}"
        link.symlink_to(target)
        os.chown(link, owner, owner, follow_symlinks=False)
        tokens = {world.get(AWS_ECR_CACHE_DIR=str(link)) for _ in range(2)}
        check(len(tokens) == (1 if followed else 2), f"a link of {owner}")
        check(bool(list(target.iterdir())) == followed, f"a link of {owner}: {target}")
        shutil.rmtree(target)
        target = world.new("target", ALICE)


def links_below_the_base(world):
    """Ours or another's, none is followed."""
    world.get()
    version, moved = world.cache / "v1", world.home / "moved"
    version.rename(moved)
    for owner in MALLORY, ALICE:
        version.symlink_to(moved)
        os.chown(version, owner, owner, follow_symlinks=False)
        before = sorted(moved.rglob("*"))
        check(world.get() != world.get(), f"a link of {owner} was followed")
        check("is a link" in world.why(), "the reason")
        check(sorted(moved.rglob("*")) == before, f"a link of {owner} was written through")
        version.unlink()


def no_fall_back(world):
    """Where the cache cannot be, nothing is kept anywhere else."""
    world.home.chmod(0o500)
    os.chown(world.home, 0, 0)
    places = [Path(place) for place in ("/tmp", "/var/tmp", "/dev/shm", "/run")]
    before = {str(path) for place in places for path in place.glob("*")}
    check(world.get() != world.get(), "it was kept")
    mine = [path for place in places for path in place.glob("*")
            if str(path) not in before and path.stat().st_uid == ALICE]
    check(mine == [], f"left behind: {mine}")


def a_full_disk(world):
    """No room for a file, and no room for its name: the answer comes all the same."""
    for name, option in ("blocks", "size=64k"), ("inodes", "nr_inodes=24"):
        home = world.dir / name
        world.mount(home, option)
        first = world.get(HOME=str(home))
        check(world.get(HOME=str(home)) == first, f"{name}: it was not kept")
        filler = home / "filler"
        filler.mkdir()
        with contextlib.suppress(OSError):
            for number in range(100):
                (filler / str(number)).write_bytes(b"x" * (4096 if name == "blocks" else 0))
        done = world.run(host=OTHER, HOME=str(home), AWS_ECR_LOG="debug")
        check(done.returncode == 0, f"{name}: {done.stdout}{done.stderr}")
        check("No space left on device" in done.stderr, f"{name}: {done.stderr}")
        check(world.get(OTHER, HOME=str(home)) is not None, name)
        check(world.get(HOME=str(home)) == first, f"{name}: what was there is lost")
        files = [path.name for path in (home / ".cache").rglob("*.json")]
        check(len(files) == 1, f"{name}: left behind: {files}")
        shutil.rmtree(filler)
        kept = world.get(OTHER, HOME=str(home))
        check(world.get(OTHER, HOME=str(home)) == kept, f"{name}: there is room again")


def a_file_system_that_cannot_be_written(world):
    home = world.dir / "read-only"
    world.mount(home)
    first = world.get(HOME=str(home))
    ns.run("mount", "-o", "remount,ro", home)
    check(world.get(HOME=str(home)) == first, "what was kept is lost")
    check(world.get(OTHER, HOME=str(home)) != world.get(OTHER, HOME=str(home)), "it was kept")


def places_that_cannot_be_entered(world):
    """A home and a working directory that are another user's."""
    private = world.new("private", MALLORY)
    command = world.command(world.helper, "get", HOME=str(private))
    done = subprocess.run(**{**command, "cwd": private}, input=HOST, text=True,
                          capture_output=True, timeout=60, check=False)
    check(done.returncode == 0 and done.stderr == "", f"{done.stdout}{done.stderr}")


def a_config_file_that_cannot_be_read(world):
    config = world.home / ".aws" / "config"
    config.parent.mkdir()
    config.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = s\n")
    config.parent.chmod(0o755)
    config.chmod(0o600)
    done = world.run(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    check((done.returncode, done.stdout) == (1, NOT_FOUND), done.stdout)
    check(f"cannot read {config}" in done.stderr, done.stderr)
    check(len(done.stderr.splitlines()) == 2, done.stderr)


def an_sso_login_that_cannot_be_written(world):
    """As in a container with ~/.aws mounted read-only: a session that is still good serves, and one
    that was renewed serves although it cannot be saved."""
    aws = world.home / ".aws"
    login = aws / "sso" / "cache" / f"{hashlib.sha1(b'corp').hexdigest()}.json"
    login.parent.mkdir(parents=True)
    (aws / "config").write_text(
        "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = R\n"
        "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n")

    def ends_in(seconds):
        at = time.gmtime(time.time() + seconds)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", at)

    def get(seconds):
        login.write_text(json.dumps({
            "accessToken": "FAKE-SESSION-TOKEN-SSO", "expiresAt": ends_in(seconds),
            "clientId": "client", "clientSecret": "FAKE-SESSION-TOKEN-CLIENT",
            "refreshToken": "FAKE-SESSION-TOKEN-REFRESH", "registrationExpiresAt": ends_in(9999)}))
        return world.run(
            AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_ECR_DISABLE_CACHE="1")

    good = get(200)
    check((good.returncode, good.stderr) == (0, ""), good.stderr)
    over = get(-60)
    check((over.returncode, over.stderr) == (0, ""), over.stderr)


def memory_is_closed_to_the_same_user(world):
    """While it asks, no other process of the user's can look into it; and so no core is dumped."""
    script = json.dumps({"ecr": {"then": {"kind": "hang_before_headers"}}}).encode()
    request = urllib.request.Request(f"{world.url}/__control/behaviour", script, method="POST")
    urllib.request.urlopen(request).close()
    for argv, is_open in (["sleep", "60"], True), ([str(world.helper), "get"], False):
        process = subprocess.Popen(**world.command(*argv), stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.stdin.write(HOST.encode())
            process.stdin.close()
            deadline = time.monotonic() + 20
            while not is_open and world.calls() == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.3)
            reader = world.command("head", "-c", "1", f"/proc/{process.pid}/environ")
            read = subprocess.run(**reader, capture_output=True, check=False)
            check((read.returncode == 0) == is_open, f"{argv[0]}: {read}")
        finally:
            process.kill()
            process.wait()


def name_server(address):
    """A name server that answers every query after the first with another address. Returns the list
    of queries."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    asked = []

    def serve():
        while True:
            query, client = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            kind, = struct.unpack(">H", query[end - 4:end - 2])
            answers = b""
            if kind == 1:
                asked.append(end)
                said = "127.0.0.1" if len(asked) == 1 else ELSEWHERE
                answers = struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(said)
            head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, bool(answers), 0, 0)
            server.sendto(head + query[12:end] + answers, client)

    threading.Thread(target=serve, daemon=True).start()
    return asked


def container_name_is_rebound(world):
    """The token for a container's endpoint goes to the address that was checked, which is this
    machine, and not to the one that the same name leads to a moment later."""
    ns.loopback_up([ELSEWHERE])
    port = int(world.url.rpartition(":")[2])
    came = []

    def serve(listener):
        while True:
            client, _ = listener.accept()
            client.settimeout(2)
            with client, contextlib.suppress(OSError):
                came.append(client.recv(4096).decode(errors="replace"))

    elsewhere = socket.create_server((ELSEWHERE, port))
    threading.Thread(target=serve, args=(elsewhere,), daemon=True).start()
    asked = name_server("127.0.1.1")
    with ns.Namespace() as space:
        space.put("/etc/resolv.conf", "nameserver 127.0.1.1\n")
        done = world.run(
            AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_ECR_TIMEOUT="8",
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://creds.example:{port}/creds",
            AWS_CONTAINER_AUTHORIZATION_TOKEN="the-token")
    check(asked, "the name was not looked up")
    check(not came, f"sent to another address: {came}")
    check(done.returncode == 0, f"{done.stdout}{done.stderr}")
    check(len(asked) == 1, f"the name was looked up {len(asked)} times")


CASES = (
    root_in_alices_home,
    root_in_a_new_home,
    root_stores_and_erases_nothing_of_alices,
    an_entry_of_another_user,
    a_directory_of_another_user,
    links_of_another_user,
    links_below_the_base,
    no_fall_back,
    a_full_disk,
    a_file_system_that_cannot_be_written,
    places_that_cannot_be_entered,
    a_config_file_that_cannot_be_read,
    an_sso_login_that_cannot_be_written,
    memory_is_closed_to_the_same_user,
    container_name_is_rebound,
)


if __name__ == "__main__":
    sys.exit(main())
