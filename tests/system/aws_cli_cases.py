"""The configurations that aws_cli.py compares, and the intended differences: data only.

In files and variables `{home}` is the case's home directory, `{ca}` the certificate that the fake
AWS is trusted by. Where nothing else is said, instance metadata answers: whoever misses what is
configured takes the instance's role, and is caught. One table, so this file is longer than others.
"""

import base64
import dataclasses
import hashlib
import json
import random
import re
import time

SEED = 20261121
GENERATED = 260
REGION = "eu-central-1"
HOST = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/"
FUTURE, PAST = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"

# What differs on purpose: name -> (the AWS CLI, this program, why).
DIFFERENCES = {
    "unused faults": (
        "Refuses both files as soon as one line in them breaks the format, even with keys in variables",
        "Refuses only what uses the section with the fault; the debug log lists the others",
        "a typing error in one team's profile must not stop every pull"),
    "half settings": (
        "Ignores a secret key without its key ID, a `credential_source` without `role_arn`, "
        "`AWS_ROLE_ARN` with an empty `AWS_WEB_IDENTITY_TOKEN_FILE`, and uses the next source",
        "Refuses them, and names the other half",
        "half a setting must never lead to another identity"),
    "padded default": (
        "Does not see `[ default ]`, and uses the next source",
        "Refuses the file where it would go on to the next source",
        "the keys in that section were meant"),
    "inline comments": (
        "Takes ` # comment` behind a value as part of the value, and is refused by AWS",
        "Ignores it behind values that hold no white space, as the SDK for Go",
        "files written for the SDKs and for the old helper have such comments"),
    "unquoted names": (
        "Finds `[profile my dev]` only with quotes, and `[ profile dev ]` not at all",
        "Finds them, as the SDK for Go, if no other section has the name",
        "the AWS CLI fails there, so no other identity is possible"),
    "other spellings of keys": (
        "Ignores `AWS_ACCESS_KEY` and `AWS_SECRET_KEY`",
        "Takes them, as the SDK for Go, where nothing but instance metadata is left",
        "the old helper did"),
    "named profile first": (
        "Takes `AWS_WEB_IDENTITY_TOKEN_FILE` even where `AWS_PROFILE` names a profile with credentials",
        "Takes the profile that is named",
        "whoever names a profile means it; see aws-cli issue 8883"),
    "other partition": (
        "Calls AWS with a role, or an SSO region, of another partition than the registry's",
        "Refuses it before any call", "no credentials are valid in two partitions"),
    "region of SSO": (
        "Asks `portal.sso.us-east-1a.amazonaws.com` for `sso_region = us-east-1a`", "Refuses it",
        "what is not a region must not become a host name"),
    "blank settings": (
        "Refuses blank settings such as `external_id =`, `login_session =` or `credential_process =` beside keys, an empty "
        "`AWS_PROFILE`, `AWS_CA_BUNDLE` or endpoint mode, and blanks around a URL",
        "Takes them as not set, and ignores the blanks",
        "the AWS CLI fails there, and what is blank names nothing"),
    "switches": (
        "Takes a switch that is neither `true` nor `false`, such as `1` or ` true `, for false",
        "Refuses it for FIPS, dual-stack and ignored endpoints; ignores white space in those of metadata",
        "it may be a misspelt request for FIPS, or for no metadata"),
    "paths": (
        "Expands `~` in the names of its config files only",
        "Expands it in all variables and settings that name files", "the AWS CLI fails there"),
    "shell": (
        "Starts `credential_process` without a shell", "Runs it by `sh -c`, as the SDK for Go",
        "the old helper did; commands without special characters do the same"),
    "kept credentials": (
        "Ends with an exception at a faulty file in `~/.aws/cli/cache`", "Ignores the file",
        "the role can be assumed"),
    "expired": (
        "Refuses credentials whose source says that they have expired",
        "Sends them, and AWS refuses them", "clocks differ; AWS's counts"),
    "legacy refresh": (
        "Never renews the token of a profile with `sso_start_url` of its own",
        "Renews it, if `aws sso login` left what is needed", "a pull works instead of failing"),
    "console session": (
        "Refuses a session of `aws login` that cannot be renewed", "Uses it until it expires",
        "it is the same identity, and valid"),
    "profile variables": (
        "Version 1 takes `AWS_DEFAULT_PROFILE` before `AWS_PROFILE`",
        "Takes `AWS_PROFILE` first, as version 2 and the SDK for Go", "versions differ"),
    "container names": (
        "Knows `localhost` as the only name in `AWS_CONTAINER_CREDENTIALS_FULL_URI`",
        "Takes a name that leads to loopback alone, as the SDKs", "the addresses decide"),
    "global STS": (
        "Version 1 calls `sts.amazonaws.com` with `AWS_STS_REGIONAL_ENDPOINTS=legacy`",
        "Calls STS in the registry's region, as version 2 and the SDK for Go",
        "AWS advises against the global endpoint"),
    "no scheme": (
        "Takes `//host` as an endpoint", "Refuses a URL without `http://` or `https://`",
        "whether to encrypt must not be guessed"),
    "blanks in names": (
        "Looks for a profile with the quotes, and the blanks around them, that are in `AWS_PROFILE` or `source_profile`",
        "Ignores them, if no profile has that very name", "the AWS CLI fails there, and one profile is meant"),
    "other settings": (
        "Refuses invalid values of settings such as `retry_mode`, `account_id_endpoint_mode`, `max_attempts = 0`, "
        "and of metadata's where it is not used",
        "Ignores what decides nothing here", "none of them says who signs, or where"),
    "blanks in keys": (
        "Sends keys with white space in them, and is refused by AWS", "Refuses them before any call",
        "the message says what is wrong"),
    "defaults_mode": (
        "Asks instance metadata for the region with `defaults_mode = auto`", "Does not",
        "time limits are this program's own"),
    "metadata": (
        "Gives up instance metadata after one faulty response",
        "Tries again within the deadline, and without a session token after HTTP 400 too",
        "there is no other source left"),
}

