//! One probe: a connection, a question, and what the answer says. Everything that a peer may do
//! wrong is an outcome; nothing here decides what becomes of it.

mod bytes;
mod grpc;
mod http;
mod http2;
mod udp;
mod wire;

use fairwater_config::CheckKind;

use super::target::{Ask, Target};
use wire::Wire;

/// The longest line of an agent.
const AGENT_LINE_BYTES_MAX: usize = 1024;

/// What came of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why it failed, in words for people.
    pub problem: Option<String>,
    /// What the endpoint asks for, if it says something.
    pub advice: Option<Vec<u8>>,
}

/// Makes a probe; takes no longer than its deadline.
pub(crate) async fn probe(target: &Target) -> Outcome {
    let deadline = target.ask.deadline();
    match tokio::time::timeout(deadline, ask(target)).await {
        Ok(Ok(advice)) => Outcome { problem: None, advice },
        Ok(Err(problem)) => Outcome { problem: Some(problem), advice: None },
        Err(_) => {
            let problem = format!("it takes longer than {} ms in all", deadline.as_millis());
            Outcome { problem: Some(problem), advice: None }
        }
    }
}

async fn ask(target: &Target) -> Result<Option<Vec<u8>>, String> {
    let open = || Wire::open(target);
    let check = match &target.ask {
        Ask::Check(check) => check,
        Ask::Agent(agent) => {
            let line = bytes::line(&mut open().await?, &agent.send, AGENT_LINE_BYTES_MAX).await?;
            return Ok(Some(line));
        }
    };
    let bytes_max = usize::try_from(check.body_bytes_max).unwrap_or(usize::MAX);
    match &check.kind {
        CheckKind::Tcp | CheckKind::Tls => open().await.map(|_| None),
        CheckKind::Http(http) => http::ask(&mut open().await?, target, http, bytes_max).await,
        CheckKind::Bytes { send, expect } => {
            bytes::expect(&mut open().await?, send, expect, bytes_max).await.map(|()| None)
        }
        CheckKind::Redis => bytes::redis(&mut open().await?, bytes_max).await.map(|()| None),
        CheckKind::Grpc { service } => {
            grpc::ask(&mut open().await?, target, service, bytes_max).await.map(|()| None)
        }
        CheckKind::Udp { send, expect } => {
            let wait = (check.timeout, bytes_max);
            udp::ask(target, (send, expect), wait).await.map(|()| None)
        }
    }
}

/// The value of a header in a head of lines.
fn value_of<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let lines = head.split(|byte| *byte == b'\n');
    lines.into_iter().find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let is_it = line[..colon].eq_ignore_ascii_case(name.as_bytes());
        is_it.then(|| line[colon + 1..].trim_ascii())
    })
}

/// Looks for bytes in others that come in pieces, and keeps no more of these than it has to.
struct Search<'w> {
    wanted: &'w [u8],
    /// The last bytes, with which what is wanted may begin.
    tail: Vec<u8>,
    /// Bytes that are still looked at.
    left: usize,
}

impl<'w> Search<'w> {
    fn new(wanted: &'w [u8], bytes_max: usize) -> Self {
        Self { wanted, tail: Vec::new(), left: bytes_max }
    }

    /// Looks at the next piece. Says whether all is found, or can be found no more.
    fn take(&mut self, piece: &[u8]) -> Option<bool> {
        let piece = &piece[..piece.len().min(self.left)];
        self.left -= piece.len();
        self.tail.extend_from_slice(piece);
        let wanted = self.wanted;
        if wanted.is_empty() || self.tail.windows(wanted.len()).any(|window| window == wanted) {
            return Some(true);
        }
        let over = self.tail.len().saturating_sub(wanted.len() - 1);
        self.tail.drain(..over);
        (self.left == 0).then_some(false)
    }
}

#[cfg(test)]
mod tests;
