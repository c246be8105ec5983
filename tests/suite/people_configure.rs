//! `configure` on files as they are found, and back.

use std::fs;

use super::people::Machine;
use crate::support::install::{install, search_path, write_script};

const HOST: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";

/// config.json of docker, as it is found on machines.
const FILES: &[(&str, &str)] = &[
    ("an empty file", ""),
    ("an empty object", "{}"),
    ("an empty object and a newline", "{}\n"),
    ("an empty object on two lines", "{\n}\n"),
    (
        "after docker login",
        "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t}\n}",
    ),
    (
        "Docker Desktop on macOS",
        "{\n\t\"auths\": {},\n\t\"credsStore\": \"osxkeychain\",\n\t\"currentContext\": \"desktop-linux\",\n\t\"plugins\": {\n\t\t\"-x-cli-hints\": {\n\t\t\t\"enabled\": \"true\"\n\t\t}\n\t},\n\t\"features\": {\n\t\t\"hooks\": \"true\"\n\t}\n}",
    ),
    (
        "Docker Desktop on Windows",
        "{\r\n\t\"auths\": {},\r\n\t\"credsStore\": \"desktop.exe\"\r\n}",
    ),
    (
        "gcloud auth configure-docker",
        "{\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\",\n    \"us.gcr.io\": \"gcloud\",\n    \"europe-docker.pkg.dev\": \"gcloud\"\n  }\n}",
    ),
    (
        "a CI job's one line",
        "{\"auths\":{\"registry.gitlab.com\":{\"auth\":\"eDp5\"}}}\n",
    ),
    (
        "a CI job's one line with spaces",
        "{\"auths\": {\"ghcr.io\": {\"auth\": \"eDp5\"}}}",
    ),
    (
        "four spaces",
        "{\n    \"HttpHeaders\": {\n        \"User-Agent\": \"Docker-Client/18.09\"\n    },\n    \"psFormat\": \"table {{.ID}}\\t{{.Image}}\"\n}\n",
    ),
    (
        "proxies and CRLF",
        "{\r\n  \"proxies\": {\r\n    \"default\": {\r\n      \"httpProxy\": \"http://proxy:3128\"\r\n    }\r\n  }\r\n}\r\n",
    ),
    (
        "empty credHelpers",
        "{\n\t\"auths\": {},\n\t\"credHelpers\": {}\n}",
    ),
    ("empty credHelpers on one line", "{\"credHelpers\": {}}"),
    ("null members", "{\"auths\": null, \"x\": null}"),
    (
        "unknown keys, in odd places",
        "\n{ \"zeta\" : [ 1,2 , {\"credHelpers\": {}} ],\n  \"alpha\":true , \"\\u0062\": \"}{\" }\n\n",
    ),
    (
        "other case",
        "{\n \"CredHelpers\": {\n  \"gcr.io\": \"gcloud\"\n }\n}",
    ),
    (
        "no indentation",
        "{\n\"auths\": {\n},\n\"detachKeys\": \"ctrl-e,e\"\n}",
    ),
    (
        "names in other scripts",
        "{\n  \"aliases\": {\n    \"größe\": \"ls — 大小\"\n  }\n}\n",
    ),
    (
        "the other helper's own example",
        "{\n\t\"credsStore\": \"pass\",\n\t\"credHelpers\": {\n\t\t\"public.ecr.aws\": \"ecr-login\",\n\t\t\"quay.io\": \"secretservice\"\n\t}\n}",
    ),
];

