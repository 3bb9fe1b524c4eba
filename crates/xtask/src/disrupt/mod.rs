//! `cargo xtask disrupt`: reloads, upgrades and killed workers under load, ours beside nginx and
//! HAProxy: what clients notice of them.

mod clients;
mod endpoints;
mod events;
mod options;
mod peers;
mod report;
mod tunnels;

use std::fs;

use self::clients::Load;
use self::events::Event;
use self::options::Options;
use self::peers::Peer;
use self::report::Row;
use crate::Failure;
use crate::bench::process::{WorkDir, wait_for_turn};
use crate::bench::{Backend, Contender, build, needs_of};
use crate::packages;

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let arguments: Vec<String> = arguments.collect();
    let options = Options::parse(arguments.iter().cloned())?;
    if options.asks_help {
        println!("{}", options::USAGE);
        return Ok(());
    }
    packages::ensure(&needs_of(&options.peers), true)?;
    let release = build(options.ours.is_none())?;
    let ours = options.ours.clone().unwrap_or_else(|| release.join("fairwater"));
    let generator = release.join("fairwater-load");
    let _turn = wait_for_turn()?;
    let work = WorkDir::create()?;
    let backend = Backend::start(&generator, work.path())?;
    let mut rows = Vec::new();
    for peer in [Contender::Ours, Contender::Nginx, Contender::Haproxy] {
        if !options.peers.contains(&peer) && peer != Contender::Ours {
            continue;
        }
        for event in Event::ALL {
            let count = options.count(event);
            if count == 0 || !event.is_known_to(peer) {
                continue;
            }
            eprintln!("{}: {} {}", peer.name(), count, event.name());
            let mut proxy = Peer::start(peer, &ours, &backend, work.path())?;
            let load = Load::start(proxy.http, proxy.tcp, options.clients)?;
            let happened = events::run(&mut proxy, event, count, &load, options.requests)?;
            let tally = load.end();
            rows.push(Row::new(peer, event, count, &tally, &happened));
        }
    }
    let mut text = report::markdown(&arguments, &rows);
    if options.tunnels > 0 {
        eprintln!("ours: {} tunnels", options.tunnels);
        let proxy = Peer::start(Contender::Ours, &ours, &backend, work.path())?;
        text.push_str(&tunnels::run(&proxy, &generator, options.tunnels)?);
    }
    eprintln!("ours: one endpoint of thousands");
    text.push_str(&endpoints::run(&ours, work.path())?);
    println!("{text}");
    if let Some(file) = &options.markdown {
        fs::write(file, text)?;
    }
    Ok(())
}
