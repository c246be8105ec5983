"""Cases from a random generator."""

from aws_cli_base import *
from aws_cli_sources import *


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
    """Profiles of whole settings, and variables."""
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
