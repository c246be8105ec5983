"""The front of a registry: TLS, the way ECR asks for a password, and Debian's docker-registry
behind it, one with its own storage for each host name.

A private registry wants `Basic AWS:<password>`, the public one a bearer token that is to be had
for the same. Which passwords are good only the fake AWS can say: it is asked on every request
that carries one not seen before.
"""

import base64
import hashlib
import http.client
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PUBLIC = "public.ecr.aws"

# The action of IAM behind a request.
ACTIONS = {
    ("GET", "manifests"): "BatchGetImage", ("HEAD", "manifests"): "BatchGetImage",
    ("PUT", "manifests"): "PutImage", ("GET", "blobs"): "GetDownloadUrlForLayer",
    ("HEAD", "blobs"): "BatchCheckLayerAvailability", ("POST", "blobs"): "InitiateLayerUpload",
    ("PATCH", "blobs"): "UploadLayerPart", ("PUT", "blobs"): "CompleteLayerUpload",
}


class Front:
    """`backends`: host name -> port of its docker-registry. `passwords(host)`: those that AWS
    issued for that host."""

    def __init__(self, address, cert, key, backends, passwords):
        self.backends, self.passwords = backends, passwords
        self.good, self.tokens, self.served = {}, {}, []
        # Actions that IAM does not allow, each with the end of its message.
        self.denied = {}
        # Repositories that clients may not make by pushing.
        self.missing = set()
        self.lock = threading.Lock()
        handler = type("Handler", (FrontHandler,), {"front": self})
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server = Server(address, handler)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def is_issued(self, host, user, password):
        """Whether AWS issued this password for this registry."""
        if user != "AWS" or not password:
            return False
        with self.lock:
            if password in self.good.get(host, ()):
                return True
            good = set(self.passwords(host))
            self.good.setdefault(host, set()).update(good)
            return password in good

    def forget(self):
        with self.lock:
            self.served.clear()

    def logins(self, host):
        """How many requests with a good password `host` has served."""
        with self.lock:
            return sum(1 for (h, _, _, who) in self.served if h == host and who == "AWS")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that goes away in the middle is none of our business."""


def basic(header):
    """User and password of an `Authorization` header."""
    kind, _, value = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None, None
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user, password
    except ValueError:
        return None, None


class Handler(BaseHTTPRequestHandler):
    """What the front and the daemon's stand-in have in common."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command == "HEAD":
            body = b""
        elif not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)



class FrontHandler(Handler):
    def answer(self):
        front = self.front
        # Continue is sent by the base class, so the body can be read before anything is decided.
        host, body = self.headers.get("Host", "").removesuffix(":443"), self.body()
        user, password = basic(self.headers.get("Authorization"))
        who = "AWS" if front.is_issued(host, user, password) else None
        if host == PUBLIC:
            if self.path.startswith("/token"):
                return self.issue(host, who, user)
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            who = front.tokens.get(token) if kind == "Bearer" else None
        with front.lock:
            front.served.append((host, self.command, self.path, who))
        if host not in front.backends:
            return self.reply(404, [], b"")
        may_read = who == "anonymous" and self.command in ("GET", "HEAD")
        if who != "AWS" and not may_read:
            return self.refuse(host)
        if refusal := self.refusal():
            return self.reply_error(*refusal)
        dropped = ("authorization", "transfer-encoding", "content-length", "connection",
                   "accept-encoding", "expect")
        # Some clients send one Accept for each type that they know.
        headers = {name: ", ".join(self.headers.get_all(name)) for name in set(self.headers)
                   if name.lower() not in dropped}
        headers |= {"X-Forwarded-Proto": "https", "Content-Length": str(len(body))}
        back = http.client.HTTPConnection("127.0.0.1", front.backends[host], timeout=20)
        back.request(self.command, self.path, body, headers)
        got = back.getresponse()
        data = got.read()
        kept = [(k, v) for k, v in got.getheaders()
                if k.lower() not in ("transfer-encoding", "connection")]
        self.reply(got.status, kept, data)
        back.close()

    def refusal(self):
        """What ECR says of an action that IAM does not allow, and of a repository that is not there:
        docker-registry has neither."""
        found = re.match(r"/v2/(.+?)/(manifests|blobs)/", self.path)
        if not found:
            return None
        repository, kind = found.groups()
        action = ACTIONS.get((self.command, kind))
        if action in self.front.denied:
            return 403, "DENIED", (
                "User: arn:aws:iam::123456789012:user/tester is not authorized to perform: "
                f"ecr:{action} on resource: arn:aws:ecr:us-east-1:123456789012:repository/"
                f"{repository}{self.front.denied[action]}")
        if repository in self.front.missing:
            message = f"The repository with name '{repository}' does not exist in the registry"
            return 404, "NAME_UNKNOWN", f"{message} with id '123456789012'"
        return None

    def reply_error(self, status, code, message):
        error = {"errors": [{"code": code, "message": message}]}
        self.reply(status, [("Content-Type", "application/json"),
                            ("Docker-Distribution-Api-Version", "registry/2.0")],
                   json.dumps(error).encode())

    def refuse(self, host):
        ask = f'Basic realm="https://{host}/",service="ecr.amazonaws.com"'
        if host == PUBLIC:
            ask = f'Bearer realm="https://{host}/token/",service="{host}",scope="aws"'
        error = {"errors": [{"code": "UNAUTHORIZED", "message": "not authorized"}]}
        self.reply(401, [("WWW-Authenticate", ask), ("Content-Type", "application/json"),
                         ("Docker-Distribution-Api-Version", "registry/2.0")],
                   json.dumps(error).encode())

    def issue(self, host, who, user):
        """A bearer token: anonymous if no password is given, none if it is wrong."""
        if user is not None and who is None:
            return self.refuse(host)
        who = who or "anonymous"
        token = hashlib.sha256(f"{who}-{len(self.front.tokens)}".encode()).hexdigest()
        self.front.tokens[token] = who
        self.reply(200, [("Content-Type", "application/json")],
                   json.dumps({"token": token, "access_token": token}).encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer
