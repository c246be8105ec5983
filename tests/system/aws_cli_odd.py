"""Cases: what a person may have typed, and settings that decide nothing here."""

from aws_cli_base import *
from aws_cli_sources import ACCOUNT, PORTAL, script, sso_token


def odd():
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
        cases.append(of(f"next to {text.split()[0]}", text + plain))
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
