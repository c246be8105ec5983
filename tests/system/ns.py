"""A machine of one's own for a test: private network, mount and process namespaces in which the
real host names of AWS lead to loopback and certificates of an own authority are trusted.

Nothing here reaches the network, nothing outlives the script: the namespaces end with it. Root is
needed. Used by every script in this directory that has to be believed by a program's own TLS and
name resolution, with no option of that program changed.
"""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INSIDE = "ECR_LOGIN_TEST_NAMESPACE"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def enter():
    """Runs this script again inside new namespaces, unless it is there already."""
    if os.environ.get(INSIDE):
        # So that what cleans up also does when the script is told to end.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
        return
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: namespaces need root")
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def run(*argv, **options):
    """A command that must succeed; its output if it does not."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


class Namespace:
    """Names, addresses and trust, for as long as the `with` lasts.

    `hosts`: name -> address, or a list of addresses. `trust`: PEM files added to the system's
    bundle. `addresses`: addresses beyond 127.0.0.0/8 and ::1 that loopback shall have, such as
    that of the instance metadata service. Any other name does not resolve.
    """

    def __init__(self, hosts=None, trust=(), addresses=()):
        self.hosts, self.trust, self.addresses = dict(hosts or {}), list(trust), list(addresses)
        self.mounted = []

    def __enter__(self):
        if not os.environ.get(INSIDE):
            raise RuntimeError("call ns.enter() first")
        self.dir = Path(tempfile.mkdtemp(prefix="ns."))
        loopback_up(self.addresses)
        lines = ["127.0.0.1 localhost " + socket.gethostname(), "::1 localhost"]
        for name, addresses in self.hosts.items():
            for address in [addresses] if isinstance(addresses, str) else addresses:
                lines.append(f"{address} {name}")
        self.files = {
            "/etc/hosts": "\n".join(lines) + "\n",
            "/etc/resolv.conf": "",
            BUNDLE: "\n".join(Path(f).read_text() for f in [BUNDLE, *self.trust]),
        }
        for path, text in self.files.items():
            self.put(path, text)
        return self

    def put(self, path, text):
        """Makes `path` read `text`."""
        copy = self.dir / path.strip("/").replace("/", "-")
        copy.write_text(text)
        self.bind(copy, path)

    def bind(self, source, target):
        """Makes `target` be `source`; it is created if it is missing."""
        source, target = Path(source), Path(target)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        run("mount", "--rbind", source, target)
        self.mounted.append(target)

    def unbind(self, target):
        """Makes `target` what it was before `bind`."""
        run("umount", target)
        self.mounted.remove(Path(target))

    def also_in(self, root, shared=()):
        """The same names and trust, and the directories `shared`, for programs run by chroot."""
        # Programs that unpack images remount their root, so it has to be a mount.
        self.bind(root, root)
        for path in self.files:
            self.bind(self.dir / path.strip("/").replace("/", "-"), Path(root) / path.strip("/"))
        for path in ["/etc/passwd", "/etc/group", "/dev", "/proc", "/sys", *shared]:
            self.bind(path, Path(root) / str(path).strip("/"))

    def __exit__(self, *_):
        for target in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", target], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def loopback_up(addresses=()):
    """Switches `lo` on and gives it these addresses as well."""
    SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        def ask(request, name, data):
            return fcntl.ioctl(any_socket, request, struct.pack("16s24s", name.encode(), data))

        flags = struct.unpack_from("H", ask(SIOCGIFFLAGS, "lo", b""), 16)[0]
        ask(SIOCSIFFLAGS, "lo", struct.pack("H", flags | 1))
        for address in addresses:
            if ":" in address:
                with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
                    packed = socket.inet_pton(socket.AF_INET6, address)
                    lo = socket.if_nametoindex("lo")
                    fcntl.ioctl(six, SIOCSIFADDR, struct.pack("16sIi", packed, 128, lo))
                continue
            # An alias of its own for each address, whenever it is added.
            alias = "lo:" + socket.inet_aton(address).hex()
            for request, ip in (SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255"):
                packed = struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(ip))
                ask(request, alias, packed)


class Authority:
    """A certificate authority that exists for one run."""

    def __init__(self, directory, name="Test authority"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.pem, self.key = self.dir / "ca.pem", self.dir / "ca.key"
        self._new_key(self.key)
        run("openssl", "req", "-x509", "-new", "-key", self.key, "-out", self.pem, "-days", "2",
            "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def _new_key(path):
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def issue(self, *names):
        """Certificate and key files for these host names or addresses."""
        stem = self.dir / names[0].replace("*", "any").replace(":", "-")
        cert, key, request = (stem.with_name(stem.name + end) for end in (".pem", ".key", ".ext"))
        self._new_key(key)
        is_address = lambda name: ":" in name or name.replace(".", "").isdigit()
        entries = ",".join(("IP:" if is_address(n) else "DNS:") + n for n in names)
        request.write_text(
            f"subjectAltName={entries}\nbasicConstraints=CA:FALSE\n"
            "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n")
        csr = run("openssl", "req", "-new", "-key", key, "-subj", "/CN=test")
        (stem.with_name(stem.name + ".csr")).write_text(csr)
        run("openssl", "x509", "-req", "-in", stem.with_name(stem.name + ".csr"), "-CA", self.pem,
            "-CAkey", self.key, "-CAcreateserial", "-out", cert, "-days", "2", "-extfile", request)
        return cert, key


class Processes:
    """What a test starts: each has a log, all are ended, by process id, when the `with` ends."""

    def __init__(self, logs):
        self.logs, self.started = Path(logs), []
        self.logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def start(self, name, argv, port=None, wait=15, **options):
        """Starts a program; with `port`, a number or (address, number), waits till it listens."""
        log = self.logs / f"{name}.log"
        options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **options}
        with log.open("ab") as out:
            options.setdefault("stdout", out)
            process = subprocess.Popen([str(a) for a in argv], **options)
        process.log = log
        self.started.append(process)
        if port is not None:
            address = port if isinstance(port, tuple) else ("127.0.0.1", port)
            await_port(address, process, wait)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.started:
            self.started.remove(process)

    def __exit__(self, *_):
        for process in list(reversed(self.started)):
            self.stop(process)


def await_port(address, process=None, seconds=15):
    """Returns when `address` accepts connections."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError as error:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"ended at once:\n{process.log.read_text()}") from error
            if time.monotonic() > end:
                raise RuntimeError(f"no server listens on {address}") from error
            time.sleep(0.02)
