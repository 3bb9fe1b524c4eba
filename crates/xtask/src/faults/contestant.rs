//! The proxies, each as it is shipped and as somebody sets it up who knows it well.

use std::fs;
use std::path::Path;

use super::fault::Fault;
use super::{haproxy, nginx, ours};
use crate::Failure;
use crate::bench::Contender;
use crate::bench::process::Running;
use crate::peer::launch;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contestant {
    pub(crate) kind: Contender,
    pub(crate) is_tuned: bool,
}

impl Contestant {
    pub(crate) fn name(self) -> String {
        match (self.kind, self.is_tuned) {
            (Contender::Ours, true) => "ours, as recommended".to_owned(),
            (kind, true) => format!("{}, set up well", kind.name()),
            (kind, false) => kind.name().to_owned(),
        }
    }

    pub(crate) fn start(self, setup: &Setup<'_>, program: &Path) -> Result<Running, Failure> {
        fs::create_dir_all(setup.directory)?;
        let text = match self.kind {
            Contender::Ours => ours::configuration(setup, self.is_tuned),
            Contender::Nginx => nginx::configuration(setup, self.is_tuned),
            Contender::Haproxy => haproxy::configuration(setup, self.is_tuned),
        };
        let mut running = launch(self.kind, program, setup.directory, &text)?;
        running.wait_for_port(setup.port)?;
        Ok(running)
    }
}

/// What the text of a configuration depends on.
pub(crate) struct Setup<'a> {
    pub(crate) fault: Fault,
    pub(crate) port: u16,
    /// Addresses, all with the same port.
    pub(crate) endpoints: Vec<String>,
    /// What stands for all of them, where that is looked up.
    pub(crate) name: Option<String>,
    pub(crate) directory: &'a Path,
}

impl Setup<'_> {
    /// What stands in a configuration.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.name.as_ref().map_or_else(|| self.endpoints.clone(), |name| vec![name.clone()])
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}
