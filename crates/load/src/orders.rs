//! What a generator is told on its standard input, line by line, and what it answers.
//!
//! So the harness can read the proxy's clocks between warm-up and measurement while the connections
//! stay as they are.

use std::io::{self, BufRead};
use std::time::Duration;

use crate::backend::say;

/// Without any event for so long the proxy is stuck.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(10);

/// More faults than this end the run: what would it measure?
const WRONG_MAX: u64 = 1000;

/// Obeys until there are no more orders.
pub(crate) fn obey(generator: &mut impl Generator) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let tally = match line.split_once(' ').unwrap_or((&line, "")) {
            ("open", count) => generator.open(number(count)?)?,
            ("go", count) => generator.go(number(count)?)?,
            ("each", "") => generator.each()?,
            _ => return Err(io::Error::other(format!("what is {line}?"))),
        };
        say(&tally.line())?;
    }
    Ok(())
}

pub(crate) trait Generator {
    /// Opens connections until there are so many.
    fn open(&mut self, count: usize) -> io::Result<Tally>;
    /// So many requests, in a closed loop.
    fn go(&mut self, count: usize) -> io::Result<Tally>;
    /// One request on each open connection.
    fn each(&mut self) -> io::Result<Tally>;
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| io::Error::other(format!("{text} is not a number")))
}

/// What one order came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    wrong: u64,
    /// Connections that the proxy closed without being asked to.
    pub(crate) reopened: u64,
    first_fault: Option<String>,
}

impl Tally {
    fn line(&self) -> String {
        let fault = self.first_fault.as_deref().unwrap_or("none");
        let Self { requests, wrong, reopened, .. } = self;
        format!("done requests={requests} wrong={wrong} reopened={reopened} fault={fault}")
    }

    pub(crate) fn blame(&mut self, fault: impl ToString) -> io::Result<()> {
        self.wrong += 1;
        let fault = self.first_fault.get_or_insert_with(|| fault.to_string());
        if self.wrong > WRONG_MAX {
            return Err(io::Error::other(format!("too many wrong replies, first: {fault}")));
        }
        Ok(())
    }
}

/// Who is to send the next request of an order.
pub(crate) struct Quota {
    pub(crate) left: usize,
    /// With one request per connection: the next connection in line.
    next: Option<usize>,
}

impl Quota {
    pub(crate) fn of(count: usize) -> Self {
        Self { left: count, next: None }
    }

    pub(crate) fn one_each(connections: usize) -> Self {
        Self { left: connections, next: Some(0) }
    }

    pub(crate) fn is_one_each(&self) -> bool {
        self.next.is_some()
    }

    /// The connection to start now that `finished` is free.
    pub(crate) fn take(&mut self, finished: usize) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let Some(next) = &mut self.next else { return Some(finished) };
        *next += 1;
        Some(*next - 1)
    }
}
