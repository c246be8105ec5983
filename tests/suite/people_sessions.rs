//! The output of the commands for people is in tests/cmd/people, as console sessions that trycmd
//! replays: with TRYCMD=overwrite it writes what it sees into them. Windows has no sh, and a replay
//! of our own.

use std::fs;
#[cfg(unix)]
use std::path::PathBuf;

use super::people::Machine;

/// Variables that a session may set in front of a command.
#[cfg(unix)]
const VARIABLES: [&str; 12] = [
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ECR_CACHE_DIR",
    "AWS_ECR_CONFIG",
    "AWS_ECR_PROFILE",
    "AWS_PROFILE",
    "AWS_REGION",
    "DOCKER_CONFIG",
    "HTTPS_PROXY",
    "REGISTRY_AUTH_FILE",
    "XDG_RUNTIME_DIR",
    "AWS_SECRET_ACCESS_KEY",
];

/// A script that runs a program in this machine's environment.
#[cfg(unix)]
fn wrapper(machine: &Machine, name: &str, program: &str) -> PathBuf {
    // Other programs of this machine are not part of a session.
    let system = if name == "sh" { ":/usr/bin:/bin" } else { "" };
    let passed = VARIABLES.map(|name| format!("${{{name}+{name}=\"${name}\"}}"));
    let (home, bin) = (machine.path("home"), machine.path("bin"));
    let script = format!(
        "#!/bin/sh\ncd {home}\nexec env -i HOME={home} PATH={bin}{system} TZ=UTC \
         AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL={url} AWS_CA_BUNDLE={ca} \
         HTTPS_PROXY={proxy} {passed} {program} \"$@\"\n",
        home = home.display(),
        bin = bin.display(),
        url = machine.fake.url(),
        ca = machine.path("ca.pem").display(),
        proxy = machine.proxy.url(""),
        passed = passed.join(" "),
    );
    let file = machine.path("test").join(name);
    fs::write(&file, script).expect("writable");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    file
}

/// Replays one file of sessions.
#[cfg(unix)]
fn replay(name: &str) {
    let machine = Machine::new();
    let ours = machine.path("bin/ecr-login");
    let ours = ours.to_str().expect("UTF-8");
    let long = machine.path("bin/docker-credential-ecr-login");
    let long = long.to_str().expect("UTF-8");
    let cases = trycmd::TestCases::new();
    cases
        .register_bin(
            "ecr-login",
            trycmd::schema::Bin::Path(wrapper(&machine, "ecr-login", ours)),
        )
        .register_bin(
            "docker-credential-ecr-login",
            trycmd::schema::Bin::Path(wrapper(&machine, "docker-credential-ecr-login", long)),
        )
        .register_bin(
            "sh",
            trycmd::schema::Bin::Path(wrapper(&machine, "sh", "/bin/sh")),
        )
        .insert_var("[BIN]", machine.path("bin").display().to_string())
        .expect("a valid name");
    cases
        .insert_var("[CA]", machine.path("ca.pem").display().to_string())
        .expect("a valid name");
    cases.case(format!("tests/cmd/people/{name}.md"));
    cases.run();
}

/// Replays one file of sessions.
#[cfg(windows)]
fn replay(name: &str) {
    let machine = Machine::new();
    let text = fs::read_to_string(format!("tests/cmd/people/{name}.md")).expect("there");
    let bin = machine.path("bin").display().to_string();
    let text = text
        .replace(
            "[BIN]/docker-credential-ecr-login",
            "[BIN]\\docker-credential-ecr-login.exe",
        )
        .replace("[BIN]", &bin)
        .replace("[CA]", &machine.path("ca.pem").display().to_string())
        .replace("hint: rm -r ", "hint: delete ");
    let sessions = sessions(&text, "");
    assert!(sessions.len() > 4, "{name}");
    for (command, expected) in sessions {
        let shell = command.strip_prefix("sh -c \"");
        let printed = match shell.and_then(|script| script.strip_suffix('"')) {
            Some(script) => {
                let steps = script.split("; ");
                steps
                    .map(|step| step_of_shell(&machine, &step.replace("\\\"", "\"")))
                    .collect()
            }
            None => run(&machine, &command),
        };
        assert!(is_replayed(&printed, &expected), "{command}\n{printed}");
    }
}

