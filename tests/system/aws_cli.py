#!/usr/bin/env python3
"""Works with the AWS CLI, works here: the same configurations through `aws ecr get-login-password`
and through the helper, against a fake AWS under AWS's real host names.

    tests/system/aws_cli.py

As root, on Debian 12. Installs the AWS CLI of PyPI at a pinned version below cargo's target
directory, then goes into namespaces of its own (ns.py). Compared are the requests that AWS saw:
whose keys signed, for which region, at which hosts, for which role. The configurations and the table
of intended differences are in aws_cli_cases.py: a difference without a row fails, and so does a row
without a difference.
"""

import argparse
import gc
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("awscli==1.46.3", "awscrt==0.38.1")
CONTROL = "http://127.0.0.1:8099/__control/"
ADDRESSES = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"]
LONGEST = 30


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2])
    options = argparse.ArgumentParser(description="the helper and the AWS CLI, side by side")
    options.add_argument("--helper", help="the built helper; cargo builds it otherwise")
    options.add_argument("--fake", help="the example fake-aws; cargo builds it otherwise")
    options.add_argument("--python", help="a Python that has the packages")
    options.add_argument("--only", default="", help="cases whose name matches this")
    options.add_argument("--seed", type=int, default=None, help="of the generated configurations")
    options.add_argument("--shard", default="", help="i/n: every n-th case from the i-th on")
    options.add_argument("--verbose", action="store_true", help="shows what both did in each case")
    options = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("aws_cli.py: namespaces need root")
    if options.shard:
        return in_namespace(options)

    import install
    try:
        install.debian({"unshare": "util-linux", "mount": "mount", "openssl": "openssl"})
        python = options.python or install.from_pypi(install.state_dir(), *PACKAGES)
    except install.Missing as missing:
        sys.exit(f"aws_cli.py: cannot be had: {missing}")
    helper, fake = options.helper, options.fake
    if not (helper and fake):
        helper, fake = install.program_and_fake()
    parts = [] if options.seed is None else ["--seed", str(options.seed)]
    parts += ["--verbose"] * options.verbose + ["--only", options.only, "--python", str(python)]
    parts += ["--helper", str(Path(helper).resolve()), "--fake", str(Path(fake).resolve())]
    count = min(os.cpu_count() or 1, 4)
    shards = [subprocess.Popen([sys.executable, __file__, *parts, "--shard", f"{i}/{count}"],
                               stdout=subprocess.PIPE, text=True) for i in range(count)]
    results = []
    readers = [threading.Thread(target=collect, args=(shard, results)) for shard in shards]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for index, shard in enumerate(shards):
        if shard.wait() != 0:
            results.append({"name": f"shard {index}", "why": f"exit {shard.returncode}", "row": ""})
    return report(results, options)


def collect(shard, results):
    """Takes the results of a shard as they come, so that an end halfway still shows something."""
    for line in shard.stdout:
        result = json.loads(line)
        results.append(result)
        if result["why"]:
            print(f"FAILED {result['name']}\n  " + result["why"].replace("\n", "\n  "), flush=True)


def report(results, options):
    import aws_cli_cases as cases
    failed = sum(bool(result["why"]) for result in results)
    if not options.only:
        shown = {result["row"] for result in results}
        wrong = [f"no case shows the difference {row!r}" for row in cases.DIFFERENCES if row not in shown]
        page = (ROOT / "docs/aws-cli.md").read_text()
        if cases.page_table() not in page:
            wrong.append("docs/aws-cli.md has another table than:\n" + cases.page_table())
        for why in wrong:
            print(f"FAILED {why}")
        failed += len(wrong)
    slow = sorted(results, key=lambda result: -result.get("seconds", 0))[:5]
    print("slowest: " + ", ".join(f"{r['name']} {r.get('seconds', 0):.1f} s" for r in slow))
    passed = sum(not result["why"] for result in results)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def in_namespace(options):
    import ns
    ns.enter()
    with tempfile.TemporaryDirectory(prefix="aws-cli-") as directory:
        directory = Path(directory)
        directory.chmod(0o755)
        with ns.Processes(directory / "logs") as processes:
            return Comparison(directory, processes, options).run()


