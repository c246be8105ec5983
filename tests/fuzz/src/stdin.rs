//! Every verb answers whatever is on stdin: an exit status, valid JSON where a login is given, a
//! password only to who asked for one, and no panic. The first byte chooses the verb.
#![no_main]

use std::ffi::{OsStr, OsString};
use std::io::Cursor;
use std::process::ExitCode;

use docker_credential_ecr_login::cli::{self, Context, Io};
use docker_credential_ecr_login::fuzzing::Env;
use docker_credential_ecr_login::fuzzing::Log;
use fuzz::{FakeAws, PASSWORD};
use libfuzzer_sys::fuzz_target;

const VERBS: [&str; 5] = ["get", "store", "erase", "list", "kubelet"];

thread_local! {
    static HOME: tempfile::TempDir = fuzz::directory();
}

fuzz_target!(|bytes: &[u8]| {
    let Some((verb, stdin)) = bytes.split_first() else {
        return;
    };
    let verb = VERBS[usize::from(*verb) % VERBS.len()];
    HOME.with(|home| {
        let env = Env::of([
            ("HOME", home.path().as_os_str().to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAFUZZ".into()),
            ("AWS_SECRET_ACCESS_KEY", "s".into()),
        ]);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = cli::run(Context {
            io: Io {
                stdin: &mut Cursor::new(stdin),
                stdout: &mut stdout,
                stderr: &mut stderr,
            },
            called_as: OsStr::new("docker-credential-ecr-login"),
            arguments: &[OsString::from(verb)],
            env: &env,
            clock: &chrono::Utc::now,
            log: Log::off(),
            issuer: &mut FakeAws,
        });
        let failed = format!("{status:?}") != format!("{:?}", ExitCode::SUCCESS);
        let stdout = String::from_utf8(stdout).expect("text");
        let stderr = String::from_utf8(stderr).expect("text");
        assert!(!stderr.contains(PASSWORD));
        if failed {
            assert!(!stdout.contains(PASSWORD));
        } else if verb == "get" || verb == "kubelet" {
            assert!(
                stdout.starts_with('{') && stdout.ends_with("}\n"),
                "{stdout}"
            );
            assert_eq!(stdout.lines().count(), 1);
        }
    });
});
