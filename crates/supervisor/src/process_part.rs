//! What the master is told of the process: whose files are whose, and where they are.

use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessPart {
    /// User and group that workers become, if not those of the master.
    pub owner: Option<(u32, u32)>,
    /// The file that workers write lines of requests to.
    pub access_log: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    /// Takes what a daemon says.
    pub log_file: Option<PathBuf>,
    pub core_dumps: bool,
}

impl fmt::Display for ProcessPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((user, group)) = self.owner {
            writeln!(f, "owner {user} {group}")?;
        }
        let files = [
            ("access_log", &self.access_log),
            ("pid_file", &self.pid_file),
            ("log_file", &self.log_file),
        ];
        for (word, path) in files {
            if let Some(path) = path {
                writeln!(f, "{word} {}", path.display())?;
            }
        }
        if self.core_dumps { f.write_str("core_dumps on\n") } else { Ok(()) }
    }
}

impl ProcessPart {
    /// Whose rights workers have, if not the master's.
    pub(crate) fn user(&self) -> Option<u32> {
        self.owner.map(|(user, _)| user)
    }

    /// Takes in a line that `Display` has written; nothing, if that is not whole. Others are not
    /// for us.
    pub(crate) fn take(&mut self, word: &str, rest: &str) -> Option<()> {
        match word {
            "owner" => {
                let (user, group) = rest.split_once(' ')?;
                self.owner = Some((user.parse().ok()?, group.parse().ok()?));
            }
            "access_log" => self.access_log = Some(rest.into()),
            "pid_file" => self.pid_file = Some(rest.into()),
            "log_file" => self.log_file = Some(rest.into()),
            "core_dumps" => self.core_dumps = rest == "on",
            _ => {}
        }
        Some(())
    }
}
