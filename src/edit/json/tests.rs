use proptest::prelude::*;

use super::*;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const OTHER: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";

fn document(text: &str) -> Document {
    Document::parse(Some(text.as_bytes())).expect("valid")
}

fn text(document: &Document) -> String {
    String::from_utf8(document.bytes().expect("a file").to_vec()).expect("UTF-8")
}

/// Files as they are found, and the same with the helper in them.
const FILES: &[(&str, &str)] = &[
    // docker's own form after a login.
    (
        "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {}\n\t},\n\t\"credsStore\": \"desktop\"\n}",
        "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {}\n\t},\n\t\"credsStore\": \"desktop\",\n\t\"credHelpers\": {\n\t\t\"HOST\": \"ecr-login\"\n\t}\n}",
    ),
    (
        "{}",
        "{\n  \"credHelpers\": {\n    \"HOST\": \"ecr-login\"\n  }\n}",
    ),
    (
        "{}\n",
        "{\n  \"credHelpers\": {\n    \"HOST\": \"ecr-login\"\n  }\n}\n",
    ),
    (
        "{\n}\n",
        "{\n    \"credHelpers\": {\n        \"HOST\": \"ecr-login\"\n    }\n}\n",
    ),
    ("{ }", "{ \"credHelpers\": {\"HOST\": \"ecr-login\"}}"),
    (
        "",
        "{\n\t\"credHelpers\": {\n\t\t\"HOST\": \"ecr-login\"\n\t}\n}\n",
    ),
    (
        " \n",
        "{\n\t\"credHelpers\": {\n\t\t\"HOST\": \"ecr-login\"\n\t}\n}\n \n",
    ),
    // Four spaces, CRLF, no line at the end.
    (
        "{\r\n    \"auths\": {}\r\n}",
        "{\r\n    \"auths\": {},\r\n    \"credHelpers\": {\r\n        \"HOST\": \"ecr-login\"\r\n    }\r\n}",
    ),
    // On one line, with and without spaces.
    (
        "{\"auths\":{}}",
        "{\"auths\":{},\"credHelpers\":{\"HOST\":\"ecr-login\"}}",
    ),
    (
        "{\"auths\": {}}\n",
        "{\"auths\": {}, \"credHelpers\": {\"HOST\": \"ecr-login\"}}\n",
    ),
    // An empty object that is there stays when the entry goes.
    (
        "{\"credHelpers\": {}}",
        "{\"credHelpers\": { \"HOST\": \"ecr-login\" }}",
    ),
    (
        "{\n  \"credHelpers\": {\n  }\n}",
        "{\n  \"credHelpers\": {\n  \"HOST\": \"ecr-login\"}\n}",
    ),
    (
        "{\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\"\n  },\n  \"x\": [1, {\"a\": \"}\"}]\n}\n",
        "{\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\",\n    \"HOST\": \"ecr-login\"\n  },\n  \"x\": [1, {\"a\": \"}\"}]\n}\n",
    ),
    // Brackets, quotes and escapes in strings; keys of any case, as Go reads them.
    (
        "{\"p\\\"s\": \"{[\\\\\", \"CredHelpers\": {\"a\\u0062\": \"x\"}}",
        "{\"p\\\"s\": \"{[\\\\\", \"CredHelpers\": {\"a\\u0062\": \"x\", \"HOST\": \"ecr-login\"}}",
    ),
];

#[test]
fn set_changes_one_entry_and_remove_restores() {
    for (before, after) in FILES {
        let mut edited = document(before);
        let done = edited.set(Some("credHelpers"), HOST, "ecr-login");
        assert_eq!(done, Ok(Change::Added), "{before:?}");
        assert_eq!(text(&edited), after.replace("HOST", HOST), "{before:?}");
        let again = edited.set(Some("credHelpers"), HOST, "ecr-login");
        assert_eq!(again, Ok(Change::None), "{before:?}");
        let removed = edited.remove(Some("credHelpers"), HOST);
        assert_eq!(removed.as_deref(), Some("ecr-login"), "{before:?}");
        assert_eq!(text(&edited), *before);
    }
}

