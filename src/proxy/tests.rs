use super::*;

fn proxies(vars: &[(&str, &str)]) -> Proxies {
    Proxies::from_env(&Env::of(vars.iter().copied()))
}

fn proxied(vars: &[(&str, &str)], https: bool, host: &str, port: u16) -> Option<String> {
    let proxy = proxies(vars).proxy_for(https, host, port).expect(host);
    proxy.map(|p| format!("{}:{}", p.host, p.port))
}

#[test]
fn no_proxy_matches_as_go_does() {
    #[rustfmt::skip]
    const CASES: &[(&str, &str, u16, bool)] = &[
        ("", "api.ecr.us-east-1.amazonaws.com", 443, true),
        ("*", "api.ecr.us-east-1.amazonaws.com", 443, false),
        ("other.example, *", "api.ecr.us-east-1.amazonaws.com", 443, false),
        ("amazonaws.com", "api.ecr.us-east-1.amazonaws.com", 443, false),
        ("amazonaws.com", "amazonaws.com", 443, false),
        ("amazonaws.com", "xamazonaws.com", 443, true),
        (".amazonaws.com", "api.ecr.us-east-1.amazonaws.com", 443, false),
        (".amazonaws.com", "amazonaws.com", 443, true),
        ("*.amazonaws.com", "amazonaws.com", 443, true),
        ("*.amazonaws.com", "sts.amazonaws.com", 443, false),
        ("AMAZONAWS.com", "STS.amazonaws.COM", 443, false),
        ("amazonaws.com:443", "sts.amazonaws.com", 443, false),
        ("amazonaws.com:8443", "sts.amazonaws.com", 443, true),
        ("10.0.0.0/8", "10.1.2.3", 443, false),
        ("10.0.0.0/8", "11.1.2.3", 443, true),
        ("0.0.0.0/0", "11.1.2.3", 443, false),
        ("::/0", "2001:db8::1", 443, false),
        ("2001:db8::/32", "2001:db8::1", 443, false),
        ("2001:db8::/32", "2001:db9::1", 443, true),
        ("2001:db8::1", "2001:db8::1", 443, false),
        ("[2001:db8::1]:443", "2001:db8::1", 443, false),
        ("[2001:db8::1]:80", "2001:db8::1", 443, true),
        ("10.1.2.3", "10.1.2.3", 443, false),
        ("10.1.2.3:80", "10.1.2.3", 443, true),
        ("10.1.2.3", "::ffff:10.1.2.3", 443, false),
        ("10.0.0.0/99", "10.1.2.3", 443, true),
        ("::ffff:10.0.0.0/104", "10.1.2.3", 443, false),
        ("::ffff:10.0.0.0/104", "11.1.2.3", 443, true),
        (" , :443,", "sts.amazonaws.com", 443, true),
    ];
    for &(list, host, port, expected) in CASES {
        let vars = [("HTTPS_PROXY", "http://p:3128"), ("NO_PROXY", list)];
        let found = proxied(&vars, true, host, port).is_some();
        assert_eq!(found, expected, "{list} {host}:{port}");
    }
}

#[test]
fn local_hosts_are_never_proxied() {
    let vars = [("HTTP_PROXY", "http://p"), ("HTTPS_PROXY", "http://p")];
    for host in [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fe80::1",
    ] {
        assert_eq!(proxied(&vars, false, host, 80), None, "{host}");
        assert_eq!(proxied(&vars, true, host, 443), None, "{host}");
    }
    assert!(proxied(&vars, false, "fd00:ec3::254", 80).is_some());
    assert!(proxied(&vars, false, "169.253.169.254", 80).is_some());
}

