"""What is asked of whom in locked-down networks: data only, one row for each fact.

A call is written `service scheme://host[/path] region`, the region being that of the signature
(`-`: not signed). In values, `{home}` is the case's own directory and `{ca}` that of the
certificates.
"""

import dataclasses
import hashlib
import json
import time
from pathlib import Path

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


def apis():
    """The rows of tests/support/api_hosts.txt."""
    table = Path(__file__).resolve().parents[1] / "support/api_hosts.txt"
    for line in table.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        registry, host, region, *settings = line.split()
        service = "ecr_public" if "public" in registry else "ecr"
        env = dict(s.split("=") for s in settings if s[0].isupper())
        keys = "\n".join(s.replace("=", " = ") for s in settings if s[0].islower())
        if keys:
            env |= PROFILE
        yield Case(f"{registry} {' '.join(settings)}".strip(), registry, env,
                   profile(keys) if keys else {}, calls=(f"{service} https://{host} {region}",), again=())


# --- STS, SSO and sign-in by their real names -----------------------------------------------

def role(partition, more=""):
    return profile(more).copy() | config(
        f"[profile p]\nrole_arn = arn:{partition}:iam::{ID}:role/r\nsource_profile = k\n{more}\n"
        f"[profile k]\n{STATIC}")


def through_sts(what, partition, registry, sts, sts_region, api, region, env=None, more=""):
    return Case(f"STS: {what}", registry, {**PROFILE, **(env or {})}, role(partition, more),
                calls=(f"sts https://{sts} {sts_region}", f"ecr https://{api} {region}"), again=())


CN, GOV = at("dkr.ecr.cn-north-1.amazonaws.com.cn"), at("dkr.ecr.us-gov-west-1.amazonaws.com")
STS = (
    through_sts("no region set", "aws", US, "sts.us-east-1.amazonaws.com", "us-east-1",
                "api.ecr.us-east-1.amazonaws.com", "us-east-1"),
    through_sts("not the profile's region", "aws", US,
                "sts.us-east-1.amazonaws.com", "us-east-1",
                "api.ecr.us-east-1.amazonaws.com", "us-east-1", more="region = eu-west-1"),
    through_sts("a profile's region in another partition: China", "aws-cn", CN,
                "sts.cn-north-1.amazonaws.com.cn", "cn-north-1",
                "api.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", more="region = us-east-1"),
    through_sts("a profile's region in another partition: GovCloud", "aws-us-gov", GOV,
                "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1",
                "api.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1", more="region = us-east-1"),
    through_sts("a profile's region in another partition: China's profile, aws", "aws", US,
                "sts.us-east-1.amazonaws.com", "us-east-1",
                "api.ecr.us-east-1.amazonaws.com", "us-east-1", more="region = cn-north-1"),
    through_sts("AWS_REGION in another partition", "aws-cn", CN,
                "sts.cn-north-1.amazonaws.com.cn", "cn-north-1",
                "api.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1",
                {"AWS_REGION": "us-east-1"}, "region = cn-northwest-1"),
    through_sts("isolated", "aws-iso", at("dkr.ecr.us-iso-east-1.c2s.ic.gov"),
                "sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1",
                "api.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    through_sts("European sovereign cloud", "aws-eusc", at("dkr.ecr.eusc-de-east-1.amazonaws.eu"),
                "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1",
                "api.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    through_sts("a region that no table knows", "aws", at("dkr.ecr.eu-atlantis-9.amazonaws.com"),
                "sts.eu-atlantis-9.amazonaws.com", "eu-atlantis-9",
                "api.ecr.eu-atlantis-9.amazonaws.com", "eu-atlantis-9"),
    through_sts("a region that does not say its partition", "aws-cn",
                at("dkr.ecr.zz-atlantis-9.amazonaws.com.cn"),
                "sts.cn-north-1.amazonaws.com.cn", "cn-north-1",
                "api.ecr.zz-atlantis-9.amazonaws.com.cn", "zz-atlantis-9"),
    through_sts("FIPS", "aws", US, "sts-fips.us-east-1.amazonaws.com", "us-east-1",
                "api.ecr-fips.us-east-1.amazonaws.com", "us-east-1", FIPS),
    through_sts("dual-stack", "aws", US, "sts.us-east-1.api.aws", "us-east-1",
                "ecr.us-east-1.api.aws", "us-east-1", DUAL),
    through_sts("a FIPS registry alone does not move it", "aws",
                at("dkr.ecr-fips.us-east-1.amazonaws.com"),
                "sts.us-east-1.amazonaws.com", "us-east-1",
                "api.ecr-fips.us-east-1.amazonaws.com", "us-east-1"),
    Case("STS: web identity in China with AWS_REGION elsewhere", CN,
         {**NO_KEYS, "AWS_REGION": "us-east-1", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
          "AWS_ROLE_ARN": f"arn:aws-cn:iam::{ID}:role/r"}, {"token": "e30.e30.e30"},
         calls=("sts https://sts.cn-north-1.amazonaws.com.cn -",
                "ecr https://api.ecr.cn-north-1.amazonaws.com.cn cn-north-1"), again=()),
    Case("STS: a role of another partition is refused before anybody is asked", CN, PROFILE,
         role("aws"), fails=(r"arn:aws:iam::\d+:role/r.* aws-cn", "hint: .*aws-cn")),
)


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


SIGN_IN = f"arn:aws:iam::{ID}:user/me"