#[test]
fn configure_is_taken_back_to_the_same_bytes() {
    assert_eq!(FILES.len(), 20);
    for (name, before) in FILES {
        let machine = Machine::new();
        machine.write("home/.docker/config.json", before);
        for arguments in [
            &["configure", HOST, "--profile", "prod"][..],
            &["configure", "--all"],
            &["configure", HOST, "public.ecr.aws"],
        ] {
            let output = machine.ecr_login(arguments);
            assert_eq!(
                (output.code, output.stderr.as_str()),
                (Some(0), ""),
                "{name}"
            );
            let edited = machine.read("home/.docker/config.json");
            serde_json::from_str::<serde_json::Value>(&edited).expect(name);
            let again = machine.ecr_login(arguments).stdout;
            assert!(again.contains("nothing to change\n"), "{name}: {again}");
            let taken_back: Vec<_> = arguments.iter().copied().chain(["--remove"]).collect();
            // An entry that was there before is not what configure wrote.
            if !(before.contains("public.ecr.aws") && arguments.contains(&"public.ecr.aws")) {
                let output = machine.ecr_login(&taken_back);
                assert_eq!(
                    (output.code, output.stderr.as_str()),
                    (Some(0), ""),
                    "{name}"
                );
                assert_eq!(machine.read("home/.docker/config.json"), *before, "{name}");
                assert!(!machine.path("home/.aws/ecr-login").exists(), "{name}");
            }
        }
    }
}

#[test]
fn missing_files_are_removed_again() {
    let machine = Machine::new();
    for extra in [&[][..], &["--podman"]] {
        for what in [&[HOST, "--profile", "prod"][..], &["--all"]] {
            let arguments = [&["configure"], what, extra].concat();
            assert_eq!(machine.ecr_login(&arguments).code, Some(0));
            assert_ne!(machine.files("home").len(), 2, "{arguments:?}");
            let arguments = [&["configure", "--remove"], extra].concat();
            assert_eq!(machine.ecr_login(&arguments).code, Some(0));
            let left = machine.files("home");
            assert_eq!(left, [".aws/config", ".aws/credentials"], "{arguments:?}");
        }
    }
}

/// Windows has no modes, and only some users may make links there.
#[cfg(unix)]
#[test]
fn links_modes_and_size_do_not_matter() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let machine = Machine::new();
    let auths: Vec<_> = (0..120_000)
        .map(|n| format!("\"host{n}.example.com\": {{\"auth\": \"eHg6eXk=\"}}"))
        .collect();
    let before = format!("{{\n\t\"auths\": {{{}}}\n}}", auths.join(","));
    assert!(before.len() > 5 << 20);
    machine.write("home/dotfiles/docker.json", &before);
    let real = machine.path("home/dotfiles/docker.json");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o440)).expect("ours");
    fs::create_dir(machine.path("home/.docker")).expect("new");
    symlink(
        "../dotfiles/docker.json",
        machine.path("home/.docker/config.json"),
    )
    .expect("new");
    assert_eq!(machine.ecr_login(&["configure", HOST]).code, Some(0));
    assert_ne!(machine.read("home/dotfiles/docker.json"), before);
    assert_eq!(
        machine.ecr_login(&["configure", HOST, "--remove"]).code,
        Some(0)
    );
    assert_eq!(machine.read("home/dotfiles/docker.json"), before);
    assert_eq!(fs::metadata(&real).expect("there").mode() & 0o7777, 0o440);
    assert!(machine.path("home/.docker/config.json").is_symlink());
}

