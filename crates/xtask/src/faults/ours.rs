//! The configurations of Fairwater.

use super::contestant::Setup;
use super::fault::Fault;

/// What docs/resilience.md recommends for who has an application that says how it is, and answers
/// within a second.
const RECOMMENDED: &str = "health = \"/healthz\"\nresponse_timeout = \"1s\"\n\
    connect_timeout = \"1s\"\n";
/// What it recommends for endpoints that can do ten things at a time, each in 20 ms.
const LIMITED: &str = "health = \"/healthz\"\nbalance = \"least_connections\"\n\
    max_connections = 20\nqueue_timeout = \"20ms\"\n";

pub(crate) fn configuration(setup: &Setup<'_>, is_tuned: bool) -> String {
    let (port, endpoints) = (setup.port, setup.targets());
    let more = match setup.fault {
        _ if !is_tuned => "",
        Fault::Overload => LIMITED,
        _ => RECOMMENDED,
    };
    format!(
        "listeners.web = {{ bind = \"127.0.0.1:{port}\", upstream = \"app\" }}\n\
         [upstreams.app]\nendpoints = {endpoints:?}\n{more}"
    )
}
