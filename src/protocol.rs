//! The docker-credential-helper protocol: requests on stdin, responses on stdout.
//!
//! Pure, over `Read` and `Write`; nothing in here knows AWS. The exact strings are those that
//! clients compare against (docker-credential-helpers' `credentials` package), and docker reads
//! errors from **stdout**.

use std::io::{self, ErrorKind, Read, Write};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretBytes};
use crate::token::Login;

/// Clients take this to mean "try the next helper, or go on without credentials".
pub const NOT_FOUND: &str = "credentials not found in native keychain";

/// No credential request is this long; a longer one is refused.
const LIMIT: usize = 64 * 1024;

/// Room for every real request.
const USUAL: usize = 8 * 1024;

/// An invalid request; its Display is what the client gets on stdout.
#[derive(Debug, Error)]
pub enum ProtocolError {
    /// stdin could not be read.
    #[error("cannot read stdin: {0}")]
    Unreadable(io::Error),
    /// stdin was neither closed nor complete before the deadline.
    #[error("no complete request on stdin before the deadline")]
    Incomplete,
    /// More than 64 KiB on stdin.
    #[error("more than {LIMIT} bytes on stdin")]
    TooLong,
    /// Not UTF-8.
    #[error("stdin is not UTF-8")]
    NotUtf8,
    /// A control character inside of a server URL.
    #[error("the server URL contains a control character")]
    ControlCharacter,
    /// No server URL. Clients compare this text, to the letter.
    #[error("no credentials server URL")]
    NoServerUrl,
    /// No user name. Clients compare this text, to the letter.
    #[error("no credentials username")]
    NoUsername,
    /// The stdin of `store` is not its JSON object.
    #[error("stdin is not the JSON object with ServerURL, Username and Secret")]
    NotCredentials,
}

/// The form of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A server URL on one line, or, from Bazel, a JSON object.
    Url,
    /// A JSON object, on any number of lines.
    Json,
}

impl Form {
    /// Whether nothing has to follow. A client that leaves stdin open is not waited for then.
    fn is_complete(self, bytes: &[u8]) -> bool {
        let bytes = bytes.trim_ascii_start();
        match (self, bytes.first()) {
            (_, None) => false,
            (Self::Url, Some(first)) if *first != b'{' => bytes.contains(&b'\n'),
            _ => {
                bytes.trim_ascii_end().ends_with(b"}")
                    && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
            }
        }
    }
}

/// Reads a request from stdin, within the limit: until it is complete, or to the end.
pub fn read(stdin: &mut dyn Read, form: Form) -> Result<Secret, ProtocolError> {
    let mut bytes = SecretBytes::with_capacity(USUAL);
    bytes.resize(USUAL, 0);
    let mut length = 0;
    loop {
        match stdin.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(ProtocolError::Incomplete);
            }
            Err(error) => return Err(ProtocolError::Unreadable(error)),
        }
        if length > LIMIT {
            return Err(ProtocolError::TooLong);
        }
        if form.is_complete(&bytes[..length]) {
            break;
        }
        if length == bytes.len() {
            let mut larger = SecretBytes::with_capacity(LIMIT + 1);
            larger.extend_from_slice(&bytes);
            larger.resize(LIMIT + 1, 0);
            bytes = larger;
        }
    }
    bytes.truncate(length);
    bytes.into_text().ok_or(ProtocolError::NotUtf8)
}

/// The server URL in the stdin of `get` and `erase`: the first line that is not blank, trimmed.
pub fn server_url(stdin: &str) -> Result<String, ProtocolError> {
    let mut lines = stdin.lines().map(str::trim);
    let url = lines.find(|line| !line.is_empty());
    let url = url.ok_or(ProtocolError::NoServerUrl)?;
    if url.chars().any(char::is_control) {
        return Err(ProtocolError::ControlCharacter);
    }
    Ok(url.to_owned())
}

