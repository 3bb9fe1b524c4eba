//! Our own configuration for a scenario, and the one number that only we export.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::contender::{ACCESS_LOG, Protocol, ROUTES, Setup};
use super::pair::{CERTIFICATE, KEY};
use crate::Failure;

pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// An admin socket that takes longer tells nothing.
const ADMIN_PATIENCE: Duration = Duration::from_secs(2);

/// Writes the configuration; gives the arguments to start with.
pub(crate) fn prepare(setup: &Setup<'_>) -> Result<Vec<String>, Failure> {
    let file = setup.file("fairwater.toml");
    fs::write(&file, configuration(setup)?)?;
    // The master does nothing while a worker serves, and would only be in the way of the accounts.
    Ok(vec!["run".into(), "--single".into(), "-c".into(), file])
}

fn configuration(setup: &Setup<'_>) -> Result<String, Failure> {
    let Setup { scenario, port, endpoint, .. } = *setup;
    let log = match scenario.access_log {
        Some(format) => format!("format = \"{format}\"\npath = \"{}\"", setup.file(ACCESS_LOG)),
        None => "format = \"off\"".to_owned(),
    };
    let (protocol, http2) = match (setup.is_http(), setup.is_http2()) {
        (true, true) => ("http", "http2 = true\n"),
        (true, false) => ("http", "http2 = false\n"),
        (false, _) => ("tcp", ""),
    };
    let (protocol, http2) = match scenario.protocol {
        Protocol::Messages { .. } => ("framed", "frame = \"swoole\"\n"),
        _ => (protocol, http2),
    };
    let shared = match scenario.protocol {
        Protocol::Messages { .. } | Protocol::Pooled => "max_connections = 32\n",
        _ => "",
    };
    let depth = match scenario.protocol {
        Protocol::Messages { depth } if depth > 1 => format!("pipeline = {depth}\n"),
        _ => String::new(),
    };
    let to_endpoints = if setup.is_http2_to_endpoints() { "http2 = true\n" } else { "" };
    let tls = match scenario.tls {
        true => {
            let (certificate, key) = (setup.common(CERTIFICATE), setup.common(KEY));
            &format!("tls = {{ cert = \"{certificate}\", key = \"{key}\" }}\n")
        }
        false => "",
    };
    let socket = setup.file(ADMIN_SOCKET);
    let mut text = format!(
        r#"threads = 1

[access_log]
{log}

[admin]
socket = "{socket}"

[listeners.web]
bind = "127.0.0.1:{port}"
protocol = "{protocol}"
{http2}{depth}{tls}upstream = "app"

[upstreams.app]
endpoints = ["127.0.0.1:{endpoint}"]
{shared}{to_endpoints}"#
    );
    if setup.is_udp() {
        // Beside the one for connections, by which the harness sees that it is up.
        write!(
            text,
            "\n[listeners.datagrams]\nbind = \"127.0.0.1:{port}\"\nprotocol = \"udp\"\n\
             upstream = \"app\"\n"
        )?;
    }
    for route in 0..if scenario.routes { ROUTES } else { 0 } {
        write!(
            text,
            "\n[[routes]]\nlistener = \"web\"\npath = \"/svc{route}/*\"\nupstream = \"app\"\n"
        )?;
    }
    Ok(text)
}

/// Heap allocations of the process so far; None when it does not tell.
pub(crate) fn allocations(admin_socket: &Path) -> Option<u64> {
    sum_of(&metrics(admin_socket)?, "fairwater_allocations_total")
}

/// All metrics, with the head of the reply before them.
pub(crate) fn metrics(admin_socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(admin_socket).ok()?;
    stream.set_read_timeout(Some(ADMIN_PATIENCE)).ok()?;
    let request = "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The sum over all label sets of one metric.
pub(crate) fn sum_of(text: &str, metric: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(metric));
    let values = lines.filter(|rest| rest.starts_with([' ', '{']));
    let values: Vec<f64> =
        values.filter_map(|rest| rest.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a_total counter\na_total{t=\"0\"} 5\na_total{t=\"1\"} 7\na_totals 9\n";
        assert_eq!(sum_of(text, "a_total"), Some(12));
        assert_eq!(sum_of("a 5\n", "b"), None);
    }
}
