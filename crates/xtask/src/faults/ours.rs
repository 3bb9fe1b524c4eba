//! The configurations of Fairwater.

use super::contestant::Setup;
use super::fault::Fault;

/// What docs/resilience.md recommends for an application that says how it is, answers within a
/// second, and may be asked twice after a 500.
const RECOMMENDED: &str = "health = \"/healthz\"\nconnect_timeout = \"1s\"\n\
    response_timeout = \"1s\"\ntry_timeout = \"500ms\"\nretry_status = [\"500-504\"]\n";
/// And for endpoints that can do ten things at a time, each in 20 ms.
const LIMITED: &str = "health = \"/healthz\"\nmax_queue = 20\n";
const SLOTS: &str = "max_concurrency = 10";

pub(crate) fn configuration(setup: &Setup<'_>, is_tuned: bool) -> String {
    let (more, slots) = match setup.fault {
        _ if !is_tuned => ("", None),
        Fault::Overload => (LIMITED, Some(SLOTS)),
        _ => (RECOMMENDED, None),
    };
    let endpoint = |address: String| match slots {
        Some(slots) => format!("{{ address = {address:?}, {slots} }}"),
        None => format!("{address:?}"),
    };
    let endpoints: Vec<_> = setup.targets().into_iter().map(endpoint).collect();
    let (port, endpoints) = (setup.port, endpoints.join(", "));
    format!(
        "listeners.web = {{ bind = \"127.0.0.1:{port}\", upstream = \"app\" }}\n\
         [upstreams.app]\nendpoints = [{endpoints}]\n{more}"
    )
}
