//! Thousands of open tunnels through upgrades, with messages on all of them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::peers::Peer;
use crate::Failure;

const UPGRADES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// Half of `count` as raw connections, half as tunnels through HTTP; the text says what came of
/// them.
pub(crate) fn run(peer: &Peer, generator: &Path, count: usize) -> Result<String, Failure> {
    let is_over = AtomicBool::new(false);
    let half = count / 2;
    let (raw, tunnels, most) = std::thread::scope(|scope| -> Result<_, Failure> {
        let is_over = &is_over;
        let raw = scope.spawn(move || drive(generator, "echo", peer.tcp, half, is_over));
        let tunnels = scope.spawn(move || drive(generator, "tunnel", peer.http, half, is_over));
        sleep(PAUSE * 2);
        let (mut most, mut result) = (0, Ok(()));
        for _ in 0..UPGRADES {
            result = result.and_then(|()| peer.upgrade());
            sleep(PAUSE);
            most = most.max(peer.workers()?);
        }
        is_over.store(true, Ordering::Relaxed);
        result?;
        let ended = |one: std::thread::ScopedJoinHandle<'_, Result<_, String>>| {
            one.join().unwrap_or_else(|_| Err("it has panicked".to_owned()))
        };
        Ok((ended(raw)?, ended(tunnels)?, most))
    })?;
    Ok(format!(
        "\n{UPGRADES} upgrades with {count} open connections, half of them raw, half tunnels \
         through HTTP: {} and {} messages, {} and {} wrong or missing, {} and {} connections cut; \
         {most} processes at the most, 2 s behind an upgrade\n",
        raw.messages, tunnels.messages, raw.wrong, tunnels.wrong, raw.cut, tunnels.cut
    ))
}

#[derive(Debug, Default)]
struct Came {
    messages: u64,
    wrong: u64,
    cut: u64,
}

fn drive(
    generator: &Path,
    mode: &str,
    port: u16,
    count: usize,
    is_over: &AtomicBool,
) -> Result<Came, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut command = Command::new("setpriv");
    let limits = "ulimit -n $(ulimit -Hn) && exec \"$@\"";
    command.args(["--pdeathsig", "TERM", "sh", "-c", limits, "sh"]).arg(generator);
    command.args(["drive", "--target", &format!("127.0.0.1:{port}"), "--mode", mode]);
    command.args(["--body", "64", "--window", "64"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(text)?;
    let (orders, answers) = (child.stdin.take(), child.stdout.take());
    let (mut orders, answers) = orders.zip(answers).ok_or("no pipes")?;
    let mut answers = BufReader::new(answers);
    let mut order = |line: &str| -> Result<String, String> {
        writeln!(orders, "{line}").map_err(text)?;
        let mut answer = String::new();
        answers.read_line(&mut answer).map_err(text)?;
        if answer.starts_with("done ") { Ok(answer) } else { Err(format!("{mode}: {answer:?}")) }
    };
    order(&format!("open {count}"))?;
    let mut came = Came::default();
    while !is_over.load(Ordering::Relaxed) {
        let answer = order("each")?;
        let number = |name: &str| {
            let word = answer.split(' ').find_map(|word| word.strip_prefix(name));
            word.and_then(|word| word.parse::<u64>().ok()).unwrap_or(u64::MAX)
        };
        came.messages += number("requests=");
        came.wrong += number("wrong=");
        came.cut += number("reopened=");
    }
    drop(orders);
    child.wait().map_err(text)?;
    Ok(came)
}
