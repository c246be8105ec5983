//! Rules of the format, each as a case whose expectation comes from the AWS CLI's own reader; a
//! comparison with that reader is in `tests/system/aws_cli.py`.

use std::path::PathBuf;

use proptest::prelude::*;

use super::reader::{strip, words};
use super::*;
use crate::env::Env;

/// A property of a profile, or the line and the fault that keep it from being read.
type Read = Result<Option<String>, (String, usize, LineFault)>;

fn read(config: &str, credentials: &str, profile: &str, key: &str) -> Read {
    let section = Config::of(config, credentials).and_then(|config| {
        let section = config.profile(profile)?;
        Ok(section.and_then(|s| s.get(key).map(str::to_owned)))
    });
    section.map_err(|error| match error {
        ConfigFileError::Malformed { path, line, fault } => {
            (path.display().to_string(), line, fault)
        }
        ConfigFileError::Unreadable { reason, .. } => panic!("{reason}"),
    })
}

#[test]
fn properties_are_read_as_configparser_reads_them() {
    for (text, expected) in [
        ("[default]\nk = v", "v"),
        ("  [default]\n  k = v", "v"),
        ("[default]\n  k = v\n  x = y", "v"),
        ("[default]\nx = y\n k = v\n[default2]", "none"),
        ("[default]\nx = y\n k = v", "none"),
        ("[default]\n  x = y\n k = v", "v"),
        ("[default]\nk = v\n  # comment", "v"),
        ("[default]\nk = v\n  ; comment\n  more", "v\nmore"),
        ("[default]\nk = v\n\n\n  more\n\n", "v\n\n\nmore"),
        ("[default]\nk =\n  a = 1", "\na = 1"),
        ("[default]\nk: v = w", "v = w"),
        ("[default]\nk = v : w", "v : w"),
        ("[default] text\nk = v", "v"),
        ("[default]# comment\nk = v", "v"),
        ("[default]\rk = v\r", "v"),
        ("[default]\r\nk = v\r\nx = y", "v"),
        ("[default]\n\u{a0}k\u{a0}=\u{a0}v\u{a0}", "v"),
        ("[default]\n\u{c}k = v\u{c}", "v"),
        ("[default]\nk = v\u{1f}", "v"),
        ("[default]\nK = V", "V"),
        ("[default]\nk = v # w", "v # w"),
        ("[default]\nregion = r # w", "r"),
        ("[default]\nk =", ""),
        ("[DEFAULT]\nk = v\n[default]\nx = y", "v"),
        ("[default]\nk = v\n[DEFAULT]\nk = w", "v"),
        ("[profile default]\nk = 1\n[default]\nk = 2", "2"),
        ("[default]\nk = 2\n[profile default]\nx = 1", "none"),
        ("[ default ]\nk = v", "none"),
        ("[Default]\nk = v", "none"),
        (
            "[default]\n# c\u{e9}\n[x]\nk\n[y]\nk = 1\nk = 2\n= 3",
            "none",
        ),
    ] {
        let key = if text.contains("region") {
            "region"
        } else {
            "k"
        };
        let found = read(text, "", "default", key);
        let expected = Some(expected.to_owned()).filter(|e| e != "none");
        assert_eq!(found, Ok(expected), "{text:?}");
    }
}

