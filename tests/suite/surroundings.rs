//! Bad surroundings: broken, foreign and planted files, odd homes, closed streams.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::fake::Fake;
use crate::support::run::Helper;

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CACHE: &str = "~/.cache/docker-credential-ecr-login";

/// The one entry of a cache that has one.
fn entry(helper: &Helper) -> PathBuf {
    let files = helper.entries(CACHE);
    assert_eq!(files.len(), 1, "{files:?}");
    helper.path(CACHE).join(&files[0])
}

fn chmod(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("it is ours");
}

/// A change to an entry after which it is a miss.
type Damage = (&'static str, fn(&Path));

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).expect("readable");
    std::fs::write(path, &bytes[..bytes.len() / 2]).expect("writable");
}

const DAMAGE: &[Damage] = &[
    ("empty", |path| std::fs::write(path, "").expect("writable")),
    ("truncated", truncate),
    ("garbage", |path| {
        std::fs::write(path, "\u{0}\u{1}nonsense").expect("writable")
    }),
    ("not UTF-8", |path| {
        std::fs::write(path, b"{\"version\":\xff}").expect("writable")
    }),
    ("null-filled", |path| {
        std::fs::write(path, vec![0; 4096]).expect("writable")
    }),
    ("json null", |path| {
        std::fs::write(path, "null").expect("writable")
    }),
    ("another version", |path| {
        let text = std::fs::read_to_string(path).expect("readable");
        let changed = text.replacen("\"version\":1", "\"version\":99", 1);
        assert_ne!(text, changed);
        std::fs::write(path, changed).expect("writable");
    }),
    ("huge", |path| {
        std::fs::write(path, vec![b' '; 4 << 20]).expect("writable")
    }),
    ("a directory", |path| {
        std::fs::remove_file(path).expect("there");
        std::fs::create_dir(path).expect("free");
    }),
    ("a directory with something in it", |path| {
        std::fs::remove_file(path).expect("there");
        std::fs::create_dir(path).expect("free");
        std::fs::write(path.join("x"), "").expect("new");
    }),
    ("a link to a copy of it", |path| {
        let copy = path.with_extension("copy");
        std::fs::rename(path, &copy).expect("there");
        symlink(&copy, path).expect("free");
    }),
    ("a dangling link", |path| {
        std::fs::remove_file(path).expect("there");
        symlink("/nonexistent/target", path).expect("free");
    }),
    ("a fifo", |path| {
        std::fs::remove_file(path).expect("there");
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.is_ok_and(|status| status.success()));
    }),
    ("writable by others", |path| chmod(path, 0o666)),
    ("writable by the group", |path| chmod(path, 0o660)),
];

#[test]
fn damaged_entry_is_a_miss_and_is_replaced() {
    for (name, damage) in DAMAGE {
        let fake = Fake::start();
        let helper = Helper::with_keys(&fake);
        let first = helper.secret(HOST);
        let path = entry(&helper);
        damage(&path);
        let second = helper.secret(HOST);
        assert_ne!(second, first, "{name}");
        assert_eq!(helper.secret(HOST), second, "{name}: replaced");
        assert_eq!(fake.count("ecr"), 2, "{name}");
        let kind = path.symlink_metadata().expect("there").file_type();
        assert!(kind.is_file(), "{name}: {kind:?}");
    }
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).file("~/precious", "precious");
    helper.secret(HOST);
    let path = entry(&helper);
    std::fs::remove_file(&path).expect("there");
    symlink(helper.path("~/precious"), &path).expect("free");
    helper.secret(HOST);
    assert_eq!(helper.read("~/precious"), "precious");
}

