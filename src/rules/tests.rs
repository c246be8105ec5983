use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::env::Env;

const HOST: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::444455556666:role/ecr-pull";

fn registry(host: &str) -> Registry {
    Registry::from_server_url(host).expect(host)
}

/// Profile and role of this registry, or the cause of the failure.
fn select(text: &str, host: &str) -> Result<(Option<String>, Option<String>), String> {
    let selection = Rules::of(text).selection(&registry(host));
    let value = |named: Option<Named>| named.map(|named| named.value);
    match selection {
        Ok(selection) => Ok((value(selection.profile), value(selection.role_arn))),
        Err(problem) => {
            assert!(problem.to_string().len() <= 160, "{problem}");
            assert!(!problem.hint().is_empty(), "{problem}");
            Err(problem.to_string())
        }
    }
}

#[track_caller]
fn profile(text: &str, host: &str, expected: Option<&str>) {
    let expected = expected.map(str::to_owned);
    assert_eq!(select(text, host), Ok((expected, None)), "{text:?}");
}

#[track_caller]
fn fails(text: &str, host: &str, expected: &str) {
    let cause = select(text, host).expect_err(text);
    assert_eq!(cause, format!("~/.aws/ecr-login{expected}"));
}

#[test]
fn the_most_specific_section_decides() {
    let all = format!("[*]\nprofile = c\n[111122223333]\nprofile = b\n[{HOST}]\nprofile = a\n");
    profile(&all, HOST, Some("a"));
    profile(
        &all,
        "111122223333.dkr.ecr.us-east-1.amazonaws.com",
        Some("b"),
    );
    profile(
        &all,
        "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
        Some("b"),
    );
    profile(
        &all,
        "111122223333.dkr-ecr-fips.us-east-1.on.aws",
        Some("b"),
    );
    profile(
        &all,
        "999999999999.dkr.ecr.eu-west-1.amazonaws.com",
        Some("c"),
    );
    profile(&all, "public.ecr.aws", Some("c"));
    profile(
        "[public.ecr.aws]\nprofile = p\n[*]\nprofile = c",
        "public.ecr.aws",
        Some("p"),
    );
    profile("[999999999999]\nprofile = a", HOST, None);
    profile("", HOST, None);
}

#[test]
fn each_setting_is_decided_by_itself() {
    let text = format!("[*]\nprofile = tools\n[111122223333]\nrole_arn = {ROLE}\n");
    let expected = (Some("tools".to_owned()), Some(ROLE.to_owned()));
    assert_eq!(select(&text, HOST), Ok(expected));
}

#[test]
fn names_are_compared_without_case_or_https_port() {
    let upper = format!("[{}]\nPROFILE = a", HOST.to_uppercase());
    profile(&upper, HOST, Some("a"));
    profile(&format!("[{HOST}:443]\nprofile = a"), HOST, Some("a"));
    profile(&format!("[{HOST}:444]\nprofile = a"), HOST, None);
    profile(
        &format!("[ {HOST} ]  # comment\nprofile: a  # b"),
        HOST,
        Some("a"),
    );
}

#[test]
fn a_setting_is_named_with_section_and_line() {
    let rules = Rules::of("# mine\n\n[111122223333]\nprofile = prod\n");
    let named = rules
        .selection(&registry(HOST))
        .expect("sound")
        .profile
        .expect("set");
    assert_eq!(named.value, "prod");
    assert_eq!(named.named_by, "[111122223333] in ~/.aws/ecr-login, line 4");
}

#[test]
fn aws_ecr_profile_beats_profile_and_role() {
    let text = format!("[*]\nprofile = tools\nrole_arn = {ROLE}\n");
    let env = Env::of([("AWS_ECR_PROFILE", "ci")]);
    let rules = Rules {
        file: Rules::of(&text).file,
        ..Rules::load(&env).expect("no file")
    };
    let selection = rules.selection(&registry(HOST)).expect("sound");
    let profile = selection.profile.expect("set");
    assert_eq!(
        (profile.value.as_str(), profile.named_by.as_str()),
        ("ci", "AWS_ECR_PROFILE")
    );
    assert_eq!(selection.role_arn, None);
}

