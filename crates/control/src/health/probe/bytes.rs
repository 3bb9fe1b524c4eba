//! Probes that send some bytes and look for others.

use super::Search;
use super::wire::Wire;
use crate::health::words::printable;

/// Sends, and reads until what is wanted has come.
pub(super) async fn expect(
    wire: &mut Wire,
    send: &[u8],
    wanted: &[u8],
    bytes_max: usize,
) -> Result<(), String> {
    wire.send(send).await?;
    let (mut search, mut piece) = (Search::new(wanted, bytes_max), Vec::new());
    while wire.receive(&mut piece).await? {
        match search.take(&piece) {
            Some(true) => return Ok(()),
            Some(false) => {
                return Err(format!("the first {bytes_max} bytes are not the expected ones"));
            }
            None => piece.clear(),
        }
    }
    Err("the answer is not the expected one".to_owned())
}

/// The first line of what comes.
pub(super) async fn line(
    wire: &mut Wire,
    send: &[u8],
    bytes_max: usize,
) -> Result<Vec<u8>, String> {
    wire.send(send).await?;
    let mut answer = Vec::new();
    loop {
        let goes_on = wire.receive(&mut answer).await?;
        if let Some(end) = answer.iter().position(|byte| *byte == b'\n') {
            answer.truncate(end);
            return Ok(answer);
        }
        if answer.len() > bytes_max {
            return Err(format!("a line has more than {bytes_max} bytes"));
        }
        if !goes_on {
            return match answer.is_empty() {
                true => Err("it says nothing".to_owned()),
                false => Ok(answer),
            };
        }
    }
}

/// A `PING` of Redis. Who asks for a password first is there all the same.
pub(super) async fn redis(wire: &mut Wire, bytes_max: usize) -> Result<(), String> {
    let answer = line(wire, b"*1\r\n$4\r\nPING\r\n", bytes_max).await?;
    let answer = answer.trim_ascii_end();
    let is_good =
        answer == b"+PONG" || answer.starts_with(b"-NOAUTH") || answer.starts_with(b"-NOPERM");
    match is_good {
        true => Ok(()),
        false => Err(format!("it answers `{}`", printable(answer))),
    }
}