/// Surroundings in which there is no cache: two gets make two calls, and nothing breaks.
type Place = (&'static str, fn(Helper) -> Helper);

const NO_CACHE: &[Place] = &[
    ("no home", |h| h.unset("HOME").env("AWS_ECR_CACHE_DIR", "")),
    ("a file in the way", |h| h.file(CACHE, "")),
    ("a file above in the way", |h| h.file("~/.cache", "")),
    ("a cache directory that all can write", |h| {
        std::fs::create_dir_all(h.path("~/shared")).expect("new");
        chmod(&h.path("~/shared"), 0o777);
        h.env("AWS_ECR_CACHE_DIR", "~/shared")
    }),
    ("a device for a directory", |h| {
        h.env("AWS_ECR_CACHE_DIR", "/dev/null/x")
    }),
    ("a name with a NUL's neighbour", |h| {
        h.env("AWS_ECR_CACHE_DIR", "/proc/self/\u{1}")
    }),
];

#[test]
fn works_without_a_cache_directory() {
    for (name, place) in NO_CACHE {
        let fake = Fake::start();
        let helper = place(Helper::with_keys(&fake));
        // Without HOME the password file names one, which is none of a test's business.
        let helper = match *name {
            "no home" => helper.env("AWS_ECR_DISABLE_CACHE", "1"),
            _ => helper,
        };
        assert_ne!(helper.secret(HOST), helper.secret(HOST), "{name}");
        assert_eq!(fake.count("ecr"), 2, "{name}");
    }
}

#[test]
fn cache_directory_writable_by_others_is_unused() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_CACHE_DIR", CACHE);
    let first = helper.secret(HOST);
    let path = entry(&helper);
    let root = helper.path(CACHE);
    for dir in path
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(&root))
    {
        for mode in [0o770, 0o707] {
            chmod(dir, mode);
            let before = std::fs::read(&path).expect("readable");
            assert_ne!(helper.secret(HOST), first, "{}", dir.display());
            assert_eq!(std::fs::read(&path).expect("readable"), before);
            chmod(dir, 0o700);
        }
    }
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), 7);
}

/// A user whose home directory is `~/above/home`.
fn at_home_below(fake: &Fake) -> Helper {
    let helper = Helper::with_keys(fake);
    let home = helper.path("~/above/home");
    std::fs::create_dir_all(&home).expect("new");
    helper.env("HOME", home)
}

#[test]
fn directories_above_the_default_cache_are_checked() {
    let fake = Fake::start();
    let helper = at_home_below(&fake);
    let first = helper.secret(HOST);
    assert_eq!(helper.secret(HOST), first);
    let cache = "~/above/home/.cache";
    let path = helper.path(cache).join(&helper.entries(cache)[0]);
    let entry = || std::fs::read(&path).expect("readable");
    for dir in [cache, "~/above/home", "~/above"] {
        let path = helper.path(dir);
        for mode in [0o770, 0o707] {
            chmod(&path, mode);
            let before = entry();
            assert_ne!(helper.secret(HOST), first, "{dir}");
            assert_eq!(entry(), before);
            chmod(&path, 0o700);
        }
    }
    assert_eq!(helper.secret(HOST), first);
}

#[test]
fn nothing_is_said_to_be_forgotten_that_is_kept() {
    let fake = Fake::start();
    let helper = at_home_below(&fake);
    let first = helper.secret(HOST);
    chmod(&helper.path("~/above"), 0o775);
    for run in [helper.run_of("erase").stdin(HOST), helper.run_of("clear")] {
        let output = run.run();
        assert_eq!(output.code, Some(1), "{output:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("can be written by group or others"), "{said}");
    }
    let report = helper.run_of("doctor").run();
    assert!(report.stdout.contains("cache: not used:"), "{report:?}");
    chmod(&helper.path("~/above"), 0o755);
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(helper.run_of("clear").run().code, Some(0));
    assert_ne!(helper.secret(HOST), first);
}

/// As rootless podman and buildah run it: root's directories have no known owner there.
#[cfg(target_os = "linux")]
#[test]
fn a_user_namespace_has_the_same_cache() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    let program = crate::support::run::program();
    // As a user that is not root, where root starts the tests.
    let script = format!(
        "user=; [ $(id -u) != 0 ] || {{ chown -R 12345:12345 . && user='setpriv --reuid 12345 --regid 12345 --clear-groups'; }}; \
         printf {HOST} | $user unshare --user --map-root-user {program} get"
    );
    let output = helper.shell(&script).run();
    if output.stderr.contains("unshare") {
        eprintln!("skipped: no user namespaces here");
        return;
    }
    assert_eq!(output.expect_secret(HOST), first);
    assert_eq!(fake.count("ecr"), 1);
}

