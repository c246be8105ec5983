"""doctor next to real clients: a set-up in which skopeo, podman or docker fails, what doctor says of
it, and that what it says helps.

    python3 tests/system/doctor.py

As root, on Debian 12, in the namespaces of accounts.py: the real ECR host names lead to loopback,
and the registry takes only passwords that the fake AWS issued. The registry's IAM is registry.py's.
"""

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import urllib.request

import accounts
import ns
from accounts import RULES, Wrong
from cases import A, IMAGE
from clients import AWS_ADDRESS, CONTROL, HELPER, PATH, TIMEOUT

NOWHERE = A.replace("us-east-1", "us-esat-1")
PULL = ("skopeo", "copy", f"docker://{A}/{IMAGE}:1", "dir:image")
PUSH = ("skopeo", "copy", f"docker://{A}/{IMAGE}:1", f"docker://{A}/{IMAGE}:new")
STALE = {"auths": {A: {"auth": "QVdTOnN0YWxl"}}}
LEADS_HERE = {"credHelpers": {A: "ecr-login", NOWHERE: "ecr-login"}}
AUTH = ".config/containers/auth.json"


class World(accounts.World):
    def __init__(self, work, paths, processes):
        super().__init__(work, paths, processes)
        (self.bin / "ecr-login").symlink_to(paths["helper"])

    def fresh(self, docker=LEADS_HERE):
        """A user with the rules of accounts.py, and a registry that allows everything."""
        self.front.denied, self.front.missing = {}, {"none"}
        self.behave({})
        self.fresh_user(docker, RULES)
        self.environment = {
            "HOME": str(self.home), "PATH": f"{self.bin}:{PATH}", "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.home / "run"), "TMPDIR": str(self.work),
            "DOCKER_HOST": f"unix://{self.work}/docker.sock", "DOCKER_BUILDKIT": "0",
            "AWS_EC2_METADATA_DISABLED": "true"}
        (self.home / "run").mkdir(mode=0o700)

    def write(self, path, content):
        at = self.home / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(content if isinstance(content, str) else json.dumps(content))
        at.chmod(0o600)

    def behave(self, behaviour):
        request = urllib.request.Request(
            f"http://{AWS_ADDRESS}:{CONTROL}/__control/behaviour", json.dumps(behaviour).encode())
        urllib.request.urlopen(request).close()

    def run(self, *argv):
        argv = [self.paths["docker.io"], *argv[1:]] if argv[0] == "docker" else list(argv)
        shutil.rmtree(self.home / "context/image", ignore_errors=True)
        return subprocess.run(argv, env=self.environment, cwd=self.home / "context",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False)

    def fails(self, *argv, said=""):
        done = self.run(*argv)
        if done.returncode == 0 or said not in done.stdout:
            raise Wrong(f"{' '.join(map(str, argv))}: exit {done.returncode}, not {said!r}\n{done.stdout}")

    def works(self, *argv):
        done = self.run(*argv)
        if done.returncode != 0:
            raise Wrong(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def doctor(self, status, about, part, subject=f"{A}/{IMAGE}:1", options=()):
        """A row of doctor's report, with this in its text or its hint; the hint."""
        done = self.run(str(self.bin / "ecr-login"), "doctor", "--json", *options, subject)
        report = json.loads(done.stdout)
        if any(password in done.stdout for password in self.control("passwords")):
            raise Wrong("the report shows a password")
        if (done.returncode == 0) != report["ok"]:
            raise Wrong(f"exit {done.returncode}: {report}")
        for check in report["checks"]:
            shown = f"{check['text']} {check['hint']}"
            if (check["status"], check["about"]) == (status, about) and part in shown:
                return check["hint"]
        raise Wrong(f"no {status} {about} {part!r} in {json.dumps(report, indent=1)}")


# --- the cases ------------------------------------------------------------------------------

def nothing_is_wrong(world):
    world.fresh()
    world.works(*PULL)
    world.doctor("ok", "image", f"{IMAGE}:1 exists")
    world.doctor("ok", "layers", "may be downloaded")
    world.doctor("ok", "clock", "agrees")


def stale_login_of_docker(world):
    """docker sends it for months, and logging out helps."""
    world.fresh(STALE)
    world.fails("docker", "pull", f"{A}/{IMAGE}:1")
    world.fails(*PULL, said="unauthorized")
    hint = world.doctor("warning", "docker", "holds a stored login")
    logout, configure = hint.removeprefix("run ").split(", then ")
    world.works(*logout.split())
    world.works(str(world.bin / "ecr-login"), *configure.split()[1:])
    world.works("docker", "pull", f"{A}/{IMAGE}:1")
    world.works(*PULL)


def stale_login_of_podman(world):
    """It comes before docker's configuration, and logging out helps."""
    world.fresh()
    world.write(AUTH, STALE)
    world.fails(*PULL, said="unauthorized")
    hint = world.doctor("warning", "podman", "holds a stored login, which is used before this program")
    world.works(*hint.removeprefix("run ").replace("~", str(world.home)).split())
    world.works(*PULL)
    world.doctor("ok", "podman", "leads here")


def podman_knows_no_creds_store(world):
    world.fresh({"credsStore": "ecr-login"})
    world.works("docker", "pull", f"{A}/{IMAGE}:1")
    world.fails(*PULL)
    hint = world.doctor("warning", "podman", "no configuration leads")
    world.works(str(world.bin / "ecr-login"), *hint.split()[2:])
    world.works(*PULL)
    world.doctor("ok", "podman", "auth.json leads here")


def helper_is_not_on_path(world):
    world.fresh()
    world.environment["PATH"] = PATH
    if shutil.which(HELPER, path=PATH):
        # Where Debian's helper is installed, clients run that one.
        world.fails(*PULL)
        return world.doctor("failed", "program", "another program, comes first on PATH")
    world.fails(*PULL, said="executable file not found")
    return world.doctor("failed", "program", "is not on PATH")


def sso_session_has_expired(world):
    world.fresh()
    world.write(".aws/config", "[profile one]\nsso_session = corp\nsso_account_id = 123456789012\n"
                "sso_role_name = pull\n[sso-session corp]\nsso_region = us-east-1\n"
                "sso_start_url = https://example.awsapps.com/start\n")
    name = hashlib.sha1(b"corp").hexdigest()
    world.write(f".aws/sso/cache/{name}.json", {
        "startUrl": "https://example.awsapps.com/start", "region": "us-east-1",
        "accessToken": "fake", "expiresAt": "2020-01-01T00:00:00Z"})
    world.fails(*PULL, said="aws sso login --profile one")
    world.doctor("failed", "identity", "aws sso login --profile one")
    world.doctor("not_checked", "registry", "no password")


def region_is_misspelt(world):
    world.fresh()
    image = f"{NOWHERE}/{IMAGE}:1"
    world.fails("skopeo", "inspect", f"docker://{image}",
                said='AWS has no region "us-esat-1" that this version knows')
    world.doctor("warning", "region", "did you mean us-east-1?", image)
    world.doctor("failed", "API", "api.ecr.us-esat-1.amazonaws.com does not resolve", image)
    world.doctor("failed", "password", "AWS has no region", image)


def repository_is_missing(world):
    world.fresh()
    world.fails("skopeo", "inspect", f"docker://{A}/none:1", said="name unknown")
    world.doctor("failed", "image", "has no repository none in us-east-1", f"{A}/none:1")


def tag_is_missing(world):
    world.fresh()
    world.fails("skopeo", "inspect", f"docker://{A}/{IMAGE}:9", said="manifest unknown")
    world.doctor("failed", "image", "has no tag 9", f"{A}/{IMAGE}:9")


def pull_is_denied(world):
    world.fresh()
    because = " because no resource-based policy allows the ecr:{} action"
    for action, about, said in (
            ("BatchGetImage", "image", "ecr:BatchGetImage"),
            # skopeo does not say why.
            ("GetDownloadUrlForLayer", "layers", "403 (Forbidden)")):
        world.front.denied = {action: because.format(action)}
        world.fails(*PULL, said=said)
        world.doctor("failed", about, f"may not call ecr:{action}")


def push_is_denied(world):
    """And what doctor tries leaves the registry as it was."""
    world.fresh()
    files = sorted(str(p) for p in (world.work / "data-0").rglob("*") if "_uploads" not in str(p))
    push = ("--push",)
    world.doctor("ok", "push", "ecr:PutImage; nothing was pushed", options=push)
    for action in "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage":
        world.front.denied = {action: ""}
        if action == "PutImage":
            # The layers are there already, so a client begins with this one.
            world.fails(*PUSH, said=f"ecr:{action}")
        world.doctor("failed", "push", f"may not call ecr:{action}", options=push)
    after = sorted(str(p) for p in (world.work / "data-0").rglob("*") if "_uploads" not in str(p))
    if files != after:
        raise Wrong(f"the registry has {set(after) - set(files)}")
    # docker-registry leaves the state of its hash behind, also of an upload that is cancelled.
    if left := [str(p) for p in (world.work / "data-0").rglob("_uploads/*/data")]:
        raise Wrong(f"an upload was not cancelled: {left}")
    world.front.denied.clear()
    world.works(*PUSH)


def certificate_authority_is_unknown(world):
    world.fresh()
    other = ns.Authority(world.work / f"ca-{os.urandom(4).hex()}", "Another authority")
    world.environment["AWS_CA_BUNDLE"] = str(other.pem)
    world.fails(*PULL, said="is not signed by a trusted CA")
    world.doctor("ok", "CA certificates", "1 from AWS_CA_BUNDLE")
    world.doctor("failed", "password", "is not signed by a trusted CA")


def clock_is_wrong(world):
    """AWS refuses it; the program signs again for the server's time, so that the client works."""
    world.fresh()
    world.behave({"clock_offset": 1200})
    world.works(*PULL)
    world.doctor("warning", "clock", "synchronize the clock")


def colours_are_for_terminals(world):
    world.fresh()
    command = [str(world.bin / "ecr-login"), "doctor", A]
    for more, coloured in ({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False):
        ours, theirs = pty.openpty()
        done = subprocess.run(command, env={**world.environment, **more}, stdin=subprocess.DEVNULL,
                              stdout=theirs, stderr=theirs, timeout=TIMEOUT, check=True)
        os.close(theirs)
        said = os.read(ours, 1 << 16).decode()
        os.close(ours)
        if ("\x1b[32m" in said) != coloured or done.returncode != 0:
            raise Wrong(f"{more}: {said!r}")
    if "\x1b" in world.works(*command):
        raise Wrong("colours without a terminal")


CASES = [nothing_is_wrong, stale_login_of_docker, stale_login_of_podman, podman_knows_no_creds_store,
         helper_is_not_on_path, sso_session_has_expired, region_is_misspelt, repository_is_missing,
         tag_is_missing, pull_is_denied, push_is_denied, certificate_authority_is_unknown,
         clock_is_wrong, colours_are_for_terminals]


if __name__ == "__main__":
    sys.exit(accounts.run("doctor, next to real clients", World, CASES, {**accounts.PACKAGES, "podman": "podman"}))
