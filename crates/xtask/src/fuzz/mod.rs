//! `cargo xtask fuzz`: the checks of fuzz/checks over mutated corpora, or with libFuzzer, which the
//! stable compiler has what it takes for.

mod seeds;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::ci::cargo_command;

/// A target, and the package whose tests run it.
const TARGETS: &[(&str, &str)] = &[
    ("request_head", "fairwater-proto"),
    ("response_head", "fairwater-proto"),
    ("chunked_body", "fairwater-proto"),
    ("dns_reply", "fairwater-proto"),
    ("proxy_header", "fairwater-proto"),
    ("client_hello", "fairwater-proto"),
    ("hpack", "fairwater-proto"),
    ("http2", "fairwater-proto"),
    ("http2_talk", "fairwater-proto"),
    ("frame", "fairwater-proto"),
    ("config", "fairwater-config"),
];

const USAGE: &str = "\
cargo xtask fuzz [TARGET] [--seconds N] [--seed N] [--libfuzzer]

    TARGET         request_head, response_head, chunked_body, dns_reply, proxy_header,
                   client_hello, hpack, http2, http2_talk, frame or config; all, if none is named
    --seconds N    how long each target runs (default 60)
    --seed N       repeat a run of the stable mutator
    --libfuzzer    search by coverage; takes minutes to build, and a compiler for C++
    --write-seeds  write the committed seeds into fuzz/corpus, and run nothing";

#[derive(Debug, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    seconds: u64,
    seed: Option<u64>,
    is_libfuzzer: bool,
    writes_seeds: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            target: None,
            seconds: 60,
            seed: None,
            is_libfuzzer: false,
            writes_seeds: false,
        };
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<u64, Failure> {
                let text = arguments.next().unwrap_or_default();
                text.parse().map_err(|_| format!("{argument} needs a number").into())
            };
            match &*argument {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = Some(number()?),
                "--libfuzzer" => options.is_libfuzzer = true,
                "--write-seeds" => options.writes_seeds = true,
                name if TARGETS.iter().any(|(target, _)| *target == name) => {
                    options.target = Some(argument);
                }
                _ => return Err(format!("unknown argument {argument}\n\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    if options.writes_seeds {
        return write_seeds();
    }
    let is_meant = |name: &str| options.target.as_ref().is_none_or(|target| target == name);
    for (target, package) in TARGETS.iter().filter(|(target, _)| is_meant(target)) {
        if options.is_libfuzzer {
            search(target, options.seconds)?;
        } else {
            mutate(target, package, &options)?;
        }
    }
    Ok(())
}

fn mutate(target: &str, package: &str, options: &Options) -> Result<(), Failure> {
    let words = [
        "test",
        "--quiet",
        "--package",
        package,
        "--test",
        "corpus",
        target,
        "--",
        "--exact",
        "--nocapture",
    ];
    let mut command = cargo_command(&words);
    command.env("FUZZ_SECONDS", options.seconds.to_string());
    if let Some(seed) = options.seed {
        command.env("FUZZ_SEED", seed.to_string());
    }
    if command.status()?.success() { Ok(()) } else { Err(format!("{target} failed").into()) }
}

/// What tells libFuzzer which code runs, and what is compared there.
const COVERAGE: &[&str] = &["level=4", "inline-8bit-counters", "pc-table", "trace-compares"];

/// New inputs go to fuzz/found, apart from the corpus that is committed, and what fails to
/// fuzz/artifacts.
fn search(target: &str, seconds: u64) -> Result<(), Failure> {
    let found = format!("fuzz/found/{target}");
    fs::create_dir_all(&found)?;
    fs::create_dir_all("fuzz/artifacts")?;
    // With a target named, what runs while this is built has no coverage.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = Path::new("target/fuzz");
    let words = ["build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml"];
    let mut build = cargo_command(&words);
    build.args(["--bin", target, "--target", &triple, "--target-dir"]).arg(folder);
    if !build.env("RUSTFLAGS", flags()).status()?.success() {
        return Err(format!("{target} was not built").into());
    }
    let mut search = Command::new(folder.join(triple).join("release").join(target));
    search.args([found, format!("fuzz/corpus/{target}")]);
    search
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix=fuzz/artifacts/{target}-"));
    search.args(["-rss_limit_mb=2048", "-timeout=10"]);
    if search.status()?.success() { Ok(()) } else { Err(format!("{target} failed").into()) }
}

fn flags() -> String {
    let start = "--cfg fuzzing -Cpasses=sancov-module -Cdebug-assertions -Ccodegen-units=1";
    let coverage = COVERAGE.iter().map(|what| format!(" -Cllvm-args=-sanitizer-coverage-{what}"));
    std::iter::once(start.to_owned()).chain(coverage).collect()
}

fn write_seeds() -> Result<(), Failure> {
    for (target, inputs) in seeds::all()? {
        let directory = Path::new("fuzz/corpus").join(target);
        fs::create_dir_all(&directory)?;
        for (name, bytes) in &inputs {
            fs::write(directory.join(name), bytes)?;
        }
        println!("{}: {} seeds", directory.display(), inputs.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expected: Result<Options, &str>) {
        let words = words.split_whitespace().map(str::to_owned);
        let got = Options::parse(words).map_err(|failure| failure.to_string());
        match expected {
            Ok(options) => assert_eq!(got, Ok(options)),
            Err(start) => assert!(got.is_err_and(|failure| failure.starts_with(start))),
        }
    }

    #[test]
    fn words_become_options() {
        let all = || Options {
            target: None,
            seconds: 60,
            seed: None,
            is_libfuzzer: false,
            writes_seeds: false,
        };
        check("", Ok(all()));
        check(
            "config --seconds 5 --seed 7",
            Ok(Options { target: Some("config".into()), seconds: 5, seed: Some(7), ..all() }),
        );
        check("--libfuzzer", Ok(Options { is_libfuzzer: true, ..all() }));
        check("--seconds", Err("--seconds needs a number"));
        check("--seconds x", Err("--seconds needs a number"));
        check("other", Err("unknown argument other"));
    }
}
