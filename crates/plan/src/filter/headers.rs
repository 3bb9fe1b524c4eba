//! Headers that are set, added and removed.

use fairwater_message::HeaderName;
use fairwater_message::template::Template;

use super::PathShape;
use super::values::{Place, Values};

/// What changes in a head. Fields of the removed names go first; then the lines are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub removed: Vec<HeaderName>,
    lines: Vec<(String, Template)>,
}

impl HeaderEdits {
    /// Replaces what is there, and what earlier edits added.
    pub fn set(&mut self, name: &str, value: Template) {
        self.remove(name);
        self.add(name, value);
    }

    /// Leaves what is there.
    pub fn add(&mut self, name: &str, value: Template) {
        self.lines.push((name.to_ascii_lowercase(), value));
    }

    /// Takes out what is there, and what earlier edits added.
    pub fn remove(&mut self, name: &str) {
        self.lines.retain(|(added, _)| !added.eq_ignore_ascii_case(name));
        self.removed.push(HeaderName::new(name));
    }

    /// Writes the field lines that are added whatever the request: to one that could not be read.
    pub fn write_fixed(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.lines {
            if value.variables().next().is_none() {
                for part in [name.as_bytes(), b": ", value.start().as_bytes(), b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }

    /// Writes the field lines that are added.
    pub fn write(&self, values: &Values<'_>, shape: &PathShape, out: &mut Vec<u8>) {
        for (name, value) in &self.lines {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            values.fill_in(value, shape, Place::Header, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}
