//! The command line of `cargo xtask disrupt`.

use std::path::PathBuf;
use std::str::FromStr;

use super::events::Event;
use crate::Failure;
use crate::bench::Contender;

pub(crate) const USAGE: &str = "\
cargo xtask disrupt [FLAG...]

    --reloads N        reloads under load (100)
    --upgrades N       upgrades under load, ours alone (20)
    --kills N          workers killed under load (10)
    --requests N       the load goes on until there were so many (1000000)
    --clients N        clients of each kind (2)
    --tunnels N        open through five upgrades, ours alone (5000)
    --ours PATH        our binary, instead of building it
    --alone            without nginx and HAProxy
    --markdown FILE    write the table there too";

#[derive(Debug)]
pub(crate) struct Options {
    reloads: u32,
    upgrades: u32,
    kills: u32,
    pub(crate) requests: u64,
    pub(crate) clients: usize,
    pub(crate) tunnels: usize,
    pub(crate) ours: Option<PathBuf>,
    pub(crate) peers: Vec<Contender>,
    pub(crate) markdown: Option<PathBuf>,
    /// Only say what there is.
    pub(crate) asks_help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = Self {
            reloads: 100,
            upgrades: 20,
            kills: 10,
            requests: 1_000_000,
            clients: 2,
            tunnels: 5_000,
            ours: None,
            peers: vec![Contender::Nginx, Contender::Haproxy],
            markdown: None,
            asks_help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} lacks its value"));
            match argument.as_str() {
                "--help" | "-h" => options.asks_help = true,
                "--reloads" => options.reloads = number(&value()?)?,
                "--upgrades" => options.upgrades = number(&value()?)?,
                "--kills" => options.kills = number(&value()?)?,
                "--requests" => options.requests = number(&value()?)?,
                "--clients" => options.clients = number(&value()?)?,
                "--tunnels" => options.tunnels = number(&value()?)?,
                "--ours" => options.ours = Some(value()?.into()),
                "--alone" => options.peers.clear(),
                "--markdown" => options.markdown = Some(value()?.into()),
                name => return Err(format!("unknown flag {name}\n\n{USAGE}").into()),
            }
        }
        Ok(options)
    }

    pub(crate) fn count(&self, event: Event) -> u32 {
        match event {
            Event::Reload => self.reloads,
            Event::Upgrade => self.upgrades,
            Event::Kill => self.kills,
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| format!("{text} is not a number").into())
}
