//! The measured runs, and their limits.

use std::fs;
use std::path::{Path, PathBuf};

use crate::homes::{Home, Source};
use crate::limits::{Limits, NONE, WARM};
use crate::measure::{Run, median, milliseconds};
use crate::programs::{empty_program, find_dir, installed};
use crate::report::{Measured, Row};
use crate::surroundings::{Certificates, Surroundings};
use crate::{Options, Result};

const HOST: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const OTHER: &str = "https://index.docker.io/v1/";
const GO: &str = "/usr/bin/docker-credential-ecr-login";
const LIST: &str = "list of 1,000";
const TRUE: &str = "/bin/true";

/// One row of the table, before it is measured.
struct Case {
    title: String,
    program: String,
    run: Run,
    /// Removed before each run.
    forget: Option<PathBuf>,
    /// How many are started together.
    at_once: usize,
    limits: Limits,
    /// Whether its answer is a password.
    answers: bool,
}

/// Everything, or what `--only` asks for.
pub fn run(options: &Options, inside: bool) -> Result<Measured> {
    let scratch = tempfile::Builder::new()
        .prefix("ecr-bench-")
        .rand_bytes(6)
        .tempdir()?;
    let surroundings = Surroundings::make(scratch.path(), inside)?;
    let bench = Bench::new(options, &surroundings)?;
    let (rounds, cold_rounds) = if options.quick { (20, 10) } else { (400, 150) };

    let mut rows = Vec::new();
    let one_file = surroundings.certificates(Certificates::File)?;
    rows.extend(bench.measure(bench.warm()?, rounds)?);
    // Apart, since whatever runs after a list finds the processor's caches full of it.
    let (lists, gets) = bench
        .many()?
        .into_iter()
        .partition(|case| case.run.action == Some("list"));
    rows.extend(bench.measure(gets, rounds / 2)?);
    rows.extend(bench.measure(lists, rounds / 8)?);
    rows.extend(bench.measure_cold(bench.cold_http()?, cold_rounds)?);
    rows.extend(bench.measure_cold(bench.cold_https("one bundle file", &one_file)?, cold_rounds)?);
    for (title, form) in [
        ("145 files", Certificates::Directory),
        ("both, as Debian has it", Certificates::Both),
    ] {
        let variables = surroundings.certificates(form)?;
        rows.extend(bench.measure_cold(bench.cold_https(title, &variables)?, cold_rounds)?);
    }
    if inside {
        rows.extend(bench.measure(bench.without_credentials()?, 1)?);
    }
    Ok(Measured {
        sizes: bench
            .programs()
            .map(|(name, path)| Ok((name.to_owned(), fs::metadata(path)?.len())))
            .collect::<Result<_>>()?,
        rows,
        inside,
    })
}