#[test]
fn missing_file_is_made_and_removed() {
    let mut made = Document::parse(None).expect("nothing to parse");
    made.set(Some("credHelpers"), HOST, "ecr-login")
        .expect("an object");
    made.set(None, "credsStore", "ecr-login")
        .expect("an object");
    serde_json::from_slice::<serde_json::Value>(made.bytes().expect("made")).expect("JSON");
    assert_eq!(
        made.remove(None, "credsStore").as_deref(),
        Some("ecr-login")
    );
    assert_eq!(made.remove(Some("credHelpers"), OTHER), None);
    assert!(made.bytes().is_some());
    made.remove(Some("credHelpers"), HOST);
    assert_eq!(made.bytes(), None);
}

#[test]
fn replaced_value_is_reported() {
    let mut edited = document("{\"credsStore\" : \"osxkeychain\"}");
    let done = edited.set(None, "credsStore", "ecr-login");
    assert_eq!(done, Ok(Change::Replaced("osxkeychain".to_owned())));
    assert_eq!(text(&edited), "{\"credsStore\" : \"ecr-login\"}");
    assert_eq!(edited.get(None, "credsstore").as_deref(), Some("ecr-login"));
}

#[test]
fn refused_texts_are_located() {
    for (bytes, message) in [
        (&b"\xef\xbb\xbf{}"[..], "begins with a byte order mark"),
        (b"{\n  \"a\": 1,\n}", "is not valid JSON (line 3, column 1)"),
        (b"{\"a\": \"\xff\"}", "is not valid JSON (line 1, column 8)"),
        (b"{} x", "is not valid JSON (line 1, column 4)"),
        (b"{\"a\"", "is not valid JSON (line 1, column 4)"),
        (b"\n []", "does not hold a JSON object (line 2, column 2)"),
    ] {
        let error = Document::parse(Some(bytes)).expect_err("refused");
        assert_eq!(error.to_string(), message);
    }
    let mut odd = document("{\n \"credHelpers\": []}");
    let error = odd
        .set(Some("credHelpers"), HOST, "x")
        .expect_err("refused");
    let message = "has a \"credHelpers\" that is not an object (line 2, column 17)";
    assert_eq!(error.to_string(), message);
}

#[test]
fn large_file_is_edited_in_linear_time() {
    let entry = |n: usize| format!("\"host{n}.example\": {{\"auth\": \"eHg6eXk=\"}}");
    let auths: Vec<_> = (0..120_000).map(entry).collect();
    let before = format!("{{\n  \"auths\": {{{}}}\n}}", auths.join(", "));
    assert!(before.len() > 5_000_000);
    let began = std::time::Instant::now();
    let mut edited = document(&before);
    edited
        .set(Some("credHelpers"), HOST, "ecr-login")
        .expect("an object");
    edited.remove(Some("credHelpers"), HOST);
    assert_eq!(text(&edited), before);
    assert!(began.elapsed().as_secs() < 10);
}

fn space() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![" ", "\n", "\t", "\r\n", "  "]),
        0..3,
    )
    .prop_map(|parts| parts.concat())
}

fn member() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "null",
        "\"x\"",
        "[]",
        "[ {\"a\": []} ]",
        "{ }",
        "{\"b\":\"}\"}",
        "\"\\\"\"",
    ]);
    (space(), "[a-z]{1,3}", space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}\"{key}\"{b}:{c}{value}{d}"))
}

proptest! {
    #[test]
    fn any_object_is_restored(
        members in prop::collection::vec(member(), 1..5),
        head in space(),
        tail in space(),
    ) {
        let before = format!("{head}{{{}}}{tail}", members.join(","));
        let mut edited = document(&before);
        for host in [HOST, OTHER] {
            edited.set(Some("credHelpers"), host, "ecr-login").expect("an object");
            let value: serde_json::Value = serde_json::from_str(&text(&edited)).expect("JSON");
            prop_assert_eq!(&value["credHelpers"][host], "ecr-login");
        }
        edited.set(None, "credsStore", "ecr-login").expect("a member");
        edited.remove(Some("credHelpers"), HOST);
        edited.remove(Some("credHelpers"), OTHER);
        edited.remove(None, "credsStore");
        prop_assert_eq!(text(&edited), before);
    }
}
