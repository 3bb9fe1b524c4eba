//! What a process that serves gives up before it does: it is another user, if one is set, and needs
//! few files and no capability.

use std::path::{Path, PathBuf};

use fairwater_config::{Config, LogFormat, LogTarget};
use fairwater_message::address::Listen;
use fairwater_supervisor::{Account, ROOT};
use fairwater_sys::landlock::{self, Access};
use fairwater_sys::{privileges, process};

use crate::say;

/// Files that may be replaced at any time, and are then read again.
const READ_AGAIN: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];

/// Where a file is no place for others.
const NOT_BELOW: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Who traffic is served as; nobody else than who started this, if none is set.
///
/// # Errors
/// When there is no such user, or this process cannot become it.
pub(crate) fn account(config: &Config) -> Result<Option<Account>, String> {
    let Some(user) = &config.process.user else { return Ok(None) };
    let group = config.process.group.as_ref().map(|group| &*group.value);
    let account = Account::find(&user.value, group)?;
    let own = process::user_id();
    if own != ROOT && own != account.user {
        return Err(format!(
            "user: only root can become `{}`, and this is user {own}: start it as root, or remove \
             `user`",
            user.value
        ));
    }
    Ok(Some(account))
}

/// Says so when traffic would be served with the rights of root for no reason.
pub(crate) fn warn(config: &Config) {
    if process::user_id() == ROOT && config.process.user.is_none() {
        say("warning: traffic is served as root; set `user`: files are read and addresses bound \
             before, so that it needs no rights for them");
    }
}

/// Gives up what serving does not need, for good. To be called with no other thread running: some
/// of it holds for those alone that the calling one starts.
///
/// # Errors
/// Says what could not be given up: then this process must not serve.
pub(crate) fn give_up(config: &Config, needs: &Needs<'_>) -> Result<(), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("cannot {what}: {error}")
    };
    if process::threads().is_ok_and(|count| count > 1) {
        return Err("cannot give up rights: other threads run already".to_owned());
    }
    let account = account(config)?;
    let is_changed = process::user_id() == ROOT && account.is_some();
    let user = account.as_ref().map_or(process::user_id(), |account| account.user);
    // Root is who may open any socket and log file; without this it would be less than others.
    let kept = if user == ROOT { privileges::DAC_OVERRIDE } else { 0 };
    privileges::bound_capabilities(kept);
    if let Some(account) = account.filter(|_| is_changed) {
        let Account { user, group, groups, .. } = account;
        privileges::become_user(user, group, &groups)
            .map_err(failed(&format!("become user {user} in group {group}")))?;
    }
    privileges::keep_capabilities(kept).map_err(failed("give up capabilities"))?;
    privileges::forbid_new().map_err(failed("give up new privileges"))?;
    privileges::set_core_dumps(config.process.core_dumps).map_err(failed("set core dumps"))?;
    if landlock::version() == 0 {
        return Ok(());
    }
    let allowed = allowed(config, needs);
    let allowed: Vec<_> = allowed.iter().map(|(path, access)| (&**path, *access)).collect();
    landlock::restrict(&allowed).map_err(failed("give up files"))
}

/// What this process needs beside what the configuration says.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    /// Its own output, to be opened again.
    pub log_file: Option<&'a Path>,
    /// It has made the sockets that it listens on, and removes them.
    pub is_binder: bool,
}

fn allowed(config: &Config, needs: &Needs<'_>) -> Vec<(PathBuf, Access)> {
    let mut allowed = Vec::new();
    for file in READ_AGAIN.map(Path::new) {
        // They may be links to where another program keeps them.
        for path in [Some(file.to_owned()), file.canonicalize().ok()].into_iter().flatten() {
            allowed.extend(path.parent().map(|parent| (parent.to_owned(), Access::Read)));
        }
    }
    allowed.extend(config.state_dir.iter().map(|path| (path.value.clone(), Access::Keep)));
    let access_log = match &config.access_log.target {
        LogTarget::File(path) if config.access_log.format != LogFormat::Off => Some(&**path),
        _ => None,
    };
    for path in access_log.into_iter().chain(needs.log_file) {
        allowed.extend(around(path).into_iter().map(|path| (path, Access::Append)));
    }
    if needs.is_binder {
        let binds = config.listeners.iter().flat_map(|listener| &listener.bind);
        let sockets = binds.filter_map(|bind| match &bind.value {
            Listen::Unix(path) => Some(path),
            _ => None,
        });
        let sockets = sockets.chain(config.admin.socket.as_ref().map(|socket| &socket.value));
        let parents = sockets.filter_map(|path| path.parent());
        allowed.extend(parents.map(|parent| (parent.to_owned(), Access::Remove)));
    }
    allowed
}

/// What it takes to open a log file again, and to make it anew when it was moved away.
fn around(path: &Path) -> Vec<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new(".")).canonicalize().ok();
    let is_place = |path: &PathBuf| !NOT_BELOW.iter().any(|above| path.starts_with(above));
    let itself = path.canonicalize().ok();
    directory.filter(is_place).into_iter().chain(itself).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &str) -> Config {
        let text = format!(
            "{lines}\n[listeners.web]\nbind = [\":80\", \"unix:/run/x/web.sock\"]\nupstream = \"a\"\n\
             [upstreams.a]\nendpoints = [\"127.0.0.1:1\"]\n"
        );
        let (config, diagnostics) = fairwater_config::parse("f", text.as_bytes());
        config.unwrap_or_else(|| panic!("{}", fairwater_config::render(&diagnostics)))
    }

    #[test]
    fn only_files_that_are_needed_are_kept() {
        let directory = std::env::temp_dir().canonicalize().unwrap();
        let log = directory.join("fairwater-of-nobody.log");
        let has = |config: &Config, needs: &Needs<'_>, path: &str, access: Access| {
            allowed(config, needs).contains(&(PathBuf::from(path), access))
        };
        let bare = config("");
        let none = Needs::default();
        assert!(has(&bare, &none, "/etc", Access::Read));
        assert!(allowed(&bare, &none).iter().all(|(_, access)| *access == Access::Read));
        let binder = Needs { is_binder: true, log_file: None };
        assert!(has(&bare, &binder, "/run/x", Access::Remove));
        let full = config(&format!("state_dir = \"/var/x\"\naccess_log.path = {log:?}"));
        assert!(has(&full, &none, "/var/x", Access::Keep));
        assert!(has(&full, &none, directory.to_str().unwrap(), Access::Append));
        let off = config(&format!("access_log = {{ format = \"off\", path = {log:?} }}"));
        assert!(!has(&off, &none, directory.to_str().unwrap(), Access::Append));
        let device = config("access_log.path = \"/dev/null\"");
        assert!(has(&device, &none, "/dev/null", Access::Append));
        assert!(!has(&device, &none, "/dev", Access::Append));
    }

    #[test]
    fn a_user_that_is_not_there_is_an_error() {
        assert_eq!(account(&config("")), Ok(None));
        let said = account(&config("user = \"nobody-of-this-name\"")).unwrap_err();
        assert!(said.contains("no user `nobody-of-this-name`"), "{said}");
        let own = process::user_id();
        let found = account(&config(&format!("user = \"{own}\"\ngroup = \"0\"")));
        assert_eq!(found.unwrap().unwrap().user, own);
    }
}
