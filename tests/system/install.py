"""Where the clients come from: Debian's packages on this machine, Debian's newer release unpacked
into a directory of its own (clients of several ages, and some that this release does not have),
PyPI and npm. All of it below one directory, done once, kept between runs.

What cannot be had is not an error here: it raises `Missing`, and the caller decides.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Missing(Exception):
    """Something that could not be installed, and why."""


def quietly(*argv, **options):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Missing(f"{Path(argv[0]).name}: " + " ".join(done.stdout.split())[-300:])
    return done.stdout


def program_and_fake():
    """The built helper and the fake AWS. Both in one command, so that they, and the tests, share
    the same build of the dependencies."""
    root = Path(__file__).resolve().parents[2]
    name = "docker-credential-ecr-login"
    build = ["cargo", "build", "--locked", "--bin", name, "--example", "fake-aws"]
    subprocess.run(build, cwd=root, check=True)
    built = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")).resolve() / "debug"
    return built / name, built / "examples/fake-aws"


def state_dir():
    """Below cargo's target directory, which is never committed and may be deleted."""
    root = Path(__file__).resolve().parents[2]
    where = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "system"
    where.mkdir(parents=True, exist_ok=True)
    return where


def debian(programs):
    """`programs`: program -> Debian package. Installs those that are not there."""
    wanted = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if wanted:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
        try:
            quietly(*apt, env=environment)
        except Missing:
            quietly("apt-get", "update")
            quietly(*apt, env=environment)


def docker_cli(state):
    """Debian's docker CLI without its daemon: taken out of the package, which would start one."""
    at = state / "docker.io"
    program = at / "usr/bin/docker"
    if not program.exists():
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir(parents=True)
        quietly("apt-get", "download", "-o", "APT::Sandbox::User=root", "docker.io", cwd=at)
        for package in at.glob("*.deb"):
            quietly("dpkg-deb", "-x", package, at)
            package.unlink()
    return program


def newer_debian(state, packages, newest=()):
    """A root directory with `packages` of the release after this one, and with those named in
    `newest`, which no release has yet, from Debian unstable. To be used by chroot. If unstable
    cannot be installed, as happens, the directory is without those."""
    root, stamp = state / "newer", "\n".join([*packages, *newest])
    done = state / "newer.stamp"
    if done.exists() and done.read_text() == stamp:
        return root
    done.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    apt = state / "apt"
    (apt / "lists/partial").mkdir(parents=True, exist_ok=True)
    (apt / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    mirror = debian_mirror()
    (apt / "sources.list").write_text("".join(
        f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in ("trixie", "sid")))
    (apt / "preferences").write_text("".join(
        f"Package: {names}\nPin: release n={suite}\nPin-Priority: {priority}\n\n"
        for names, suite, priority in
        [("*", "sid", 100), ("*", "trixie", 500), (" ".join(newest), "sid", 990)]))
    (apt / "status").touch()
    options = [item for setting in [
        f"Dir::Etc::sourcelist={apt}/sources.list", "Dir::Etc::sourceparts=/dev/null",
        f"Dir::Etc::preferences={apt}/preferences", "Dir::Etc::preferencesparts=/dev/null",
        f"Dir::State={apt}", f"Dir::State::lists={apt}/lists", f"Dir::Cache={apt}/cache",
        f"Dir::State::status={apt}/status", "Acquire::Languages=none",
        "APT::Install-Recommends=false", "APT::Sandbox::User=root",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    ] for item in ("-o", setting)]
    quietly("apt-get", *options, "update")
    download = ["apt-get", *options, "-y", "--download-only", "install", "base-files", *packages]
    try:
        quietly(*download, *newest)
    except Missing:
        quietly(*download)
        stamp = ""
    root.mkdir()
    # base-files first: it has the links from /lib to /usr/lib that the others unpack through.
    archives = sorted((apt / "cache/archives").glob("*.deb"),
                      key=lambda deb: not deb.name.startswith("base-files_"))
    for archive in archives:
        quietly("dpkg-deb", "-x", archive, root)
    (root / "packages").write_text("\n".join(archive.name for archive in archives))
    shutil.rmtree(apt)
    done.write_text(stamp)
    return root


def debian_mirror():
    """Where this machine gets Debian from."""
    targets = quietly("apt-get", "indextargets", "--format", "$(REPO_URI)",
                      "Created-By: Packages", "Origin: Debian", "Codename: bookworm")
    if not targets.split():
        raise Missing("this machine is not Debian 12 with its own package source")
    return targets.split()[0]


def from_pypi(state, *packages):
    """The Python of a virtual environment that has these."""
    at, stamp = state / "venv", " ".join(packages)
    done = at / "installed"
    if not (done.exists() and stamp in done.read_text().split("\n")):
        if not (at / "bin/pip").exists():
            try:
                quietly(sys.executable, "-m", "venv", at)
            except Missing:
                debian({"no such program": "python3-venv"})
                quietly(sys.executable, "-m", "venv", "--clear", at)
        quietly(at / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        with done.open("a") as file:
            file.write(stamp + "\n")
    return at / "bin/python"


def from_npm(state, package):
    """A directory whose `node_modules` has this."""
    at = state / "npm"
    done = at / "installed"
    if not (done.exists() and done.read_text() == package):
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        debian({"node": "nodejs", "npm": "npm"})
        quietly("npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts",
                "--prefix", at, package, cwd=at)
        done.write_text(package)
    return at
