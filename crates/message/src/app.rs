//! What the master knows of a managed app, as it tells it to workers: always all of it, so that a
//! message that was missed is made up for by the next one.

use std::fmt;

use crate::address::Endpoint;

/// An app right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppState {
    pub name: String,
    /// Those that workers may know of: they are ready, or were.
    pub processes: Vec<AppProcess>,
    /// One for each instance.
    pub places: Vec<AppPlace>,
}

/// A process that takes traffic, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppProcess {
    /// No other process has it, of no app, as long as the master runs.
    pub number: u32,
    /// Which instance it is, from 0.
    pub index: u32,
    /// It finishes what it has, and gets nothing new.
    pub is_draining: bool,
    pub address: Endpoint,
}

/// How one instance is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppPlace {
    pub condition: Condition,
    /// Of the process that serves or is about to; 0 if there is none.
    pub process_id: u32,
    /// Starts after the first one.
    pub restarts: u64,
    /// In the order of [`Exit::ALL`].
    pub exits: [u64; Exit::ALL.len()],
    /// What went wrong last; empty once it is made good.
    pub problem: String,
}

/// Of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Starting,
    Ready,
    /// It is ready, and its successor is starting.
    Replacing,
    /// It failed, and is started again after a pause.
    Waiting,
    Stopping,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Before it was ready.
    NotReady,
    /// By itself, and was not told to.
    Unexpected,
    /// As it was told to.
    Stopped,
    /// Killed, since it did not end in time.
    Killed,
}

impl Exit {
    pub const ALL: [Self; 4] = [Self::NotReady, Self::Unexpected, Self::Stopped, Self::Killed];

    /// For metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::Unexpected => "unexpected",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        }
    }
}

impl Condition {
    const ALL: [Self; 5] =
        [Self::Starting, Self::Ready, Self::Replacing, Self::Waiting, Self::Stopping];

    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Replacing => "replacing",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
        }
    }
}

/// A line for each thing. Neither names nor problems have line ends.
impl fmt::Display for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        for AppProcess { number, index, is_draining, address } in &self.processes {
            let word = if *is_draining { "drain" } else { "serve" };
            writeln!(f, "process {number} {index} {word} {address}")?;
        }
        for AppPlace { condition, process_id, restarts, exits, problem } in &self.places {
            write!(f, "place {} {process_id} {restarts}", condition.word())?;
            exits.iter().try_for_each(|count| write!(f, " {count}"))?;
            writeln!(f, " {problem}")?;
        }
        Ok(())
    }
}

impl AppState {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut state = Self { name: lines.next()?.to_owned(), ..Self::default() };
        for line in lines {
            match line.split_once(' ')? {
                ("process", rest) => state.processes.push(AppProcess::parse(rest)?),
                ("place", rest) => state.places.push(AppPlace::parse(rest)?),
                _ => return None,
            }
        }
        Some(state)
    }
}

impl AppProcess {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        Some(Self {
            number: words.next()?.parse().ok()?,
            index: words.next()?.parse().ok()?,
            is_draining: words.next()? == "drain",
            address: Endpoint::parse(words.next()?).ok()?,
        })
    }
}

impl AppPlace {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4 + Exit::ALL.len(), ' ');
        let condition = words.next()?;
        let mut place = Self {
            condition: Condition::ALL.into_iter().find(|one| one.word() == condition)?,
            process_id: words.next()?.parse().ok()?,
            restarts: words.next()?.parse().ok()?,
            ..Self::default()
        };
        for count in &mut place.exits {
            *count = words.next()?.parse().ok()?;
        }
        words.next()?.clone_into(&mut place.problem);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let process = |number, is_draining, address: &str| AppProcess {
            number,
            index: 1,
            is_draining,
            address: Endpoint::parse(address).unwrap(),
        };
        let failing = AppPlace {
            condition: Condition::Waiting,
            restarts: 3,
            exits: [3, 0, 1, 2],
            problem: "exit code 1".to_owned(),
            ..AppPlace::default()
        };
        let processes =
            vec![process(7, false, "unix:/run/a b/1.sock"), process(5, true, "127.0.0.1:9000")];
        let places = vec![failing, AppPlace { process_id: 42, ..AppPlace::default() }];
        let state = AppState { name: "php".to_owned(), processes, places };
        assert_eq!(AppState::parse(&state.to_string()), Some(state));
        assert_eq!(AppState::parse("php\nnonsense 1"), None);
    }
}
