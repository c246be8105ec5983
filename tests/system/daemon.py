"""A stand-in for the docker daemon: what the docker CLI, docker compose and docker-py ask of one
when they pull, push, build and log in. It holds no images. With the credentials that the client
sends it asks the registry, as the daemon would, and it says what became of that.
"""

import base64
import http.client
import io
import json
import re
import socketserver
import ssl
import tarfile
import threading
from urllib.parse import parse_qs, unquote, urlsplit

from registry import Handler


class Daemon:
    """Listens on the unix socket `path`; `sent` is the list of what clients sent, in order."""

    def __init__(self, path):
        self.sent = []
        handler = type("Handler", (DaemonHandler,), {"daemon": self})
        self.server = Server(str(path), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that goes away in the middle is none of our business."""


def from_header(text):
    """The credentials that a header carries. Go reads names in any case, and docker-py relies on
    that."""
    def lower(value):
        return {name.lower(): value for name, value in value.items()}

    value = json.loads(base64.urlsafe_b64decode(text + "==")) if text else {}
    return {name: lower(v) for name, v in value.items()} if is_nested(value) else lower(value)


def is_nested(value):
    return any(isinstance(v, dict) for v in value.values())


def split(image):
    """Host, repository and reference of an image name."""
    host, _, rest = image.partition("/")
    if "@" in rest:
        return (host, *rest.split("@", 1))
    repo, _, tag = rest.partition(":")
    return host, repo, tag or "latest"


def ask_registry(host, path, auth, method="GET"):
    """Status and body of what the registry answers to these credentials."""
    headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json, "
                         "application/vnd.oci.image.manifest.v1+json"}
    if auth.get("username") and auth.get("password"):
        pair = f"{auth['username']}:{auth['password']}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    connection = http.client.HTTPSConnection(host, timeout=20,
                                             context=ssl.create_default_context())
    try:
        connection.request(method, path, headers=headers)
        got = connection.getresponse()
        body, challenge = got.read(), got.headers.get("WWW-Authenticate", "")
        if got.status != 401 or not challenge.startswith("Bearer"):
            return got.status, body
        realm = re.search(r'realm="https://[^/]*([^"]*)"', challenge)[1]
        connection.request("GET", realm, headers=headers)
        got = connection.getresponse()
        token = json.loads(got.read()).get("token")
        if got.status != 200:
            return got.status, b""
        headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, headers=headers)
        got = connection.getresponse()
        return got.status, got.read()
    finally:
        connection.close()


def failed(status, what):
    text = f"{what}: the registry answered {status}"
    return {"errorDetail": {"message": text}, "error": text}


class DaemonHandler(Handler):
    disable_nagle_algorithm = False

    def json(self, status, value):
        self.reply(status, [("Content-Type", "application/json"), *VERSION],
                   json.dumps(value).encode())

    def stream(self, *events):
        """What a daemon reports while it works; the client reads the error out of it."""
        lines = b"".join(json.dumps(e).encode() + b"\r\n" for e in events)
        self.reply(200, [("Content-Type", "application/json"), *VERSION], lines)

    def answer(self):
        body = self.body()
        url = urlsplit(self.path)
        path = unquote(re.sub(r"^/v1\.\d+", "", url.path))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        for pattern, serve in ROUTES:
            if found := re.fullmatch(pattern, path):
                return serve(self, query, body, *found.groups())
        return self.json(404, {"message": f"{self.command} {path} is not served here"})

    def ping(self, *_):
        self.reply(200, [*VERSION, ("Content-Type", "text/plain")], b"OK")

    def version(self, *_):
        self.json(200, {"Version": "26.1.5", "ApiVersion": "1.41", "MinAPIVersion": "1.24",
                        "Os": "linux", "Arch": "amd64"})

    def info(self, *_):
        self.json(200, {"IndexServerAddress": "https://index.docker.io/v1/", "OSType": "linux",
                        "Architecture": "x86_64", "ServerVersion": "26.1.5", "RegistryConfig": {}})

    def auth(self, _, body):
        auth = json.loads(body)
        self.daemon.sent.append(("auth", auth))
        host = re.sub(r"^https?://", "", auth.get("serveraddress", "")).split("/")[0]
        status, _ = ask_registry(host, "/v2/", auth)
        if status != 200:
            return self.json(401, {"message": f"{host}: the registry answered {status}"})
        return self.json(200, {"Status": "Login Succeeded", "IdentityToken": ""})

    def pull(self, query, _):
        auth = from_header(self.headers.get("X-Registry-Auth"))
        self.daemon.sent.append(("pull", auth))
        image, tag = query["fromImage"], query.get("tag", "")
        host, repo, tag = split(image + ("@" if ":" in tag else ":" if tag else "") + tag)
        status, manifest = ask_registry(host, f"/v2/{repo}/manifests/{tag}", auth)
        if status != 200:
            return self.stream(failed(status, image))
        for layer in json.loads(manifest).get("layers", []):
            status, _ = ask_registry(host, f"/v2/{repo}/blobs/{layer['digest']}", auth)
            if status != 200:
                return self.stream(failed(status, layer["digest"]))
        return self.stream({"status": f"Pulling from {repo}", "id": tag},
                           {"status": f"Status: Downloaded newer image for {image}"})

    def push(self, query, _, image):
        auth = from_header(self.headers.get("X-Registry-Auth"))
        self.daemon.sent.append(("push", auth))
        host, repo, _ = split(image)
        status, _ = ask_registry(host, f"/v2/{repo}/blobs/uploads/", auth, "POST")
        if status != 202:
            return self.stream(failed(status, image))
        tag, digest = query.get("tag", "latest"), "sha256:" + "0" * 64
        return self.stream({"status": f"The push refers to repository [{host}/{repo}]"},
                           {"status": f"{tag}: digest: {digest} size: 1"})

    def build(self, query, body):
        known = from_header(self.headers.get("X-Registry-Config"))
        self.daemon.sent.append(("build", known))
        with tarfile.open(fileobj=io.BytesIO(body)) as context:
            recipe = context.extractfile(query.get("dockerfile", "Dockerfile")).read().decode()
        for image in re.findall(r"(?m)^FROM\s+(\S+)", recipe):
            host, repo, tag = split(image)
            status, _ = ask_registry(host, f"/v2/{repo}/manifests/{tag}", known.get(host, {}))
            if status != 200:
                return self.stream(failed(status, image))
        return self.stream({"stream": "Successfully built 0123456789ab\n"})

    def images(self, *_):
        self.json(200, [])

    def image(self, _query, _body, image):
        """Known once something was pulled."""
        if any(kind == "pull" for kind, _ in self.daemon.sent):
            return self.json(200, {"Id": "sha256:" + "0" * 64, "RepoTags": [image]})
        return self.json(404, {"message": f"No such image: {image}"})

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer


VERSION = [("API-Version", "1.41"), ("Builder-Version", "1"), ("OSType", "linux"),
           ("Docker-Experimental", "false"), ("Server", "stand-in")]

ROUTES = [
    ("/_ping", DaemonHandler.ping), ("/version", DaemonHandler.version),
    ("/info", DaemonHandler.info), ("/auth", DaemonHandler.auth),
    ("/images/create", DaemonHandler.pull), ("/images/(.+)/push", DaemonHandler.push),
    ("/build", DaemonHandler.build), ("/images/json", DaemonHandler.images),
    ("/images/(.+)/json", DaemonHandler.image),
]
