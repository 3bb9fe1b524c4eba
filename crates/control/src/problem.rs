//! Why a request of the admin socket is refused, and what to do instead.

use hyper::StatusCode;

use crate::json::{object, text};

#[derive(Debug)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub error: String,
    pub help: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        error: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status, error: error.into(), help: help.into() }
    }

    /// The request itself is wrong.
    pub(crate) fn bad(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, help)
    }

    /// What it is about is not there.
    pub(crate) fn missing(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, help)
    }

    /// It does not go together with what is there.
    pub(crate) fn conflict(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, help)
    }

    pub(crate) fn render(&self) -> String {
        let json = object(&[("error", text(&self.error)), ("help", text(&self.help))]);
        format!("{json}\n")
    }
}