class Comparison:
    def __init__(self, directory, processes, options):
        self.dir, self.processes, self.options = directory, processes, options

    def run(self):
        import aws_cli_cases as cases
        import ns
        self.cases = cases
        ns.loopback_up(ADDRESSES)
        ca = self.dir / "ca.pem"
        at = ["--https", "127.0.0.1:443", "--https", "[::1]:443", "--http", "0.0.0.0:80",
              "--http", "[::]:80", "--http", "0.0.0.0:8080", "--http", "127.0.0.1:8099"]
        self.processes.start("aws", [self.options.fake, *at, "--ca-out", ca, "--forever"], 8099)
        self.ca = ca
        seed = cases.SEED if self.options.seed is None else self.options.seed
        everything = cases.all_cases(seed)
        if len(everything) < 400 and not self.options.only:
            raise RuntimeError(f"only {len(everything)} cases")
        index, count = map(int, self.options.shard.split("/"))
        only = re.compile(self.options.only)
        chosen = [case for case in everything[index::count] if only.search(case.name)]
        with ns.Namespace({}, [ca]) as space:
            space.put("/etc/resolv.conf", "nameserver 127.0.0.1\n")
            people = f"root:x:0:0::{self.dir}/root:/bin/sh\ntester:x:1000:1000::{self.dir}/root:/bin/sh\n"
            space.put("/etc/passwd", people)
            resolver()
            self.start_worker()
            for number, case in enumerate(chosen):
                began = time.monotonic()
                try:
                    why = self.check(case, self.dir / f"home-{number}")
                except Exception:  # noqa: BLE001: one case must not end the others
                    why = traceback.format_exc()
                result = {"name": case.name, "why": why or "", "row": case.differs,
                          "seconds": time.monotonic() - began}
                print(json.dumps(result), flush=True)
            self.worker.stdin.close()
            self.worker.wait()
        return 0

    def start_worker(self):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        self.worker = subprocess.Popen(
            [self.options.python, __file__, "--worker", str(self.ca)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=environment, text=True)
        self.worker.stdout.readline()

    # --- one case -------------------------------------------------------------------------------

    def check(self, case, home):
        """What is wrong, if anything."""
        answers = []
        if case.homeless:
            home = self.dir / "root"
        for which in self.by_cli, self.by_helper:
            env = self.prepare(case, home)
            self.control("reset", {})
            self.control("behaviour", case.aws)
            output = which(case, env)
            calls = self.control("calls")
            answers.append(Answer(output, calls))
            shutil.rmtree(home)
        cli, ours = answers
        same = cli.same_as(ours)
        shown = f"{case.shown()}\nAWS CLI: {cli}\nhelper: {ours}"
        if self.options.verbose:
            print(f"--- {case.name}\n{shown}", file=sys.stderr)
        if case.differs:
            if case.differs not in self.cases.DIFFERENCES:
                return f"there is no row {case.differs!r}"
            return f"no difference, where the row {case.differs!r} is one\n{shown}" if same else None
        if case.signer is not None and cli.signer() != case.signer:
            return f"the AWS CLI does not sign as {case.signer}\n{shown}"
        return None if same or self.cases.explained(case, cli, ours) else f"differs\n{shown}"

    def prepare(self, case, home):
        fill = lambda text: text.replace("{home}", str(home)).replace("{ca}", str(self.ca))
        home.mkdir()
        for path, content in case.files.items():
            file = home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.mkdir()
            elif isinstance(content, bytes):
                file.write_bytes(content)
            else:
                file.write_bytes(fill(content).encode())
            if os.access(file, os.R_OK) and path in case.executable:
                file.chmod(0o755)
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_ECR_DISABLE_CACHE": "1"} | case.env
        if case.homeless:
            del env["HOME"]
        return {name: fill(value) for name, value in env.items() if value is not None}

    def by_cli(self, case, env):
        service = "ecr-public" if case.host == "public.ecr.aws" else "ecr"
        ask = {"env": env, "args": [service, "get-login-password", "--region", case.region]}
        self.worker.stdin.write(json.dumps(ask) + "\n")
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    def by_helper(self, case, env):
        try:
            done = subprocess.run([self.options.helper, "get"], input=case.host, env=env,
                                  capture_output=True, text=True, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return {"code": -1, "error": f"still running after {LONGEST} s"}
        return {"code": done.returncode, "error": done.stderr}

    @staticmethod
    def control(what, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(CONTROL + what, data)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as reply:
            return json.load(reply)


class Answer:
    """What one program did: whether it succeeded, and what AWS saw of it."""

    WHO = ("RoleArn", "ExternalId", "account_id", "role_name", "token", "path", "authorization")

    def __init__(self, output, calls):
        self.failed, self.error = output["code"] != 0, output["error"].strip()
        self.steps, self.hosts = [], set()
        for call in calls:
            scheme = "https" if call["tls"] else "http"
            host = f"{scheme}://{call['host'].removesuffix(':443').removesuffix(':80')}"
            self.hosts.add(host)
            if call["service"] in ("imds", "imds_token"):
                continue
            who = [f"{name}={call['params'][name]}" for name in self.WHO if name in call["params"]]
            signed = f"{call['access_key_id']} {call['signing_region']}"
            step = " ".join([call["service"], call["operation"], host, signed, *who])
            # A second attempt at the same is no other step.
            if not self.steps or self.steps[-1] != step:
                self.steps.append(step)

    def signer(self):
        last = self.steps[-1].split() if self.steps and not self.failed else []
        return last[3] if last and last[0] in ("ecr", "ecr_public") else ""

    def same_as(self, other):
        if self.failed or other.failed:
            return self.failed == other.failed
        return self.steps == other.steps and self.hosts == other.hosts

    def __str__(self):
        outcome = f"fails: {self.error[-300:]}" if self.failed else "works"
        return "\n  ".join([outcome, *self.steps, "hosts " + " ".join(sorted(self.hosts))])


# --- the AWS CLI, in a process that is forked for each case ---------------------------------------

def worker(ca):
    """Reads configurations, runs each in a child that has the modules loaded already."""
    sys.path.pop(0)
    import awscli.clidriver
    import awscli.customizations.assumerole as assume_role
    import botocore.credentials
    import botocore.httpsession
    import botocore.loaders
    import botocore.tokens
    import botocore.utils

    # The only thing changed is what is read at import, and what takes time: the model files.
    botocore.httpsession.where = lambda: ca
    botocore.utils.ContainerMetadataFetcher.SLEEP_TIME = 0
    read, models = botocore.loaders.JSONFileLoader.load_file, {}

    def load_file(self, path):
        if path not in models:
            models[path] = read(self, path)
        return models[path]

    botocore.loaders.JSONFileLoader.load_file = load_file
    data_path = os.environ["AWS_DATA_PATH"]

    def run(args, environment):
        os.environ.clear()
        os.environ.update({"AWS_DATA_PATH": data_path}, **environment)
        home = os.path.expanduser("~")
        assume_role.CACHE_DIR = os.path.join(home, ".aws", "cli", "cache")
        sso = os.path.join(home, ".aws", "sso", "cache")
        botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR = sso
        botocore.tokens.SSOTokenProvider._SSO_TOKEN_CACHE_DIR = sso
        return awscli.clidriver.create_clidriver().main(args)

    def in_child(args, environment):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(writer, 2)
                signal.alarm(LONGEST)
                code = run(args, environment) or 0
            except BaseException:  # noqa: BLE001: a child must never return
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader, errors="replace") as pipe:
            error = pipe.read()
        _, status = os.waitpid(child, 0)
        return {"code": os.waitstatus_to_exitcode(status), "error": error}

    # Loads what all cases need, so that no child has to.
    session = botocore.session.Session()
    for service in "sts", "sso", "sso-oidc", "signin":
        session.create_client(service, "us-east-1")
    nowhere = {"AWS_ACCESS_KEY_ID": "AKIAWARM", "AWS_SECRET_ACCESS_KEY": "s",
               "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    with open(os.devnull, "w") as sys.stderr:
        for service in "ecr", "ecr-public":
            run([service, "get-login-password", "--region", "us-east-1"], nowhere)
    sys.stderr = sys.__stderr__
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps(in_child(ask["args"], ask["env"])), flush=True)
    return 0


def resolver():
    """Every name is AWS's, and AWS is here; one that says `nowhere` does not exist."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, client = server.recvfrom(512)
            at = 12
            while query[at]:
                at += 1 + query[at]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            question = query[12:at + 5]
            known = b"nowhere" not in question
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if known and kind == 1 else b""
            flags = 0x8180 if known else 0x8183
            head = query[:2] + struct.pack(">HHHHH", flags, 1, len(answer) // 16, 0, 0)
            server.sendto(head + question + answer, client)

    threading.Thread(target=serve, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
