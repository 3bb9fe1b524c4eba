//! The command line of `cargo xtask faults`.

use std::path::PathBuf;

use super::fault::Fault;
use crate::Failure;
use crate::bench::Contender;

pub(crate) const USAGE: &str = "\
cargo xtask faults [FLAG...]

    --only NAME        this fault alone; several may be given (--list names them)
    --seconds N        how long a fault lasts (8)
    --ours PATH        our binary, instead of building it
    --alone            without nginx and HAProxy
    --no-install       do not install missing packages
    --markdown FILE    write the table there too
    --list             the faults, and what is expected";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) faults: Vec<Fault>,
    pub(crate) seconds: u64,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) peers: Vec<Contender>,
    pub(crate) may_install: bool,
    pub(crate) markdown: Option<PathBuf>,
    /// Where the programs are: we run in a network of our own already.
    pub(crate) within: Option<PathBuf>,
    /// Only say this.
    pub(crate) words: Option<String>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            faults: Vec::new(),
            seconds: 8,
            ours: None,
            peers: vec![Contender::Nginx, Contender::Haproxy],
            may_install: true,
            markdown: None,
            within: None,
            words: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} lacks its value"));
            match argument.as_str() {
                "--help" | "-h" => options.words = Some(USAGE.to_owned()),
                "--list" => options.words = Some(list()),
                "--only" => {
                    let name = value()?;
                    let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
                    options.faults.push(fault.ok_or(format!("there is no fault {name}"))?);
                }
                "--seconds" => {
                    let text = value()?;
                    options.seconds = text.parse().map_err(|_| format!("{text} is no number"))?;
                }
                "--ours" => options.ours = Some(value()?.into()),
                "--alone" => options.peers.clear(),
                "--no-install" => options.may_install = false,
                "--markdown" => options.markdown = Some(value()?.into()),
                "--within" => options.within = Some(value()?.into()),
                name => return Err(format!("unknown flag {name}\n\n{USAGE}").into()),
            }
        }
        if options.faults.is_empty() {
            options.faults = Fault::ALL.to_vec();
        }
        Ok(options)
    }
}

fn list() -> String {
    let line = |fault: Fault| format!("{:14} {}", fault.name(), fault.title());
    Fault::ALL.map(line).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_others_refused() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        let options = parse("--only kill --only flap --seconds 3").unwrap();
        assert_eq!(options.faults, [Fault::Kill, Fault::Flap]);
        assert_eq!(options.seconds, 3);
        assert_eq!(parse("").unwrap().faults.len(), Fault::ALL.len());
        assert!(parse("--only nothing").is_err());
        assert!(parse("--second 3").is_err());
    }
}