#[test]
fn upper_case_wins_and_all_proxy_is_ignored() {
    let host = "sts.amazonaws.com";
    let of = |vars: &[(&str, &str)], https| proxied(vars, https, host, 443);
    let both = [("HTTPS_PROXY", "u:1"), ("https_proxy", "l:2")];
    assert_eq!(of(&both, true).as_deref(), Some("u:1"));
    let empty = [("HTTPS_PROXY", ""), ("https_proxy", "l:2")];
    assert_eq!(of(&empty, true).as_deref(), Some("l:2"));
    assert_eq!(of(&[("HTTP_PROXY", "u:1")], true), None);
    assert_eq!(
        of(&[("ALL_PROXY", "u:1"), ("all_proxy", "u:1")], true),
        None
    );
    let no = [("HTTPS_PROXY", "u:1"), ("no_proxy", "amazonaws.com")];
    assert_eq!(of(&no, true), None);
}

#[test]
fn proxy_urls_are_parsed() {
    #[rustfmt::skip]
    const CASES: &[(&str, bool, &str, u16, Option<&str>)] = &[
        ("http://p.example:3128", false, "p.example", 3128, None),
        ("http://p.example", false, "p.example", 80, None),
        ("https://p.example/", true, "p.example", 443, None),
        ("p.example:8080", false, "p.example", 8080, None),
        ("HTTP://[2001:db8::1]:8080", false, "2001:db8::1", 8080, None),
        ("http://[2001:db8::1]", false, "2001:db8::1", 80, None),
        ("http://u:p@p.example:1", false, "p.example", 1, Some("Basic dTpw")),
        ("u@p.example:1", false, "p.example", 1, Some("Basic dTo=")),
        ("http://u%40d:p%3a%2Fx%zz@p.example:1", false, "p.example", 1, Some("Basic dUBkOnA6L3gleno=")),
    ];
    for &(url, tls, host, port, authorization) in CASES {
        let proxy = proxies(&[("HTTPS_PROXY", url)])
            .proxy_for(true, "h.example", 443)
            .expect(url)
            .expect(url);
        assert_eq!(
            (proxy.tls, proxy.host.as_str(), proxy.port),
            (tls, host, port)
        );
        assert_eq!(
            proxy.authorization.as_ref().map(Secret::expose),
            authorization
        );
    }
}

#[test]
fn unusable_proxy_error_shows_no_password() {
    for (url, error) in [
        (
            "socks5://u:hunter2@p:1",
            "HTTPS_PROXY has the scheme \"socks5\", which is not supported for proxies",
        ),
        ("http://u:hunter2@p:port", "HTTPS_PROXY is not a proxy URL"),
        ("http://", "HTTPS_PROXY is not a proxy URL"),
        ("hunter2!://x", "HTTPS_PROXY is not a proxy URL"),
        ("http://u:hunter2@x@p:1", "HTTPS_PROXY is not a proxy URL"),
        ("http://u:hunter2/x@p:1", "HTTPS_PROXY is not a proxy URL"),
        ("http://hunter2:12/x@p:1", "HTTPS_PROXY is not a proxy URL"),
        ("http://hunter2?x@p:1", "HTTPS_PROXY is not a proxy URL"),
        ("hunter2#x@p:1", "HTTPS_PROXY is not a proxy URL"),
        ("http://a b", "HTTPS_PROXY is not a proxy URL"),
    ] {
        let found = proxies(&[("HTTPS_PROXY", url)]).proxy_for(true, "h.example", 443);
        let found = found.expect_err(url);
        assert_eq!(found.to_string(), error);
        assert!(found.hint().contains("HTTPS_PROXY"));
    }
}

#[test]
fn http_proxy_is_refused_in_cgi_programs() {
    let vars = [
        ("HTTP_PROXY", "http://p"),
        ("HTTPS_PROXY", "http://p"),
        ("REQUEST_METHOD", "GET"),
    ];
    let proxies = proxies(&vars);
    assert_eq!(
        proxies.proxy_for(false, "h.example", 80),
        Err(ProxyError::Cgi)
    );
    assert!(proxies.proxy_for(true, "h.example", 443).is_ok());
    assert_eq!(proxies.proxy_for(false, "localhost", 80), Ok(None));
}

#[test]
fn debug_shows_no_password() {
    let proxies = proxies(&[("HTTPS_PROXY", "http://u:hunter2@p")]);
    let proxy = proxies.proxy_for(true, "h.example", 443);
    assert!(!format!("{proxies:?} {proxy:?}").contains("hunter2"));
}
