"""Which clients there are, the ways to configure them, and what each of them does: data only.

In a command `{A}`, `{B}` and `{P}` are registries, `{image}` the image in each of them,
`{layout}` the same as a directory, `{home}` the case's own directory, `{case}` a name of
that case alone, `{new}` one not used before.
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
    next release), `newest` (Debian unstable), `docker.io` (taken out of that package), `pypi` or
    `npm`. `version` is a command, or ("package", name) where the program does not say."""

    name: str
    tool: str
    needs: str
    ways: tuple
    version: tuple = ()

    def command(self, paths, argv):
        """How to run `argv` of this client."""
        if self.needs in ("newer", "newest"):
            return ["chroot", paths[self.needs], *argv]
        if self.needs == "npm":
            return ["env", f"NODE_PATH={paths['npm']}/node_modules", *argv]
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
    files: dict = dataclasses.field(default_factory=dict)


def use(what, *argv, of=(A,), also=(), lists=False, ways=(), **rest):
    """A case that reads or writes registries: AWS is asked once for each of `of`, then never."""
    helper = {"get": {*of, *also}, **({"list": {""}} if lists else {})}
    step = Step(argv=argv, calls=len(of), helper=helper, gets=of, **{"used": of, **rest})
    return Row(what, (step, dataclasses.replace(step, calls=0)), ways)


