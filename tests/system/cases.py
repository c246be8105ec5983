"""Which clients there are, the ways to configure them, and what each of them does: data only.

In a command `{A}`, `{B}` and `{P}` are registries, `{image}` what lies in each of them,
`{layout}` the same as a directory, `{home}` the case's own directory, `{new}` a name not used
before.
"""

import dataclasses
from typing import NamedTuple

A = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
B = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"
P = "public.ecr.aws"
HOSTS = (A, B, P)
IMAGE = "team/tiny"


# --- the ways to configure a client ---------------------------------------------------------

class Way(NamedTuple):
    """Files below HOME, and variables."""

    files: dict
    environment: dict = {}


HELPERS = {"credHelpers": {host: "ecr-login" for host in HOSTS}}
WAYS = {
    "credHelpers": Way({".docker/config.json": HELPERS}),
    "credsStore": Way({".docker/config.json": {"credsStore": "ecr-login"}}),
    "credHelpers in auth.json": Way({"auth.json": HELPERS}, {"REGISTRY_AUTH_FILE": "{home}/auth.json"}),
    "registries.conf": Way({".config/containers/registries.conf": 'credential-helpers = ["ecr-login"]\n'}),
}
DOCKERS = ("credHelpers", "credsStore")
PODMANS = ("credHelpers", "credHelpers in auth.json", "registries.conf")


# --- the clients ----------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Client:
    """A program in one version, and where it is from: `host` (this Debian), `newer` (Debian's
    next release), `docker.io` (taken out of that package) or `pypi`."""

    name: str
    tool: str
    needs: str
    ways: tuple
    version: tuple = ()

    def command(self, paths, argv):
        """How to run `argv` of this client."""
        if self.needs == "newer":
            return ["chroot", paths["newer"], *argv]
        if self.needs in ("pypi", "docker.io"):
            return [paths[self.needs], *argv[1:]]
        return list(argv)


# --- what they do ---------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Step:
    """One command and everything that must be true of it.

    calls: to AWS. helper: action -> what it may be asked; each action at least once, except those
    in `may`. gets: hosts
    that must be asked for. used: hosts that must have seen a good password. login: the registry
    whose password goes to stdin. fails: the helper refuses, and the client goes on without it.
    """

    argv: tuple
    calls: int = 0
    helper: dict = dataclasses.field(default_factory=dict)
    may: tuple = ()
    gets: tuple = ()
    used: tuple = ()
    says: str = ""
    login: str = None
    sent: str = ""
    pushed: tuple = ()
    writes: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    fails: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
    """A case: what it shows, and its steps."""

    what: str
    steps: tuple
    ways: tuple = ()


def use(what, *argv, of=(A,), again=True, also=(), ways=(), **rest):
    """A case that reads or writes registries: AWS is asked once for each of `of`, then never."""
    may_ask = {*of, *also}
    step = Step(argv=argv, calls=len(of), helper={"get": may_ask}, gets=of, used=of, **rest)
    return Row(what, (step, dataclasses.replace(step, calls=0)) if again else (step,), ways)


def anonymous(*argv, also=(), ways=(), **rest):
    """Without AWS credentials the public registry still serves everybody."""
    step = Step(argv=argv, helper={"get": {P, *also}}, gets=(P,), fails=True,
                environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, **rest)
    return Row("public, without AWS credentials", (step,), ways)


def forms(host):
    """What docker asks the helper to forget."""
    return {host, f"http://{host}", f"https://{host}"}


def signing_in(what, log_in, use_it, log_out, ways=(), auth="", says="(?i)succeeded",
               looks_first=False, **used):
    """Log in with a password from elsewhere; it serves while there are no AWS credentials; log out
    and it is gone. Some clients first look for what is there already."""
    helper = {"store": forms(A), **({"get": {A}} if looks_first else {})}
    login = Step(argv=log_in, calls=int(looks_first), helper=helper, login=A, says=says, sent=auth)
    alone = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    return Row(what, (
        login,
        Step(argv=use_it, helper={"get": {A}}, gets=(A,), used=(A,), environment=alone, **used),
        Step(argv=log_out, helper={"erase": forms(A)}),
        Step(argv=use_it, calls=1, helper={"get": {A}}, gets=(A,), used=(A,), **used),
    ), ways)