/// The request of `store`.
#[derive(Debug)]
pub struct StoreRequest {
    /// The registry, in whatever form the client likes.
    pub server_url: String,
    /// User name and password.
    pub login: Login,
}

/// The credentials in the stdin of `store`; the server URL is checked first, then the user name.
pub fn credentials(stdin: &str) -> Result<StoreRequest, ProtocolError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct StoreMessage {
        #[serde(default, rename = "ServerURL")]
        server_url: String,
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: Zeroizing<String>,
    }
    let mut wire: StoreMessage =
        serde_json::from_str(stdin).map_err(|_| ProtocolError::NotCredentials)?;
    let server_url = wire.server_url.trim();
    if server_url.is_empty() {
        return Err(ProtocolError::NoServerUrl);
    }
    if wire.username.is_empty() {
        return Err(ProtocolError::NoUsername);
    }
    if server_url.chars().any(char::is_control) {
        return Err(ProtocolError::ControlCharacter);
    }
    Ok(StoreRequest {
        server_url: server_url.to_owned(),
        login: Login {
            username: wire.username,
            password: Secret::new(std::mem::take(&mut *wire.secret)),
        },
    })
}

/// The response to `get`: one line of JSON, with the server URL as it was received.
pub fn write_login(stdout: &mut dyn Write, server_url: &str, login: &Login) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct GetMessage<'a> {
        #[serde(rename = "ServerURL")]
        server_url: &'a str,
        username: &'a str,
        secret: &'a str,
    }
    write_line(
        stdout,
        &GetMessage {
            server_url,
            username: &login.username,
            secret: login.password.expose(),
        },
    )
}