#[test]
fn names_are_found_quoted_or_not() {
    for (config, credentials, name) in [
        ("[profile a]", "", "a"),
        ("[profile  a\t]", "", "a"),
        ("[profile 'my dev']", "", "my dev"),
        ("[profile \"my dev\"]", "", "my dev"),
        ("[profile my\\ dev]", "", "my dev"),
        ("[profile my dev]", "", "my dev"),
        ("[profile 'a'b\"c\"]", "", "abc"),
        ("[profile bob's]", "", "bob's"),
        ("[profile 'bob'\"'\"'s']", "", "bob's"),
        ("[profile r&d]", "", "r&d"),
        ("[profile müller]", "", "müller"),
        ("[profile dev(1)]", "", "dev(1)"),
        ("[profile a]b]", "", "a]b"),
        ("[ profile a ]", "", "a"),
        ("[profile\u{a0}a]", "", "a"),
        ("[profile 'my dev']", "", "'my dev'"),
        ("[profile a]", "", "a # comment"),
        ("", "[my dev]", "my dev"),
        ("", "[\"my dev\"]", "my dev"),
        ("", "[bob's]", "bob's"),
        ("", "[ a ]", "a"),
        ("", "[profile a]", "profile a"),
    ] {
        let header = |text: &str| match text.is_empty() {
            true => String::new(),
            false => format!("{text}\nk = v\n"),
        };
        let found = read(&header(config), &header(credentials), name, "k");
        assert_eq!(found, Ok(Some("v".into())), "{config} {credentials}");
    }
}

#[test]
fn other_sections_are_no_profiles() {
    for (config, credentials) in [
        ("[a]", ""),
        ("[Profile a]", ""),
        ("[profilea]", ""),
        ("[profile]", ""),
        ("[services a]", ""),
        ("[sso-session a]", ""),
        ("", "[profile a]"),
    ] {
        let text = |header: &str| format!("{header}\nk = v\n").replace("\nk = v\n", "\n");
        let found = Config::of(&text(config), &text(credentials)).expect("good");
        assert!(found.profile("a").expect("good").is_none(), "{config}");
    }
}

#[test]
fn faults_name_file_and_line() {
    use LineFault::{
        DuplicateKey, DuplicateSection, NoBracket, NoDelimiter, NoEquals, NoKey, NoSection,
    };
    for (text, line, fault) in [
        ("k = v", 1, NoSection),
        ("\n\u{feff}[default]", 2, NoSection),
        ("[default", 1, NoBracket),
        ("[x]\nk = v\n  [default", 0, NoBracket),
        ("[default]\n# c\nk", 3, NoDelimiter),
        ("[default]\n= v", 2, NoKey),
        ("[default]\n : v", 2, NoKey),
        ("[default]\ns3 =\n  k", 3, NoEquals),
        ("[default]\nk = 1\n[x]\n[default]", 4, DuplicateSection),
        ("[default]\nk = 1\nK = 1", 3, DuplicateKey),
        ("[DEFAULT]\nk\n[default]", 2, NoDelimiter),
        ("[default]\r\rk\r", 3, NoDelimiter),
    ] {
        let error = match line {
            0 => Ok(None),
            line => Err(("config".to_owned(), line, fault)),
        };
        assert_eq!(read(text, "", "default", "k"), error, "{text:?}");
    }
}

