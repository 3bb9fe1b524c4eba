//! A name server that knows one name, until it is told to be silent.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;

pub(crate) const NAME: &str = "app.test";
/// So that everybody asks again while it is silent.
const TTL_SECONDS: u8 = 1;
/// The place of the question in a message, and the pointer to it.
const QUESTION: usize = 12;
const POINTER: [u8; 2] = [0xc0, 0x0c];
const A: [u8; 2] = [0, 1];

pub(crate) struct Names(Arc<AtomicBool>);

impl Names {
    /// The addresses of the name are 127.0.0.11 and those that follow.
    pub(crate) fn start(count: usize) -> Result<Self, Failure> {
        let socket = UdpSocket::bind("127.0.0.1:53")?;
        let is_silent = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_silent);
        std::thread::Builder::new().spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                let Some(answer) = answer(&bytes[..len], count) else { continue };
                if !of_thread.load(Ordering::Relaxed) && socket.send_to(&answer, from).is_err() {
                    eprintln!("the name server cannot answer {from}");
                }
            }
        })?;
        Ok(Self(is_silent))
    }

    pub(crate) fn be_silent(&self, is_silent: bool) {
        self.0.store(is_silent, Ordering::Relaxed);
    }
}

fn answer(question: &[u8], count: usize) -> Option<Vec<u8>> {
    let end = QUESTION + question.get(QUESTION..)?.iter().position(|byte| *byte == 0)? + 1;
    let kind = question.get(end..end + 2)?;
    let is_known = name(&question[QUESTION..end]).as_deref() == Some(NAME);
    let count = if is_known && kind == A { count } else { 0 };
    let code = if is_known { 0 } else { 3 };
    let mut bytes = vec![question[0], question[1], 0x85, 0x80 | code];
    bytes.extend_from_slice(&[0, 1, 0, count as u8, 0, 0, 0, 0]);
    bytes.extend_from_slice(question.get(QUESTION..end + 4)?);
    for index in 0..count as u8 {
        bytes.extend_from_slice(&POINTER);
        bytes.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, TTL_SECONDS, 0, 4]);
        bytes.extend_from_slice(&[127, 0, 0, 11 + index]);
    }
    Some(bytes)
}

fn name(mut labels: &[u8]) -> Option<String> {
    let mut words = Vec::new();
    while let [len, rest @ ..] = labels
        && *len > 0
    {
        let (label, rest) = rest.split_at_checked(usize::from(*len))?;
        words.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        labels = rest;
    }
    Some(words.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_known() {
        let question = |name: &[u8], kind: u8| {
            [&[7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, kind, 0, 1]].concat()
        };
        let found = answer(&question(b"\x03app\x04test\0", 1), 3).unwrap();
        assert_eq!(found[..8], [7, 9, 0x85, 0x80, 0, 1, 0, 3]);
        assert!(found.ends_with(&[127, 0, 0, 13]));
        assert_eq!(answer(&question(b"\x03app\x04test\0", 28), 3).unwrap()[7], 0);
        assert_eq!(answer(&question(b"\x03web\0", 1), 3).unwrap()[3], 0x83);
        assert_eq!(answer(&[0; 5], 3), None);
    }
}
