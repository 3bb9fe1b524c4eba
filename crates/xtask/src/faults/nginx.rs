//! The configurations of nginx.

use std::fmt::Write as _;

use super::contestant::Setup;
use super::fault::Fault;

pub(crate) fn configuration(setup: &Setup<'_>, is_tuned: bool) -> String {
    let (pid, temporary) = (setup.file("nginx.pid"), setup.file("nginx.tmp"));
    let log = setup.file("access.log");
    // As Debian ships it: 768 connections, everything else by default.
    let (limits, connections) =
        if is_tuned { ("worker_rlimit_nofile 65536;", 16_384) } else { ("", 768) };
    let body = if is_tuned { tuned(setup) } else { shipped(setup) };
    format!(
        "worker_processes auto; daemon off; user root; pid {pid};\n{limits}\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\nsendfile on; tcp_nopush on; access_log {log};\n\
         client_body_temp_path {temporary}; proxy_temp_path {temporary};\n\
         fastcgi_temp_path {temporary}; uwsgi_temp_path {temporary}; scgi_temp_path {temporary};\n\
         {body}}}\n"
    )
}

fn shipped(setup: &Setup<'_>) -> String {
    let mut text = "upstream app {\n".to_owned();
    for target in setup.targets() {
        _ = writeln!(text, "server {target};");
    }
    let port = setup.port;
    _ = write!(
        text,
        "}}\nserver {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; }} }}\n"
    );
    text
}

fn tuned(setup: &Setup<'_>) -> String {
    let is_limited = setup.fault == Fault::Overload;
    let mut text = "upstream app {\nzone app 256k;\n".to_owned();
    if is_limited {
        text.push_str("least_conn;\n");
    }
    for endpoint in &setup.endpoints {
        let limit = if is_limited { " max_conns=10" } else { "" };
        _ = writeln!(text, "server {endpoint} max_fails=3 fail_timeout=10s{limit};");
    }
    text.push_str("keepalive 64; keepalive_requests 1000000; keepalive_timeout 60s;\n}\n");
    // Without its commercial version a name is only looked up again if it comes from a variable.
    let pass = match &setup.name {
        Some(name) => {
            text.push_str("resolver 127.0.0.1 valid=1s; resolver_timeout 1s;\n");
            format!("set $app {name}; proxy_pass http://$app;")
        }
        None => "proxy_pass http://app;".to_owned(),
    };
    let port = setup.port;
    _ = write!(
        text,
        "keepalive_requests 1000000;\n\
         client_header_timeout 10s; client_body_timeout 10s; send_timeout 30s;\n\
         reset_timedout_connection on;\n\
         server {{\nlisten 127.0.0.1:{port} backlog=4096 reuseport;\n\
         location / {{\n{pass}\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_connect_timeout 1s; proxy_read_timeout 1s; proxy_send_timeout 1s;\n\
         proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;\n\
         proxy_next_upstream_tries 3; proxy_next_upstream_timeout 3s;\n\
         }}\n}}\n"
    );
    text
}
