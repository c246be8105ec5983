"""Cases: the format of the config files, and where they are."""

from aws_cli_base import *
from aws_cli_sources import ACCOUNT, PORTAL, sso_token


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
