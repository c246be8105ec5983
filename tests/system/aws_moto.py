"""`get` against another fake of AWS: moto's server, from PyPI.

    python3 tests/system/aws_moto.py

moto's ECR tokens expired in 2015, so they are served and never cached: every `get` asks again,
which the server's own log must show.
"""

import argparse
import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import install
import ns

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/puller"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAMOTO000000000000", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
SOURCE = "[profile source]\naws_access_key_id = AKIAMOTO000000000000\n" \
    "aws_secret_access_key = not-a-secret\n"


class Case(NamedTuple):
    """Where the credentials come from, and what moto must see for each `get`, in this order."""

    what: str
    environment: dict
    config: str
    asks: tuple


CASES = (
    Case("keys in the environment", KEYS, "", ("ecr",)),
    Case("profile with keys", {"AWS_PROFILE": "source"}, SOURCE, ("ecr",)),
    Case("profile with role_arn and source_profile", {"AWS_PROFILE": "role"},
         f"{SOURCE}[profile role]\nrole_arn = {ROLE}\nsource_profile = source\n", ("sts", "ecr")),
    Case("role_arn with credential_source Environment, which keys in the environment precede",
         {**KEYS, "AWS_PROFILE": "role"},
         f"[profile role]\nrole_arn = {ROLE}\ncredential_source = Environment\n", ("ecr",)),
    Case("web identity in the environment",
         {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/jwt"}, "", ("sts", "ecr")),
    Case("web identity in the profile", {"AWS_PROFILE": "web"},
         f"[profile web]\nrole_arn = {ROLE}\nweb_identity_token_file = {{home}}/jwt\n",
         ("sts", "ecr")),
    Case("a registry of another region", KEYS, "", ("ecr",)),
)
ELSEWHERE = {"a registry of another region": "123456789012.dkr.ecr.eu-central-1.amazonaws.com"}


def main():
    options = argparse.ArgumentParser(description="the helper against moto's server")
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options = options.parse_args()
    helper = options.helper or install.program_and_fake()[0]
    python = install.from_pypi(install.state_dir(), "moto[server]==5.2.5")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ecr-moto-") as work:
        work = Path(work)
        with ns.Processes(work / "logs") as processes:
            port = free_port()
            server = processes.start(
                "moto", [Path(python).parent / "moto_server", "-H", "127.0.0.1", "-p", port], port,
                wait=60, env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1",
                              "HOME": str(work), "MOTO_ACCOUNT_ID": "123456789012"})
            for number, case in enumerate(CASES):
                wrong = check(case, helper, work / str(number), port, server.log)
                failed += wrong is not None
                print(f"{'ok    ' if wrong is None else 'FAILED'} {case.what}", flush=True)
                if wrong:
                    print(f"  {wrong}", flush=True)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def jwt():
    """A service account's token: moto does not check who signed it."""
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    claims = {"iss": "https://issuer.example", "sub": "system:serviceaccount:a:b",
              "aud": ["sts.amazonaws.com"], "exp": int(time.time()) + 3600}
    return ".".join([part({"alg": "none"}), part(claims), "c2lnbmF0dXJl"])


def check(case, helper, home, port, log):
    """What is wrong, if anything."""
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/config").write_text(case.config.replace("{home}", str(home)))
    (home / "jwt").write_text(jwt())
    host = ELSEWHERE.get(case.what, HOST)
    environment = {
        "HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        **{k: v.replace("{home}", str(home)) for k, v in case.environment.items()}}
    for nth in "first", "second":
        before = len(log.read_text())
        got = subprocess.run([helper, "get"], input=host, text=True, env=environment, timeout=60,
                             capture_output=True, check=False)
        if got.returncode != 0 or got.stderr:
            return f"{nth} get: exit {got.returncode}: {got.stdout}{got.stderr}"
        answer = json.loads(got.stdout)
        if sorted(answer) != ["Secret", "ServerURL", "Username"] or \
                (answer["ServerURL"], answer["Username"]) != (host, "AWS") or not answer["Secret"]:
            return f"{nth} get answered {got.stdout}"
        asked = requests(log, before, len(case.asks))
        if len(asked) != len(case.asks):
            return f"{nth} get made {len(asked)} requests, not {len(case.asks)}: {asked}"
    return None


def requests(log, after, wanted):
    """The requests in the server's log since `after`: it may be a moment late, and one too many
    must not be missed."""
    for _ in range(100):
        time.sleep(0.05)
        found = re.findall(r'"(?:POST|GET) [^"]*"', log.read_text()[after:])
        if len(found) >= wanted:
            break
    time.sleep(0.05)
    return re.findall(r'"(?:POST|GET) [^"]*"', log.read_text()[after:])


if __name__ == "__main__":
    sys.exit(main())
