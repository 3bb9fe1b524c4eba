//! One problem of a configuration, and how it is shown.

use std::fmt;

use crate::code::{Code, Severity};
use crate::source::Location;

/// One problem: whose `Display` is the block that people read, without a final line end.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub code: &'static Code,
    /// What is wrong, in one clause.
    pub message: String,
    /// Absent if no file holds the value.
    pub location: Option<Location>,
    /// What is said beside the carets; may be empty.
    pub label: String,
    /// The remedy.
    pub help: String,
}

impl Diagnostic {
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// For those that are only counted.
    pub(crate) fn more(code: &'static Code, count: usize, what: &str) -> Self {
        Self {
            code,
            message: format!("{count} more {what} are not shown"),
            location: None,
            label: String::new(),
            help: "mend the ones above and check again".to_owned(),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity();
        write!(f, "{severity}[{}]: {}", self.code.id, Visible(&self.message))?;
        let mut gutter = 1;
        if let Some(at) = &self.location {
            gutter = at.line.to_string().len();
            write!(f, "\n {:gutter$}--> {}:{}:{}", "", Visible(&at.file), at.line, at.column)?;
            write!(f, "\n {:gutter$} |\n {} |", "", at.line)?;
            if !at.excerpt.trim_end().is_empty() {
                write!(f, " {}", at.excerpt.trim_end())?;
            }
            write!(f, "\n {:gutter$} | {:indent$}", "", "", indent = at.caret_indent)?;
            write!(f, "{:^<width$}", "", width = at.caret_width)?;
            if !self.label.is_empty() {
                write!(f, " {}", Visible(&self.label))?;
            }
        }
        write!(f, "\n {:gutter$} = help: {}", "", Visible(&self.help))
    }
}

/// The blocks of all diagnostics, with an empty line between them and a final line end.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let blocks: Vec<String> = diagnostics.iter().map(|one| format!("{one}\n")).collect();
    blocks.join("\n")
}

/// A text that quotes the file must neither steer the terminal nor flood it.
struct Visible<'a>(&'a str);

/// Room for the longest message of ours with a name or an address in it.
const TEXT_CHARS_MAX: usize = 500;

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(TEXT_CHARS_MAX) {
            fmt::Write::write_char(f, crate::source::visible(c))?;
        }
        if chars.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}