#[test]
fn a_mistake_fails_what_its_section_decides() {
    const OTHER: &str = "999999999999.dkr.ecr.eu-west-1.amazonaws.com";
    for (section, expected) in [
        (
            "profil = x",
            ", line 4: unknown key \"profil\" in [111122223333]",
        ),
        (
            "region = x",
            ", line 4: unknown key \"region\" in [111122223333]",
        ),
        (
            "registry = x",
            ", line 4: registry has no meaning in [111122223333]",
        ),
        ("profile =", ", line 4: profile in [111122223333] is blank"),
        (
            "role_arn = x",
            ", line 4: role_arn in [111122223333] is not the ARN of a role",
        ),
        (
            "profile = a\nprofile = b",
            ": profile is there twice in [111122223333], in line 4 and in line 5",
        ),
        (
            "profile = a\n  role_arn = b",
            ", line 5: this line continues \"profile\" in [111122223333]",
        ),
        (
            "profile = a\n[111122223333]",
            ": [111122223333] is there twice, in line 3 and in line 5",
        ),
    ] {
        let text = format!("[*]\nprofile = tools\n[111122223333]\n{section}\n");
        fails(&text, HOST, expected);
        profile(&text, OTHER, Some("tools"));
    }
}

#[test]
fn a_mistake_behind_what_decides_fails_nothing() {
    for mistake in [
        "profil = x",
        "region = x",
        "other_registrys = x",
        "profile =",
    ] {
        let text = format!("[111122223333]\nprofile = prod\n[*]\n{mistake}\n");
        profile(&text, HOST, Some("prod"));
    }
    // A profile could be meant, and the role would be assumed with other credentials.
    let text = format!("[*]\nprofil = x\n[111122223333]\nrole_arn = {ROLE}\n");
    fails(&text, HOST, ", line 2: unknown key \"profil\" in [*]");
}

#[test]
fn an_unknown_section_fails_nothing_and_is_found() {
    for name in [
        "11112222333",
        "profile prod",
        "default",
        "*.example.com",
        "a b",
    ] {
        let text = format!("[{name}]\nprofil = x\n[*]\nprofile = tools\n");
        profile(&text, HOST, Some("tools"));
        let findings = Rules::of(&text).findings();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].line, 1);
        assert!(
            findings[0]
                .problem
                .to_string()
                .contains("is not an account"),
            "{findings:?}"
        );
    }
    assert_eq!(
        Rules::of("[11112222333]").findings()[0].problem.to_string(),
        "~/.aws/ecr-login, line 1: [11112222333] is not an account: it has 11 digits, not 12"
    );
}

#[test]
fn a_syntax_error_fails_every_registry() {
    fails(
        "[*]\nprofile\n",
        HOST,
        ", line 2: there is no '=' between key and value",
    );
    fails(
        "[a\n",
        HOST,
        ", line 1: the section's name does not end with ']'",
    );
    fails(
        "profile = a\n",
        HOST,
        ", line 1: there is a key before the first [section]",
    );
    let broken = Rules::of("[*]\nprofile\n");
    broken.resolve("registry.example.com").expect_err("broken");
    broken.resolve("docker.io").expect_err("broken");
    assert_eq!(broken.findings().len(), 1);
}

#[test]
fn only_arns_of_roles_are_accepted() {
    for good in [
        ROLE,
        "arn:aws-cn:iam::444455556666:role/a/b",
        "arn:aws-new:iam::444455556666:role/x",
    ] {
        assert!(is_role_arn(good), "{good}");
    }
    for bad in [
        "role/x",
        "arn:aws:iam::44445555666:role/x",
        "arn:aws:iam::444455556666:role/",
        "arn:aws:iam::444455556666:user/x",
        "arn:aws:sts::444455556666:assumed-role/x/y",
        "arn:aws:iam::444455556666:role/a b",
        "arn::iam::444455556666:role/x",
    ] {
        assert!(!is_role_arn(bad), "{bad}");
    }
}

#[test]
fn own_names_lead_to_their_registry() {
    let text = format!("[registry.example.com]\nregistry = {HOST}\n[r:5000]\nregistry = {HOST}\n");
    let rules = Rules::of(&text);
    let resolve = |url: &str| {
        let found = rules.resolve(url).expect("sound");
        found.map(|registry| registry.host().to_owned())
    };
    for url in [
        "registry.example.com",
        "Registry.Example.Com",
        "https://registry.example.com",
        "registry.example.com:443",
        "https://registry.example.com/v2/",
        "r:5000",
        "http://r:5000",
        HOST,
    ] {
        assert_eq!(resolve(url).as_deref(), Some(HOST), "{url}");
    }
    for url in [
        "registry.example.com:5000",
        "x.registry.example.com",
        "registry.example.com.evil.example",
        "registry.example.com@evil.example",
        "user@registry.example.com",
        "ftp://registry.example.com",
        "r",
        "r:",
        "docker.io",
    ] {
        assert_eq!(resolve(url), None, "{url}");
    }
}