def anonymous(*argv, also=(), ways=(), **rest):
    """Without AWS credentials the public registry still serves anonymous pulls."""
    step = Step(argv=argv, helper={"get": {P, *also}}, gets=(P,), fails=True,
                environment={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, **rest)
    return Row("public without AWS credentials", (step,), ways)


def forms(host):
    """What docker asks the helper to forget."""
    return {host, f"http://{host}", f"https://{host}"}


def signing_in(what, log_in, use_it, log_out, ways=(), auth="", says="(?i)succeeded",
               looks_first=False, also=(), **used):
    """Log in with a password from elsewhere; it serves while there are no AWS credentials; log out
    and it is gone. Some clients first look for what is there already."""
    helper = {"store": forms(A), **({"get": {A}} if looks_first else {})}
    login = Step(argv=log_in, calls=int(looks_first), helper=helper, login=A, says=says, sent=auth)
    asks = {"get": {A, *also}}
    alone = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    return Row(what, (
        login,
        Step(argv=use_it, helper=asks, gets=(A,), used=(A,), environment=alone, **used),
        Step(argv=log_out, helper={"erase": forms(A)}),
        Step(argv=use_it, calls=1, helper=asks, gets=(A,), used=(A,), **used),
    ), ways)


def principals(*argv, **rest):
    """Two users of one cache: each gets a password of their own, and neither asks again."""
    def step(calls, key):
        return Step(argv=argv, calls=calls, helper={"get": {A}}, gets=(A,), used=(A,),
                    environment={"AWS_ACCESS_KEY_ID": key}, **rest)

    one, two = "AKIACLIENTS000000001", "AKIACLIENTS000000002"
    return Row("two principals", (step(1, one), step(1, two), step(0, one), step(0, two)))


ROLE = """[profile source]
aws_access_key_id = AKIACLIENTS000000003
aws_secret_access_key = not-a-secret
[profile role]
role_arn = arn:aws:iam::123456789012:role/puller
source_profile = source
region = us-east-1
"""


def assumed_role(*argv, **rest):
    """A role costs a call to STS the first time, and nothing after that."""
    keys = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_PROFILE": "role"}
    step = Step(argv=argv, calls=2, helper={"get": {A}}, gets=(A,), used=(A,), environment=keys,
                **rest)
    return Row("assumed role", (step, dataclasses.replace(step, calls=0)),
               files={".aws/config": ROLE})


# podman's family keeps a login in auth.json, unless it is there that the helper is named.
KEPT_BY_HELPER = ("credHelpers in auth.json", "registries.conf")
PASSWORD = ("--username", "AWS", "--password-stdin")


def podman_like(tool, *always):
    """podman and buildah: the same storage, the same words. `always`: pull what is there already."""
    run = (tool, "--root", "{home}/root", "--runroot", "{home}/run/root", "--storage-driver", "vfs")
    pull = (*run, "pull", "--quiet", *always)
    seed = Step(argv=(*pull, "oci:{layout}:1"), says="[0-9a-f]{64}")
    push = use("push", *run, "push", IMAGE_ID, "docker://{A}/pushed:{new}",
               pushed=((A, "pushed", "{new}"),))
    return [
        use("pull", *pull, "{A}/{image}:1", says="[0-9a-f]{64}"),
        use("pull public", *pull, "{P}/{image}:1", of=(P,), says="[0-9a-f]{64}"),
        anonymous(*pull, "{P}/{image}:1", says="[0-9a-f]{64}"),
        Row("push", (seed, *push.steps)),
        use("build", *run, "build", "--isolation", "chroot", "--pull-always", "{home}/context",
            says="COMMIT|[0-9a-f]{64}"),
        use("login with what the helper has", *run, "login", "{A}", says="(?i)valid|succeeded"),
        signing_in("login with a password and logout", (*run, "login", *PASSWORD, "{A}"),
                   (*pull, "{A}/{image}:1"), (*run, "logout", "{A}"),
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
    principals("skopeo", "inspect", "docker://{A}/{image}:1", says="{digest}"),
    assumed_role("skopeo", "inspect", "docker://{A}/{image}:1", says="{digest}"),
    use("list-tags", "skopeo", "list-tags", "docker://{A}/{image}", says='"1"'),
    signing_in("login and logout", ("skopeo", "login", *PASSWORD, "{A}"),
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
    principals("docker", "pull", "{A}/{image}:1", sent="pull"),
    assumed_role("docker", "pull", "{A}/{image}:1", sent="pull"),
    use("manifest inspect", "docker", "manifest", "inspect", "{A}/{image}:1", says="layers"),
    use("classic build", *BUILD, of=(A, B, P), used=(A,), sent="build", says="Successfully built",
        environment=CLASSIC, ways=("credHelpers",)),
    # With credsStore docker asks only for what `list` names: what was asked for before.
    Row("classic build", (
        use("", "docker", "pull", "{A}/{image}:1", sent="pull").steps[0],
        Step(argv=BUILD, helper={"list": {""}, "get": {A}}, gets=(A,), used=(A,), sent="build",
             says="Successfully built", environment=CLASSIC),
    ), ("credsStore",)),
    Row("login with what the helper has and logout", (
        Step(argv=("docker", "login", "{A}"), calls=1, helper={"get": {A}, "store": {A}},
             gets=(A,), used=(A,), sent="auth", says="Login Succeeded"),
        Step(argv=("docker", "logout", "{A}"), helper={"erase": forms(A)}, says="Removing login"),
        use("", "docker", "pull", "{A}/{image}:1", sent="pull").steps[0],
    )),
    signing_in("login with a password and logout", ("docker", "login", *PASSWORD, "{A}"),
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
    signing_in("auth login and logout", ("crane", "auth", "login", *PASSWORD, "{A}"),
               ("crane", "digest", "{A}/{image}:1"), ("crane", "auth", "logout", "{A}"), says="",
               **CRANE_FORMS),
]

ORAS_PUSH = ("env", "--chdir={home}/context", "oras", "push", "{A}/pushed:{case}", "artifact.txt")
ORAS = [
    use("manifest fetch", "oras", "manifest", "fetch", "{A}/{image}:1", says="layers"),
    use("manifest fetch public", "oras", "manifest", "fetch", "{P}/{image}:1", of=(P,), says="layers"),
    anonymous("oras", "manifest", "fetch", "{P}/{image}:1", says="layers"),
    use("push", *ORAS_PUSH, pushed=((A, "pushed", "{case}"),)),
    Row("pull", (
        use("", *ORAS_PUSH).steps[0],
        Step(argv=("oras", "pull", "--output", "{home}/out", "{A}/pushed:{case}"),
             helper={"get": {A}}, gets=(A,), used=(A,), writes=("out/artifact.txt",)),
    )),
    use("copy across two accounts", "oras", "cp", "{A}/{image}:1", "{B}/pushed:{new}", of=(A, B),
        pushed=((B, "pushed", "{new}"),)),
    signing_in("login and logout", ("oras", "login", *PASSWORD, "{A}"),
               ("oras", "manifest", "fetch", "{A}/{image}:1"), ("oras", "logout", "{A}")),
]

COSIGN = [
    use("triangulate", "cosign", "triangulate", "{A}/{image}:1", says="sha256-", **CRANE_FORMS),
    use("copy across two accounts", "cosign", "copy", "{A}/{image}:1", "{B}/pushed:{new}", of=(A, B),
        pushed=((B, "pushed", "{new}"),), **CRANE_FORMS),
]


def python(code):
    return ("python", "-c", code)


PULL_PY = python("import docker; print(docker.from_env().api.pull('{A}/{image}', '1'))")
BUILD_PY = python("import docker; print([*docker.from_env().api.build(path='{home}/context')])")
DOCKER_PY = [
    use("pull", *PULL_PY,
        sent="pull", says="Downloaded newer"),
    use("push", *python("import docker; print(docker.from_env().images.push('{A}/pushed', '1'))"),
        sent="push", says="push refers to"),
    use("build", *BUILD_PY, of=(A, B, P), used=(A,), sent="build", says="Successfully built",
        ways=("credHelpers",)),
    Row("build", (
        use("", *PULL_PY, sent="pull").steps[0],
        Step(argv=BUILD_PY, helper={"list": {""}, "get": {A}}, gets=(A,), used=(A,), sent="build",
             says="Successfully built"),
    ), ("credsStore",)),
]

OCI = "import oras.client; c = oras.client.OrasClient(auth_backend='basic'); "
ORAS_PY = [
    use("pull", *python(OCI + "print(c.get_manifest(c.get_container('{A}/{image}:1')))"),
        says="layers"),
    use("push", *python(OCI + "print(c.push(target='{A}/pushed:{new}', disable_path_validation=True,"
                        " files=['{home}/context/artifact.txt']))"),
        pushed=((A, "pushed", "{new}"),)),
]

# It asks `list` first, and goes on without credentials for what that does not name.
TESTCONTAINERS = [
    use("pull", "node", "-e", "const { getContainerRuntimeClient, ImageName } = "
        "require(process.env.NODE_PATH + '/testcontainers'); getContainerRuntimeClient()"
        ".then(c => c.image.pull(ImageName.fromString('{A}/{image}:1'), { force: true })).then(() => process.exit(0))"
        ".catch(e => { console.error(e); process.exit(1) })",
        sent="pull", lists=True, also=(A + "\n",), environment={"TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1"}),
]

ROWS = {
    "skopeo": SKOPEO, "podman": podman_like("podman"), "buildah": podman_like("buildah", "--policy", "always"),
    "docker": DOCKER, "buildx": BUILDX, "compose": COMPOSE, "crane": CRANE, "oras": ORAS,
    "cosign": COSIGN, "docker-py": DOCKER_PY, "oras-py": ORAS_PY,
    "testcontainers": TESTCONTAINERS,
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
    Client("crane", "crane", "newest", DOCKERS, ("package", "crane")),
    Client("oras", "oras", "newer", DOCKERS, ("oras", "version")),
    Client("cosign", "cosign", "newer", DOCKERS, ("package", "cosign")),
    Client("docker-py", "docker-py", "pypi", DOCKERS,
           python("import docker; print(docker.__version__)")),
    Client("oras-py", "oras-py", "pypi", DOCKERS, python("import oras; print(oras.__version__)")),
    Client("testcontainers for Node", "testcontainers", "npm", ("credHelpers",),
           ("node", "-p", "require(process.env.NODE_PATH + '/testcontainers/package.json').version")),
)

NOT_TESTED = (
    ("nerdctl", "no Debian package"),
    ("helm", "no Debian package"),
    ("regctl", "no Debian package"),
    ("kaniko", "published as an image only"),
    ("docker buildx build", "needs a BuildKit daemon, for which there is no Debian package"),
    ("GitLab Runner", "no Debian package"),
)
