"""A configuration that aws_cli.py compares, and the parts that cases are made of.

In files and variables `{home}` is the case's home directory, `{ca}` the certificate that the fake
AWS is trusted by. Unless a case says otherwise, instance metadata answers: a reader that misses the
configured source takes the instance's role, and is caught.
"""

import base64
import dataclasses
import json
import time

REGION = "eu-central-1"
HOST = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/"
FUTURE, PAST = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


@dataclasses.dataclass
class Case:
    """signer: the key ID that the AWS CLI must sign with, where the case is about just that.
    differs: the row of DIFFERENCES that this case shows."""

    name: str
    config: str = ""
    credentials: str = ""
    env: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)
    aws: dict = dataclasses.field(default_factory=dict)
    host: str = HOST
    executable: tuple = ()
    signer: str | None = None
    differs: str = ""
    # Whether HOME is not set, and the password file names the home directory.
    homeless: bool = False

    def __post_init__(self):
        files = {}
        if self.config:
            files[".aws/config"] = self.config
        if self.credentials:
            files[".aws/credentials"] = self.credentials
        self.files = files | self.files

    @property
    def region(self):
        return "us-east-1" if self.host == "public.ecr.aws" else self.host.split(".")[3]

    def shown(self):
        parts = [f"{name}={value}" for name, value in self.env.items()]
        for path, content in self.files.items():
            parts.append(f"--- {path}\n{content}")
        return "\n".join(parts)


def keys(name, more=""):
    """Keys whose ID shows the name."""
    return f"aws_access_key_id = AKIA{name}\naws_secret_access_key = secret-{name}\n{more}"


def env_keys(name="ENV", **more):
    return {"AWS_ACCESS_KEY_ID": f"AKIA{name}", "AWS_SECRET_ACCESS_KEY": f"s{name}"} | more


def profile(name, text):
    return f"[profile {name}]\n{text}\n"


def role(name, source="", more=""):
    source = f"source_profile = {source}\n" if source else ""
    return f"role_arn = {ROLE}{name}\n{source}{more}"


DEV = {"AWS_PROFILE": "dev"}
NO_IMDS = {"AWS_EC2_METADATA_DISABLED": "true"}


def jwt(subject="system:serviceaccount:a:b"):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    claims = {"iss": "https://issuer.example", "sub": subject, "aud": ["sts.amazonaws.com"],
              "exp": int(time.time()) + 3600}
    return ".".join([part({"alg": "none"}), part(claims), "c2lnbmF0dXJl"])
