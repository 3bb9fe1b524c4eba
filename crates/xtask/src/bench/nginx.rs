//! nginx's configuration for a scenario.

use std::fmt::Write as _;
use std::fs;

use super::contender::{ACCESS_LOG, Protocol, ROUTES, Setup};
use super::pair::{CERTIFICATE, KEY};
use crate::Failure;

pub(crate) const PROGRAM: &str = "/usr/sbin/nginx";

pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Idle upstream connections kept, unless more clients than that are active at once.
const KEEPALIVE_MIN: usize = 256;

/// Writes the configuration; gives the arguments to start with.
pub(crate) fn prepare(setup: &Setup<'_>) -> Result<Vec<String>, Failure> {
    let file = setup.file("nginx.conf");
    let part = if setup.is_http() { http(setup)? } else { stream(setup) };
    // Of datagrams it takes one per turn without this.
    let multi = if setup.is_udp() { "multi_accept on;" } else { "" };
    let text = format!(
        "worker_processes 1;\nworker_rlimit_nofile 20000;\ndaemon off;\nuser root;\n\
         pid {};\nevents {{ worker_connections 18000; {multi} }}\n",
        setup.file("nginx.pid")
    );
    let module = if setup.is_http() { "" } else { &format!("load_module {STREAM_MODULE};\n") };
    fs::write(&file, format!("{module}{text}{part}"))?;
    let errors = setup.file("nginx.error.log");
    Ok(vec!["-c".into(), file, "-e".into(), errors])
}

fn http(setup: &Setup<'_>) -> Result<String, Failure> {
    let Setup { scenario, port, endpoint, .. } = *setup;
    let keepalive = KEEPALIVE_MIN.max(scenario.requests);
    let log = match scenario.access_log.is_some() {
        true => format!("{} combined", setup.file(ACCESS_LOG)),
        false => "off".to_owned(),
    };
    // Larger buffers halve nginx's cost on large bodies, and no reader here is slow enough to
    // be worth a temporary file.
    let bulk = match scenario.bulk {
        true => {
            "proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_max_temp_file_size 0;\n\
             http2_chunk_size 16k;\n"
        }
        false => "",
    };
    let (certificate, key) = (setup.common(CERTIFICATE), setup.common(KEY));
    let tls = match scenario.tls {
        true => &format!(
            "ssl backlog=4096;\nssl_certificate {certificate};\nssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3;\nssl_conf_command NumTickets 1;"
        ),
        false => "backlog=4096;",
    };
    let http2 = if setup.is_http2() { "http2 " } else { "" };
    // A connection to a WebSocket is quiet for as long as both ends want it to be.
    let connection = match scenario.protocol {
        Protocol::WebSocket => {
            "proxy_set_header Connection $http_connection;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_read_timeout 1h; proxy_send_timeout 1h;"
        }
        _ => "proxy_set_header Connection \"\";",
    };
    // The only way that this version has to HTTP/2 endpoints, gRPC or not.
    let pass = match setup.is_http2_to_endpoints() {
        true => "grpc_pass grpc://app",
        false => "proxy_pass http://app",
    };
    let mut text = format!(
        "http {{
access_log {log};
keepalive_timeout 1h;
keepalive_requests 1000000000;
client_body_temp_path {temporary}; proxy_temp_path {temporary};
fastcgi_temp_path {temporary}; uwsgi_temp_path {temporary}; scgi_temp_path {temporary};
proxy_http_version 1.1;
{connection}
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
grpc_set_header Host $http_host;
grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
{bulk}upstream app {{
    server 127.0.0.1:{endpoint};
    keepalive {keepalive}; keepalive_requests 1000000000; keepalive_timeout 1h;
}}
server {{
listen 127.0.0.1:{port} {http2}{tls}
location / {{ {pass}; }}
",
        temporary = setup.file("nginx.tmp"),
    );
    for route in 0..if scenario.routes { ROUTES } else { 0 } {
        writeln!(text, "location /svc{route}/ {{ {pass}; }}")?;
    }
    text.push_str("}\n}\n");
    Ok(text)
}

fn stream(setup: &Setup<'_>) -> String {
    let Setup { scenario, port, endpoint, .. } = *setup;
    let bulk = if scenario.bulk { "proxy_buffer_size 64k;\n" } else { "" };
    // Beside the one for connections, by which the harness sees that it is up.
    let udp = match setup.is_udp() {
        true => &format!("server {{ listen 127.0.0.1:{port} udp rcvbuf=4m; proxy_pass app; }}\n"),
        false => "",
    };
    format!(
        "stream {{
{bulk}proxy_timeout 1h;
upstream app {{ server 127.0.0.1:{endpoint}; }}
server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass app; }}
{udp}}}
"
    )
}