# Which cases show them, besides those that say so themselves.
SHOWN_BY = {
    "half settings": """web identity: empty token file variable; web identity: empty token file variable, keys;
        config file: no ID; credentials file: no ID""",
    "padded default": """config file: spaces in the header; config file: tab after the name;
        credentials file: spaces in the header; credentials file: tab after the name""",
    "other partition": "role: ARN of China; SSO: region of China",
    "region of SSO": "SSO: region that is none",
    "blank settings": """odd: blank process in credentials; role: with blank external ID; login: blank, keys; endpoint: blanks around;
        metadata: mode ''; metadata: mode ' ipv6 '; certificates: REQUESTS_CA_BUNDLE=;
        certificates: AWS_CA_BUNDLE=; profile empty""",
    "switches": """metadata: AWS_IMDS_USE_IPV6 ' true '; metadata: disabled ' true ';
        metadata: version 1 disabled ' true ', no token""",
    "paths": "web identity: ~ in the variable; web identity: ~ in the profile",
    "shell": "process: ~; process: $HOME; process: &&",
    "kept credentials": "kept: junk; kept: credentials missing",
    "expired": "environment keys, expired; container: expires 2020-01-01T00:00:00Z",
    "legacy refresh": "SSO: legacy, expired, with a refresh token",
    "container names": "container: full URI http://evil.example/x; container: full URI http://127.0.0.1.evil.example/x",
    "console session": "login: no key; login: no refresh token",
    "profile variables": "AWS_PROFILE and AWS_DEFAULT_PROFILE",
    "global STS": "endpoint: STS legacy endpoint",
    "no scheme": "endpoint: odd '//one.corp.example'",
    "metadata": "metadata: token 400; metadata: one attempt",
    "blanks in names": """odd: AWS_PROFILE ' dev'; odd: AWS_PROFILE 'dev\\t'; odd: AWS_PROFILE '"dev"'; odd: source '"dev"'""",
    "other settings": """odd: AWS_MAX_ATTEMPTS=0; odd: AWS_RETRY_MODE=bogus; odd: AWS_ACCOUNT_ID_ENDPOINT_MODE=bogus;
        odd: max_attempts = 0; odd: metadata_service_timeout = x; odd: sts_regional_endpoints = bogus""",
    "blanks in keys": "odd: ID ' AKIAENV'; odd: ID in a file 'AKIA ENV'",
    "defaults_mode": "odd: defaults_mode = auto",
}


def explained(case, cli, ours):
    """The row that a difference of a generated configuration shows, or none."""
    if not case.name.startswith("generated"):
        return ""
    if cli.failed and "ConfigParseError" in cli.error and not ours.failed:
        return "unused faults"
    if "is incomplete" in ours.error and cli.signer().startswith(("ASIAEC2", "ASIAECS", "ASIAWEB")):
        return "half settings"
    named = "AWS_PROFILE" in case.env and "AWS_WEB_IDENTITY_TOKEN_FILE" in case.env
    if named and "ASIAWEB" in cli.signer() and ours.signer():
        return "named profile first"
    return ""


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


