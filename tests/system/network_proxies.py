"""Cases: proxies, certificate authorities, private endpoints."""

from network_base import *


# --- proxies --------------------------------------------------------------------------------

# tinyproxy, tinyproxy with a password, squid over HTTP and over TLS; and a closed port.
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
    proxied("closed port", {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:9"}, (), (),
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
    trust("a TLS proxy without a trusted CA",
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
