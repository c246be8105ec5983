"""A `get` in a locked-down network, and everything that must be true of it.

A call is written `service scheme://host[/path] region`, the region being that of the signature
(`-`: not signed). In values, `{home}` is the case's own directory and `{ca}` that of the
certificates.
"""

import dataclasses
import hashlib
import json
import time

KEY, SECRET = "AKIANETWORKTEST00001", "secret-hunter2-secret-key"
PASSWORD = "hunter2"
ID = "123456789012"
US = f"{ID}.dkr.ecr.us-east-1.amazonaws.com"
ECR = "ecr https://api.ecr.us-east-1.amazonaws.com us-east-1"
PUBLIC = "public.ecr.aws"

# Keys come from elsewhere than from the environment.
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
STATIC = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
FIPS = {"AWS_USE_FIPS_ENDPOINT": "true"}
DUAL = {"AWS_USE_DUALSTACK_ENDPOINT": "true"}

WEST, SOUTH = "eu-west-1", "ap-south-1"


@dataclasses.dataclass(frozen=True)
class Case:
    """One `get`, and everything that must be true of it.

    calls: to AWS, in order. again: those of a second `get`, which is made if this is set. via:
    what the proxies logged. fails: what cause and hint must say (regular expressions). aws: what
    the fake is told to do. at_most: seconds.
    """

    what: str
    host: str = US
    env: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)
    calls: tuple = ()
    again: tuple = None
    via: tuple = ()
    fails: tuple = ()
    aws: dict = dataclasses.field(default_factory=dict)
    at_most: float = 15
    without_system_store: bool = False


def config(text):
    return {".aws/config": text}


def profile(text, more=""):
    """A profile of one's own with keys and this in it."""
    return config(f"[profile p]\n{STATIC}{text}\n{more}")


PROFILE = {**NO_KEYS, "AWS_PROFILE": "p"}


# --- registry host -> API host --------------------------------------------------------------

def at(rest):
    return f"{ID}.{rest}"


def role(partition, more=""):
    return profile(more).copy() | config(
        f"[profile p]\nrole_arn = arn:{partition}:iam::{ID}:role/r\nsource_profile = k\n{more}\n"
        f"[profile k]\n{STATIC}")


def in_seconds(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def sso(region, more="", expires_in=3600):
    token = {"startUrl": "https://example.awsapps.com/start", "region": region,
             "accessToken": "sso-token", "expiresAt": in_seconds(expires_in), "clientId": "c",
             "clientSecret": "s", "registrationExpiresAt": in_seconds(86400), "refreshToken": "r"}
    name = hashlib.sha1(b"corp").hexdigest()
    return {f".aws/sso/cache/{name}.json": json.dumps(token)} | config(
        f"[profile p]\nsso_session = corp\nsso_account_id = {ID}\nsso_role_name = r\n{more}\n"
        f"[sso-session corp]\nsso_region = {region}\nsso_start_url = https://example.awsapps.com/start\n")


def portal(region, suffix="amazonaws.com"):
    return f"sso https://portal.sso.{region}.{suffix} -"


def renewal(region, suffix="amazonaws.com"):
    return f"oidc https://oidc.{region}.{suffix} -"