# podman's family keeps a login in auth.json, unless it is there that the helper is named.
KEPT_BY_HELPER = ("credHelpers in auth.json", "registries.conf")
PASSWORD = ("--username", "AWS", "--password-stdin")


def podman_like(tool, *options):
    """podman and buildah: the same storage, the same words."""
    run = (tool, "--root", "{home}/root", "--runroot", "{home}/run/root", "--storage-driver", "vfs",
           *options)
    seed = Step(argv=(*run, "pull", "--quiet", "oci:{layout}:1"), says="[0-9a-f]{64}")
    push = use("push", *run, "push", IMAGE_ID, "docker://{A}/pushed:{new}",
               pushed=((A, "pushed", "{new}"),))
    return [
        use("pull", *run, "pull", "--quiet", "{A}/{image}:1", says="[0-9a-f]{64}"),
        use("pull public", *run, "pull", "--quiet", "{P}/{image}:1", of=(P,), says="[0-9a-f]{64}"),
        anonymous(*run, "pull", "--quiet", "{P}/{image}:1", says="[0-9a-f]{64}"),
        Row("push", (seed, *push.steps)),
        Row("login with what the helper has, logout", (
            Step(argv=(*run, "login", "{A}"), calls=1, helper={"get": {A}}, gets=(A,), used=(A,),
                 says="(?i)valid|succeeded"),
            Step(argv=(*run, "logout", "{A}"), helper={"erase": {A}, "get": {A}},
                 says="Removed login credentials"),
        )),
        signing_in("login with a password, logout", (*run, "login", *PASSWORD, "{A}"),
                   (*run, "pull", "--quiet", "{A}/{image}:1"), (*run, "logout", "{A}"),
                   ways=KEPT_BY_HELPER, looks_first=True),
    ]


# The image that `seed` leaves behind: the digest of its configuration.
IMAGE_ID = "{id}"

SKOPEO = [
    use("inspect", "skopeo", "inspect", "docker://{A}/{image}:1", says="{digest}"),
    use("inspect public", "skopeo", "inspect", "docker://{P}/{image}:1", of=(P,), says="{digest}"),
    anonymous("skopeo", "inspect", "docker://{P}/{image}:1", says="{digest}"),
    use("copy from", "skopeo", "copy", "docker://{A}/{image}:1", "oci:{home}/out/{n}:1",
        writes=("out/{n}/index.json",)),
    use("copy to", "skopeo", "copy", "oci:{layout}:1", "docker://{A}/pushed:{new}",
        pushed=((A, "pushed", "{new}"),)),
    use("copy across two accounts", "skopeo", "copy", "docker://{A}/{image}:1",
        "docker://{B}/pushed:{new}", of=(A, B), pushed=((B, "pushed", "{new}"),)),
    use("list-tags", "skopeo", "list-tags", "docker://{A}/{image}", says='"1"'),
    signing_in("login, logout", ("skopeo", "login", *PASSWORD, "{A}"),
               ("skopeo", "inspect", "docker://{A}/{image}:1"), ("skopeo", "logout", "{A}"),
               ways=KEPT_BY_HELPER, looks_first=True),
]