#[test]
fn refused_files_stay_as_they_are() {
    for (text, cause) in [
        (&b"\xef\xbb\xbf{}"[..], "begins with a byte order mark"),
        (
            b"{\n  \"auths\": {},\n}",
            "is not valid JSON (line 3, column 1)",
        ),
        (
            b"{\"credHelpers\": \"ecr-login\"}",
            "that is not an object (line 1, column 17)",
        ),
        (b"[]", "does not hold a JSON object (line 1, column 1)"),
    ] {
        let machine = Machine::new();
        machine.write("home/.docker/config.json", text);
        let output = machine.ecr_login(&["configure", HOST, "--profile", "prod"]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
        assert!(output.stderr.contains(cause), "{}", output.stderr);
        let after = fs::read(machine.path("home/.docker/config.json")).expect("there");
        assert_eq!(after, text);
        assert!(!machine.path("home/.aws/ecr-login").exists());
    }
}

#[test]
fn rules_are_shared_by_the_regions_of_an_account() {
    let machine = Machine::new();
    let other = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
    machine.ecr_login(&["configure", HOST, other, "--profile", "prod"]);
    machine.ecr_login(&["configure", "--remove", HOST]);
    assert!(
        machine
            .read("home/.aws/ecr-login")
            .contains("profile = prod")
    );
    machine.ecr_login(&["configure", "--remove", other]);
    assert!(!machine.path("home/.aws/ecr-login").exists());
    // A rule that a person wrote stays.
    machine.write("home/.aws/ecr-login", "[111122223333]\nprofile = prod\n");
    machine.ecr_login(&["configure", HOST]);
    machine.ecr_login(&["configure", "--remove"]);
    assert_eq!(
        machine.read("home/.aws/ecr-login"),
        "[111122223333]\nprofile = prod\n"
    );
}

#[test]
fn other_programs_of_the_name_are_refused() {
    let machine = Machine::new();
    let other = machine.path("other/docker-credential-ecr-login");
    write_script(&other, "#!/bin/sh\necho other\n", "@echo other\n");
    let path = search_path(&machine.path("other"));
    let output = machine.ecr_login_with(&[("PATH", &path)], &["configure", HOST]);
    assert_eq!(output.code, Some(1));
    assert!(
        output
            .stderr
            .contains("another program, comes first on PATH"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("hint: remove "), "{}", output.stderr);
    let output = machine.ecr_login_with(&[("PATH", "/none")], &["configure", HOST]);
    let hint = match cfg!(windows) {
        true => "add the directory of ",
        false => "sudo install",
    };
    let missing = format!("docker-credential-ecr-login is not on PATH\nhint: {hint}");
    assert!(output.stderr.contains(&missing), "{}", output.stderr);
    assert!(!machine.path("home/.docker").exists());
    fs::create_dir_all(machine.path("home/.cargo/bin")).expect("new");
    install(&machine.path("home/.cargo/bin/docker-credential-ecr-login"));
    let private = machine.path("home/.cargo/bin").display().to_string();
    let output = machine.ecr_login_with(&[("PATH", &private)], &["configure", HOST]);
    assert_eq!(output.code, Some(0));
    // Desktop programs have the user's PATH on Windows.
    let warning = match cfg!(windows) {
        true => "",
        false => "warning: sudo and desktop programs do not find",
    };
    assert!(output.stderr.starts_with(warning));
    assert_eq!(output.stderr.is_empty(), warning.is_empty());
}

/// In podman's file, and in the other home of a snap's docker.
#[test]
fn files_of_podman_and_of_a_snap_are_restored_too() {
    for (name, before) in FILES {
        let machine = Machine::new();
        let auth = "home/.config/containers/auth.json";
        let snap = "home/snap/docker/2976/.docker/config.json";
        machine.write(auth, before);
        machine.write(snap, before);
        let dir = machine.path("home/snap/docker/2976/.docker");
        let vars = [("DOCKER_CONFIG", dir.to_str().expect("UTF-8"))];
        for (file, vars, podman) in [(auth, &[][..], &["--podman"][..]), (snap, &vars[..], &[])] {
            let add = [&["configure", HOST][..], podman].concat();
            assert_eq!(machine.ecr_login_with(vars, &add).code, Some(0), "{name}");
            assert_ne!(machine.read(file), *before, "{name}");
            let take_back = [&add[..], &["--remove"]].concat();
            assert_eq!(
                machine.ecr_login_with(vars, &take_back).code,
                Some(0),
                "{name}"
            );
            assert_eq!(machine.read(file), *before, "{name}");
        }
    }
}

#[test]
fn dry_run_writes_nothing() {
    let machine = Machine::new();
    let before = machine.files("home");
    for extra in [
        &[HOST, "--profile", "prod"][..],
        &["--all"],
        &["--podman", "--all"],
    ] {
        let arguments = [&["configure", "--dry-run"], extra].concat();
        let output = machine.ecr_login(&arguments);
        assert_eq!(output.code, Some(0));
        assert!(output.stdout.contains("  + ") && output.stdout.ends_with("(--dry-run)\n"));
        assert_eq!(machine.files("home"), before);
    }
}