#[test]
fn every_directory_above_a_named_cache_is_checked() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_CACHE_DIR", "~/a/b/c/cache");
    let first = helper.secret(HOST);
    let base = helper.path("~/a/b/c/cache");
    for dir in base.ancestors().skip(1).take(4) {
        chmod(dir, 0o777);
        assert_ne!(helper.secret(HOST), first, "{}", dir.display());
        chmod(dir, 0o1777);
        let sticky_is_ours = helper.secret(HOST);
        assert_eq!(sticky_is_ours, first, "{}", dir.display());
        chmod(dir, 0o700);
    }
    let calls = fake.count("ecr");
    assert_eq!(helper.secret(HOST), first);
    assert_eq!(fake.count("ecr"), calls);
    // Nothing is created below a directory that others can write to.
    chmod(&helper.path("~/a"), 0o777);
    let helper = helper.env("AWS_ECR_CACHE_DIR", "~/a/new/cache");
    helper.secret(HOST);
    assert!(!helper.path("~/a/new").exists());
}

#[test]
fn links_on_the_way_to_the_cache_are_checked() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_CACHE_DIR", "~/link/cache");
    std::fs::create_dir_all(helper.path("~/real/inner")).expect("new");
    symlink(helper.path("~/real/inner"), helper.path("~/link")).expect("free");
    let first = helper.secret(HOST);
    assert_eq!(
        helper.secret(HOST),
        first,
        "a link of one's own is followed"
    );
    // So is every link on the way to it.
    std::fs::create_dir(helper.path("~/open")).expect("new");
    symlink(helper.path("~/real/inner"), helper.path("~/open/middle")).expect("free");
    std::fs::remove_file(helper.path("~/link")).expect("there");
    symlink(helper.path("~/open/middle"), helper.path("~/link")).expect("free");
    assert_eq!(helper.secret(HOST), first);
    chmod(&helper.path("~/open"), 0o777);
    assert_ne!(helper.secret(HOST), first);
    chmod(&helper.path("~/open"), 0o700);
    // Its target is judged like any other place.
    chmod(&helper.path("~/real"), 0o777);
    assert_ne!(helper.secret(HOST), first);
    chmod(&helper.path("~/real"), 0o700);
    assert_eq!(helper.secret(HOST), first);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let other = Some(12345);
    for path in ["~/link", "~/real"] {
        std::os::unix::fs::lchown(helper.path(path), other, None).expect("root may");
        assert_ne!(helper.secret(HOST), first, "{path}");
        std::os::unix::fs::lchown(helper.path(path), Some(0), None).expect("root may");
    }
    assert_eq!(helper.secret(HOST), first);
}

#[test]
fn a_relative_cache_directory_is_refused() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_CACHE_DIR", "cache");
    let cause = "AWS_ECR_CACHE_DIR is not an absolute path";
    let hint = "set AWS_ECR_CACHE_DIR to an absolute path, or unset it";
    helper.get(HOST).expect_failure(cause, hint);
    let stderr = format!("docker-credential-ecr-login: {cause}\nhint: {hint}\n");
    for action in ["store", "erase", "list"] {
        let stdin = match action {
            "store" => format!(r#"{{"ServerURL":"{HOST}","Username":"AWS","Secret":"x"}}"#),
            _ => HOST.to_owned(),
        };
        let output = helper.run_of(action).stdin(stdin).run();
        output.expect(1, &format!("{cause}\n"), &stderr);
    }
    assert!(!helper.path("~/cache").exists());
    assert_eq!(fake.calls().len(), 0);
    helper.get("docker.io").expect_not_found();
    helper.env("AWS_ECR_DISABLE_CACHE", "1").secret(HOST);
}

#[test]
fn the_debug_log_says_why_a_cache_is_not_used() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("AWS_ECR_LOG", "debug");
    helper.get(HOST);
    chmod(&helper.path(CACHE), 0o777);
    let output = helper.get(HOST);
    let cache = helper.path(CACHE).display().to_string();
    assert!(output.stderr.contains(&cache), "{output:?}");
}

