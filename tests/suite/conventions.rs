//! Conventions of the source that no compiler checks: the layers of ARCHITECTURE.md, sizes, names,
//! words.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 500;
const MAX_TEST_NAME: usize = 50;

/// Not the terms of the field, or not for processes and callers.
const AVOIDED: &[&str] = &[
    "anybody",
    "as often as not",
    "beside",
    "everybody",
    "fellow",
    "fellows",
    "for want of",
    "in vain",
    "kin",
    "mend",
    "nobody",
    "our clock",
    "patience",
    "somebody",
    "time-out",
    "time-outs",
    "whoever",
];

/// Beginnings of comments that do not name their subject.
const VAGUE: &[&str] = &["What ", "Who ", "Whoever ", "Whatever ", "Whose ", "Whom "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below these directories with one of these endings, and their text.
fn files(directories: &[&str], endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut pending: Vec<_> = directories.iter().map(|name| root().join(name)).collect();
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable").flatten();
            pending.extend(entries.map(|entry| entry.path()));
        } else if endings
            .iter()
            .any(|ending| path.to_string_lossy().ends_with(ending))
        {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let path = path.strip_prefix(root()).expect("below").to_owned();
            // Names its words.
            if !path.ends_with("conventions.rs") {
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{directories:?}");
    files
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The identifier at the start of the text.
fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// The modules of ARCHITECTURE.md's table, from the first to the last layer.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("readable");
    let (_, table) = text.split_once("|---|---|\n").expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let names = row.split('|').nth(1).unwrap_or_default();
        let names = names.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn modules_import_only_from_earlier_layers() {
    let layers = layers();
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("readable");
    let modules: BTreeSet<_> = library
        .lines()
        .map(|line| line.strip_prefix("pub ").unwrap_or(line))
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(layers.iter().cloned().collect::<BTreeSet<_>>(), modules);
    let layer = |name: &str| layers.iter().position(|known| known == name);
    let mut imports = 0;
    for (path, text) in files(&["src"], &[".rs"]) {
        let below = path.strip_prefix("src").expect("below src");
        let module = below.iter().next().expect("a name").to_string_lossy();
        // main.rs and lib.rs are above all; tests may use anything.
        let Some(own) = layer(module.trim_end_matches(".rs")) else {
            continue;
        };
        if below
            .iter()
            .any(|part| part == "tests" || part == "tests.rs")
        {
            continue;
        }
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        for part in code.split("crate::").skip(1) {
            assert!(!part.starts_with('{'), "{}: name each", path.display());
            let Some(used) = layer(word(part)) else {
                continue;
            };
            imports += 1;
            assert!(used <= own, "{} imports {}", path.display(), word(part));
        }
    }
    assert!(imports > 100, "{imports}");
}

#[test]
fn only_some_modules_use_the_sdk_and_the_environment() {
    for (path, text) in files(&["src"], &[".rs"]) {
        let is_below = |name: &str| path.starts_with(Path::new("src").join(name));
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        let uses = |what: &str| code.contains(what);
        if !is_below("ecr") && !is_below("ecr.rs") {
            let sdk = ["aws_config::", "aws_sdk_", "aws_credential_types::"];
            assert!(!sdk.into_iter().any(uses), "{}: the SDK", path.display());
        }
        let is_test = path.iter().any(|part| part == "tests");
        if !is_below("env") && !is_below("env.rs") && !is_test {
            let reads = ["env::var(", "env::var_os(", "env::vars("];
            assert!(!reads.into_iter().any(uses), "{}: reads", path.display());
        }
    }
}

#[test]
fn files_have_at_most_500_lines() {
    for (path, text) in files(&["src", "tests"], &[".rs", ".py"]) {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn type_names_occur_once() {
    let mut places: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, text) in files(&["src"], &[".rs"]) {
        for line in text.lines() {
            let mut line = line.trim_start();
            if let Some(rest) = line.strip_prefix("pub") {
                line = match rest.starts_with('(') {
                    true => rest.split_once(") ").map_or("", |(_, rest)| rest),
                    false => rest.trim_start(),
                };
            }
            for kind in ["struct ", "enum ", "trait ", "type ", "union "] {
                if let Some(rest) = line.strip_prefix(kind) {
                    let name = word(rest).to_owned();
                    places.entry(name).or_default().insert(path.clone());
                }
            }
        }
    }
    // Associated types have the names that their traits give them.
    for name in ["Error", "Item", "Output", "Target", "Value"] {
        places.remove(name);
    }
    assert!(places.len() > 100, "{}", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn test_names_have_at_most_50_characters() {
    let mut tests = 0;
    for (path, text) in files(&["src", "tests"], &[".rs"]) {
        for part in text.split("#[test]\n").skip(1) {
            let (_, rest) = part.split_once("fn ").expect("a function");
            let name = word(rest);
            tests += 1;
            let length = name.len();
            assert!(length <= MAX_TEST_NAME, "{}: {name}", path.display());
        }
    }
    assert!(tests > 300, "{tests}");
}

#[test]
fn words_are_those_of_the_field() {
    let directories = [
        "src",
        "tests",
        "docs",
        "packaging",
        ".ci",
        ".github",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.toml",
    ];
    let endings = [
        ".rs", ".py", ".md", ".toml", ".sh", ".yml", ".yaml", ".1", "check", "run", "lint",
        "build", ".c",
    ];
    let mut found = Vec::new();
    for (path, text) in files(&directories, &endings) {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for avoided in AVOIDED {
                let is_used = lower.match_indices(avoided).any(|(at, _)| {
                    let before = lower[..at].chars().next_back();
                    let after = lower[at + avoided.len()..].chars().next();
                    !before.is_some_and(is_word) && !after.is_some_and(is_word)
                });
                if is_used {
                    found.push(format!("{}:{}: {avoided}", path.display(), index + 1));
                }
            }
            let comment = line.trim_start().trim_start_matches(['/', '!']);
            if line.trim_start().starts_with("//")
                && let Some(text) = comment.strip_prefix(' ')
                && VAGUE.iter().any(|vague| text.starts_with(vague))
            {
                found.push(format!("{}:{}: {text}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The cells of a row of `docs/benchmarks.md`, from the program's name on.
fn benchmark(page: &str, scenario: &str, program: &str) -> Vec<String> {
    let start = format!("| {scenario} | {program} |");
    let row = page.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("docs/benchmarks.md lacks {start}"));
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn readme_shows_the_benchmarks_figures() {
    const MS: usize = 3;
    const TIMES_TRUE: usize = 5;
    const CALLS: usize = 10;
    let readme = fs::read_to_string(root().join("README.md")).expect("readable");
    let page = fs::read_to_string(root().join("docs/benchmarks.md")).expect("readable");
    let number = |cell: &str| cell.parse::<f64>().expect("a number");
    let ratio = |row: &[String]| format!("{:.1}", number(&row[TIMES_TRUE]));
    let burst = |row: &[String]| format!("{:.0} ms, {} calls", number(&row[MS]), row[CALLS]);
    let seconds = |row: &[String]| format!("{:.0} s", number(&row[MS]) / 1000.0);
    type Shown<'a> = &'a dyn Fn(&[String]) -> String;
    let figures: [(&str, &str, Shown<'_>); 4] = [
        (
            "cached password (`/bin/true` = 1)",
            "warm get: keys in the environment",
            &ratio,
        ),
        (
            "not cached, over https (`/bin/true` = 1)",
            "cold get over https: one bundle file",
            &ratio,
        ),
        (
            "twenty pulls at once, not cached",
            "twenty at once, over https: one bundle file",
            &burst,
        ),
        ("no credentials at all", "get without credentials", &seconds),
    ];
    for (title, scenario, shown) in figures {
        let of = |program| shown(&benchmark(&page, scenario, program));
        let row = format!("| {title} | {} | {} |\n", of("static"), of("Go 0.6.0"));
        let row = row.replace(" 1 calls", " 1 call to ECR");
        assert!(readme.contains(&row), "README.md lacks\n{row}");
    }
}
