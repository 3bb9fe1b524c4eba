//! HAProxy's configuration for a scenario.

use std::fmt::Write as _;
use std::fs;

use super::contender::{ROUTES, Setup};
use super::pair::BOTH;
use crate::Failure;

pub(crate) const PROGRAM: &str = "/usr/sbin/haproxy";

/// Writes the configuration; gives the arguments to start with.
pub(crate) fn prepare(setup: &Setup<'_>) -> Result<Vec<String>, Failure> {
    let file = setup.file("haproxy.cfg");
    fs::write(&file, configuration(setup)?)?;
    Ok(vec!["-f".into(), file])
}

fn configuration(setup: &Setup<'_>) -> Result<String, Failure> {
    let Setup { scenario, port, endpoint, .. } = *setup;
    let mut defaults = match setup.is_http() {
        true => "mode http\nhttp-reuse always\noption forwardfor\ntimeout tunnel 1h\n".to_owned(),
        false => "mode tcp\n".to_owned(),
    };
    if scenario.bulk {
        defaults.push_str("option splice-auto\n");
    }
    // Pipes for splice count against the descriptors too, so fewer connections fit then.
    let connections_max = if scenario.bulk { 2000 } else { 9500 };
    // Frames can't be spliced, and a buffer is filled and emptied by one call each.
    let buffer = match scenario.bulk && setup.is_http2() {
        true => "tune.bufsize 65536\n",
        false => "",
    };
    // Standard output is a file of the harness, written line by line as the log comes.
    let mut target = "";
    if scenario.access_log.is_some() {
        target = "log stdout format raw local0\n";
        defaults.push_str("log global\noption httplog\n");
    }
    let tls = match scenario.tls {
        true => &format!(" ssl crt {} ssl-min-ver TLSv1.3", setup.common(BOTH)),
        false => "",
    };
    let http2 = match (setup.is_http2(), scenario.tls) {
        (true, true) => " alpn h2",
        (true, false) => " proto h2",
        (false, _) => "",
    };
    let server = if setup.is_http2_to_endpoints() { " proto h2" } else { "" };
    let mut choice = String::new();
    if scenario.routes {
        let map = setup.file("routes.map");
        fs::write(&map, route_map()?)?;
        // A prefix tree: the fastest way that HAProxy has to choose among many prefixes.
        choice = format!("use_backend %[path,map_beg({map},app)]\n");
    }
    Ok(format!(
        "global
nbthread 1
maxconn {connections_max}
{buffer}{target}
defaults
timeout connect 5s
timeout client 1h
timeout server 1h
timeout http-keep-alive 1h
{defaults}
frontend web
bind 127.0.0.1:{port}{tls}{http2}
{choice}default_backend app

backend app
server one 127.0.0.1:{endpoint}{server}
"
    ))
}

fn route_map() -> Result<String, Failure> {
    let mut map = String::new();
    for route in 0..ROUTES {
        writeln!(map, "/svc{route}/ app")?;
    }
    Ok(map)
}
