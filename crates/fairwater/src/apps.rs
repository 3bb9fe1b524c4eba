//! Apps on their way from the configuration to the master: users and signals become numbers.

use std::path::Path;

use fairwater_config::{App, AppAddress, AppReady, AppSignal, Config, Process, app_directory};
use fairwater_supervisor as supervisor;
use fairwater_supervisor::{Account, Spec, Timeouts};
use fairwater_sys::child::Identity;
use fairwater_sys::process;

/// What the master starts.
///
/// # Errors
/// Why it could not, and what to do.
pub(crate) fn specs(config: &Config) -> Result<Vec<Spec>, String> {
    let run_dir = config.run_dir.as_ref().map_or(Path::new(""), |path| &path.value);
    config.apps.iter().map(|app| spec(app, &config.process, run_dir)).collect()
}

fn spec(app: &App, process: &Process, run_dir: &Path) -> Result<Spec, String> {
    let (mut env, mut identity) = (Vec::new(), None);
    // As what serves, unless it says otherwise: nobody wants programs of theirs to be root by
    // mistake.
    let common = process.user.as_ref().map(|user| user.value.as_str());
    let group = process.group.as_ref().map(|group| group.value.as_str());
    match (app.user.as_deref(), common) {
        (Some(name), _) => identity = another(app, (name, None), &mut env)?,
        (None, Some(name)) => identity = another(app, (name, group), &mut env)?,
        (None, None) => {}
    }
    env.extend(app.env.iter().cloned());
    Ok(Spec {
        name: app.name.value.clone(),
        command: app.command.clone(),
        env,
        directory: app.directory.clone(),
        user: identity,
        instances: app.instances,
        address: match app.address {
            AppAddress::Socket => {
                supervisor::AppAddress::Socket(app_directory(run_dir, &app.name.value))
            }
            AppAddress::Shared => {
                supervisor::AppAddress::Shared(app_directory(run_dir, &app.name.value))
            }
            AppAddress::Port => supervisor::AppAddress::Port,
        },
        ready: match &app.ready {
            AppReady::Connect => supervisor::AppReady::Connect,
            AppReady::Http(path) => supervisor::AppReady::Http(path.clone()),
            AppReady::Line(text) => supervisor::AppReady::Line(text.clone()),
        },
        stop_signal: number(app.stop_signal),
        reload_signal: app.reload_signal.map(number),
        timeouts: Timeouts {
            start: app.timeouts.start,
            drain: app.timeouts.drain,
            stop: app.timeouts.stop,
        },
        max_requests: app.max_requests,
        max_memory: app.max_memory,
    })
}

/// Whose rights the processes get, if not ours, and where that user is at home.
fn another(
    app: &App,
    (name, group): (&str, Option<&str>),
    env: &mut Vec<(String, String)>,
) -> Result<Option<Identity>, String> {
    let whose = format!("`user` of app {}", app.name.value);
    let Account { user, group, groups, home } = Account::find(name, group)
        .map_err(|problem| format!("{whose}: {}", problem.trim_start_matches("user: ")))?;
    let own = process::user_id();
    if user == own {
        return Ok(None);
    }
    if own != 0 {
        return Err(format!(
            "{whose}: only root can start processes as {name}: run as root, or leave it away"
        ));
    }
    env.push(("HOME".to_owned(), home.display().to_string()));
    env.extend(["USER", "LOGNAME"].map(|variable| (variable.to_owned(), name.to_owned())));
    Ok(Some(Identity { user, group, groups }))
}

fn number(signal: AppSignal) -> i32 {
    match signal {
        AppSignal::Term => process::TERM,
        AppSignal::Int => process::INT,
        AppSignal::Quit => process::QUIT,
        AppSignal::Hup => process::HUP,
        AppSignal::Usr1 => process::USR1,
        AppSignal::Usr2 => process::USR2,
        AppSignal::Winch => process::WINCH,
    }
}
