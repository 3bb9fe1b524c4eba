//! Where the stages put the problems that they find.

use std::sync::Arc;

use crate::code::{self, Code, Severity};
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Sources};
use crate::span::Span;

/// Nobody reads more at a time, and a broken file of megabytes would have millions.
const DIAGNOSTICS_MAX: usize = 100;

/// Collects the diagnostics of all files, up to a limit per severity.
#[derive(Default)]
pub(crate) struct Report {
    sources: Vec<Arc<Source>>,
    kept: Vec<(Span, Diagnostic)>,
    error_count: usize,
    warning_count: usize,
}

impl Report {
    /// Takes in the text of the next file, and gives its number for spans.
    pub(crate) fn add_source(&mut self, source: &Arc<Source>) -> u16 {
        self.sources.push(Arc::clone(source));
        (self.sources.len() - 1) as u16
    }

    /// `message` and `label` say what is wrong, `help` what to do about it.
    pub(crate) fn add(
        &mut self,
        code: &'static Code,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let count = match code.severity() {
            Severity::Error => &mut self.error_count,
            Severity::Warning => &mut self.warning_count,
        };
        *count += 1;
        if *count <= DIAGNOSTICS_MAX {
            let (message, label, help) = (message.into(), label.into(), help.into());
            let source = self.sources.get(usize::from(span.file));
            let location = source.and_then(|source| source.locate(span));
            self.kept.push((span, Diagnostic { code, message, location, label, help }));
        }
    }

    /// Whether further errors are only counted, so that a costly help text can be spared.
    pub(crate) fn is_full(&self) -> bool {
        self.error_count >= DIAGNOSTICS_MAX
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.error_count > 0
    }

    /// "on line 4", with the file if it is another than that of `from`; nothing for a value that
    /// no file holds.
    pub(crate) fn place(&self, span: Span, from: Span) -> String {
        let source = self.sources.get(usize::from(span.file)).filter(|_| !span.is_none());
        match source {
            None => String::new(),
            Some(source) if span.file == from.file => format!(" on line {}", source.line(span)),
            Some(source) => format!(" on line {} of {}", source.line(span), source.file()),
        }
    }

    /// The texts of all files, for what is found later.
    pub(crate) fn sources(&self) -> Sources {
        Sources(self.sources.clone())
    }

    /// The diagnostics in the order of the files.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.kept.sort_by_key(|(span, _)| (span.file, span.start));
        let mut diagnostics: Vec<Diagnostic> = self.kept.into_iter().map(|(_, one)| one).collect();
        for (code, count, what) in [
            (&code::MORE_ERRORS, self.error_count, "errors"),
            (&code::MORE_WARNINGS, self.warning_count, "warnings"),
        ] {
            if count > DIAGNOSTICS_MAX {
                diagnostics.push(Diagnostic::more(code, count - DIAGNOSTICS_MAX, what));
            }
        }
        diagnostics
    }
}
