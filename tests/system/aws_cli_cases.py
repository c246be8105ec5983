"""The intended differences between the AWS CLI and this program, and all cases of aws_cli.py."""

import random
import re

from aws_cli_base import *
from aws_cli_endpoints import *
from aws_cli_files import *
from aws_cli_generated import *
from aws_cli_odd import *
from aws_cli_sources import *

SEED = 20261121
GENERATED = 260

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
        "a profile is named on purpose; see aws-cli issue 8883"),
    "other partition": (
        "Calls AWS with a role, or an SSO region, of another partition than the registry's",
        "Refuses it before any call", "no credentials are valid in two partitions"),
    "region of SSO": (
        "Asks `portal.sso.us-east-1a.amazonaws.com` for `sso_region = us-east-1a`", "Refuses it",
        "what is not a region must not become a host name"),
    "blank settings": (
        "Refuses blank settings such as `external_id =`, `login_session =` or `credential_process =` next to keys, an empty "
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
    "kept roles": (
        "Uses a role's credentials in `~/.aws/cli/cache` whichever keys assumed it",
        "Only if the role has an `mfa_serial`; calls AssumeRole for all others",
        "a cached password must not outlive what those other keys may do"),
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
    "kept roles": """kept: plain role; kept: other zone; kept: UTC; kept: fractions; kept: +00:00; kept: external ID;
        kept: session name; kept: duration""",
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


GROUPS = (odd, web_identity, retired, both_files, roles, environment, sso, mfa, processes, login, containers, endpoints, certificates,
          bytes_and_files, paths, names, layout, comments, metadata)