/// Runs a step of a script, of the kinds that the sessions have. Returns its output.
#[cfg(windows)]
fn step_of_shell(machine: &Machine, step: &str) -> String {
    let (step, file) = match step.rsplit_once(" >") {
        Some((step, file)) => (step, Some(file)),
        None => (step, None),
    };
    let home = machine.path("home");
    let printed = match step.split_once(' ').unwrap_or((step, "")) {
        ("cat", files) => {
            let files = files.split(' ');
            files
                .map(|file| machine.read(&format!("home/{file}")))
                .collect()
        }
        ("echo", text) => format!("{}\n", text.trim_matches('\'')),
        ("printf", text) => text.trim_matches('\'').replace("\\n", "\n"),
        ("mkdir", dir) => {
            fs::create_dir_all(home.join(dir.trim_start_matches("-p "))).expect("a directory");
            String::new()
        }
        ("rm", file) => {
            fs::remove_file(home.join(file)).expect("there");
            String::new()
        }
        _ => run(machine, step),
    };
    match file {
        Some(file) => {
            machine.write(&format!("home/{file}"), printed);
            String::new()
        }
        None => printed,
    }
}

/// Runs a command. Returns its output, after its exit status unless that is 0.
#[cfg(windows)]
fn run(machine: &Machine, command: &str) -> String {
    let words: Vec<_> = command.split(' ').collect();
    let vars: Vec<_> = words
        .iter()
        .map_while(|word| word.split_once('='))
        .collect();
    let (program, arguments) = words[vars.len()..].split_first().expect("a program");
    let output = machine.run(program, &vars, arguments);
    let status = match output.code {
        Some(0) => String::new(),
        code => format!("? {}\n", code.expect("no signal")),
    };
    format!("{status}{}{}", output.stdout, output.stderr)
}

#[test]
fn usage_reads_as_documented() {
    replay("usage");
}

#[test]
fn configure_reads_as_documented() {
    replay("configure");
}

#[test]
fn status_reads_as_documented() {
    replay("status");
}

#[test]
fn doctor_reads_as_documented() {
    replay("doctor");
}

#[test]
fn password_reads_as_documented() {
    replay("password");
}

#[test]
fn clear_reads_as_documented() {
    replay("clear");
}

/// The commands in a text, each with what it prints.
fn sessions(text: &str, indent: &str) -> Vec<(String, String)> {
    let mut sessions: Vec<(String, String)> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let inner = line.strip_prefix(indent);
        match (inner, inner.and_then(|line| line.strip_prefix("$ "))) {
            (_, Some(command)) => {
                sessions.push((command.to_owned(), String::new()));
                is_open = true;
            }
            (Some(output), None) if is_open && !output.starts_with(['`', '.']) => {
                if let Some((_, printed)) = sessions.last_mut() {
                    printed.push_str(output);
                    printed.push('\n');
                }
            }
            _ => is_open = false,
        }
    }
    sessions
}

/// A command without the variables in front of it.
fn bare(command: &str) -> String {
    let words = command.split(' ').skip_while(|word| word.contains('='));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a text is the one of a session.
fn is_replayed(printed: &str, session: &str) -> bool {
    let (printed, session) = (printed.trim_end(), session.trim_end());
    printed.lines().count() == session.lines().count()
        && printed
            .lines()
            .zip(session.lines())
            .all(|(line, pattern)| is_like(line, pattern))
}

/// Whether a line is that of a pattern, in which `[..]` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once("[..]") else {
        return line == pattern;
    };
    let Some(rest) = line.strip_prefix(head) else {
        return false;
    };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| is_like(&rest[at..], tail))
}

#[test]
fn documents_show_sessions_that_are_replayed() {
    let read = |path: &str| fs::read_to_string(path).expect(path);
    let replayed: Vec<_> = ["configure", "status"]
        .iter()
        .flat_map(|name| sessions(&read(&format!("tests/cmd/people/{name}.md")), ""))
        .collect();
    for (path, indent) in [
        ("README.md", "    "),
        ("packaging/docker-credential-ecr-login.1", ""),
    ] {
        let mut shown = sessions(&read(path), indent);
        shown.retain(|(command, _)| bare(command).starts_with("ecr-login "));
        assert_eq!(shown.len(), 2, "{path}: {shown:?}");
        for (command, printed) in shown {
            let is_same = |(other, session): &(String, String)| {
                bare(other) == bare(&command) && is_replayed(&printed, session)
            };
            assert!(replayed.iter().any(is_same), "{path}: {command}\n{printed}");
        }
    }
}
