"""All cases of network.py: data only, one row for each fact."""

import hashlib
import json
from pathlib import Path

from network_base import *
from network_proxies import *


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
    Case("STS: a role of another partition is refused before any call", CN, PROFILE,
         role("aws"), fails=(r"arn:aws:iam::\d+:role/r.* aws-cn", "hint: .*aws-cn")),
)


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
         fails=("api.ecr.xx-nowhere-1.amazonaws.com does not resolve", "hint: .*region")),
    Case("a resolver that fails proves nothing about FIPS",
         at("dkr.ecr-fips.ap-east-1.amazonaws.com"),
         # musl asks again until the connection takes too long.
         fails=("the name api.ecr-fips.ap-east-1.amazonaws.com( does not resolve\n|\n)",
                "hint: .*(DNS|network)")),
)


# --- IPv6, and link-local services -----------------------------------------------------------

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
LINK_LOCAL = (
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
    Case("dropped: the host behind the proxy", at("dkr.ecr.eu-west-3.amazonaws.com"),
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
        # A fall-back to it would be seen.
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
