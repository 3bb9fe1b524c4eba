//! What apps write to their standard output and error, line by line. It is data of others: bounded,
//! and shown so that no terminal takes it for an order.

use std::io::{self, Read};

/// With the name before it, a line still fits into what a pipe takes at once (`PIPE_BUF`).
const APP_LINE_BYTES_MAX: usize = 3800;
/// Of one process in one turn: an app that writes without end must not keep the master from others.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// Bytes in, lines out.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The line that has no end yet.
    rest: Vec<u8>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8], take: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            while self.rest.len() > APP_LINE_BYTES_MAX {
                let more = self.rest.split_off(APP_LINE_BYTES_MAX);
                self.finish(take);
                self.rest = more;
            }
            if self.rest.ends_with(b"\n") {
                self.finish(take);
            }
        }
    }

    /// Whatever there is, is a line.
    pub(crate) fn finish(&mut self, take: &mut dyn FnMut(&str)) {
        let line = std::mem::take(&mut self.rest);
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        if !line.is_empty() {
            take(&shown(&line));
        }
    }

    /// Reads what is there. Tells whether more may come.
    pub(crate) fn read(&mut self, from: &mut impl Read, take: &mut dyn FnMut(&str)) -> bool {
        let mut buffer = [0; 8 * 1024];
        for _ in 0..TURN_BYTES_MAX / buffer.len() {
            match from.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => self.add(&buffer[..len], take),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

fn shown(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.truncate(out.floor_char_boundary(APP_LINE_BYTES_MAX));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut take = |line: &str| found.push(line.to_owned());
        pieces.iter().for_each(|piece| lines.add(piece, &mut take));
        lines.finish(&mut take);
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_put_together_and_made_harmless() {
        check(&[b"a", b"b\nc\r\n\n", b"d"], &["ab", "c", "d"]);
        check(&[b"\x1b[2J\tx\x07\xff\n"], &["\\u{1b}[2J\tx\\u{7}\u{fffd}"]);
    }

    #[test]
    fn lines_without_end_are_cut() {
        let (whole, rest) = ("x".repeat(APP_LINE_BYTES_MAX), "x".repeat(10));
        let long = "x".repeat(2 * APP_LINE_BYTES_MAX + 10);
        check(&[long.as_bytes(), b"\ny"], &[&whole, &whole, &rest, "y"]);
        let (mut lines, mut found) = (Lines::default(), 0);
        lines.add(&[7; APP_LINE_BYTES_MAX], &mut |_| ());
        lines.finish(&mut |line| found = line.len());
        assert!(found <= APP_LINE_BYTES_MAX, "escapes make it no longer");
    }
}