struct Bench<'a> {
    options: &'a Options,
    surroundings: &'a Surroundings,
    /// Ours, by name.
    ours: Vec<(String, PathBuf)>,
    go: Option<PathBuf>,
    empty: Option<PathBuf>,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, surroundings: &'a Surroundings) -> Result<Self> {
        let go = Path::new(GO);
        let ours = options.ours.iter().map(|(name, program)| {
            let copy = installed(program, &surroundings.scratch.join(name))?;
            Ok((name.clone(), copy))
        });
        Ok(Self {
            options,
            surroundings,
            ours: ours.collect::<Result<_>>()?,
            go: (surroundings.inside && go.exists()).then(|| go.to_owned()),
            empty: empty_program(&surroundings.scratch)
                .map(|program| installed(&program, &surroundings.scratch.join("copied")))
                .transpose()?,
        })
    }

    fn wanted(&self, title: &str) -> bool {
        let only = self.options.only.as_deref();
        only.is_none_or(|only| title.contains(only))
    }

    fn programs(&self) -> impl Iterator<Item = (&str, &Path)> {
        let ours = self.ours.iter().map(|(n, p)| (n.as_str(), &**p));
        ours.chain(self.go.as_deref().map(|path| ("Go 0.6.0", path)))
    }

    fn ours(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.ours.iter().map(|(n, p)| (n.as_str(), &**p))
    }

    fn case(&self, title: &str, program: (&str, &Path), action: &'static str, home: &Home) -> Case {
        let stdin = match action {
            "get" | "erase" => HOST,
            _ => "",
        };
        Case {
            title: title.to_owned(),
            program: program.0.to_owned(),
            run: Run {
                program: program.1.to_owned(),
                action: Some(action),
                stdin: stdin.to_owned(),
                env: home.env.clone(),
            },
            forget: None,
            at_once: 1,
            limits: NONE,
            answers: action == "get",
        }
    }

    /// A home that asks the fake for everything.
    fn home(&self, source: Source) -> Result<Home> {
        let mut home = self.surroundings.homes.make(source)?;
        home.set("AWS_ENDPOINT_URL", self.surroundings.fake.url());
        Ok(home)
    }

    /// Of the Go helper, which goes by the real names.
    fn go_home(&self, source: Source) -> Result<Home> {
        let mut home = self.surroundings.homes.make(source)?;
        home.set("AWS_REGION", "us-east-1");
        Ok(home)
    }

    /// The base lines, every source with a cached token, and what needs no token.
    fn warm(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        let unused = self.surroundings.homes.make(Source::Environment)?;
        for (title, path) in [
            ("/bin/true", Some(Path::new(TRUE))),
            ("an empty Rust program, static glibc", self.empty.as_deref()),
        ] {
            if let Some(path) = path {
                let mut case = self.case(title, ("", path), "", &unused);
                case.run.action = None;
                cases.push(case);
            }
        }
        for &source in Source::ALL {
            if source == Source::Ecs && !self.surroundings.inside {
                continue;
            }
            let title = format!("warm get: {}", source.title());
            let home = self.home(source)?;
            for program in self.ours() {
                let mut case = self.case(&title, program, "get", &home);
                if source != Source::Process {
                    case.limits = WARM;
                }
                if source == Source::ManyRules {
                    // So large a file takes one `mmap` more.
                    case.limits.system_calls = Some(41);
                }
                cases.push(case);
            }
            if let Some(go) = &self.go
                && matches!(source, Source::Environment | Source::Role)
            {
                let home = self.go_home(source)?;
                cases.push(self.case(&title, ("Go 0.6.0", go), "get", &home));
            }
        }
        let home = self.home(Source::Environment)?;
        for (title, action, stdin) in [
            ("get for a host that is not ECR", "get", OTHER),
            ("erase", "erase", HOST),
            ("version", "version", ""),
        ] {
            for program in self.programs() {
                if action == "erase" && program.0.starts_with("Go") {
                    continue;
                }
                let mut case = self.case(title, program, action, &home);
                case.run.stdin = stdin.to_owned();
                case.limits = if program.0.starts_with("Go") {
                    NONE
                } else {
                    WARM
                };
                case.answers = false;
                cases.push(case);
            }
        }
        Ok(cases)
    }

    /// `get` and `list` with few and many cached registries.
    fn many(&self) -> Result<Vec<Case>> {
        let Some((_, program)) = self.ours().next() else {
            return Ok(Vec::new());
        };
        let mut cases = Vec::new();
        for n in [1, 100, 1000, 10_000] {
            let title = format!("warm get: {n} cached registries");
            if !(self.wanted(&title) || n == 1000 && self.wanted(LIST)) {
                continue;
            }
            let home = self.home(Source::Environment)?;
            self.fill(program, &home, n)?;
            for program in self.ours() {
                let mut case = self.case(&title, program, "get", &home);
                case.limits = WARM;
                cases.push(case);
                if n == 1000 {
                    let mut case = self.case(LIST, program, "list", &home);
                    case.limits = Limits {
                        milliseconds: Some(20.0),
                        calls: Some(0),
                        threads: Some(1),
                        ..NONE
                    };
                    cases.push(case);
                }
            }
        }
        Ok(cases)
    }

    /// Caches `n` registries, [`HOST`] among them: a thousand by asking for each, the rest as
    /// copies of those under other hosts, which lie in the way just as well.
    fn fill(&self, program: &Path, home: &Home, n: usize) -> Result<()> {
        let host = |n: usize| {
            format!(
                "{:012}.dkr.ecr.us-east-1.amazonaws.com",
                123_456_789_012 + n
            )
        };
        for i in 0..n.min(1000) {
            let run = Run {
                program: program.to_owned(),
                action: Some("get"),
                stdin: host(i),
                env: home.env.clone(),
            };
            run.time()?;
        }
        let Some(model) = find_dir(&home.cache(), HOST) else {
            return Err(format!("no directory of {HOST} in {}", home.cache().display()).into());
        };
        for i in 1000..n {
            let name = host(i);
            let copy = model.with_file_name(&name);
            fs::create_dir(&copy)?;
            for file in fs::read_dir(&model)? {
                let file = file?;
                let text = fs::read_to_string(file.path())?.replace(HOST, &name);
                fs::write(copy.join(file.file_name()), text)?;
            }
        }
        Ok(())
    }

    fn cold_http(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for program in self.ours() {
            let home = self.home(Source::Environment)?;
            let mut case = self.case("cold get over http", program, "get", &home);
            case.forget = Some(home.cache());
            case.limits = Limits {
                ratio: Some(5.0),
                // One takes the lock, so that a file system cannot hold up the other.
                threads: Some(2),
                peak_kib: Some(12 << 10),
                calls: Some(1),
                ..NONE
            };
            cases.push(case);
            let home = self.home(Source::Role)?;
            let mut case = self.case("cold get over http: role", program, "get", &home);
            case.forget = Some(home.cache());
            case.limits = Limits {
                threads: Some(2),
                peak_kib: Some(12 << 10),
                calls: Some(2),
                ..NONE
            };
            cases.push(case);
            let home = self.home(Source::Environment)?;
            let mut case = self.case("twenty at once, over http", program, "get", &home);
            case.forget = Some(home.cache());
            case.at_once = 20;
            case.limits.calls = Some(1);
            cases.push(case);
        }
        Ok(cases)
    }

    fn cold_https(&self, form: &str, variables: &[(String, PathBuf)]) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        let title = format!("cold get over https: {form}");
        let twenty = format!("twenty at once, over https: {form}");
        for program in self.programs() {
            let go = program.0.starts_with("Go");
            for at_once in [1, 20] {
                let mut home = self.go_home(Source::Environment)?;
                for (name, value) in variables {
                    home.set(name, value);
                }
                if !self.surroundings.inside {
                    home.set("AWS_ENDPOINT_URL", self.surroundings.fake.https_url());
                }
                let title = if at_once == 1 { &title } else { &twenty };
                let mut case = self.case(title, program, "get", &home);
                case.at_once = at_once;
                case.forget = Some(if go { home.go_cache() } else { home.cache() });
                if !go {
                    case.limits = Limits {
                        calls: Some(1),
                        ..NONE
                    };
                    if at_once == 1 {
                        case.limits.go = Some(0.7);
                        // One waits for the system's resolver, too.
                        case.limits.threads = Some(3);
                        case.limits.peak_kib = Some(12 << 10);
                    }
                }
                cases.push(case);
            }
        }
        Ok(cases)
    }

    /// The whole wait for instance metadata that never answers.
    fn without_credentials(&self) -> Result<Vec<Case>> {
        let mut cases = Vec::new();
        for program in self.programs() {
            let mut home = self.home(Source::Environment)?;
            home.env
                .retain(|(name, _)| !name.starts_with("AWS_") || name == "AWS_ENDPOINT_URL");
            let mut case = self.case("get without credentials", program, "get", &home);
            case.answers = false;
            case.limits.calls = Some(0);
            cases.push(case);
        }
        Ok(cases)
    }

    /// Those of one process, then those of many at once, after which the processor's caches are full
    /// of them.
    fn measure_cold(&self, cases: Vec<Case>, rounds: usize) -> Result<Vec<Row>> {
        let (together, alone) = cases.into_iter().partition(|case| case.at_once > 1);
        let mut rows = self.measure(alone, rounds)?;
        rows.extend(self.measure(together, rounds)?);
        Ok(rows)
    }

    /// Runs the cases in turns, then counts what one run of each does.
    fn measure(&self, mut cases: Vec<Case>, rounds: usize) -> Result<Vec<Row>> {
        cases.retain(|case| self.wanted(&case.title));
        let baseline = Run {
            program: TRUE.into(),
            action: None,
            stdin: String::new(),
            env: Vec::new(),
        };
        for case in &cases {
            case.check()?;
        }
        let mut times = vec![Vec::with_capacity(rounds); cases.len()];
        let mut paired = vec![Vec::with_capacity(rounds); cases.len()];
        for _ in 0..rounds {
            for (n, case) in cases.iter().enumerate() {
                case.prepare();
                let base = baseline.time()?;
                let time = match case.at_once {
                    1 => case.run.time()?,
                    many => case.run.time_at_once(many)?,
                };
                times[n].push(milliseconds(time));
                paired[n].push(milliseconds(time) / milliseconds(base));
            }
            self.surroundings.fake.forget();
        }
        let go: Vec<Option<Vec<f64>>> = cases
            .iter()
            .map(|case| {
                let same =
                    |other: &Case| other.title == case.title && other.program.starts_with("Go");
                let n = cases.iter().position(same)?;
                Some(times[n].clone())
            })
            .collect();
        let mut rows = Vec::new();
        for (n, case) in cases.iter().enumerate() {
            let against_go = go[n].as_ref().map(|go| {
                let mut ratios: Vec<f64> = times[n].iter().zip(go).map(|(t, go)| t / go).collect();
                median(&mut ratios)
            });
            rows.push(self.row(case, &mut times[n], &mut paired[n], against_go)?);
        }
        Ok(rows)
    }

    fn row(
        &self,
        case: &Case,
        times: &mut [f64],
        paired: &mut [f64],
        against_go: Option<f64>,
    ) -> Result<Row> {
        let fake = &self.surroundings.fake;
        fake.forget();
        case.prepare();
        match case.at_once {
            1 => drop(case.run.said()?),
            many => drop(case.run.time_at_once(many)?),
        }
        let calls = fake.calls().len();
        let alone = case.at_once == 1;
        let mut system_calls = None;
        let mut peak_kib = None;
        if alone {
            case.prepare();
            system_calls = case.run.system_calls(&self.surroundings.scratch)?;
            case.prepare();
            peak_kib = case.run.peak_kib()?;
        }
        Ok(Row {
            title: case.title.clone(),
            program: case.program.clone(),
            median_ms: median(times),
            min_ms: times.first().copied().unwrap_or(f64::NAN),
            ratio: median(paired),
            against_go,
            system_calls: system_calls.as_ref().map(|calls| calls.total),
            threads: system_calls.as_ref().map(|calls| calls.threads),
            by_name: system_calls.map(|calls| calls.by_name).unwrap_or_default(),
            peak_kib,
            calls,
            limits: case.limits,
        })
    }
}

impl Case {
    fn prepare(&self) {
        if let Some(path) = &self.forget {
            // Absent is as good.
            let _ = fs::remove_dir_all(path);
        }
    }

    /// Runs it once, which fills the cache, and once more: both must answer as they should.
    fn check(&self) -> Result<()> {
        let first = self.run.said()?;
        let second = self.run.said()?;
        let good = |said: &crate::measure::Said| match self.run.action {
            Some("get") if self.answers => {
                said.status == Some(0) && said.stdout.contains("\"Secret\"")
            }
            Some("get") => said.status == Some(1),
            _ => said.status == Some(0),
        };
        if good(&first) && good(&second) {
            return Ok(());
        }
        let which = format!("{} ({})", self.title, self.program);
        Err(format!("{which}: {first:?}, then {second:?}").into())
    }
}