#[test]
fn an_own_name_needs_a_registry_of_ecr() {
    for (section, expected) in [
        ("", ", line 1: [r.example] has no registry"),
        (
            "registry = docker.io",
            ", line 2: registry in [r.example] is not a host of Amazon ECR",
        ),
        (
            "registry = https://111122223333.dkr.ecr.eu-west-1.amazonaws.com",
            ", line 2: registry in [r.example] is not a host of Amazon ECR",
        ),
        (
            "registri = x",
            ", line 2: unknown key \"registri\" in [r.example]",
        ),
        (
            "profile = x",
            ", line 2: profile has no meaning in [r.example]",
        ),
    ] {
        let rules = Rules::of(&format!("[r.example]\n{section}\n"));
        let problem = rules.resolve("r.example").expect_err(section);
        assert_eq!(problem.to_string(), format!("~/.aws/ecr-login{expected}"));
        assert_eq!(rules.resolve("other.example"), Ok(None));
        assert_eq!(rules.findings().len(), 1, "{section}");
        assert_eq!(rules.hosts(), []);
    }
}

#[test]
fn other_registries_names_a_helper() {
    let other = |text: &str| Rules::of(text).other_registries();
    let named = other("[*]\nother_registries = osxkeychain\n")
        .expect("sound")
        .expect("set");
    assert_eq!(named.value, "osxkeychain");
    assert_eq!(other("[*]\nprofile = a"), Ok(None));
    assert_eq!(other(""), Ok(None));
    for bad in ["../../evil", "a b", "a/b"] {
        other(&format!("[*]\nother_registries = {bad}\n")).expect_err(bad);
    }
}

#[test]
fn hosts_are_those_of_registries_and_own_names() {
    let text =
        format!("[*]\nprofile = a\n[111122223333]\n[{HOST}]\n[R.example]\nregistry = {HOST}");
    let hosts: Vec<_> = Rules::of(&text)
        .hosts()
        .into_iter()
        .map(|(host, _)| host)
        .collect();
    assert_eq!(hosts, [HOST, "r.example"]);
}

#[test]
fn findings_name_each_mistake_by_its_line() {
    let text = "[*]\nprofil = a\nother_registries = a b\n[1]\n[111122223333]\nrole_arn = x\n\
                [111122223333]\n[r.example]\n";
    let findings = Rules::of(text).findings();
    let all: Vec<_> = findings.iter().map(|f| f.problem.to_string()).collect();
    for words in [
        "unknown key \"profil\"",
        "other_registries in [*] is not the name of a helper",
        "[1] is not an account",
        "role_arn in [111122223333] is not the ARN",
        "[111122223333] is there twice, in line 5 and in line 7",
        "[r.example] has no registry",
    ] {
        assert!(
            all.iter().any(|text| text.contains(words)),
            "{words}: {all:?}"
        );
    }
    assert_eq!(all.len(), 6, "{all:?}");
}

#[test]
fn a_huge_file_takes_milliseconds() {
    let sections = (0..100_000).map(|n| format!("[{n:012}]\nprofile = p{n}\n"));
    let mut text = sections.collect::<Vec<_>>().concat();
    text.push_str("[111122223333]\nprofile = last\n");
    let began = Instant::now();
    profile(&text, HOST, Some("last"));
    Rules::of(&text).findings();
    // Unoptimised, on a busy machine; memory takes longer under Wine.
    let limit = if cfg!(windows) { 30 } else { 5 };
    assert!(
        began.elapsed() < Duration::from_secs(limit),
        "{:?}",
        began.elapsed()
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, host: String) {
        let rules = Rules::of(&text);
        let _ = (rules.selection(&registry(HOST)), rules.resolve(&host), rules.findings());
        let _ = (rules.hosts(), rules.other_registries());
    }

    #[test]
    fn a_token_goes_only_to_names_in_the_file(
        lines in prop::collection::vec("(\\[[a-c.:*]{0,5}\\]|registry = [x1]|profile=p| x|#y)", 0..8),
        url in "[a-c.:/@]{0,8}",
    ) {
        let text = lines.join("\n").replace("registry = x", &format!("registry = {HOST}"));
        if let Ok(Some(_)) = Rules::of(&text).resolve(&url) {
            let name = own_name(&url).expect("a name");
            let name = name.strip_suffix(":443").unwrap_or(name);
            prop_assert!(text.contains(&format!("[{name}")), "{} {}", text, url);
        }
    }
}