#[test]
fn unused_sections_may_be_faulty() {
    let faulty = "[broken\nk\n= v\n[b]\nk = 1\nk = 2\n[b]\n[ c ]\n[default]\nk = v\n";
    assert_eq!(read(faulty, "", "default", "k"), Ok(Some("v".into())));
    let faults = Config::of(faulty, "").expect("good").faults();
    let lines = faults.iter().map(|fault| match fault {
        ConfigFileError::Malformed { line, fault, .. } => (*line, *fault),
        ConfigFileError::Unreadable { reason, .. } => panic!("{reason}"),
    });
    let expected = [
        (1, LineFault::NoBracket),
        (2, LineFault::NoDelimiter),
        (3, LineFault::NoKey),
        (6, LineFault::DuplicateKey),
        (7, LineFault::DuplicateSection),
        (8, LineFault::Padded),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn credentials_file_overrides_key_by_key() {
    let config = Config::of("[profile a]\nk = 1\nx = 1", "\n[a]\nk = 2\ny =").expect("good");
    let a = config.profile("a").expect("good").expect("there");
    assert_eq!(
        (a.get("k"), a.get("x"), a.get("y")),
        (Some("2"), Some("1"), Some(""))
    );
    assert_eq!(a.get_in(WhichFile::Config, "k"), Some("1"));
    assert_eq!(a.get_in(WhichFile::Credentials, "x"), None);
    assert_eq!(a.place(), (Path::new("config"), 1));
    assert_eq!(config.profiles(), ["a"]);
}

#[test]
fn services_are_found_in_their_block() {
    let text = "[services 'my dev']\necr =\n  endpoint_url = http://a\n  x = y\nsts = http://b\n";
    let config = Config::of(text, "").expect("good");
    let section = config.services("my dev").expect("good").expect("there");
    assert!(!section.is_empty());
    let get = |service, key| section.nested(service, key);
    assert_eq!(get("ecr", "endpoint_url").as_deref(), Some("http://a"));
    assert_eq!(get("ecr", "x").as_deref(), Some("y"));
    assert_eq!((get("ecr", "z"), get("sts", "endpoint_url")), (None, None));
}

#[test]
fn headers_are_split_as_shlex_splits_them() {
    for (text, expected) in [
        ("a  b\tc", Some(vec!["a", "b", "c"])),
        ("a 'b c' \"d 'e\"", Some(vec!["a", "b c", "d 'e"])),
        (
            r#"a\ b "c\"d\e" 'f\g'"#,
            Some(vec!["a b", r#"c"d\e"#, r"f\g"]),
        ),
        ("a '' #b", Some(vec!["a", "", "#b"])),
        ("bob's", None),
        ("a\\", None),
    ] {
        assert_eq!(
            words(text).as_deref(),
            expected
                .map(|e| e.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .as_deref(),
            "{text}"
        );
    }
}

#[test]
fn unreadable_files_are_missing_ones_with_a_fault() {
    let dir = std::env::temp_dir().join(format!("ecr-profile-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("create");
    let latin1 = b"[profile a]\n# \xe9\nk = v\n[default]\nk = \xe9\n";
    std::fs::write(dir.join("latin1"), latin1).expect("write");
    let load = |path: PathBuf| {
        let env = Env::of([("AWS_CONFIG_FILE", path)]);
        Config::load(&Paths::find(&env))
    };
    let faults = |path| {
        let faults = load(path).expect("usable").faults();
        faults
            .iter()
            .map(ConfigFileError::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(faults(dir.join("none")), [""; 0]);
    assert_eq!(faults(dir.join("latin1/none")), [""; 0]);
    let directory = faults(dir.clone()).join("");
    assert!(
        directory.contains(&dir.display().to_string()),
        "{directory}"
    );
    let config = load(dir.join("latin1")).expect("usable");
    assert!(config.profile("a").expect("sound").is_some());
    let error = config
        .profile("default")
        .expect_err("not UTF-8")
        .to_string();
    assert!(error.ends_with("latin1, line 5: not UTF-8"), "{error}");
    let big = std::fs::File::create(dir.join("big")).expect("create");
    big.set_len(LIMIT as u64 + 1).expect("grow");
    let error = load(dir.join("big")).expect_err("too large").to_string();
    assert!(error.ends_with("it is too large"), "{error}");
    drop(big);
    std::fs::remove_dir_all(dir).expect("remove");
}

#[test]
fn debug_shows_no_value() {
    let config = Config::of("[default]\naws_secret_access_key = sentinel", "").expect("good");
    assert!(!format!("{config:?}").contains("sentinel"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::of_bytes(bytes.clone(), bytes).map(|config| config.faults());
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]=:#; \t\r\nadefultprosv'\"\\\\\u{a0}ü]{0,60}") {
        let _ = words(&text);
        prop_assert_eq!(strip(&text), text.trim_matches(reader::is_space));
        if let Ok(config) = Config::of(&text, &text) {
            let _ = config.faults();
            for name in config.profiles() {
                let _ = config.profile(&name);
            }
        }
    }
}