CLASSIC = {"DOCKER_BUILDKIT": "0"}
BUILD = ("docker", "build", "{home}/context")
DOCKER = [
    use("pull", "docker", "pull", "{A}/{image}:1", sent="pull", says="Downloaded newer"),
    use("pull public", "docker", "pull", "{P}/{image}:1", of=(P,), sent="pull"),
    anonymous("docker", "pull", "{P}/{image}:1", sent="pull"),
    use("push", "docker", "push", "{A}/pushed:1", sent="push"),
    use("manifest inspect", "docker", "manifest", "inspect", "{A}/{image}:1", says="layers"),
    use("classic build", *BUILD, of=(A, B, P), sent="build", says="Successfully built",
        environment=CLASSIC, ways=("credHelpers",)),
    # With credsStore docker asks only for what `list` names: what was asked for before.
    Row("classic build", (
        use("", "docker", "pull", "{A}/{image}:1", sent="pull").steps[0],
        Step(argv=BUILD, helper={"list": {""}, "get": {A}}, gets=(A,), used=(A,), sent="build",
             says="Successfully built", environment=CLASSIC),
    ), ("credsStore",)),
    Row("login with what the helper has, logout", (
        Step(argv=("docker", "login", "{A}"), calls=1, helper={"get": {A}, "store": {A}},
             gets=(A,), used=(A,), sent="auth", says="Login Succeeded"),
        Step(argv=("docker", "logout", "{A}"), helper={"erase": forms(A)}, says="Removing login"),
        use("", "docker", "pull", "{A}/{image}:1", sent="pull").steps[0],
    )),
    signing_in("login with a password, logout", ("docker", "login", *PASSWORD, "{A}"),
               ("docker", "pull", "{A}/{image}:1"), ("docker", "logout", "{A}"), auth="auth",
               sent="pull"),
]

IMAGETOOLS = ("docker", "buildx", "imagetools")
BUILDX = [
    use("imagetools inspect", *IMAGETOOLS, "inspect", "{A}/{image}:1", says="{digest}"),
    use("imagetools create", *IMAGETOOLS, "create", "--tag", "{A}/{image}:{new}", "{A}/{image}:1",
        pushed=((A, IMAGE, "{new}"),)),
]

COMPOSE = [
    use("pull", "docker", "compose", "--file", "{home}/context/compose.yaml", "pull", sent="pull"),
]

CRANE_FORMS = {"also": (f"{A}/{IMAGE}", f"{B}/{IMAGE}", f"{P}/{IMAGE}", f"{A}/pushed", f"{B}/pushed")}
CRANE = [
    use("digest", "crane", "digest", "{A}/{image}:1", says="{digest}", **CRANE_FORMS),
    use("digest public", "crane", "digest", "{P}/{image}:1", of=(P,), says="{digest}", **CRANE_FORMS),
    anonymous("crane", "digest", "{P}/{image}:1", says="{digest}", **CRANE_FORMS),
    use("pull", "crane", "pull", "{A}/{image}:1", "{home}/out/{n}.tar", writes=("out/{n}.tar",),
        **CRANE_FORMS),
    use("push", "crane", "push", "{layout}", "{A}/pushed:{new}", pushed=((A, "pushed", "{new}"),),
        **CRANE_FORMS),
    use("copy across two accounts", "crane", "copy", "{A}/{image}:1", "{B}/pushed:{new}", of=(A, B),
        pushed=((B, "pushed", "{new}"),), **CRANE_FORMS),
    signing_in("auth login, logout", ("crane", "auth", "login", *PASSWORD, "{A}"),
               ("crane", "digest", "{A}/{image}:1"), ("crane", "auth", "logout", "{A}"), says=""),
]

ORAS = [
    use("manifest fetch", "oras", "manifest", "fetch", "{A}/{image}:1", says="layers"),
    use("manifest fetch public", "oras", "manifest", "fetch", "{P}/{image}:1", of=(P,), says="layers"),
    anonymous("oras", "manifest", "fetch", "{P}/{image}:1", says="layers"),
    use("pull", "oras", "pull", "--output", "{home}/out/{n}", "{A}/{image}:1"),
    use("push", "oras", "push", "--disable-path-validation", "{A}/pushed:{new}",
        "{home}/context/artifact.txt", pushed=((A, "pushed", "{new}"),)),
    use("copy across two accounts", "oras", "cp", "{A}/{image}:1", "{B}/pushed:{new}", of=(A, B),
        pushed=((B, "pushed", "{new}"),)),
    signing_in("login, logout", ("oras", "login", *PASSWORD, "{A}"),
               ("oras", "manifest", "fetch", "{A}/{image}:1"), ("oras", "logout", "{A}")),
]