def sign_in(key):
    """The file that `aws login` leaves, its credentials about to end; `key` makes an EC key."""
    name = hashlib.sha256(SIGN_IN.encode()).hexdigest()
    login = lambda: json.dumps({
        "accessToken": {"accessKeyId": "ASIAOLD", "secretAccessKey": "s", "sessionToken": "t",
                        "accountId": ID, "expiresAt": in_seconds(-60)},
        "tokenType": "aws_sigv4", "refreshToken": "r",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": key()})
    return {f".aws/login/cache/{name}.json": login} | config(f"[profile p]\nlogin_session = {SIGN_IN}\n")


def sessions(key):
    yield Case("SSO: the portal by its name", US, PROFILE, sso("eu-west-1", "region = us-west-2"),
               calls=(portal("eu-west-1"), ECR), again=())
    yield Case("SSO: renewed by OIDC", US, PROFILE, sso("eu-west-1", expires_in=-60),
               calls=(renewal("eu-west-1"), portal("eu-west-1"), ECR), again=())
    yield Case("SSO: China", CN, PROFILE, sso("cn-north-1", expires_in=-60),
               calls=(renewal("cn-north-1", "amazonaws.com.cn"), portal("cn-north-1", "amazonaws.com.cn"),
                      "ecr https://api.ecr.cn-north-1.amazonaws.com.cn cn-north-1"), again=())
    yield Case("SSO: of another partition than the registry", CN, PROFILE, sso("eu-west-1"),
               fails=("sso_region eu-west-1", "hint: .*aws-cn"))
    yield Case("aws login: renewed by the sign-in service", US, PROFILE, sign_in(key),
               calls=("signin https://us-east-1.signin.aws.amazon.com -", ECR), again=())


# --- a region without FIPS or dual-stack ----------------------------------------------------

WEST, SOUTH = "eu-west-1", "ap-south-1"
ABSENT = (
    Case("FIPS: the published form of the name is tried", at(f"dkr.ecr-fips.{WEST}.amazonaws.com"),
         calls=(f"ecr https://ecr-fips.{WEST}.amazonaws.com {WEST}",), again=()),
    Case("FIPS: neither name resolves", at(f"dkr.ecr-fips.{SOUTH}.amazonaws.com"),
         fails=(f"ECR has no FIPS endpoint in the region {SOUTH}: api.ecr-fips.{SOUTH}.amazonaws.com"
                f" or ecr-fips.{SOUTH}.amazonaws.com does not resolve", "hint: .*registry host")),
    Case("FIPS: neither name resolves, by the variable", at(f"dkr.ecr.{SOUTH}.amazonaws.com"), FIPS,
         fails=("ECR has no FIPS endpoint", "hint: .*AWS_USE_FIPS_ENDPOINT")),
    Case("dual-stack: no such name", at(f"dkr-ecr.{SOUTH}.on.aws"),
         fails=(f"ECR has no dual-stack endpoint in the region {SOUTH}: ecr.{SOUTH}.api.aws",)),
    Case("dual-stack: no such name, by the profile", at(f"dkr.ecr.{SOUTH}.amazonaws.com"), PROFILE,
         profile("use_dualstack_endpoint = true"),
         fails=("ECR has no dual-stack endpoint", "hint: .*AWS_USE_DUALSTACK_ENDPOINT")),
    Case("dual-stack FIPS: no such name", at(f"dkr-ecr-fips.{SOUTH}.on.aws"),
         fails=("ECR has no dual-stack FIPS endpoint",)),
    Case("ECR Public has no FIPS endpoint", PUBLIC, FIPS,
         fails=("ECR Public has no FIPS endpoint in the region us-east-1", "hint: unset AWS_USE_FIPS")),
    Case("STS has no FIPS endpoint there", at(f"dkr.ecr.{WEST}.amazonaws.com"), {**PROFILE, **FIPS}, role("aws"),
         fails=(f"STS has no FIPS endpoint in the region {WEST}", "hint: .*AWS_ENDPOINT_URL_STS")),
    Case("the SSO portal has no FIPS endpoint there", US, {**PROFILE, **FIPS}, sso(WEST),
         fails=("IAM Identity Center has no FIPS endpoint", "hint: .*AWS_ENDPOINT_URL_SSO")),
    Case("OIDC has no FIPS endpoint there", US, {**PROFILE, **FIPS}, sso(WEST, expires_in=-60),
         fails=("IAM Identity Center has no FIPS endpoint",)),
    Case("no such region", at("dkr.ecr.xx-nowhere-1.amazonaws.com"),
         fails=("the name api.ecr.xx-nowhere-1.amazonaws.com does not resolve", "hint: .*region")),
    Case("a resolver that fails proves nothing about FIPS",
         at("dkr.ecr-fips.ap-east-1.amazonaws.com"),
         # musl asks again until the connection takes too long.
         fails=("the name api.ecr-fips.ap-east-1.amazonaws.com( does not resolve\n|\n)",
                "hint: .*(DNS|network)")),
)


# --- proxies --------------------------------------------------------------------------------

# tinyproxy, tinyproxy with a password, squid over HTTP and over TLS; and where nobody listens.
OPEN, LOCKED = "http://127.0.0.1:3128", "http://user:{0}@127.0.0.1:3129"
SQUID, SQUID_TLS = "http://127.0.0.1:3130", "https://proxy.corp.example:3131"
# squid that opens the TLS of what goes through it, with certificates of an authority of its own.
INSPECTING = {"HTTPS_PROXY": "http://127.0.0.1:3132"}
CONNECT = "CONNECT api.ecr.us-east-1.amazonaws.com:443"
VIA_OPEN = (f"open {CONNECT}",)
VIA_INSPECTING = (f"squid {CONNECT}", "squid POST https://api.ecr.us-east-1.amazonaws.com/")
PRIVATE = "vpce-0a1b.api.ecr.us-east-1.vpce.amazonaws.com"
PLAIN = {"AWS_ENDPOINT_URL_ECR": f"http://{PRIVATE}:8080"}
SIX = {"AWS_ENDPOINT_URL_ECR": "http://[2001:db8::5]:8080"}
FOUR = {"AWS_ENDPOINT_URL_ECR": "http://10.11.12.13:8080"}


def proxied(what, env, via=VIA_OPEN, calls=(ECR,), **rest):
    return Case(f"proxy: {what}", env=env, via=via, calls=calls, **rest)


def no_proxy(entries, direct, at=None, call=ECR, connect=VIA_OPEN, name="NO_PROXY"):
    """`at`: an endpoint instead of the real name."""
    env = {"HTTPS_PROXY": OPEN, "HTTP_PROXY": OPEN, name: entries, **(at or {})}
    return proxied(f"{name}={entries} {'is' if direct else 'is not'} about {call.split()[1]}", env,
                   () if direct else connect, (call,))


HTTPS = {"HTTPS_PROXY": OPEN}
SQUID_DENIES = at("dkr.ecr.sa-east-1.amazonaws.com")
VIA_SIX, VIA_FOUR = ("open POST http://[2001:db8::5]:8080/",), ("open POST http://10.11.12.13:8080/",)
SIX_CALL, FOUR_CALL = "ecr http://[2001:db8::5]:8080 us-east-1", "ecr http://10.11.12.13:8080 us-east-1"
PROXIES = (
    proxied("tinyproxy", HTTPS),
    proxied("tinyproxy with a password", {"HTTPS_PROXY": LOCKED.format(PASSWORD)},
            (f"locked {CONNECT}",)),
    proxied("squid", {"HTTPS_PROXY": SQUID}, (f"squid {CONNECT}",)),
    proxied("squid over TLS", {"HTTPS_PROXY": SQUID_TLS}, (f"squid {CONNECT}",)),
    proxied("without a scheme", {"HTTPS_PROXY": "127.0.0.1:3128"}),
    proxied("at an IPv6 address", {"HTTPS_PROXY": "http://[::1]:3128"}),
    proxied("lower case", {"https_proxy": OPEN}),
    # What most locked-down networks have: a proxy with an authority of its own.
    proxied("inspecting, its authority unknown", INSPECTING, VIA_INSPECTING[:1], (),
            fails=(r"certificate of api\.ecr\S+ is not signed by a trusted CA",
                   "hint: .*proxy.*AWS_CA_BUNDLE or SSL_CERT_FILE")),
    *(proxied(f"inspecting, {name}", {**INSPECTING, **env}, VIA_INSPECTING, files=files)
      for name, env, files in (
          ("AWS_CA_BUNDLE", {"AWS_CA_BUNDLE": "{ca}/corp/ca.pem"}, {}),
          ("SSL_CERT_FILE", {"SSL_CERT_FILE": "{ca}/corp/ca.pem"}, {}),
          ("SSL_CERT_DIR", {"SSL_CERT_DIR": "{ca}/dir"}, {}),
          ("ca_bundle", PROFILE, profile("ca_bundle = {ca}/corp/ca.pem")))),
    proxied("inspecting, STS as well", {**PROFILE, **INSPECTING, "AWS_CA_BUNDLE": "{ca}/corp/ca.pem"},
            ("squid CONNECT sts.us-east-1.amazonaws.com:443",
             "squid POST https://sts.us-east-1.amazonaws.com/", *VIA_INSPECTING),
            ("sts https://sts.us-east-1.amazonaws.com us-east-1", ECR), files=role("aws")),
    proxied("upper case goes first", {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": OPEN}),
    proxied("an empty variable is none", {"HTTPS_PROXY": "", "https_proxy": OPEN}),
    proxied("HTTP_PROXY is not for https", {"HTTP_PROXY": OPEN, "http_proxy": OPEN}, ()),
    proxied("ALL_PROXY is nothing", {"ALL_PROXY": OPEN, "all_proxy": OPEN}, ()),
    proxied("http in absolute form", {"HTTP_PROXY": OPEN, **PLAIN},
            (f"open POST http://{PRIVATE}:8080/",), (f"ecr http://{PRIVATE}:8080 us-east-1",)),
    proxied("http in absolute form, with a password",
            {"http_proxy": LOCKED.format(PASSWORD), **PLAIN},
            (f"locked POST http://{PRIVATE}:8080/",), (f"ecr http://{PRIVATE}:8080 us-east-1",)),
    proxied("HTTPS_PROXY is not for http", {"HTTPS_PROXY": OPEN, **PLAIN}, (),
            (f"ecr http://{PRIVATE}:8080 us-east-1",)),
    proxied("ECR Public", HTTPS, ("open CONNECT api.ecr-public.us-east-1.amazonaws.com:443",),
            ("ecr_public https://api.ecr-public.us-east-1.amazonaws.com us-east-1",), host=PUBLIC),
    proxied("STS", {**PROFILE, **HTTPS},
            ("open CONNECT sts.us-east-1.amazonaws.com:443", *VIA_OPEN),
            ("sts https://sts.us-east-1.amazonaws.com us-east-1", ECR), files=role("aws")),
    proxied("SSO and OIDC", {**PROFILE, **HTTPS},
            ("open CONNECT oidc.eu-west-1.amazonaws.com:443",
             "open CONNECT portal.sso.eu-west-1.amazonaws.com:443", *VIA_OPEN),
            (renewal("eu-west-1"), portal("eu-west-1"), ECR), files=sso("eu-west-1", expires_in=-60)),
    # The names are looked up by the proxy, which says in its own way that there are none.
    proxied("FIPS: the published name, squid", {"HTTPS_PROXY": SQUID},
            (*(f"squid CONNECT api.ecr-fips.{WEST}.amazonaws.com:443",) * 5,
             f"squid CONNECT ecr-fips.{WEST}.amazonaws.com:443"),
            (f"ecr https://ecr-fips.{WEST}.amazonaws.com {WEST}",),
            host=at(f"dkr.ecr-fips.{WEST}.amazonaws.com")),
    proxied("FIPS: the published name, tinyproxy", HTTPS,
            (*(f"open CONNECT api.ecr-fips.{WEST}.amazonaws.com:443",) * 5,
             f"open CONNECT ecr-fips.{WEST}.amazonaws.com:443"),
            (f"ecr https://ecr-fips.{WEST}.amazonaws.com {WEST}",),
            host=at(f"dkr.ecr-fips.{WEST}.amazonaws.com")),
    # NO_PROXY.
    no_proxy("amazonaws.com", True),
    no_proxy(".amazonaws.com", True),
    no_proxy("*.amazonaws.com", True),
    no_proxy("other.example, AMAZONAWS.COM", True),
    no_proxy("ws.com", False),
    no_proxy("api.ecr.us-east-1.amazonaws.com", True),
    no_proxy(".api.ecr.us-east-1.amazonaws.com", False),
    no_proxy("amazonaws.com:443", True),
    no_proxy("amazonaws.com:8443", False),
    no_proxy("*", True),
    no_proxy("10.0.0.0/8,127.0.0.0/8", False),
    no_proxy("amazonaws.com", True, name="no_proxy"),
    no_proxy("10.0.0.0/8", True, FOUR, FOUR_CALL),
    no_proxy("10.11.12.13", True, FOUR, FOUR_CALL),
    no_proxy("10.11.12.13:80", False, FOUR, FOUR_CALL, VIA_FOUR),
    no_proxy("10.12.0.0/16", False, FOUR, FOUR_CALL, VIA_FOUR),
    no_proxy("2001:db8::/32", True, SIX, SIX_CALL),
    no_proxy("2001:db8::5", True, SIX, SIX_CALL),
    no_proxy("[2001:db8::5]:8080", True, SIX, SIX_CALL),
    no_proxy("2001:db9::/32", False, SIX, SIX_CALL, VIA_SIX),
    proxied("NO_PROXY goes before no_proxy", {**HTTPS, "NO_PROXY": "x.example", "no_proxy": "*"}),
    # What cannot work.
    proxied("socks5", {"HTTPS_PROXY": f"socks5://user:{PASSWORD}@127.0.0.1:1080"}, (), (),
            fails=('HTTPS_PROXY .*"socks5".* not supported', "hint: set HTTPS_PROXY to http://")),
    proxied("socks5 in lower case", {"https_proxy": "socks5h://127.0.0.1:1080"}, (), (),
            fails=('https_proxy .*"socks5h"', "hint: set https_proxy")),
    proxied("not a URL", {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:port"}, (), (),
            fails=("HTTPS_PROXY is not a proxy URL",)),
    proxied("a wrong password", {"HTTPS_PROXY": LOCKED.format("wrong-hunter2")},
            (f"locked {CONNECT}",), (),
            fails=(r"the proxy 127\.0\.0\.1:3129 \(HTTPS_PROXY\) rejects the user name and password",
                   "hint: check HTTPS_PROXY")),
    proxied("no password", {"HTTPS_PROXY": "http://127.0.0.1:3129"}, (f"locked {CONNECT}",), (),
            fails=(r"the proxy 127\.0\.0\.1:3129 \(HTTPS_PROXY\) requires a user name and password",)),
    proxied("a wrong password, http", {"HTTP_PROXY": LOCKED.format("wrong-hunter2"), "AWS_MAX_ATTEMPTS": "1", **PLAIN},
            (f"locked POST http://{PRIVATE}:8080/",), (),
            # It may end the connection before its reply is read.
            fails=(r"the proxy 127\.0\.0\.1:3129 \(HTTP_PROXY\) (rejects|broke)",)),
    *(proxied(f"no such name behind it, http, {name}", {"HTTP_PROXY": url,
              "AWS_ENDPOINT_URL_ECR": "http://no-such.corp.example", "AWS_MAX_ATTEMPTS": "1"},
              (f"{name} POST http://no-such.corp.example/",), (),
              fails=(r"the proxy \S+ \(HTTP_PROXY\) (cannot reach no-such\.corp\.example: it returned HTTP 50|broke)",))
      for name, url in (("open", OPEN), ("squid", SQUID))),
    *(proxied(f"no such name behind it, https, {name}", {"HTTPS_PROXY": url, "AWS_MAX_ATTEMPTS": "1"},
              (f"{name} CONNECT api.ecr.xx-nowhere-1.amazonaws.com:443",), (),
              host=at("dkr.ecr.xx-nowhere-1.amazonaws.com"),
              fails=(r"the proxy \S+ \(HTTPS_PROXY\) cannot reach api\.ecr\.xx-nowhere-1\S+: it returned HTTP 50",))
      for name, url in (("open", OPEN), ("squid", SQUID))),
    proxied("a refusal of AWS's own is no failure of the proxy", {"HTTP_PROXY": OPEN, **PLAIN},
            (f"open POST http://{PRIVATE}:8080/",), (f"ecr http://{PRIVATE}:8080 us-east-1",),
            aws={"ecr": {"then": {"kind": "aws_error", "code": "AccessDeniedException"}}},
            fails=("access denied",)),
    proxied("nobody listens", {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9"}, (), (),
            fails=(r"the proxy 127\.0\.0\.1:9 \(HTTPS_PROXY\) cannot be reached", "hint: .*HTTPS_PROXY")),
    proxied("no such name", {"HTTPS_PROXY": "http://no-such-proxy.corp.example:3128"}, (), (),
            fails=(r"the proxy no-such-proxy\.corp\.example:3128 \(HTTPS_PROXY\) cannot be reached",)),
    proxied("a destination that squid denies", {"HTTPS_PROXY": SQUID},
            ("squid CONNECT api.ecr.sa-east-1.amazonaws.com:443",), (), host=SQUID_DENIES,
            fails=(r"the proxy 127\.0\.0\.1:3130 \(HTTPS_PROXY\) refuses the connection to api\.ecr\.sa-east-1\.amazonaws\.com with HTTP 403",)),
    proxied("it is no proxy at all", {"HTTPS_PROXY": "http://127.0.0.1:8080"}, (), ("*",),
            fails=(r"the proxy 127\.0\.0\.1:8080 \(HTTPS_PROXY\)",)),
)


# --- certificate authorities ----------------------------------------------------------------

# Served with a certificate of an authority that the system does not know.
CORP = {"AWS_ENDPOINT_URL_ECR": "https://ecr.corp.example"}
CORP_CALL = "ecr https://ecr.corp.example us-east-1"
UNTRUSTED = (r"certificate of \S+ is not signed by a trusted CA",
             "hint: .*AWS_CA_BUNDLE or SSL_CERT_FILE")


def trust(what, env, calls=(CORP_CALL,), **rest):
    return Case(f"authority: {what}", env={**CORP, **env}, calls=calls, **rest)


NO_CERTIFICATE = "no PEM certificate in"


def bad_bundles():
    faults = {"missing": "cannot be read", "empty": NO_CERTIFICATE,
              "junk": NO_CERTIFICATE, "cut": rf"malformed|{NO_CERTIFICATE}",
              "bad-der": "is malformed", "private-key": NO_CERTIFICATE,
              "": "cannot be read"}
    for name, says in faults.items():
        path = "{ca}/bad/" + name
        for setting in "AWS_CA_BUNDLE", "SSL_CERT_FILE":
            yield trust(f"{setting} is {name or 'a directory'}", {setting: path}, (),
                        fails=(f"{setting}.*/bad/{name}", says, f"hint: set {setting}"))
        yield trust(f"ca_bundle is {name or 'a directory'}", PROFILE, (),
                    files=profile(f"ca_bundle = {path}"),
                    fails=(f'ca_bundle of profile "p".*/bad/{name}', says, "hint: set ca_bundle"))
    for name in "missing", "no-certificates":
        yield trust(f"SSL_CERT_DIR is {name}", {"SSL_CERT_DIR": "{ca}/bad/" + name}, (),
                    fails=(f"SSL_CERT_DIR.*/bad/{name}", "hint: set SSL_CERT_DIR"))


AUTHORITIES = (
    trust("unknown to the system", {}, (), fails=UNTRUSTED),
    trust("AWS_CA_BUNDLE", {"AWS_CA_BUNDLE": "{ca}/corp/ca.pem"}),
    trust("ca_bundle in the profile", PROFILE, files=profile("ca_bundle = {ca}/corp/ca.pem")),
    trust("AWS_CA_BUNDLE goes before ca_bundle", {**PROFILE, "AWS_CA_BUNDLE": "{ca}/corp/ca.pem"},
          files=profile("ca_bundle = /nowhere")),
    trust("AWS_CA_BUNDLE goes before SSL_CERT_FILE",
          {"AWS_CA_BUNDLE": "{ca}/corp/ca.pem", "SSL_CERT_FILE": "/nowhere"}),
    trust("SSL_CERT_FILE", {"SSL_CERT_FILE": "{ca}/corp/ca.pem"}),
    trust("SSL_CERT_DIR", {"SSL_CERT_DIR": "/nowhere:{ca}/dir"}),
    trust("SSL_CERT_DIR with hashed names", {"SSL_CERT_DIR": "{ca}/hashed"}),
    trust("AWS_CA_BUNDLE replaces the system's", {"AWS_CA_BUNDLE": "{ca}/corp/ca.pem",
          "AWS_ENDPOINT_URL_ECR": None}, (), fails=UNTRUSTED),
    trust("SSL_CERT_FILE does not replace the system's", {"SSL_CERT_FILE": "{ca}/corp/ca.pem",
          "AWS_ENDPOINT_URL_ECR": None}, (ECR,)),
    trust("SSL_CERT_FILE and SSL_CERT_DIR together do", {"SSL_CERT_FILE": "{ca}/corp/ca.pem",
          "SSL_CERT_DIR": "{ca}/dir", "AWS_ENDPOINT_URL_ECR": None}, (), fails=UNTRUSTED),
    trust("expired certificate", {"AWS_ENDPOINT_URL_ECR": "https://expired.corp.example"}, (),
          fails=("certificate of expired.corp.example has expired", "hint: .*clock")),
    trust("certificate for another name", {"AWS_ENDPOINT_URL_ECR": "https://other.corp.example"}, (),
          fails=("other.corp.example.*another name", "hint: .*endpoint")),
    trust("the real name with a certificate that is not for it", {"AWS_ENDPOINT_URL_ECR": None}, (),
          host=at("dkr.ecr.ap-southeast-1.amazonaws.com"), fails=UNTRUSTED),
    trust("a TLS proxy that nobody vouches for",
          {"AWS_ENDPOINT_URL_ECR": None, "AWS_CA_BUNDLE": "{ca}/corp/ca.pem", "HTTPS_PROXY": SQUID_TLS},
          (), fails=("proxy.corp.example is not signed",)),
    trust("the system has none", {}, (), without_system_store=True,
          fails=("no CA certificates", "hint: .*ca-certificates")),
    trust("the system has none, AWS_CA_BUNDLE", {"AWS_CA_BUNDLE": "{ca}/corp/ca.pem"},
          without_system_store=True),
    trust("the system has none, over http", PLAIN, (f"ecr http://{PRIVATE}:8080 us-east-1",),
          without_system_store=True),
    *bad_bundles(),
)


# --- private endpoints ----------------------------------------------------------------------

STS_PRIVATE = "vpce-0c2d.sts.us-east-1.vpce.amazonaws.com"
SSO_PRIVATE, OIDC_PRIVATE = "sso.corp-internal.example", "oidc.corp-internal.example"
SERVICES = f"""
[services corp]
ecr =
  endpoint_url = https://{PRIVATE}:8443/ecr/
ecr_public =
  endpoint_url = http://{PRIVATE}:8080
sts =
  endpoint_url = https://{STS_PRIVATE}
sso =
  endpoint_url = https://{SSO_PRIVATE}
sso_oidc =
  endpoint_url = https://{OIDC_PRIVATE}
"""
HIDDEN = "https://hidden.corp.example"


def endpoint(what, url, env=None, files=None, **rest):
    return Case(f"endpoint: {what}", env=env or {"AWS_ENDPOINT_URL_ECR": url}, files=files or {},
                calls=(f"ecr {url} us-east-1",), again=(), **rest)


ENDPOINTS = (
    endpoint("https", f"https://{PRIVATE}"),
    endpoint("https with a port", f"https://{PRIVATE}:8443"),
    endpoint("http", f"http://{PRIVATE}"),
    endpoint("http with a port and a path", f"http://{PRIVATE}:8080/a/b/"),
    endpoint("https with a path", f"https://{PRIVATE}/ecr/"),
    endpoint("for all services", f"https://{PRIVATE}", {"AWS_ENDPOINT_URL": f"https://{PRIVATE}"}),
    endpoint("the one for ECR goes first", f"https://{PRIVATE}",
             {"AWS_ENDPOINT_URL": HIDDEN, "AWS_ENDPOINT_URL_ECR": f"https://{PRIVATE}"}),
    endpoint("it decides alone over FIPS and dual-stack", f"https://{PRIVATE}",
             {"AWS_ENDPOINT_URL_ECR": f"https://{PRIVATE}", **FIPS, **DUAL}),
    endpoint("and over the registry's name", f"https://{PRIVATE}",
             host=at("dkr-ecr-fips.us-east-1.on.aws")),
    endpoint("endpoint_url of the profile", f"https://{PRIVATE}", PROFILE,
             profile(f"endpoint_url = https://{PRIVATE}")),
    endpoint("a services section", f"https://{PRIVATE}:8443/ecr/", PROFILE,
             profile("services = corp", SERVICES)),
    endpoint("a variable goes before the services section", f"https://{PRIVATE}",
             {**PROFILE, "AWS_ENDPOINT_URL": f"https://{PRIVATE}"}, profile("services = corp", SERVICES)),
    Case("endpoint: ECR Public in a services section", PUBLIC, PROFILE,
         profile("services = corp", SERVICES),
         calls=(f"ecr_public http://{PRIVATE}:8080 us-east-1",), again=()),
    Case("endpoint: ECR Public by its variable", PUBLIC,
         {"AWS_ENDPOINT_URL_ECR_PUBLIC": f"https://{PRIVATE}", "AWS_ENDPOINT_URL_ECR": HIDDEN},
         calls=(f"ecr_public https://{PRIVATE} us-east-1",), again=()),
    Case("endpoint: STS in a services section", US, PROFILE,
         role("aws", f"services = corp\n{SERVICES}"),
         calls=(f"sts https://{STS_PRIVATE} us-east-1", f"ecr https://{PRIVATE}:8443/ecr/ us-east-1"),
         again=()),
    Case("endpoint: STS by its variable", US,
         {**PROFILE, "AWS_ENDPOINT_URL_STS": f"https://{STS_PRIVATE}"}, role("aws"),
         calls=(f"sts https://{STS_PRIVATE} us-east-1", ECR), again=()),
    Case("endpoint: SSO and OIDC in a services section", US, PROFILE,
         sso("us-east-1", f"services = corp\n{SERVICES}", -60),
         calls=(f"oidc https://{OIDC_PRIVATE} -", f"sso https://{SSO_PRIVATE} -",
                f"ecr https://{PRIVATE}:8443/ecr/ us-east-1"), again=()),
    *(Case(f"endpoint: ignored for {what}, by {how}", US, {**PROFILE, **env}, files, calls=calls,
           again=())
      for how, env, key in (
          ("the variable", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": HIDDEN,
                            "AWS_ENDPOINT_URL_STS": HIDDEN, "AWS_ENDPOINT_URL_SSO": HIDDEN}, ""),
          ("the profile", {"AWS_ENDPOINT_URL": HIDDEN}, "ignore_configured_endpoint_urls = true\n"))
      for what, files, calls in (
          ("ECR", profile(f"services = corp\n{key}", SERVICES), (ECR,)),
          ("STS", role("aws", f"services = corp\n{key}{SERVICES}"),
           ("sts https://sts.us-east-1.amazonaws.com us-east-1", ECR)),
          ("SSO", sso("eu-west-1", f"services = corp\n{key}{SERVICES}", -60),
           (renewal("eu-west-1"), portal("eu-west-1"), ECR)))),
    *(Case(f"endpoint: {url!r} is no URL", env={"AWS_ENDPOINT_URL_ECR": url},
           fails=("AWS_ENDPOINT_URL_ECR",))
      for url in ("vpce-0a1b.example", "ftp://vpce.example", "https://", "https://a b")),
)


# --- IPv6, and what lies next door ----------------------------------------------------------

IMDS4 = ("imds_token http://169.254.169.254 -",) + ("imds http://169.254.169.254 -",) * 2
IMDS6 = ("imds_token http://[fd00:ec2::254] -",) + ("imds http://[fd00:ec2::254] -",) * 2
ON_INSTANCE = {**NO_KEYS, "AWS_EC2_METADATA_DISABLED": None}
MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
ALL_PROXIED = {"HTTP_PROXY": OPEN, "HTTPS_PROXY": OPEN}
TASK = "/v2/credentials/0a1b2c3d-0000-4000-8000-00c0ffee0000"
RELATIVE, FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
EKS = {**NO_KEYS, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/pod-token"}
POD = {"pod-token": "pod-identity-token"}
POD_KNOWN = {"container_authorization": "pod-identity-token"}
ECS_CALL, EKS4_CALL, EKS6_CALL = (f"container http://{host} -" for host in
                                  ("169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"))
NEXT_DOOR = (
    Case("IPv6: an API name with an IPv6 address only", at("dkr-ecr.eu-north-1.on.aws"),
         calls=("ecr https://ecr.eu-north-1.api.aws eu-north-1",), again=()),
    Case("instance metadata", env=ON_INSTANCE, calls=(*IMDS4, ECR), again=IMDS4),
    Case("instance metadata over IPv6", env={**ON_INSTANCE, MODE: "IPv6"}, calls=(*IMDS6, ECR),
         again=IMDS6),
    Case("instance metadata over IPv6, by the profile",
         env={**ON_INSTANCE, "AWS_PROFILE": "p"},
         files=config("[profile p]\nec2_metadata_service_endpoint_mode = IPv6\n"),
         calls=(*IMDS6, ECR), again=IMDS6),
    Case("instance metadata at an address of one's own",
         env={**ON_INSTANCE, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[::1]:8080"},
         calls=tuple(c.replace("169.254.169.254", "[::1]:8080") for c in IMDS4) + (ECR,)),
    Case("instance metadata behind a proxy", env={**ON_INSTANCE, **ALL_PROXIED},
         calls=(*IMDS4, ECR), via=VIA_OPEN),
    Case("instance metadata over IPv6 behind a proxy",
         env={**ON_INSTANCE, **ALL_PROXIED, MODE: "IPv6"}, calls=(*IMDS6, ECR), via=VIA_OPEN),
    Case("instance metadata by a name behind a proxy", via=VIA_OPEN,
         env={**ON_INSTANCE, **ALL_PROXIED,
              "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://metadata.corp.example:8080"},
         calls=tuple(c.replace("169.254.169.254", "metadata.corp.example:8080") for c in IMDS4) + (ECR,)),
    Case("instance metadata without a role", env=ON_INSTANCE, aws={"imds_role": None},
         calls=IMDS4[:2], fails=("no AWS credentials found", "hint: .*role")),
    Case("an ECS task is known by its URI", env={**NO_KEYS, RELATIVE: TASK},
         calls=(ECS_CALL, ECR), again=()),
    Case("an ECS task behind a proxy", env={**NO_KEYS, **ALL_PROXIED, RELATIVE: TASK},
         calls=(ECS_CALL, ECR), via=VIA_OPEN),
    Case("a container URI that is not a task's is asked each time",
         env={**NO_KEYS, RELATIVE: "/creds"}, calls=(ECS_CALL, ECR), again=(ECS_CALL,)),
    Case("EKS Pod Identity", env={**EKS, FULL: "http://169.254.170.23/v1/credentials"}, files=POD,
         aws=POD_KNOWN, calls=(EKS4_CALL, ECR), again=(EKS4_CALL,)),
    Case("EKS Pod Identity over IPv6", env={**EKS, FULL: "http://[fd00:ec2::23]/v1/credentials"},
         files=POD, aws=POD_KNOWN, calls=(EKS6_CALL, ECR), again=(EKS6_CALL,)),
    Case("EKS Pod Identity behind a proxy",
         env={**EKS, **ALL_PROXIED, FULL: "http://169.254.170.23/v1/credentials"}, files=POD,
         aws=POD_KNOWN, calls=(EKS4_CALL, ECR), via=VIA_OPEN),
    Case("EKS Pod Identity with a token that is not the pod's",
         env={**EKS, FULL: "http://169.254.170.23/v1/credentials"}, files={"pod-token": "other"},
         aws=POD_KNOWN, calls=(EKS4_CALL,), fails=("container credentials: .*401",)),
    Case("a loopback endpoint behind a proxy", env={**ALL_PROXIED,
         "AWS_ENDPOINT_URL_ECR": "http://localhost:8080"},
         calls=("ecr http://localhost:8080 us-east-1",)),
)


# --- packets that are dropped ---------------------------------------------------------------

TIMED_OUT = ("timed out", "hint: .*(HTTPS_PROXY|network)")
DROPPED = (
    Case("dropped: instance metadata", env=ON_INSTANCE, at_most=5,
         fails=("no AWS credentials found", "hint: set AWS_PROFILE")),
    Case("dropped: instance metadata, AWS_PROFILE without credentials",
         env={**ON_INSTANCE, "AWS_PROFILE": "p"}, files=config("[profile p]\nregion = us-east-1\n"),
         at_most=5, fails=("no AWS credentials found",)),
    Case("dropped: ECR, within the default deadline", at("dkr.ecr.eu-west-3.amazonaws.com"),
         at_most=20, fails=TIMED_OUT),
    Case("dropped: ECR, within AWS_ECR_TIMEOUT", at("dkr.ecr.eu-west-3.amazonaws.com"),
         {"AWS_ECR_TIMEOUT": "3"}, at_most=3.5, fails=TIMED_OUT),
    Case("dropped: STS, within AWS_ECR_TIMEOUT", at("dkr.ecr.eu-west-3.amazonaws.com"),
         {**PROFILE, "AWS_ECR_TIMEOUT": "3"}, role("aws"), at_most=3.5, fails=TIMED_OUT),
    Case("dropped: the proxy", env={"HTTPS_PROXY": f"http://user:{PASSWORD}@10.99.0.7:3128",
                                    "AWS_ECR_TIMEOUT": "3"}, at_most=3.5,
         fails=(r"timed out .*proxy 10\.99\.0\.7:3128", "hint: .*HTTPS_PROXY")),
    Case("dropped: one address of two", at("dkr.ecr.eu-west-2.amazonaws.com"), at_most=2,
         calls=("ecr https://api.ecr.eu-west-2.amazonaws.com eu-west-2",)),
    Case("no route for IPv6, an IPv4 address as well", at("dkr.ecr.ca-central-1.amazonaws.com"),
         at_most=2, calls=("ecr https://api.ecr.ca-central-1.amazonaws.com ca-central-1",)),
    Case("dropped: what lies behind the proxy", at("dkr.ecr.eu-west-3.amazonaws.com"),
         {**HTTPS, "AWS_ECR_TIMEOUT": "3"}, at_most=3.5, via=("*",),
         fails=(r"timed out waiting for the proxy 127\.0\.0\.1:3128", "hint: .*HTTPS_PROXY")),
    Case("dropped: the container's endpoint", env={**NO_KEYS, RELATIVE: TASK}, at_most=20,
         fails=("timed out|container", "hint: ")),
    Case("dropped: the container's endpoint, within AWS_ECR_TIMEOUT", at_most=3.5,
         env={**NO_KEYS, RELATIVE: TASK, "AWS_ECR_TIMEOUT": "3"}, fails=("timed out|container", "hint: ")),
    Case("a resolver that does not answer", at("dkr.ecr.ap-east-2.amazonaws.com"),
         {"AWS_ECR_TIMEOUT": "3"}, at_most=3.5,
         fails=(r"timed out looking up the name api\.ecr\.ap-east-2\.amazonaws\.com", "hint: .*DNS")),
)


# --- retries --------------------------------------------------------------------------------

BUSY = {"ecr": {"then": {"kind": "status", "code": 503}}}
THROTTLED = {"ecr": {"then": {"kind": "aws_error", "code": "ThrottlingException"}}}


def tries(n, what, env=None, files=None, aws=BUSY, says="ECR failed with HTTP status 503", **rest):
    return Case(f"retries: {what}", env=env or {}, files=files or {}, calls=(ECR,) * n, aws=aws,
                fails=(says,), **rest)


RETRIES = (
    tries(5, "five by default"),
    tries(1, "AWS_MAX_ATTEMPTS=1", {"AWS_MAX_ATTEMPTS": "1"}),
    tries(5, "AWS_MAX_ATTEMPTS=5", {"AWS_MAX_ATTEMPTS": "5"}),
    tries(2, "max_attempts in the profile", PROFILE, profile("max_attempts = 2")),
    tries(4, "the variable goes first", {**PROFILE, "AWS_MAX_ATTEMPTS": "4"}, profile("max_attempts = 2")),
    tries(2, "AWS_RETRY_MODE=standard", {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "2"}),
    tries(2, "AWS_RETRY_MODE=adaptive", {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "2"}),
    tries(2, "retry_mode in the profile", PROFILE, profile("retry_mode = adaptive\nmax_attempts = 2")),
    tries(3, "throttling", {"AWS_MAX_ATTEMPTS": "3"}, aws=THROTTLED, says="ECR is throttling"),
    Case("retries: throttling until the deadline", env={"AWS_ECR_TIMEOUT": "3"}, aws=THROTTLED, calls=("*",),
         at_most=3.5, fails=("throttling",)),
    tries(1, "throttling, once", {"AWS_MAX_ATTEMPTS": "1"}, aws=THROTTLED, says="ECR is throttling"),
    tries(1, "not after a refusal", aws={"ecr": {"then": {
        "kind": "aws_error", "code": "AccessDeniedException"}}}, says="access denied"),
    Case("retries: the second answer counts", aws={"ecr": {"steps": [{"kind": "status", "code": 500}]}},
         calls=(ECR, ECR)),
    Case("retries: a hundred fit into one deadline", env={"AWS_MAX_ATTEMPTS": "100", "AWS_ECR_TIMEOUT": "3"},
         aws=BUSY, calls=("*",), at_most=3.5, fails=("timed out|503",)),
)


# --- keys of another partition --------------------------------------------------------------

UNKNOWN_KEY = {"kind": "aws_error", "code": "UnrecognizedClientException",
               "message": "The security token included in the request is invalid."}
KEYS = (
    Case("keys of another partition", CN, aws={"ecr": {"then": UNKNOWN_KEY}},
         calls=("ecr https://api.ecr.cn-north-1.amazonaws.com.cn cn-north-1",),
         fails=(f"AWS does not know the access key of the environment .{KEY}.", "hint: .*partition")),
    Case("keys of another partition, at STS", GOV, PROFILE, role("aws-us-gov"),
         aws={"sts": {"then": {"kind": "aws_error", "status": 403, "code": "InvalidClientTokenId",
                               "message": "The security token included in the request is invalid."}}},
         calls=("sts https://sts.us-gov-west-1.amazonaws.com us-gov-west-1",),
         fails=('AWS does not know the access key of profile "k"', "hint: .*partition")),
)


# --- where the names lead -------------------------------------------------------------------

def hosts():
    """Name -> addresses, for every name that a good case asks for and those below."""
    led = {}
    for case in (*apis(), *STS, *sessions(lambda: ""), *ABSENT, *PROXIES, *ENDPOINTS, *KEYS):
        for call in case.calls:
            if call != "*":
                name = call.split()[1].split("://")[1].split("/")[0].split(":")[0]
                if name and not name[0].isdigit() and name[0] != "[":
                    led[name] = "127.0.0.1"
    return led | {
        # Would be seen, if somebody fell back to it.
        f"api.ecr.{SOUTH}.amazonaws.com": "127.0.0.1", f"api.ecr.{WEST}.amazonaws.com": "127.0.0.1",
        f"sts.{WEST}.amazonaws.com": "127.0.0.1", "api.ecr.ap-east-1.amazonaws.com": "127.0.0.1",
        "api.ecr.sa-east-1.amazonaws.com": "127.0.0.1", "hidden.corp.example": "127.0.0.1",
        "ecr.eu-north-1.api.aws": "::1",
        "api.ecr.eu-west-3.amazonaws.com": "10.99.0.7", "sts.eu-west-3.amazonaws.com": "10.99.0.7",
        "api.ecr.eu-west-2.amazonaws.com": ["10.99.0.7", "127.0.0.1"],
        "api.ecr.ca-central-1.amazonaws.com": ["2001:db8:dead::1", "127.0.0.1"],
        "metadata.corp.example": "127.0.0.1", "proxy.corp.example": "127.0.0.1", "ecr.corp.example": "127.0.0.11",
        "expired.corp.example": "127.0.0.12", "other.corp.example": "127.0.0.13",
        "api.ecr.ap-southeast-1.amazonaws.com": "127.0.0.11",
    }


# The resolver's answer to these is a failure, or nothing at all. All other names do not exist.
FAILS_TO_RESOLVE = ("api.ecr-fips.ap-east-1.amazonaws.com",)
NEVER_RESOLVES = ("api.ecr.ap-east-2.amazonaws.com",)
