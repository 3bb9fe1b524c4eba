//! The command line of `cargo xtask soak`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;

pub(crate) const USAGE: &str = "\
cargo xtask soak [FLAG...]

    --seconds N        how long the traffic goes on (600)
    --seed N           repeats a schedule of faults and a mix of requests (a new one)
    --clients N        concurrent clients (64)
    --ours PATH        our binary, instead of building it
    --markdown FILE    write the table there too
    --keep DIRECTORY   copy journal and access log there";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) keep: Option<PathBuf>,
    /// Only say what there is.
    pub(crate) asks_help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut options = Self {
            seconds: 600,
            seed: now.as_millis() as u64 % 1_000_000,
            clients: 64,
            ours: None,
            markdown: None,
            keep: None,
            asks_help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} lacks its value"));
            match argument.as_str() {
                "--help" | "-h" => options.asks_help = true,
                "--seconds" => options.seconds = number(&value()?)?,
                "--seed" => options.seed = number(&value()?)?,
                "--clients" => options.clients = number(&value()?)?,
                "--ours" => options.ours = Some(value()?.into()),
                "--markdown" => options.markdown = Some(value()?.into()),
                "--keep" => options.keep = Some(value()?.into()),
                name => return Err(format!("unknown flag {name}\n\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| format!("{text} is no number").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_others_refused() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        let options = parse("--seconds 30 --seed 7").unwrap();
        assert_eq!((options.seconds, options.seed), (30, 7));
        assert!(parse("--seconds").is_err());
        assert!(parse("--second 3").is_err());
    }
}