#[test]
fn any_umask_will_do() {
    for umask in ["000", "777", "022"] {
        let fake = Fake::start();
        let helper = Helper::with_keys(&fake);
        let under = |command: &str| {
            let program = crate::support::run::program();
            let script = format!("umask {umask}; printf %s {HOST} | {program} {command}");
            helper.shell(&script).run().expect_secret(HOST)
        };
        assert_eq!(under("get"), under("get"), "{umask}");
        let mode = entry(&helper)
            .metadata()
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600, "{umask}");
        assert_eq!(fake.count("ecr"), 1, "{umask}");
    }
}

#[test]
fn closed_streams_are_no_reason_to_panic() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    helper.secret(HOST);
    let program = crate::support::run::program();
    let said = "no credentials server URL\n";
    helper
        .shell(&format!("{program} get <&-"))
        .run()
        .expect(1, said, "");
    for script in [
        format!("printf {HOST} | {program} get >&-; test $? -ne 101 -a $? -ne 134"),
        format!("printf docker.io | {program} get >&- 2>&-; test $? -ne 101 -a $? -ne 134"),
        format!("printf {HOST} | AWS_ECR_LOG=debug {program} get 2>&- >/dev/null"),
        format!("{program} list >&-; test $? -ne 101 -a $? -ne 134"),
        format!("{program} >&-; test $? -ne 101 -a $? -ne 134"),
    ] {
        let output = helper.shell(&script).run();
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (Some(0), ""),
            "{script}"
        );
    }
    // A full device, and a reader that went away.
    let full = helper
        .shell(&format!("printf {HOST} | {program} get >/dev/full"))
        .run();
    assert_eq!((full.code, full.stderr.as_str()), (Some(1), ""));
    let mut gone = helper.run_of("get");
    gone.command.stdout(Stdio::null());
    let pipe = helper
        .shell(&format!(
            "(sleep 0.1; printf {HOST}) | {program} get | true"
        ))
        .run();
    assert_eq!((pipe.code, pipe.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_odd_process_environment_is_no_reason_to_fail() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake);
    let first = helper.secret(HOST);
    let big = "x".repeat(100 * 1024);
    let helper = (0..10).fold(helper, |h, n| h.env(&format!("BIG{n}"), &big));
    let helper = helper.env("PATH", "");
    assert_eq!(helper.secret(HOST), first);
    let helper = helper.unset("PATH");
    assert_eq!(helper.secret(HOST), first);
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let garbled = helper.run_of("get").env("AWS_PROFILE", bytes).stdin(HOST);
    let output = garbled.run();
    assert!(
        output.stderr.contains("AWS_PROFILE is not UTF-8"),
        "{output:?}"
    );
    let helper = helper.env("AWS_ECR_LOG", bytes);
    assert_eq!(helper.secret(HOST), first);
    let gone = helper.path("~/gone");
    std::fs::create_dir(&gone).expect("new");
    let program = crate::support::run::program();
    let script = format!(
        "cd {0}; rmdir {0}; printf {HOST} | {program} get",
        gone.display()
    );
    assert_eq!(helper.shell(&script).run().expect_secret(HOST), first);
}

#[test]
fn a_relative_home_is_survived() {
    let fake = Fake::start();
    let helper = Helper::with_keys(&fake).env("HOME", "relative/home");
    helper.secret(HOST);
}

#[test]
fn config_files_that_cannot_be_read_are_named() {
    for (name, break_it) in [
        (
            "a directory",
            (|h| std::fs::create_dir_all(h.path("~/.aws/config")).expect("new")) as fn(&Helper),
        ),
        ("not UTF-8", |h| {
            h.write("~/.aws/config", b"[default]\nregion = \xff\n")
        }),
    ] {
        let helper = Helper::new();
        break_it(&helper);
        let output = helper.get(HOST);
        assert_eq!(output.code, Some(1), "{name}");
        assert!(output.stderr.contains(".aws/config"), "{name}: {output:?}");
    }
    let output = Helper::new()
        .file("~/.aws/config", "[default]\nregion\n")
        .get(HOST);
    assert!(output.stderr.contains(".aws/config"), "{output:?}");
    assert!(output.stderr.contains("line 2"), "{output:?}");
}
