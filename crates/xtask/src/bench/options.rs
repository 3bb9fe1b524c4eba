//! The command line of `cargo xtask bench`.

use std::path::PathBuf;

use super::cases::{Case, Row};
use super::contender::Contender;
use crate::Failure;

pub(crate) const USAGE: &str = "\
cargo xtask bench [NAME...] [FLAG...]

    --list             the names, and what each measures
    --only WORDS       of each name the cases alone whose titles have these words
    --rounds N         rounds per case (5)
    --requests N       requests per contender and round, instead of each case's own number
    --quick            three rounds of a fifth of the requests
    --ours PATH        our binary, instead of building it
    --peers LIST       of nginx,haproxy
    --markdown FILE    write the result there too
    --no-install       do not install missing Debian packages";

pub(crate) struct Options {
    pub(crate) rows: Vec<Row>,
    pub(crate) only: String,
    pub(crate) rounds: usize,
    pub(crate) requests: Option<usize>,
    pub(crate) quick: bool,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) peers: Vec<Contender>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) may_install: bool,
    /// Only say what there is.
    pub(crate) words: Option<String>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            rows: Vec::new(),
            only: String::new(),
            rounds: 5,
            requests: None,
            quick: false,
            ours: None,
            peers: vec![Contender::Nginx, Contender::Haproxy],
            markdown: None,
            may_install: true,
            words: None,
        };
        let mut rounds = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} lacks its value"));
            match argument.as_str() {
                "--list" => options.words = Some(list()),
                "--help" | "-h" => options.words = Some(USAGE.to_owned()),
                "--only" => options.only = value()?,
                "--rounds" => rounds = Some(number(&value()?)?),
                "--requests" => options.requests = Some(number(&value()?)?),
                "--quick" => options.quick = true,
                "--ours" => options.ours = Some(value()?.into()),
                "--peers" => options.peers = peers(&value()?)?,
                "--markdown" => options.markdown = Some(value()?.into()),
                "--no-install" => options.may_install = false,
                name => options.rows.push(row(name)?),
            }
        }
        if options.rows.is_empty() {
            options.rows = Row::ALL.to_vec();
        }
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 5 });
        Ok(options)
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        let all = self.rows.iter().flat_map(|row| row.cases());
        all.filter(|case| case.title.contains(&self.only))
    }

    pub(crate) fn requests(&self, usual: usize) -> usize {
        self.requests.unwrap_or(if self.quick { usual / 5 } else { usual })
    }
}

fn number(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text} is no number above zero").into()),
    }
}

fn peers(text: &str) -> Result<Vec<Contender>, Failure> {
    let mut peers = Vec::new();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        match name {
            "nginx" => peers.push(Contender::Nginx),
            "haproxy" => peers.push(Contender::Haproxy),
            _ => return Err(format!("unknown peer {name}").into()),
        }
    }
    Ok(peers)
}

fn row(name: &str) -> Result<Row, Failure> {
    let found = Row::ALL.into_iter().find(|row| row.name() == name);
    found.ok_or_else(|| format!("unknown name or flag {name}\n\n{USAGE}\n\n{}", list()).into())
}

fn list() -> String {
    let lines = Row::ALL.map(|row| format!("{:12} {}", row.name(), row.about()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, Failure> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn names_and_flags_mix() {
        let options = parse("tcp --rounds 9 ab --peers haproxy --quick").unwrap();
        assert_eq!(options.rows, [Row::Tcp, Row::Ab]);
        assert_eq!((options.rounds, options.requests(1000)), (9, 200));
        assert_eq!(options.peers, [Contender::Haproxy]);
        assert_eq!(parse("").unwrap().rows.len(), Row::ALL.len());
    }

    #[test]
    fn cases_are_chosen_by_their_titles() {
        let titles = |text| parse(text).unwrap().cases().map(|case| case.title).collect::<Vec<_>>();
        assert_eq!(titles("bulk --only TCP"), ["1 MiB body, TCP"]);
        assert!(titles("bulk --only UDP").is_empty());
        assert_eq!(titles("bulk").len(), 2);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(parse("nothing").is_err());
        assert!(parse("--rounds 0").is_err());
        assert!(parse("--peers squid").is_err());
        assert!(parse("--ours").is_err());
    }
}
