"""Cases: the sources of credentials and their order."""

import hashlib
import json
import time

from aws_cli_base import *


# --- variables ------------------------------------------------------------------------------------

def environment():
    cases = [
        Case("environment keys", env=env_keys()),
        Case("environment keys before a profile", "", f"[dev]\n{keys('DEV')}", DEV | env_keys()),
        Case("environment keys before a faulty file", "[default\n", "", env_keys(), differs="unused faults"),
        Case("environment keys with token", env=env_keys(AWS_SESSION_TOKEN="t")),
        Case("environment keys with security token", env=env_keys(AWS_SECURITY_TOKEN="t")),
        Case("environment keys with both tokens", env=env_keys(AWS_SECURITY_TOKEN="t", AWS_SESSION_TOKEN="u")),
        Case("environment keys with blank tokens", env=env_keys(AWS_SECURITY_TOKEN="", AWS_SESSION_TOKEN="")),
        Case("ID without secret", env={"AWS_ACCESS_KEY_ID": "AKIAENV"}),
        Case("ID with empty secret", env=env_keys(AWS_SECRET_ACCESS_KEY="")),
        Case("ID without secret, keys in a file", "", f"[default]\n{keys('DEF')}", {"AWS_ACCESS_KEY_ID": "AKIAENV"}),
        Case("secret without ID", env={"AWS_SECRET_ACCESS_KEY": "s"}, differs="half settings"),
        Case("secret without ID, keys in a file", "", f"[default]\n{keys('DEF')}", {"AWS_SECRET_ACCESS_KEY": "s"},
             differs="half settings"),
        Case("empty ID with secret", env=env_keys(AWS_ACCESS_KEY_ID=""), differs="half settings"),
        Case("both empty", "", f"[default]\n{keys('DEF')}", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
        Case("other spellings", env={"AWS_ACCESS_KEY": "AKIAENV", "AWS_SECRET_KEY": "s"},
             differs="other spellings of keys"),
        Case("token alone", "", f"[default]\n{keys('DEF')}", {"AWS_SESSION_TOKEN": "t"}),
        Case("environment keys, expired", env=env_keys(AWS_CREDENTIAL_EXPIRATION=PAST)),
        Case("environment keys, not expired", env=env_keys(AWS_CREDENTIAL_EXPIRATION=FUTURE)),
        Case("public", env=env_keys(), host="public.ecr.aws"),
        Case("nothing at all", env=NO_IMDS),
    ]
    for region in "us-west-2", "eu-west-1a", "", " ", "nowhere", "EU-WEST-1", "us-gov-west-1", "a.b/c":
        for variable in "AWS_REGION", "AWS_DEFAULT_REGION":
            cases.append(Case(f"{variable}={region!r}", env=env_keys() | {variable: region}))
            cases.append(Case(f"role, {variable}={region!r}", profile("dev", role("r", "b")), f"[b]\n{keys('B')}",
                              DEV | {variable: region}))
        cases.append(Case(f"role, region {region!r} in the profile", profile("dev", role("r", "b", f"region = {region}\n")),
                          f"[b]\n{keys('B')}", DEV))
        cases.append(Case(f"role, region {region!r} in the source", profile("dev", role("r", "b")) +
                          profile("b", f"region = {region}\n"), f"[b]\n{keys('B')}", DEV))
    return cases


def retired():
    """What the AWS CLI still reads of boto 2 and of the EC2 tools."""
    boto = f"[Credentials]\n{keys('BOTO')}"
    ec2 = "# c\nAWSAccessKeyId=AKIAECTWO\nAWSSecretKey = s\n"
    of = lambda name, files, env=None, **more: Case(f"retired file: {name}", env=env or {}, files=files, **more)
    named = {"BOTO_CONFIG": "{home}/b"}
    return [
        of("~/.boto", {".boto": boto}), of("BOTO_CONFIG", {"b": boto}, named),
        of("BOTO_CONFIG before ~/.boto", {"b": boto, ".boto": boto.replace("BOTO", "X")}, named),
        of("BOTO_CONFIG missing, ~/.boto", {".boto": boto}, named),
        of("BOTO_CONFIG by ~", {"b": boto}, {"BOTO_CONFIG": "~/b"}),
        of("other sections", {".boto": "[Boto]\ndebug = 0\n"}),
        of("no secret", {".boto": "[Credentials]\naws_access_key_id = AKIABOTO\n"}),
        of("faulty", {".boto": "[Credentials]\nnothing\n" + boto}),
        of("a directory", {".boto": None}),
        of("after profiles", {".boto": boto, ".aws/config": f"[default]\n{keys('DEF')}"}),
        of("before containers", {".boto": boto}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x"}),
        of("AWS_CREDENTIAL_FILE", {"e": ec2}, {"AWS_CREDENTIAL_FILE": "{home}/e"}),
        of("AWS_CREDENTIAL_FILE by ~", {"e": ec2}, {"AWS_CREDENTIAL_FILE": "~/e"}),
        of("AWS_CREDENTIAL_FILE before ~/.boto", {"e": ec2, ".boto": boto}, {"AWS_CREDENTIAL_FILE": "{home}/e"}),
        of("AWS_CREDENTIAL_FILE missing", {}, {"AWS_CREDENTIAL_FILE": "{home}/e"}),
        of("AWS_CREDENTIAL_FILE without ID", {"e": "x = y\n"}, {"AWS_CREDENTIAL_FILE": "{home}/e"}),
        of("AWS_CREDENTIAL_FILE without secret", {"e": "AWSAccessKeyId=AKIAX\n"}, {"AWS_CREDENTIAL_FILE": "{home}/e"}),
    ]


def web_identity():
    token = {"jwt": jwt()}
    file, arn = "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"
    both = {file: "{home}/jwt", arn: f"{ROLE}web"}
    in_profile = f"role_arn = {ROLE}prof\nweb_identity_token_file = {{home}}/jwt\n"
    of = lambda name, config="", credentials="", env=both, **more: Case(
        f"web identity: {name}", config, credentials, env, {**token, **more.pop("files", {})}, **more)
    return [
        of("variables"),
        of("with session name", env=both | {"AWS_ROLE_SESSION_NAME": "me"}),
        of("before default keys", "", f"[default]\n{keys('DEF')}"),
        of("before default keys in config", f"[default]\n{keys('DEF')}"),
        of("environment keys before", env=both | env_keys()),
        of("default profile is a role", f"[default]\n{role('r', 'b')}", f"[b]\n{keys('B')}"),
        of("default profile is a role without source", f"[default]\n{role('r')}"),
        of("default profile has a process", "[default]\ncredential_process = /bin/false\n"),
        of("before container", env=both | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x"}),
        of("profile", profile("dev", in_profile), env=DEV),
        of("default profile", f"[default]\n{in_profile}", env={}),
        of("profile with keys", profile("dev", in_profile + keys("DEV")), env=DEV),
        of("profile with source_profile", profile("dev", in_profile + "source_profile = b\n"), f"[b]\n{keys('B')}", DEV),
        of("profile with credential_source", profile("dev", in_profile + "credential_source = Ec2InstanceMetadata\n"),
           env=DEV),
        of("as a source", profile("dev", role("top", "w")) + profile("w", in_profile), env=DEV),
        Case("web identity: a named profile has keys", "", f"[dev]\n{keys('DEV')}", DEV | both, token,
             differs="named profile first"),
        of("as a source, with variables", profile("dev", role("top", "w")) + profile("w", in_profile), env=DEV | both),
        of("token file missing", env=both | {file: "{home}/no"}),
        of("token file empty", env=both | {file: "{home}/empty"}, files={"empty": ""}),
        of("token file with a line end", env=both | {file: "{home}/nl"}, files={"nl": jwt() + "\n"}),
        of("token file is a directory", env=both | {file: "{home}"}),
        of("token file without role", env={file: "{home}/jwt"}),
        of("token file with empty role", env=both | {arn: ""}),
        of("role without token file", env={arn: f"{ROLE}web"}),
        of("role without token file, keys", "", f"[default]\n{keys('DEF')}", {arn: f"{ROLE}web"}),
        of("empty token file variable", env=both | {file: ""}),
        of("empty token file variable, keys", "", f"[default]\n{keys('DEF')}", both | {file: ""}),
        of("token file in the profile, role in the variable", "[default]\nweb_identity_token_file = {home}/jwt\n",
           env={arn: f"{ROLE}web"}),
        of("role in the profile, token file in the variable", f"[default]\nrole_arn = {ROLE}prof\n",
           env={file: "{home}/jwt"}),
        of("profile without role", profile("dev", "web_identity_token_file = {home}/jwt\n"), env=DEV),
        of("~ in the variable", env=both | {file: "~/jwt"}),
        of("~ in the profile", profile("dev", in_profile.replace("{home}", "~")), env=DEV),
        of("STS refuses", aws={"sts": {"then": {"kind": "aws_error", "code": "AccessDenied", "status": 403}}}),
    ]


def roles():
    b = f"[b]\n{keys('B')}"
    of = lambda name, config, credentials=b, env=DEV, **more: Case(f"role: {name}", config, credentials, env, **more)
    process = "credential_process = {home}/process\n"
    chain = profile("dev", role("one", "two")) + profile("two", role("two", "three")) + profile("three", role("three", "b"))
    cases = [
        of("with source", profile("dev", role("r", "b"))),
        of("with external ID", profile("dev", role("r", "b", "external_id = ee\n"))),
        of("with duration", profile("dev", role("r", "b", "duration_seconds = 900\n"))),
        of("with odd duration", profile("dev", role("r", "b", "duration_seconds = x\n"))),
        of("with session name", profile("dev", role("r", "b", "role_session_name = me\n"))),
        of("with blank session name", profile("dev", role("r", "b", "role_session_name =\n"))),
        of("with blank external ID", profile("dev", role("r", "b", "external_id =\n"))),
        of("chain of three", chain),
        of("own source with keys", profile("dev", role("r", "dev", keys("SELF")))),
        of("own source without keys", profile("dev", role("r", "dev"))),
        of("own keys and another source", profile("dev", role("r", "b", keys("SELF")))),
        of("circle of two", profile("dev", role("r", "x")) + profile("x", role("q", "dev"))),
        of("circle of two with keys", profile("dev", role("r", "x", keys("SELF"))) + profile("x", role("q", "dev"))),
        of("source with keys and a role", profile("dev", role("r", "x")) + profile("x", role("q", "b", keys("X")))),
        of("source with a lone secret and a role", profile("dev", role("r", "x")) +
           profile("x", role("q", "b", "aws_secret_access_key = s\n"))),
        of("source missing", profile("dev", role("r", "no"))),
        of("source without credentials", profile("dev", role("r", "x")) + profile("x", "region = us-east-1\n")),
        of("source blank", profile("dev", role("r", "", "source_profile =\n"))),
        of("source_profile without role", profile("dev", "source_profile = b\n")),
        of("no source", profile("dev", role("r"))),
        of("no source, keys", profile("dev", role("r", "", keys("SELF")))),
        of("blank role_arn", profile("dev", "role_arn =\nsource_profile = b\n")),
        of("blank role_arn with keys", profile("dev", "role_arn =\n" + keys("SELF"))),
        of("source and credential_source", profile("dev", role("r", "b", "credential_source = Environment\n"))),
        of("source default", profile("dev", role("r", "default")), f"[default]\n{keys('DEF')}"),
        of("default with role", f"[default]\n{role('r', 'b')}", env={}),
        of("default with role, container", f"[default]\n{role('r', 'b')}",
           env={"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x"}),
        of("process as a source", profile("dev", role("r", "p")) + profile("p", process),
           files={"process": script("PROC")}, executable=("process",)),
        of("ARN of China", profile("dev", "role_arn = arn:aws-cn:iam::123456789012:role/r\nsource_profile = b\n")),
        of("STS refuses", profile("dev", role("r", "b")),
           aws={"sts": {"then": {"kind": "aws_error", "code": "AccessDenied", "status": 403}}}),
        of("services section", profile("dev", role("r", "b", "services = s\n")) +
           "[services s]\nsts =\n  endpoint_url = http://sts.corp.example\n"),
        of("endpoint of the role's profile only", profile("dev", role("r", "x", "endpoint_url = http://dev.corp.example\n")) +
           profile("x", role("q", "b", "endpoint_url = http://x.corp.example\n"))),
    ]
    for name in ("Environment", "Ec2InstanceMetadata", "EcsContainer", "environment", "EC2INSTANCEMETADATA", "Moon", "",
                 "SharedCredentials", " Environment "):
        text = profile("dev", role("r", "", f"credential_source = {name}\n"))
        cases.append(of(f"credential_source {name!r}", text))
        cases.append(of(f"credential_source {name!r} with container", text,
                        env=DEV | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x"}))
        cases.append(of(f"credential_source {name!r} without role", profile("dev", f"credential_source = {name}\n")))
        cases.append(of(f"credential_source {name!r} without role, keys",
                        profile("dev", f"credential_source = {name}\n{keys('DEV')}")))
        cases.append(of(f"credential_source {name!r} as a source", profile("dev", role("top", "x")) +
                        profile("x", role("r", "", f"credential_source = {name}\n"))))
    cases += [
        of("credential_source without metadata", profile("dev", role("r", "", "credential_source = Ec2InstanceMetadata\n")),
           env=DEV | NO_IMDS),
        of("credential_source with environment keys", profile("dev", role("r", "", "credential_source = Environment\n")),
           env=DEV | env_keys()),
    ]
    return cases


def mfa():
    """What the AWS CLI keeps of roles, and roles that need a code."""
    b = f"[b]\n{keys('B')}"
    serial = "arn:aws:iam::123456789012:mfa/me"

    def kept(args, expiration=FUTURE, key="ASIAKEPT"):
        name = hashlib.sha1(json.dumps(args, sort_keys=True).encode()).hexdigest()
        made = {"AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": expiration,
                "AccountId": "123456789012"}
        return {f".aws/cli/cache/{name}.json": json.dumps({"Credentials": made, "AssumedRoleUser": {
            "Arn": f"{ROLE}r/x", "AssumedRoleId": "AROA:x"}})}

    def of(name, more, args, config="", **options):
        text = config or profile("dev", role("r", "b", more))
        return Case(f"kept: {name}", text, b, DEV, kept({"RoleArn": f"{ROLE}r"} | args, **options))

    with_serial = f"mfa_serial = {serial}\n"
    return [
        Case("MFA, nothing kept", profile("dev", role("r", "b", with_serial)), b, DEV),
        of("MFA", with_serial, {"SerialNumber": serial}),
        of("MFA, expired", with_serial, {"SerialNumber": serial}, expiration=PAST),
        of("MFA of another serial", with_serial, {"SerialNumber": serial + "2"}),
        of("plain role", "", {}), of("plain role, expired", "", {}, expiration=PAST),
        of("other zone", "", {}, expiration="2099-01-01T00:00:00+0000"),
        of("UTC", "", {}, expiration="2099-01-01T00:00:00UTC"),
        of("fractions", "", {}, expiration="2099-01-01T00:00:00.123Z"),
        of("+00:00", "", {}, expiration="2099-01-01T00:00:00+00:00"),
        of("external ID", "external_id = ee\n", {"ExternalId": "ee"}),
        of("session name", "role_session_name = me\n", {"RoleSessionName": "me"}),
        of("duration", "duration_seconds = 900\n", {"DurationSeconds": 900}),
        of("all of it", with_serial + "external_id = \xe9\xe9\nrole_session_name = me\nduration_seconds = 3600\n",
           {"SerialNumber": serial, "ExternalId": "\xe9\xe9", "RoleSessionName": "me", "DurationSeconds": 3600}),
        of("MFA in a source", "", {"SerialNumber": serial}, profile("dev", role("top", "x")) +
           profile("x", role("r", "b", with_serial))),
        Case("kept: junk", profile("dev", role("r", "b")), b, DEV,
             {path: "junk" for path in kept({"RoleArn": f"{ROLE}r"})}),
        Case("kept: credentials missing", profile("dev", role("r", "b")), b, DEV,
             {path: "{}" for path in kept({"RoleArn": f"{ROLE}r"})}),
    ]


def script(name, **more):
    answer = {"Version": 1, "AccessKeyId": f"AKIA{name}", "SecretAccessKey": "s"} | more
    answer = {key: value for key, value in answer.items() if value is not None}
    return f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n"


def processes():
    def of(name, command="{home}/process", text=None, config="", credentials="", env=DEV):
        config = config or profile("dev", f"credential_process = {command}\n")
        return Case(f"process: {name}", config, credentials, env, {"process": text or script("PROC"),
                    "with space/process": script("SPACE")}, executable=("process", "with space/process"))
    cases = [
        of("plain"), of("quoted", '"{home}/process"'), of("with a blank", '"{home}/with space/process"'),
        of("escaped blank", "{home}/with\\ space/process"), of("single quotes", "'{home}/process' --x 'a b'"),
        of("by PATH", "cat {home}/answer"), of("missing", "{home}/no"), of("fails", "/bin/false"),
        of("no output", "/bin/true"), of("blank", ""), of("~", "~/process"), of("$HOME", "$HOME/process"),
        of("pipe", "{home}/process | cat"), of("comment", "{home}/process # comment"), of("&&", "true && {home}/process"),
        of("unclosed quote", "'{home}/process"), of("junk", text="#!/bin/sh\necho junk\n"),
        of("exit 1", text=script("PROC") + "exit 1\n"),
        of("version 2", text=script("PROC", Version=2)), of("version 1.0", text=script("PROC", Version=1.0)),
        of("version as text", text=script("PROC", Version="1")), of("no version", text=script("PROC", Version=None)),
        of("no secret", text=script("PROC", SecretAccessKey=None)), of("no ID", text=script("PROC", AccessKeyId=None)),
        of("token", text=script("PROC", SessionToken="t")), of("null token", text=script("PROC").replace("}", ', "SessionToken": null}')),
        of("blank expiry", text=script("PROC", Expiration="")), of("null expiry", text=script("PROC").replace("}", ', "Expiration": null}')),
        of("and keys in credentials", credentials=f"[dev]\n{keys('CRED')}"),
        of("and keys in config", config=profile("dev", "credential_process = {home}/process\n" + keys("CONF"))),
        of("of the default profile", config="[default]\ncredential_process = {home}/process\n", env={}),
        of("and role without source", config=profile("dev", "credential_process = {home}/process\n" + role("r"))),
        of("in the credentials file", config="[default]\n", credentials="[dev]\ncredential_process = {home}/process\n"),
    ]
    for expiry in (FUTURE, PAST, "2099-01-01T00:00:00+0000", "2099-01-01T00:00:00UTC", "2099-01-01T00:00:00.123456Z",
                   "2099-01-01T00:00:00+01:00", "2099-01-01 00:00:00+00:00", "20990101T000000Z", "junk",
                   "2099-01-01T00:00:00.123456789Z"):
        cases.append(of(f"expires {expiry}", text=script("PROC", Expiration=expiry)))
    return cases


# --- SSO and aws login ----------------------------------------------------------------------------

START = "https://corp.awsapps.com/start"
ACCOUNT = "sso_account_id = 111122223333\nsso_role_name = Admin\n"
PORTAL = f"sso_start_url = {START}\nsso_region = us-east-1\n"


def sso_token(name, expires=FUTURE, **more):
    digest = hashlib.sha1(name.encode()).hexdigest()
    token = {"startUrl": START, "region": "us-east-1", "accessToken": f"token-{name}", "expiresAt": expires} | more
    return {f".aws/sso/cache/{digest}.json": json.dumps(token)}


REGISTERED = {"clientId": "c", "clientSecret": "s", "registrationExpiresAt": FUTURE, "refreshToken": "refresh"}


def sso():
    legacy, session = sso_token(START), sso_token("corp")
    named = ACCOUNT + "sso_session = corp\n"
    section = f"[sso-session corp]\n{PORTAL}"
    of = lambda name, config, files=session, credentials="", env=DEV, **more: Case(
        f"SSO: {name}", config, credentials, env, files, **more)
    renewing = profile("dev", named) + section
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
    return [
        of("session", renewing), of("legacy", profile("dev", ACCOUNT + PORTAL), legacy),
        of("default profile", f"[default]\n{named}{section}", env={}),
        of("session, logged out", renewing, {}), of("legacy, logged out", profile("dev", ACCOUNT + PORTAL), {}),
        of("session, expired", renewing, sso_token("corp", PAST)),
        of("legacy, expired", profile("dev", ACCOUNT + PORTAL), sso_token(START, PAST)),
        of("session, expired, refreshed", renewing, sso_token("corp", PAST, **REGISTERED)),
        of("session, expires soon, refreshed", renewing, sso_token("corp", soon, **REGISTERED)),
        of("session, expires soon", renewing, sso_token("corp", soon)),
        of("session, registration expired", renewing,
           sso_token("corp", PAST, **(REGISTERED | {"registrationExpiresAt": PAST}))),
        of("legacy, expired, with a refresh token", profile("dev", ACCOUNT + PORTAL), sso_token(START, PAST, **REGISTERED)),
        of("session of the legacy name", renewing, legacy),
        of("session that is missing", profile("dev", named)),
        of("session without start URL", profile("dev", named) + "[sso-session corp]\nsso_region = us-east-1\n"),
        of("session without region", profile("dev", named) + f"[sso-session corp]\nsso_start_url = {START}\n"),
        of("no account", profile("dev", "sso_session = corp\nsso_role_name = Admin\n") + section),
        of("no role", profile("dev", "sso_session = corp\nsso_account_id = 1\n") + section),
        of("session alone", profile("dev", "sso_session = corp\n") + section),
        of("session alone, keys", profile("dev", "sso_session = corp\n" + keys("DEV")) + section),
        of("session alone, keys in credentials", profile("dev", "sso_session = corp\n") + section, credentials=f"[dev]\n{keys('DEV')}"),
        of("region alone, keys", profile("dev", "sso_region = us-east-1\n" + keys("DEV"))),
        of("start URL alone, keys", profile("dev", PORTAL + keys("DEV"))),
        of("account alone, keys", profile("dev", "sso_account_id = 1\n" + keys("DEV"))),
        of("account blank", profile("dev", "sso_account_id =\nsso_role_name = r\n" + PORTAL)),
        of("session blank", profile("dev", ACCOUNT + PORTAL + "sso_session =\n"), legacy),
        of("with keys in config", profile("dev", named + keys("DEV")) + section),
        of("with keys in credentials", renewing, credentials=f"[dev]\n{keys('DEV')}"),
        of("with a process", profile("dev", named + "credential_process = /bin/false\n") + section),
        of("with a role and source", profile("dev", named + role("r", "b")) + section, credentials=f"[b]\n{keys('B')}"),
        of("as a source", profile("dev", role("r", "s")) + profile("s", named) + section),
        of("same values in both", profile("dev", named + PORTAL) + section),
        of("other region in the profile", profile("dev", named + "sso_region = eu-west-1\n") + section),
        of("other start URL in the profile", profile("dev", named + "sso_start_url = https://x\n") + section),
        of("quoted session", profile("dev", ACCOUNT + "sso_session = my corp\n") +
           f"[sso-session 'my corp']\n{PORTAL}", sso_token("my corp")),
        of("session of any characters", profile("dev", ACCOUNT + "sso_session = m\xfcll&er\n") +
           f"[sso-session m\xfcll&er]\n{PORTAL}", sso_token("m\xfcll&er")),
        of("region that is none", profile("dev", named) + section.replace("us-east-1", "us-east-1a")),
        of("region with a slash", profile("dev", named) + section.replace("us-east-1", "x/y")),
        of("region of China", profile("dev", named) + section.replace("us-east-1", "cn-north-1")),
        of("junk token", renewing, {path: "junk" for path in session}),
        of("token without expiry", renewing, {path: '{"accessToken": "t"}' for path in session}),
        of("token without token", renewing, {path: f'{{"expiresAt": "{FUTURE}"}}' for path in session}),
        of("expiry as UTC", renewing, sso_token("corp", "2099-01-01T00:00:00UTC")),
        of("expiry as +0000", renewing, sso_token("corp", "2099-01-01T00:00:00+0000")),
        of("expiry with fractions", renewing, sso_token("corp", "2099-01-01T00:00:00.5Z")),
        of("legacy, expiry as UTC", profile("dev", ACCOUNT + PORTAL), sso_token(START, "2099-01-01T00:00:00UTC")),
        of("portal refuses", renewing, aws={"sso": {"then": {"kind": "aws_error", "code": "UnauthorizedException", "status": 401}}}),
        of("role is not the user's", renewing, aws={"sso": {"then": {"kind": "aws_error", "code": "ForbiddenException", "status": 403}}}),
        of("web identity variables too", f"[default]\n{named}{section}", session | {"jwt": jwt()},
           env={"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/jwt", "AWS_ROLE_ARN": f"{ROLE}web"}),
        of("endpoint variable", renewing, env=DEV | {"AWS_ENDPOINT_URL_SSO": "http://sso.corp.example"}),
        of("endpoint of all", renewing, env=DEV | {"AWS_ENDPOINT_URL": "http://all.corp.example"}),
        of("endpoint in the profile", profile("dev", named + "endpoint_url = http://all.corp.example\n") + section),
        of("FIPS", renewing, env=DEV | {"AWS_USE_FIPS_ENDPOINT": "true"}),
        of("in the credentials file", section, credentials=f"[dev]\n{named}"),
        of("profile region does not matter", profile("dev", named + "region = ap-south-1\n") + section),
    ]


LOGIN = "arn:aws:iam::123456789012:user/me"
KEY = """-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIF0rKTBoqLfZY8qSV4gAvAIZYC8XS27R7sjJVrZJ1PgooAoGCCqGSM49
AwEHoUQDQgAEj6slT2YHLVZoHEHZsZdhZUsBQ4673A4Izk87t7WnOkTXdEob8ygQ
DvDx8S1Sy5ab95LUAdS6bLkLkAiTYzTv6Q==
-----END EC PRIVATE KEY-----
"""


def login_file(session=LOGIN, expires=FUTURE, directory=".aws/login/cache", **more):
    digest = hashlib.sha256(session.encode()).hexdigest()
    token = {"accessToken": {"accessKeyId": "ASIALOGIN", "secretAccessKey": "s", "sessionToken": "t",
                             "accountId": "123456789012", "expiresAt": expires},
             "tokenType": "aws_sigv4", "refreshToken": "r", "idToken": "i", "clientId": "c", "dpopKey": KEY} | more
    token = {key: value for key, value in token.items() if value is not None}
    return {f"{directory}/{digest}.json": json.dumps(token)}


def login():
    named = f"login_session = {LOGIN}\n"
    of = lambda name, config=profile("dev", named), files=login_file(), credentials="", env=DEV, **more: Case(
        f"login: {name}", config, credentials, env, files, **more)
    return [
        of("plain"), of("default profile", f"[default]\n{named}", env={}), of("logged out", files={}),
        of("other directory", files=login_file(directory="x"), env=DEV | {"AWS_LOGIN_CACHE_DIRECTORY": "{home}/x"}),
        of("other directory by ~", files=login_file(directory="x"), env=DEV | {"AWS_LOGIN_CACHE_DIRECTORY": "~/x"}),
        of("other directory by $HOME", files=login_file(directory="x"), env=DEV | {"AWS_LOGIN_CACHE_DIRECTORY": "$HOME/x"}),
        of("blank, keys", profile("dev", "login_session =\n" + keys("DEV"))),
        of("keys in config", profile("dev", named + keys("DEV"))),
        of("keys in credentials", credentials=f"[dev]\n{keys('DEV')}"),
        of("process too", profile("dev", named + "credential_process = /bin/false\n")),
        of("as a source", profile("dev", role("r", "l")) + profile("l", named)),
        of("no refresh token", files=login_file(refreshToken=None)), of("no key", files=login_file(dpopKey=None)),
        of("junk", files={path: "junk" for path in login_file()}),
        of("expiry as UTC", files=login_file(expires="2099-01-01T00:00:00UTC")),
        of("role and source too", profile("dev", named + role("r", "b")), credentials=f"[b]\n{keys('B')}"),
    ]


# --- container and instance ------------------------------------------------------------------------

def containers():
    full, relative = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    token, file = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    of = lambda name, env, files=None, **more: Case(f"container: {name}", env=env, files=files or {}, **more)
    cases = [of(f"full URI {uri}", {full: uri}) for uri in (
        "http://127.0.0.1/x", "http://127.0.0.1:8080/x", "http://localhost/x", "http://localhost:8080/x?y=z",
        "http://169.254.170.2/x", "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials",
        "http://[::1]/x", "http://127.0.0.2/x", "http://10.0.0.1/x", "http://evil.example/x", "https://corp.example/x",
        "", "x", "http://169.254.169.254/x", "ftp://127.0.0.1/x", "HTTP://127.0.0.1/x", "http://169.254.170.24/x",
        "http://127.0.0.1.evil.example/x", "http://127.0.0.1", "/x", "http://user:pass@127.0.0.1/x")]
    cases += [of(f"relative URI {uri}", {relative: uri}) for uri in (
        "/v2/credentials/x", "/x?id=1", "", " ", "x", "/", "//evil.example/x", "@evil.example/x")]
    cases += [
        of("both URIs", {relative: "/rel", full: "http://127.0.0.1/full"}),
        of("empty relative URI, full", {relative: "", full: "http://127.0.0.1/full"}),
        of("token", {full: "http://127.0.0.1/x", token: "tok"}),
        of("token, relative", {relative: "/x", token: "tok"}),
        of("token file", {full: "http://127.0.0.1/x", file: "{home}/t"}, {"t": "filetok"}),
        of("token file, relative", {relative: "/x", file: "{home}/t"}, {"t": "filetok"}),
        of("token and file", {full: "http://127.0.0.1/x", file: "{home}/t", token: "tok"}, {"t": "filetok"}),
        of("token file with line end", {full: "http://127.0.0.1/x", file: "{home}/t"}, {"t": "filetok\n"}),
        of("token file missing", {full: "http://127.0.0.1/x", file: "{home}/no"}),
        of("token file empty", {full: "http://127.0.0.1/x", file: "{home}/t"}, {"t": ""}),
        of("token file variable empty", {full: "http://127.0.0.1/x", file: ""}),
        of("token file variable empty, token", {full: "http://127.0.0.1/x", file: "", token: "tok"}),
        of("token empty", {full: "http://127.0.0.1/x", token: ""}),
        of("token with line end", {full: "http://127.0.0.1/x", token: "a\nb"}),
        of("token alone", {token: "tok"}),
        of("keys in a file before", {full: "http://127.0.0.1/x"}, {".aws/credentials": f"[default]\n{keys('DEF')}"}),
        of("endpoint fails", {full: "http://127.0.0.1/x"}, aws={"container": {"then": {"kind": "status", "code": 500}}}),
        of("endpoint denies", {full: "http://127.0.0.1/x"}, aws={"container": {"then": {"kind": "status", "code": 403}}}),
        of("endpoint fails once", {full: "http://127.0.0.1/x"},
           aws={"container": {"steps": [{"kind": "status", "code": 500}]}}),
        of("endpoint says junk", {full: "http://127.0.0.1/x"}, aws={"container": {"then": {"kind": "html200"}}}),
    ]
    for expiry in "2099-01-01T00:00:00+0000", "2099-01-01T00:00:00UTC", "2099-01-01T00:00:00.5Z", "junk", PAST:
        cases.append(of(f"expires {expiry}", {relative: "/x"}, aws={"container": {"then": {"kind": "ok", "expires_at": expiry}}}))
    return cases


def metadata():
    endpoint, mode = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
    status = lambda code: {"then": {"kind": "status", "code": code}}
    of = lambda name, env=None, config="", **more: Case(f"metadata: {name}", config, env=env or {}, **more)
    cases = [of("plain")]
    for value in "true", "TRUE", "True", "1", "false", "", " true ", "yes":
        cases.append(of(f"disabled {value!r}", {"AWS_EC2_METADATA_DISABLED": value}))
        cases.append(of(f"version 1 disabled {value!r}", {"AWS_EC2_METADATA_V1_DISABLED": value}))
        cases.append(of(f"version 1 disabled {value!r}, no token", {"AWS_EC2_METADATA_V1_DISABLED": value},
                        aws={"imds_token": status(403), "imds_v1": True}))
        cases.append(of(f"AWS_IMDS_USE_IPV6 {value!r}", {"AWS_IMDS_USE_IPV6": value}))
    for value in "ipv6", "IPv6", "ipv4", "IPv4", "", "x", " ipv6 ":
        cases.append(of(f"mode {value!r}", {mode: value}))
    for value in ("http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://localhost", "http://[fd00:ec2::254]",
                  "127.0.0.1", "", "http://127.0.0.1:8080/sub", "https://corp.example"):
        cases.append(of(f"endpoint {value!r}", {endpoint: value}))
    cases += [
        of("endpoint and mode", {endpoint: "http://127.0.0.1:8080", mode: "ipv6"}),
        of("endpoint in the profile", config="[default]\nec2_metadata_service_endpoint = http://127.0.0.1:8080\n"),
        of("mode in the profile", config="[default]\nec2_metadata_service_endpoint_mode = ipv6\n"),
        of("use of IPv6 in the profile", config="[default]\nimds_use_ipv6 = true\n"),
        of("version 1 disabled in the profile, no token", config="[default]\nec2_metadata_v1_disabled = true\n",
           aws={"imds_token": status(403), "imds_v1": True}),
        of("no role", aws={"imds_role": None}),
        of("token 400", aws={"imds_token": status(400), "imds_v1": True}),
        of("token 403", aws={"imds_token": status(403), "imds_v1": True}),
        of("token 404", aws={"imds_token": status(404), "imds_v1": True}),
        of("token 405", aws={"imds_token": status(405), "imds_v1": True}),
        of("token 500", aws={"imds_token": status(500), "imds_v1": True}),
        of("token times out", aws={"imds_token": {"then": {"kind": "hang_before_headers"}}, "imds_v1": True}),
        of("token 403, version 2 required", aws={"imds_token": status(403)}),
        of("credentials 500", aws={"imds": status(500)}),
        of("long timeout", {"AWS_METADATA_SERVICE_TIMEOUT": "3", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "2"},
           aws={"imds_token": {"steps": [{"kind": "delay", "ms": 1500, "then": {"kind": "ok"}}]}}),
        of("short timeout", {"AWS_METADATA_SERVICE_TIMEOUT": "1"},
           aws={"imds_token": {"then": {"kind": "delay", "ms": 2000, "then": {"kind": "ok"}}}}),
        of("two attempts", {"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "2"}, aws={"imds": {"steps": [{"kind": "status", "code": 500}]}}),
        of("one attempt", aws={"imds": {"steps": [{"kind": "status", "code": 500}]}}),
        of("odd timeout", {"AWS_METADATA_SERVICE_TIMEOUT": "x"}), of("odd attempts", {"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "x"}),
        of("profile without keys", {"AWS_PROFILE": "dev"}, profile("dev", "region = us-east-1\n")),
        of("default profile without keys", config="[default]\nregion = us-east-1\n"),
    ]
    return cases


# --- endpoints and the connection ------------------------------------------------------------------