/// Writes one line of JSON with a single call, so that no reader sees a part of it.
pub fn write_line(stdout: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = SecretBytes::with_capacity(8 * 1024);
    serde_json::to_writer(&mut *line, value)?;
    line.push(b'\n');
    stdout.write_all(&line)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use std::io::Cursor;

    #[test]
    fn every_form_of_a_server_url_is_taken() {
        for (stdin, expected) in [
            ("host", "host"),
            ("host\n", "host"),
            ("host\r\n", "host"),
            ("host ", "host"),
            ("host \r\n", "host"),
            ("  https://host/v2/\n", "https://host/v2/"),
            ("\r\n \nhost\nmore\n", "host"),
        ] {
            assert_eq!(server_url(stdin).expect(stdin), expected);
        }
    }

    #[test]
    fn an_empty_server_url_has_its_own_answer() {
        for stdin in ["", "\n", " \r\n \n"] {
            let error = server_url(stdin).expect_err("empty");
            assert_eq!(error.to_string(), "no credentials server URL");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for stdin in ["ho\0st", "host\u{1b}[31m", "ho\tst", "ho\u{7f}st"] {
            assert!(
                matches!(server_url(stdin), Err(ProtocolError::ControlCharacter)),
                "{stdin:?}"
            );
        }
    }

    #[test]
    fn stdin_is_limited_and_utf8() {
        let exactly = vec![b'a'; LIMIT];
        assert_eq!(
            read(&mut Cursor::new(&exactly), Form::Url)
                .expect("fits")
                .expose()
                .len(),
            exactly.len()
        );
        let over = vec![b'a'; LIMIT + 1];
        assert!(matches!(
            read(&mut Cursor::new(over), Form::Url),
            Err(ProtocolError::TooLong)
        ));
        assert!(matches!(
            read(&mut Cursor::new([0xff]), Form::Json),
            Err(ProtocolError::NotUtf8)
        ));
    }

    /// Gives its chunks one by one, and then waits for ever.
    struct Open<'a>(&'a [&'a str]);

    impl Read for Open<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Err(ErrorKind::TimedOut.into());
            };
            self.0 = rest;
            buffer[..first.len()].copy_from_slice(first.as_bytes());
            Ok(first.len())
        }
    }

    #[test]
    fn a_complete_request_does_not_wait_for_the_end() {
        let url = Form::Url;
        for (form, chunks, complete) in [
            (url, &["host\n"][..], true),
            (url, &["ho", "st\r\n"], true),
            (url, &["\n", " host\n"], true),
            (url, &["host"], false),
            (url, &["\n \n"], false),
            (url, &[], false),
            (url, &["{\"uri\":\n", "\"x\"}"], true),
            (url, &["{\n", "\"a\":{}"], false),
            (Form::Json, &["{\"a\":{}", "}"], true),
            (Form::Json, &["{\"a\":\"}\n"], false),
            (Form::Json, &["host\n"], false),
        ] {
            match read(&mut Open(chunks), form) {
                Ok(stdin) => assert!(complete && stdin.expose() == chunks.concat(), "{chunks:?}"),
                Err(error) => assert!(
                    !complete && matches!(error, ProtocolError::Incomplete),
                    "{chunks:?}"
                ),
            }
        }
    }

    #[test]
    fn store_checks_the_server_url_then_the_user_name() {
        for (stdin, message) in [
            (r"{}", "no credentials server URL"),
            (
                r#"{"ServerURL":" ","Username":""}"#,
                "no credentials server URL",
            ),
            (
                r#"{"ServerURL":"h","Username":"","Secret":"s"}"#,
                "no credentials username",
            ),
            (
                r#"{"ServerURL":"h\u0000","Username":"u"}"#,
                "the server URL contains a control character",
            ),
            (
                "nonsense",
                "stdin is not the JSON object with ServerURL, Username and Secret",
            ),
        ] {
            assert_eq!(credentials(stdin).expect_err(stdin).to_string(), message);
        }
        let good =
            credentials(r#"{"ServerURL":"h","Username":"AWS","Secret":"s\n"}"#).expect("good");
        assert_eq!(
            (good.server_url.as_str(), good.login.password.expose()),
            ("h", "s\n")
        );
    }

    #[test]
    fn the_answer_is_one_line_of_escaped_json() {
        let login = Login {
            username: "AWS".into(),
            password: Secret::from("a\"\n\u{e9}"),
        };
        let mut out = Vec::new();
        write_login(&mut out, "https://Host/v2/", &login).expect("a vector takes all");
        assert_eq!(
            String::from_utf8(out).expect("JSON"),
            "{\"ServerURL\":\"https://Host/v2/\",\"Username\":\"AWS\",\"Secret\":\"a\\\"\\n\u{e9}\"}\n"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_on_stdin_make_it_panic(bytes: Vec<u8>) {
            for form in [Form::Url, Form::Json] {
                let Ok(stdin) = read(&mut Cursor::new(&bytes), form) else {
                    continue;
                };
                prop_assert_eq!(stdin.expose().as_bytes(), &bytes[..]);
                let _ = credentials(stdin.expose());
            }
        }

        #[test]
        fn a_server_url_is_one_trimmed_line_of_what_was_sent(stdin: String) {
            match server_url(&stdin) {
                Ok(url) => {
                    prop_assert!(!url.is_empty() && url.trim() == url);
                    prop_assert!(!url.chars().any(char::is_control));
                    prop_assert!(stdin.lines().any(|line| line.trim() == url));
                }
                Err(ProtocolError::NoServerUrl) => prop_assert!(stdin.trim().is_empty()),
                Err(ProtocolError::ControlCharacter) => {
                    prop_assert!(stdin.chars().any(char::is_control));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn what_store_reads_is_what_get_writes(
            server_url in "[!-~]{1,40}", username in "\\PC+", password: String,
        ) {
            let login = Login { username: username.clone(), password: Secret::from(&*password) };
            let mut line = Vec::new();
            write_login(&mut line, &server_url, &login).expect("a vector takes all");
            let text = String::from_utf8(line).expect("JSON");
            prop_assert_eq!(text.matches('\n').count(), 1);
            let read = credentials(&text).expect("our own words");
            prop_assert_eq!(read.server_url, server_url);
            prop_assert_eq!(read.login, login);
        }
    }
}
