"""Cases: endpoints, certificates and comments."""

from aws_cli_base import *


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
