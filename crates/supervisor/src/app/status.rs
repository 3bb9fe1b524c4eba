//! How apps are, in lines for people.

use std::fmt::Write;
use std::time::Instant;

use super::{App, Apps};

impl Apps {
    /// A line for each instance.
    pub(crate) fn status(&self, now: Instant) -> String {
        let mut text = String::new();
        self.apps.iter().for_each(|app| app.add_status(now, &mut text));
        text
    }
}

impl App {
    fn add_status(&self, now: Instant, text: &mut String) {
        for (index, place) in self.places.iter().enumerate() {
            let word = place.condition().word();
            // Writing to a String cannot fail.
            write!(text, "app {}.{index} {word}", self.spec.name).ok();
            let process = self.processes.iter().find(|one| Some(one.number) == place.face());
            if let Some(process) = process {
                write!(text, ", process {}", process.id).ok();
            }
            if let Some(due) = place.due() {
                let pause = due.saturating_duration_since(now).as_secs_f32();
                write!(text, ", the next one starts in {pause:.1} s").ok();
            }
            write!(text, ", {} restarts", place.restarts()).ok();
            if !place.last_end().is_empty() {
                write!(text, ", the last one {}", place.last_end()).ok();
            }
            if !place.problem().is_empty() {
                write!(text, ", problem: {}", place.problem()).ok();
            }
            text.push('\n');
        }
    }
}