COSIGN = [
    use("triangulate", "cosign", "triangulate", "{A}/{image}:1", says="sha256-", **CRANE_FORMS),
    use("copy across two accounts", "cosign", "copy", "{A}/{image}:1", "{B}/pushed:{new}", of=(A, B),
        pushed=((B, "pushed", "{new}"),), **CRANE_FORMS),
]


def python(code):
    return ("python", "-c", code)


DOCKER_PY = [
    use("pull", *python("import docker; print(docker.from_env().api.pull('{A}/{image}', '1'))"),
        sent="pull", says="Downloaded newer"),
    use("push", *python("import docker; print(docker.from_env().images.push('{A}/pushed', '1'))"),
        sent="push", says="push refers to"),
    use("login", *python("import docker; print(docker.from_env().login('AWS', registry='{A}'))"),
        says="Username"),
]

OCI = "import oras.client; c = oras.client.OrasClient(auth_backend='basic'); "
ORAS_PY = [
    use("pull", *python(OCI + "print(c.get_manifest(c.get_container('{A}/{image}:1')))"),
        says="layers"),
    use("push", *python(OCI + "print(c.push(target='{A}/pushed:{new}', disable_path_validation=True,"
                        " files=['{home}/context/artifact.txt']))"),
        pushed=((A, "pushed", "{new}"),)),
]

ROWS = {
    "skopeo": SKOPEO, "podman": podman_like("podman"), "buildah": podman_like("buildah"),
    "docker": DOCKER, "buildx": BUILDX, "compose": COMPOSE, "crane": CRANE, "oras": ORAS,
    "cosign": COSIGN, "docker-py": DOCKER_PY, "oras-py": ORAS_PY,
}

CLIENTS = (
    Client("skopeo", "skopeo", "host", PODMANS, ("skopeo", "--version")),
    Client("skopeo", "skopeo", "newer", PODMANS, ("skopeo", "--version")),
    Client("podman", "podman", "host", PODMANS, ("podman", "--version")),
    Client("podman", "podman", "newer", PODMANS, ("podman", "--version")),
    Client("buildah", "buildah", "host", PODMANS, ("buildah", "--version")),
    Client("buildah", "buildah", "newer", PODMANS, ("buildah", "--version")),
    Client("docker CLI", "docker", "docker.io", DOCKERS, ("docker", "--version")),
    Client("docker CLI", "docker", "newer", DOCKERS, ("docker", "--version")),
    Client("docker buildx", "buildx", "newer", DOCKERS, ("docker", "buildx", "version")),
    Client("docker compose", "compose", "newer", DOCKERS, ("docker", "compose", "version")),
    Client("crane", "crane", "newer", DOCKERS, ("cat", "/usr/share/doc/crane/version")),
    Client("oras", "oras", "newer", DOCKERS, ("oras", "version")),
    Client("cosign", "cosign", "newer", DOCKERS, ("cosign", "version")),
    Client("docker-py", "docker-py", "pypi", DOCKERS,
           python("import docker; print(docker.__version__)")),
    Client("oras-py", "oras-py", "pypi", DOCKERS, python("import oras; print(oras.__version__)")),
)

NOT_TESTED = (
    ("nerdctl", "not in Debian, PyPI or npm"),
    ("helm", "not in Debian; PyPI and npm have no build of the current version"),
    ("regctl", "not in Debian, PyPI or npm"),
    ("kaniko", "published as an image only"),
    ("docker buildx build", "needs a BuildKit daemon, which Debian does not have"),
    ("gitlab-runner", "not in Debian 12 or later"),
)
