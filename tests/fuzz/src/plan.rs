//! Any AWS config, credentials and rules files lead to a plan or to an error, twice to the same,
//! and no plan, error or line of the log shows a secret. A name that the rules do not hold leads to
//! no registry. Input: the config file, a NUL, the credentials file, a NUL, a line for each
//! variable, a NUL, then the rules file.
#![no_main]

use std::cell::RefCell;
use std::fmt;
use std::fs;

use docker_credential_ecr_login::fuzzing::Env;
use docker_credential_ecr_login::fuzzing::Log;
use docker_credential_ecr_login::fuzzing::Registry;
use docker_credential_ecr_login::fuzzing::{Rules, Selection, Surroundings, plan};
use libfuzzer_sys::fuzz_target;

const HOSTS: [&str; 3] = [
    "123456789012.dkr.ecr.us-east-1.amazonaws.com",
    "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
    "public.ecr.aws",
];

/// A name of the user's own, as far as the rules hold it.
const OWN: &str = "registry.example.com";

/// Stands in the seeds as each kind of secret.
const SENTINEL: &str = "SENTINELSECRET";

thread_local! {
    static HOME: tempfile::TempDir = fuzz::directory();
}

fuzz_target!(|bytes: &[u8]| {
    HOME.with(|home| {
        let home = home.path();
        let mut parts = bytes.splitn(4, |byte| *byte == 0);
        for name in ["config", "credentials"] {
            let dir = home.join(".aws");
            fs::create_dir_all(&dir).expect("in memory");
            fs::write(dir.join(name), parts.next().unwrap_or_default()).expect("in memory");
        }
        let variables = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let variables = variables.lines().filter_map(|line| line.split_once('='));
        let text = parts.next().unwrap_or_default();
        fs::write(home.join(".aws/ecr-login"), text).expect("in memory");
        // Only ours, so that no file of the machine is read.
        let variables = variables
            .filter(|(name, _)| {
                name.starts_with("AWS_") && !name.contains("FILE") && *name != "AWS_ECR_CONFIG"
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned().into()));
        let env = Env::of(variables.chain([("HOME".to_owned(), home.as_os_str().to_owned())]));
        let lines = RefCell::new(String::new());
        let write = |line: fmt::Arguments<'_>| lines.borrow_mut().push_str(&line.to_string());
        let rules = Rules::load(&env);
        let note = |problem: &dyn fmt::Display| lines.borrow_mut().push_str(&problem.to_string());
        if let Ok(rules) = &rules {
            for finding in rules.findings() {
                note(&finding.problem);
            }
            let holds_own = String::from_utf8_lossy(text).to_lowercase().contains(OWN);
            assert!(holds_own || !matches!(rules.resolve(OWN), Ok(Some(_))));
        }
        let surroundings = Surroundings::read(&env, Log::to(&write));
        for host in HOSTS {
            let registry = Registry::from_server_url(host).expect("ECR's");
            let selection = match rules.as_ref().map(|rules| rules.selection(&registry)) {
                Ok(Ok(selection)) => selection,
                Ok(Err(problem)) => {
                    note(&problem);
                    continue;
                }
                Err(problem) => {
                    note(problem);
                    Selection::default()
                }
            };
            let first = plan(&surroundings, &registry, &selection);
            let second = plan(&Surroundings::read(&env, Log::off()), &registry, &selection);
            // A file that names itself a token is a moving target; nothing else is.
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            match &first {
                Ok(plan) => {
                    let _ = plan.ambient_key(&registry, "AKIA");
                }
                Err(error) => lines
                    .borrow_mut()
                    .push_str(&format!("{error}{}", error.hint())),
            }
        }
        // As a value of a key that holds one; anywhere else it is no secret.
        let text = String::from_utf8_lossy(bytes);
        let secret = format!("aws_secret_access_key = {SENTINEL}");
        if text.matches(SENTINEL).count() == text.matches(&secret).count() {
            assert!(!lines.borrow().contains(SENTINEL), "{}", lines.borrow());
        }
    });
});
