//! Apps: processes that are started, watched and replaced.

use std::path::PathBuf;
use std::time::Duration;

use crate::span::Spanned;

/// One `[apps.NAME]`.
#[derive(Debug, Clone)]
pub struct App {
    pub name: Spanned<String>,
    /// The program and its arguments; at least the first.
    pub command: Vec<String>,
    pub instances: u32,
    pub address: AppAddress,
    pub env: Vec<(String, String)>,
    /// Absolute; absent means where Fairwater was started.
    pub directory: Option<PathBuf>,
    /// Absent means the user of Fairwater.
    pub user: Option<String>,
    pub ready: AppReady,
    pub stop_signal: AppSignal,
    /// Absent means that the app cannot renew itself.
    pub reload_signal: Option<AppSignal>,
    pub timeouts: AppTimeouts,
    pub max_requests: Option<u32>,
    pub max_memory: Option<u64>,
}

/// Where each process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppAddress {
    #[default]
    Socket,
    Shared,
    Port,
}

/// When a process may get traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AppReady {
    #[default]
    Connect,
    Http(String),
    Line(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppSignal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Winch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppTimeouts {
    /// Until it is ready.
    pub start: Duration,
    /// For what runs, before it is told to stop.
    pub drain: Duration,
    /// From then on, until it is killed.
    pub stop: Duration,
}

impl Default for AppTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { start: seconds(30), drain: seconds(25), stop: seconds(10) }
    }
}