def all_cases(seed):
    cases = []
    for group in GROUPS:
        cases += group()
    cases += generated_settings(random.Random(seed), GENERATED // 2, seed)
    cases += generated_files(random.Random(seed + 1), GENERATED // 2, seed)
    rows = {name.strip(): row for row, names in SHOWN_BY.items() for name in re.split(r";\s+", names)}
    for case in cases:
        switch = re.match(r"endpoint: (ignored|FIPS|dual-stack) '(1|x| true|true )'( in|$)", case.name)
        without_role = re.match(r"role: credential_source '.*' without role$", case.name)
        if switch and not (switch[3] and "true" in switch[2]):
            case.differs = "switches"
        elif without_role:
            case.differs = "half settings"
        else:
            case.differs = rows.pop(case.name, case.differs)
    assert not rows, rows
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    return cases


def page_table():
    rows = ["| the AWS CLI | this program | why |", "|---|---|---|"]
    rows += [f"| {theirs} | {ours} | {why} |" for theirs, ours, why in DIFFERENCES.values()]
    return "\n".join(rows) + "\n"


# --- the format of the files ----------------------------------------------------------------------

def layout():
    """The default profile's keys, written in every way; the same text as either file."""
    good = keys("DEF")
    lines = good.splitlines()
    ways = {
        "plain": f"[default]\n{good}",
        "indented keys": "[default]\n" + "".join(f"  {line}\n" for line in lines),
        "indented header": f"   [default]\n{good}",
        "everything indented": "".join(f"\t{line}\n" for line in ["[default]", *lines]),
        "indented less and less": f"[default]\n    {lines[0]}\n  {lines[1]}\n",
        "indented more": f"[default]\n{lines[0]}\n  {lines[1]}\n",
        "indented in another profile": f"[profile x]\n  region = a\n   b\n[default]\n{good}",
        "indented comment": f"[default]\n{lines[0]}\n  # comment\n{lines[1]}\n  ; x\n",
        "comment between": f"# a\n; b\n[default]\n#c\n{lines[0]}\n;d = e\n{lines[1]}\n",
        "blank lines": f"\n\n[default]\n\n{lines[0]}\n\n\n{lines[1]}\n\n",
        "blank lines with spaces": f"  \n[default]\n \t\n{lines[0]}\n   \n{lines[1]}\n  ",
        "colon": "[default]\naws_access_key_id: AKIADEF\naws_secret_access_key : s\n",
        "colon in the value": "[default]\naws_access_key_id = AKIADEF\naws_secret_access_key = s:=x\n",
        "no blanks": "[default]\naws_access_key_id=AKIADEF\naws_secret_access_key=s",
        "text after the header": f"[default] and more\n{good}",
        "comment after the header": f"[default] # comment\n{good}",
        "CR alone": f"[default]\n{good}".replace("\n", "\r"),
        "CR LF": f"[default]\n{good}".replace("\n", "\r\n"),
        "CR CR LF": f"[default]\n{good}".replace("\n", "\r\r\n"),
        "no-break space around =": "[default]\naws_access_key_id\u00a0=\u00a0AKIADEF\n"
                                   "aws_secret_access_key\u00a0= s\u00a0\n",
        "no-break space indents": f"\u00a0[default]\n\u00a0{lines[0]}\n\u00a0{lines[1]}\n",
        "form feeds": f"\f[default]\f\n\f{lines[0]}\f\n{lines[1]}\f\n",
        "vertical tab": f"[default]\n{lines[0]}\v\n{lines[1]}\v\n",
        "unit separator": f"[default]\n{lines[0]}\x1f\n{lines[1]}\x1c\n",
        "ideographic space": f"[default]\n{lines[0]}\u3000\n{lines[1]}\u2003\n",
        "next line": f"[default]\n{lines[0]}\u0085\n{lines[1]}\n",
        "line separator in a comment": f"[default]\n# a\u2028b\n{good}",
        "zero-width space after": f"[default]\n{good}x = y\u200b\n",
        "upper-case keys": "[default]\nAWS_ACCESS_KEY_ID = AKIADEF\nAws_Secret_Access_Key = s\n",
        "upper-case name": f"[DEFAULT]\nx = y\n[default]\n{good}",
        "keys from DEFAULT": f"[DEFAULT]\n{good}[default]\nregion = us-east-1\n",
        "DEFAULT after": f"[default]\n{lines[0]}\n[DEFAULT]\n{lines[1]}\n",
        "DEFAULT overridden": f"[DEFAULT]\naws_access_key_id = AKIAX\n[default]\n{good}",
        "DEFAULT alone": f"[DEFAULT]\n{good}",
        "DEFAULT twice": f"[DEFAULT]\nx = y\n[default]\n{good}[DEFAULT]\nz = y\n",
        "spaces in the header": f"[ default ]\n{good}",
        "other case of the name": f"[Default]\n{good}",
        "quoted name": f'["default"]\n{good}',
        "tab after the name": f"[default\t]\n{good}",
        "continued secret": "[default]\naws_access_key_id = AKIADEF\naws_secret_access_key = s\n  t\n",
        "continued ID": "[default]\naws_secret_access_key = s\naws_access_key_id = AKIA\n  DEF\n",
        "value on the next line": "[default]\naws_access_key_id =\n  AKIADEF\naws_secret_access_key = s\n",
        "nested block": f"[default]\n{good}s3 =\n  max_queue_size = 1\n  x = y\n",
        "nested block with comment": f"[default]\ns3 =\n  # c\n  a = b\n\n  c = d\n{good}",
        "nested without =": f"[default]\n{good}s3 =\n  nothing\n",
        "empty key": f"[default]\n{good} = x\n",
        "key without =": f"[default]\n{good}nothing\n",
        "key twice": f"[default]\n{good}{lines[0]}\n",
        "other key twice": f"[default]\nregion = a\n{good}region = a\n",
        "key twice in other case": f"[default]\n{good}AWS_ACCESS_KEY_ID = AKIAX\n",
        "section twice": f"[default]\n{good}[default]\nregion = x\n",
        "section twice, apart": f"[default]\n{lines[0]}\n[x]\ny = z\n[default]\n{lines[1]}\n",
        "no bracket": f"[default\n{good}",
        "no bracket before": f"[x\ny = z\n[default]\n{good}",
        "text before": f"x = y\n[default]\n{good}",
        "byte order mark": f"\ufeff[default]\n{good}",
        "comment before in a mark": f"\ufeff# c\n[default]\n{good}",
        "empty header": f"[]\n[default]\n{good}",
        "brackets in the name": f"[a]b]\nx = y\n[default]\n{good}",
        "double brackets": f"[[default]]\n{good}",
        "quoted values": '[default]\naws_access_key_id = "AKIADEF"\naws_secret_access_key = "s"\n',
        "value with ;": "[default]\naws_access_key_id = AKIADEF\naws_secret_access_key = s;t#u\n",
        "blank ID": "[default]\naws_access_key_id =\naws_secret_access_key = s\n",
        "blank secret": "[default]\naws_access_key_id = AKIADEF\naws_secret_access_key =\n",
        "no ID": "[default]\naws_secret_access_key = s\n",
        "no secret": "[default]\naws_access_key_id = AKIADEF\n",
        "empty section": "[default]\n",
        "only comments": "# [default]\n",
        "empty": "\n",
        "comment in the value's place": "[default]\naws_access_key_id =\n  # AKIAOLD\n  AKIADEF\n"
                                        "aws_secret_access_key = s\n",
    }
    broken = {"no bracket before", "empty header"}
    cases = []
    for name, text in ways.items():
        cases.append(Case(f"config file: {name}", text))
        cases.append(Case(f"credentials file: {name}", "", text))
        # The same fault, while the keys are in the environment or in the other file.
    for name in ("key without =", "key twice", "no bracket", "text before"):
        cases.append(Case(f"config file: {name}, keys elsewhere", ways[name], f"[dev]\n{keys('DEV')}",
                          DEV, differs="" if name == "text before" else "unused faults"))
    for case in cases:
        if case.name.split(": ")[1] in broken:
            case.differs = "unused faults"
    return cases


def bytes_and_files():
    good = f"[default]\n{keys('DEF')}"
    return [
        Case("Latin-1 in a comment", files={".aws/config": f"# Z\xfcrich\n{good}".encode("latin-1")},
             differs="unused faults"),
        Case("Latin-1 in a value", files={".aws/config": f"{good}x = \xfc\n".encode("latin-1")}),
        Case("Latin-1 in another profile",
             files={".aws/config": f"{good}[profile x]\ny = \xfc\n".encode("latin-1")},
             differs="unused faults"),
        Case("UTF-8 in a value", f"{good}x = \xfc\n"),
        Case("NUL in a comment", f"# \0\n{good}"),
        Case("NUL in a value", f"{good}x = a\0b\n"),
        Case("directory as credentials file", good, files={".aws/credentials": None}),
        Case("directory as config file", "", good, files={".aws/config": None}),
        Case("directory as credentials file, nothing else", files={".aws/credentials": None}, env=NO_IMDS),
        Case("directory as named file", good, env={"AWS_SHARED_CREDENTIALS_FILE": "{home}"}),
        Case("named file that is missing", good, env={"AWS_SHARED_CREDENTIALS_FILE": "{home}/no"}),
        Case("both files missing", env={"AWS_CONFIG_FILE": "{home}/no",
                                        "AWS_SHARED_CREDENTIALS_FILE": "{home}/no"}),
        Case("a file below a file", good, env={"AWS_SHARED_CREDENTIALS_FILE": "{home}/.aws/config/x"}),
        Case("device as a file", good, env={"AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}),
        Case("same file for both", good, env={"AWS_SHARED_CREDENTIALS_FILE": "{home}/.aws/config"}),
    ]


def paths():
    there = {"x/cred": f"[default]\n{keys('FILE')}"}
    cases = []
    for variable in "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE":
        for value in ("{home}/x/cred", "~/x/cred", "$HOME/x/cred", "${HOME}/x/cred", "$D/cred", "${D}/cred",
                      "$T/x/cred", "~root/no", "~nosuchuser/x", "$NOT/x/cred", "~/x//cred", "~/x/./cred",
                      "x/cred", "", " {home}/x/cred", "{home}/x/cred ", "$/x", "${D", "${}/x", "$HOME$E",
                      "~/$X/cred", "%HOME%/x"):
            env = {variable: value, "D": "{home}/x", "T": "~", "E": "/x/cred", "X": "x"}
            cases.append(Case(f"{variable}={value}", env=env, files=there))
    files = {".aws/config": f"[default]\n{keys('DEF')}"}
    cases += [
        Case("HOME empty", env={"HOME": ""}, files=files),
        Case("HOME unset, keys in the environment", env={"HOME": None} | env_keys(), files=files),
        Case("HOME unset, nothing in the user's", env=NO_IMDS, homeless=True),
        Case("HOME unset, config file", files=files, homeless=True),
        Case("HOME unset, credentials file", "", f"[dev]\n{keys('DEV')}", DEV, homeless=True),
        Case("HOME unset, ~ in the variable", env={"AWS_CONFIG_FILE": "~/x/cred"}, files=there, homeless=True),
        Case("HOME unset, SSO", profile("dev", ACCOUNT + "sso_session = corp\n") + f"[sso-session corp]\n{PORTAL}", "",
             DEV, sso_token("corp"), homeless=True),
        Case("~root with another HOME", env={"AWS_CONFIG_FILE": "~root/none"}, files=files),
        Case("~user", env={"AWS_CONFIG_FILE": "~tester/x/cred"}, files=there, homeless=True),
        Case("HOME with a slash at its end", env={"HOME": "{home}/"}, files=files),
    ]
    return cases


def names():
    """Profiles' names, as they are written in both files."""
    cases = []
    spelt = ["dev", "my dev", "r&d", "m\xfcller", "dev(1)", "bob's", 'say "hi"', "a/b", "a.b", "a:b", "a@b.c",
             "a=b", "a#b", "a;b", "$dev", "-dev", "\u958b\u767a", "a\\b", "[x]", "a]b", "profile", "profile dev",
             "DEV", "default2", "a  b", "sso-session x", "0", "a,b", "a|b", "*", "%s", "a+b", "~"]
    for name in spelt:
        env = {"AWS_PROFILE": name}
        quoted = "'" + name.replace("'", "'\"'\"'") + "'"
        cases.append(Case(f"credentials file: name {name}", "", f"[{name}]\n{keys('N')}", env))
        cases.append(Case(f"config file: quoted name {name}", profile(quoted, keys("N")), "", env))
        cases.append(Case(f"source_profile {name}",
                          profile("dev", role("r", name)), f"[{name}]\n{keys('N')}", DEV))
    for name in "dev", "r&d", "m\xfcller", "dev(1)", "a/b", "a@b.c", "a:b", "a#b", "-dev", "$dev", "profile":
        cases.append(Case(f"config file: bare name {name}", profile(name, keys("N")), "", {"AWS_PROFILE": name}))
    for name in "my dev", "bob's", "a  b":
        cases.append(Case(f"config file: bare name {name}", profile(name, keys("N")), "",
                          {"AWS_PROFILE": name}, differs="unquoted names"))
    for header, differs in (
            ('profile "dev"', ""), ("profile 'dev'", ""), ("profile  dev", ""), ("profile\tdev", ""),
            ("profile dev ", ""), (" profile dev", "unquoted names"), ("profile\u00a0dev", "unquoted names"),
            ("Profile dev", ""), ("profiledev", ""), ("profile-x dev", ""), ("profiles dev", ""),
            ("profile de\\v", ""), ("profile de'v'", ""), ("profile dev x", ""), ("dev", ""),
            ("profile \"dev", ""), ("profile", ""), ("profile ''", "")):
        cases.append(Case(f"config file: header [{header}]", f"[{header}]\n{keys('N')}", "", DEV, differs=differs))
    for header in " dev ", '"dev"', "'dev'", "profile dev", "dev\t":
        differs = "" if header.startswith("profile") else "unquoted names"
        cases.append(Case(f"credentials file: header [{header}]", "", f"[{header}]\n{keys('N')}", DEV,
                          differs=differs))
    a, b = profile("default", keys("PREFIXED")), f"[default]\n{keys('BARE')}"
    cases += [
        Case("[profile default] alone", a), Case("[default], then [profile default]", b + a),
        Case("[profile default], then [default]", a + b),
        Case("[default] with keys, then [profile default] without", b + profile("default", "region = x")),
        Case("[profile default] with keys, then [default] without", a + "[default]\nregion = x\n"),
        Case("[profile default] in the credentials file", "", a),
        Case("[profile dev] twice in two spellings", profile("dev", keys("A")) + profile(" dev", keys("B")), "", DEV),
        Case("[profile dev], then quoted, without keys", profile("dev", keys("A")) + profile('"dev"', "x = y"), "", DEV),
        Case("default named", f"[default]\n{keys('DEF')}", env={"AWS_PROFILE": "default"}),
        Case("default named, and missing", env={"AWS_PROFILE": "default"}),
        Case("profile missing", f"[default]\n{keys('DEF')}", env=DEV),
        Case("profile missing, keys in the environment", f"[default]\n{keys('DEF')}", env=DEV | env_keys()),
        Case("profile empty", f"[default]\n{keys('DEF')}", env={"AWS_PROFILE": ""}),
        Case("AWS_DEFAULT_PROFILE", "", f"[default]\n{keys('DEF')}[dev]\n{keys('DEV')}", {"AWS_DEFAULT_PROFILE": "dev"}),
        Case("AWS_PROFILE and AWS_DEFAULT_PROFILE", "", f"[default]\n{keys('DEF')}[dev]\n{keys('DEV')}",
             DEV | {"AWS_DEFAULT_PROFILE": "default"}),
        Case("profile in the wrong case", "", f"[Dev]\n{keys('DEV')}", DEV),
    ]
    return cases


def both_files():
    half, other = "aws_access_key_id = AKIAA\n", "aws_secret_access_key = s\n"
    ways = {
        "keys in both": (keys("CONF"), keys("CRED")),
        "ID and secret apart": (half, other), "secret and ID apart": (other, half),
        "token in the other": (keys("CONF"), "aws_session_token = t\n"),
        "token in config, keys in credentials": ("aws_session_token = t\n", keys("CRED")),
        "region in config": ("region = us-west-2\n", keys("CRED")),
        "empty in credentials": (keys("CONF"), ""), "empty in config": ("", keys("CRED")),
        "aws_security_token": (keys("CONF", "aws_security_token = t\n"), None),
        "both tokens": (None, keys("CRED", "aws_security_token = t\naws_session_token = u\n")),
        "blank token": (None, keys("CRED", "aws_session_token =\n")),
        "blank secret in credentials": (keys("CONF"), "aws_secret_access_key =\n"),
        "half in credentials": (keys("CONF"), half), "half in config": (half, keys("CRED")),
        "other half in credentials": (keys("CONF"), other),
        "role in config": (role("r", "base"), keys("CRED")),
        "role in credentials": (keys("CONF"), role("r", "base")),
        "role apart": (f"role_arn = {ROLE}r\n", "source_profile = base\n"),
        "process in config": ("credential_process = /bin/echo {\"Version\":1,\"AccessKeyId\":\"AKIAPROC\","
                              "\"SecretAccessKey\":\"s\"}\n", keys("CRED")),
        "login in config": ("login_session = arn:aws:iam::1:user/u\n", keys("CRED")),
    }
    base = f"[base]\n{keys('BASE')}"
    cases = []
    for name, (config, credentials) in ways.items():
        for who, env in ("default", {}), ("dev", DEV):
            header = "[default]" if who == "default" else "[profile dev]"
            conf = "" if config is None else f"{header}\n{config}"
            cred = base + ("" if credentials is None else f"[{who}]\n{credentials}")
            cases.append(Case(f"two files: {name}, {who}", conf, cred, env))
        conf = "" if config is None else f"[profile src]\n{config}"
        cred = base + ("" if credentials is None else f"[src]\n{credentials}")
        cases.append(Case(f"two files as a source: {name}", conf + profile("dev", role("top", "src")), cred, DEV))
    return cases


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

def endpoints():
    one, two = "http://one.corp.example", "http://two.corp.example:8080"
    of = lambda name, env=None, config="", **more: Case(f"endpoint: {name}", config, env=env_keys() | (env or {}), **more)
    service = lambda text, header="services s": f"[default]\nservices = s\n[{header}]\n{text}"
    ecr = f"ecr =\n  endpoint_url = {one}\n"
    cases = [
        of("of all", {"AWS_ENDPOINT_URL": one}), of("of ECR", {"AWS_ENDPOINT_URL_ECR": one}),
        of("of both", {"AWS_ENDPOINT_URL_ECR": one, "AWS_ENDPOINT_URL": two}),
        of("empty of ECR", {"AWS_ENDPOINT_URL_ECR": "", "AWS_ENDPOINT_URL": two}),
        of("of STS only", {"AWS_ENDPOINT_URL_STS": one}),
        of("public", {"AWS_ENDPOINT_URL_ECR_PUBLIC": one}, host="public.ecr.aws"),
        of("public, of ECR only", {"AWS_ENDPOINT_URL_ECR": one}, host="public.ecr.aws"),
        of("of the profile", config=f"[default]\nendpoint_url = {one}\n"),
        of("of the profile, and variable", {"AWS_ENDPOINT_URL": two}, f"[default]\nendpoint_url = {one}\n"),
        of("services", config=service(ecr)), of("services, quoted", config=service(ecr, "services 's'")),
        of("services, double quotes", config=service(ecr, 'services "s"')),
        of("services with a blank", config=service(ecr, "services 'my s'").replace("= s\n", "= my s\n")),
        of("services and profile", config=f"[default]\nendpoint_url = {two}\nservices = s\n[services s]\n{ecr}"),
        of("services and variable", {"AWS_ENDPOINT_URL": two}, service(ecr)),
        of("services missing", config="[default]\nservices = s\n"),
        of("services empty", config="[default]\nservices = s\n[services s]\n"),
        of("services blank", config="[default]\nservices =\n"),
        of("services of another service", config=service(f"sts =\n  endpoint_url = {one}\n")),
        of("services, not nested", config=service(f"ecr = {one}\n")),
        of("services, upper-case service", config=service(ecr.replace("ecr =", "ECR ="))),
        of("services, upper-case key", config=service(ecr.replace("endpoint_url", "ENDPOINT_URL"))),
        of("services, tabs", config=service(ecr.replace("  ", "\t"))),
        of("services, two keys", config=service(ecr + "  x = y\n")),
        of("services, key twice", config=service(ecr + f"  endpoint_url = {two}\n")),
        of("services, colon", config=service(ecr.replace("ecr =", "ecr :"))),
        of("services, comment inside", config=service(f"ecr =\n  # c\n  endpoint_url = {one}\n")),
        of("services, deeper", config=service(f"ecr =\n  endpoint_url = {one}\n    x = y\n")),
        of("services, public", config=service(f"ecr_public =\n  endpoint_url = {one}\n"), host="public.ecr.aws"),
        of("services, public with a hyphen", config=service(f"ecr-public =\n  endpoint_url = {one}\n"), host="public.ecr.aws"),
        of("services, public without", config=service(f"ecrpublic =\n  endpoint_url = {one}\n"), host="public.ecr.aws"),
        of("user and password", {"AWS_ENDPOINT_URL": "http://user:pass@one.corp.example"}),
        of("path", {"AWS_ENDPOINT_URL": one + "/path"}), of("path with slash", {"AWS_ENDPOINT_URL": one + "/path/"}),
        of("port", {"AWS_ENDPOINT_URL": two}), of("https", {"AWS_ENDPOINT_URL": "https://one.corp.example"}),
        of("upper-case scheme", {"AWS_ENDPOINT_URL": "HTTP://one.corp.example"}),
        of("blanks around", {"AWS_ENDPOINT_URL": f" {one} "}),
    ]
    for value in "x", "one.corp.example", "ftp://x", "http://", "://x", "http:///x", "http://a b", "//one.corp.example":
        cases.append(of(f"odd {value!r}", {"AWS_ENDPOINT_URL": value}))
    for value in "true", "TRUE", "false", "", "1", " true", "true ", "x":
        cases.append(of(f"ignored {value!r}", {"AWS_ENDPOINT_URL": one, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": value}))
        cases.append(of(f"ignored {value!r} in the profile", {}, f"[default]\nendpoint_url = {one}\nignore_configured_endpoint_urls = {value}\n"))
        cases.append(of(f"FIPS {value!r}", {"AWS_USE_FIPS_ENDPOINT": value}))
        cases.append(of(f"dual-stack {value!r}", {"AWS_USE_DUALSTACK_ENDPOINT": value}))
        cases.append(of(f"FIPS {value!r} in the profile", {}, f"[default]\nuse_fips_endpoint = {value}\n"))
    cases += [
        of("FIPS and dual-stack", {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"}),
        of("FIPS with an endpoint", {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ENDPOINT_URL": one}),
        of("dual-stack with an endpoint", {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_ENDPOINT_URL": one}),
        of("FIPS, public", {"AWS_USE_FIPS_ENDPOINT": "true"}, host="public.ecr.aws"),
        of("FIPS and a role", DEV | {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
           profile("dev", role("r", "b")) + profile("b", keys("B"))),
        of("dual-stack and a role", DEV | {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
           profile("dev", role("r", "b")) + profile("b", keys("B"))),
        of("STS legacy endpoint", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None} | DEV,
           profile("dev", role("r", "b")) + profile("b", keys("B"))),
        of("China", host="123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        of("GovCloud", host="123456789012.dkr.ecr.us-gov-west-1.amazonaws.com"),
        of("Europe's own", host="123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
        of("US East", host="123456789012.dkr.ecr.us-east-1.amazonaws.com"),
    ]
    return cases


def certificates():
    of = lambda name, env=None, config="", files=None: Case(f"certificates: {name}", config, env=env_keys(AWS_MAX_ATTEMPTS="1") | (env or {}),
                                                           files=files or {})
    cases = []
    for variable in "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE":
        for value in "{ca}", "{home}/no", "{home}/empty", "{home}", "":
            cases.append(of(f"{variable}={value}", {variable: value}, files={"empty": ""}))
    cases += [
        of("AWS_CA_BUNDLE before REQUESTS_CA_BUNDLE", {"AWS_CA_BUNDLE": "{ca}", "REQUESTS_CA_BUNDLE": "{home}/no"}),
        of("REQUESTS_CA_BUNDLE after AWS_CA_BUNDLE", {"AWS_CA_BUNDLE": "{home}/no", "REQUESTS_CA_BUNDLE": "{ca}"}),
        of("of the profile", config="[default]\nca_bundle = {ca}\n"),
        of("of the profile, missing", config="[default]\nca_bundle = {home}/no\n"),
        of("of the profile, variable too", {"AWS_CA_BUNDLE": "{ca}"}, "[default]\nca_bundle = {home}/no\n"),
        of("of the profile, REQUESTS_CA_BUNDLE too", {"REQUESTS_CA_BUNDLE": "{ca}"}, "[default]\nca_bundle = {home}/no\n"),
    ]
    return cases


def comments():
    return [
        Case(f"inline comment: {name}", text, credentials, DEV, differs="inline comments") for name, text, credentials in (
            ("key ID", "", "[dev]\naws_access_key_id = AKIADEV # old\naws_secret_access_key = s\n"),
            ("source_profile", profile("dev", role("r", "b # the base")), f"[b]\n{keys('B')}"),
        )
    ]


def odd():
    """What a person may have typed, and settings that decide nothing here."""
    of = lambda name, config="", credentials="", env=DEV, **more: Case(f"odd: {name}", config, credentials, env, **more)
    plain, process = profile("dev", keys("DEV")), {"process": script("PROC")}
    cases = [of("blank process in credentials", plain, "[dev]\ncredential_process =\n")]
    for value in " dev", "dev\t", '"dev"', "profile dev", "DEV":
        cases.append(of(f"AWS_PROFILE {value!r}", plain, env={"AWS_PROFILE": value}))
        if not value.endswith(("v", "\t")) or value == "profile dev":
            cases.append(of(f"source {value!r}", profile("top", role("r", value)) + plain, env={"AWS_PROFILE": "top"}))
    for value in " AKIAENV", "akiaenv", "AKIA/ENV":
        cases.append(of(f"ID {value!r}", env=env_keys(AWS_ACCESS_KEY_ID=value)))
    cases.append(of("ID in a file 'AKIA ENV'", profile("dev", "aws_access_key_id = AKIA ENV\naws_secret_access_key = s\n")))
    for name in ("AWS_MAX_ATTEMPTS=0", "AWS_MAX_ATTEMPTS=x", "AWS_MAX_ATTEMPTS=1.5", "AWS_MAX_ATTEMPTS= 2 ", "AWS_RETRY_MODE=bogus",
                 "AWS_RETRY_MODE=adaptive", "AWS_ACCOUNT_ID_ENDPOINT_MODE=bogus", "AWS_EC2_METADATA_DISABLED=x"):
        cases.append(of(name, plain, env=DEV | dict([name.split("=")])))
    for name, value in ("AWS_METADATA_SERVICE_TIMEOUT", "999999999"), ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "999999999"):
        cases.append(of(f"{name}={value}", env={name: value}))
    for line in ("max_attempts = 0", "max_attempts = x", "metadata_service_timeout = x", "sts_regional_endpoints = bogus", "defaults_mode = auto",
                 "output = table", "cli_pager =", "s3 =\n\tmax = 1", "plugins =\n  a = b", "parameter_validation = x", "tcp_keepalive = true",
                 "user_agent_appid = x", "sigv4a_signing_region_set = x", "endpoint_url =", "aws_account_id = 1"):
        cases.append(of(line.splitlines()[0], profile("dev", keys("DEV", f"{line}\n"))))
    for text in "[preview]\ncloudfront = true\n", "[profile]\nx = y\n", "[services]\nx = y\n", "[profile a b c]\nx = y\n", "#[x\n":
        cases.append(of(f"beside {text.split()[0]}", text + plain))
    for expiry in "2099-1-1T0:0:0Z", "2099-01-01T00:00:60Z", "2099-01-01T00:00Z", "2099-01-01T00:00:00", "Thu, 01 Jan 2099 00:00:00 GMT":
        cases.append(of(f"process expires {expiry}", profile("dev", "credential_process = {home}/process\n"),
                        files={"process": script("PROC", Expiration=expiry)}, executable=("process",)))
        cases.append(of(f"SSO expires {expiry}", profile("dev", ACCOUNT + "sso_session = corp\n") + f"[sso-session corp]\n{PORTAL}",
                        files=sso_token("corp", expiry)))
    for text in ('"Version": 1, "AccessKeyId": "AKIAP", "SecretAccessKey": "s", "AccountId": "1"', '"Version": 1, "AccessKeyId": 5, "SecretAccessKey": "s"',
                 '"version": 1, "accesskeyid": "AKIAP", "secretaccesskey": "s"', ""):
        cases.append(of(f"process says {text!r}", profile("dev", "credential_process = {home}/process\n"),
                        files={"process": f"#!/bin/sh\ncat <<'END'\n{{{text}}}\nEND\n"}, executable=("process",)))
    return cases


# --- generated ------------------------------------------------------------------------------------

def generated_files(rng, count, seed):
    """Files of random lines; most are sound."""
    headers = ["[default]", "[profile default]", "[profile dev]", '[profile "dev"]', "[profile 'my dev']", "[b]",
               "[profile b]", "[DEFAULT]", " [profile dev]", "[profile dev] x", "[sso-session b]", "[services b]"]
    lines = ["aws_access_key_id = AKIAG{n}", "aws_access_key_id: AKIAG{n}", "  aws_access_key_id=AKIAG{n}",
             "aws_secret_access_key = s", "\taws_secret_access_key: s", "aws_session_token = t", "region = us-west-2",
             f"role_arn = {ROLE}r{{n}}", "source_profile = b", "source_profile = dev", "source_profile = default",
             "source_profile = my dev", "s3 =\n  a = b", "# comment", "  ; comment", "", "  ", "\f", "external_id = ee",
             "aws_secret_access_key\u00a0=\u00a0s", "x = y\n   z"]
    cases = []
    for number in range(count):
        texts = []
        for _ in "config", "credentials":
            text = ""
            for header in rng.sample(headers, rng.randint(0, 4)):
                used, body = set(), []
                for line in rng.sample(lines, rng.randint(0, 7)):
                    key = line.replace(":", "=").split("=")[0].strip()
                    if key not in used or not key:
                        body.append(line.replace("{n}", str(rng.randint(1, 9))))
                    used.add(key)
                if rng.random() < 0.6:
                    if not used & {"aws_access_key_id"}:
                        body.append(f"aws_access_key_id = AKIAG{rng.randint(1, 9)}")
                    if not used & {"aws_secret_access_key"}:
                        body.append("aws_secret_access_key = s")
                text += "\n".join([header, *body]) + "\n"
            texts.append(text)
        env = rng.choice([{}, {}, DEV, {"AWS_PROFILE": "my dev"}, {"AWS_PROFILE": "b"}])
        cases.append(Case(f"generated files {seed}/{number}", *texts, env))
    return cases


def generated_settings(rng, count, seed):
    """Profiles of whole settings, and variables beside them."""
    section = f"[sso-session corp]\n{PORTAL}"
    settings = [
        keys("{N}"), keys("{N}"), keys("{N}", "aws_session_token = t\n"), role("{n}", "b"), role("{n}", "c"), role("{n}", "default"),
        role("{n}", "", "credential_source = Environment\n"), role("{n}", "", "credential_source = Ec2InstanceMetadata\n"),
        role("{n}", "", "credential_source = EcsContainer\n"), ACCOUNT + "sso_session = corp\n", ACCOUNT + PORTAL,
        "sso_session = corp\n", f"role_arn = {ROLE}{{n}}\nweb_identity_token_file = {{home}}/jwt\n",
        "credential_process = {home}/process\n", f"login_session = {LOGIN}\n", "region = us-west-2\n",
        "credential_source = Environment\n", "external_id = ee\n", "",
    ]
    variables = [env_keys("ENV"), {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/jwt", "AWS_ROLE_ARN": f"{ROLE}web"},
                 {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/x"}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"},
                 {"AWS_REGION": "us-west-1"}, {"AWS_DEFAULT_REGION": "ap-south-1"}, NO_IMDS, {"AWS_SESSION_TOKEN": "t"}, {}, {}, {}]
    files = {"jwt": jwt(), "process": script("PROC")} | sso_token("corp") | sso_token(START) | login_file()
    cases = []
    for number in range(count):
        config, credentials = section, ""
        for who in "default", "dev", "b", "c":
            for which in "config", "credentials":
                if rng.random() > (0.8 if which == "config" else 0.35):
                    continue
                body, used = "", set()
                for text in rng.sample(settings, rng.choice([1, 1, 1, 2, 2, 3])):
                    found = {line.split(" = ")[0] for line in text.splitlines()}
                    if not found & used:
                        body += text
                        used |= found
                body = body.replace("{N}", f"{who}{which[0:4]}".upper()).replace("{n}", f"{who}-{which}")
                header = f"[{who}]" if which == "credentials" or who == "default" else f"[profile {who}]"
                if which == "config":
                    config += f"{header}\n{body}"
                else:
                    credentials += f"{header}\n{body}"
        env = rng.choice([{}, DEV, DEV, {"AWS_PROFILE": "b"}, {"AWS_PROFILE": "default"}])
        for more in rng.sample(variables, rng.choice([0, 1, 1, 2])):
            env = env | more
        cases.append(Case(f"generated settings {seed}/{number}", config, credentials, env, files, executable=("process",)))
    return cases


GROUPS = (odd, web_identity, retired, both_files, roles, environment, sso, mfa, processes, login, containers, endpoints, certificates,
          bytes_and_files, paths, names, layout, comments, metadata)
