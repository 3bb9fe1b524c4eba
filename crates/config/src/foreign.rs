//! Settings that people bring from elsewhere, and what they are called here.

/// A setting of another program.
struct Foreign {
    name: &'static str,
    of: &'static str,
    ours: &'static str,
}

macro_rules! foreign {
    ($($name:literal of $of:literal is $ours:literal;)*) => {
        &[$(Foreign { name: $name, of: $of, ours: $ours }),*]
    };
}

/// In lower case.
const SETTINGS: &[Foreign] = foreign! {
    "worker_num" of "Swoole" is "`threads = N` at the top level";
    "reactor_num" of "Swoole" is "`threads = N` at the top level";
    "worker_processes" of "nginx" is "`threads = N` at the top level";
    "nbthread" of "HAProxy" is "`threads = N` at the top level";
    "count" of "Workerman" is "`threads = N` at the top level";
    "server_list" of "a gateway" is "`endpoints = [\"HOST:PORT\"]` in [upstreams.NAME]";
    "servers" of "Traefik" is "`endpoints = [\"HOST:PORT\"]` in [upstreams.NAME]";
    "server" of "nginx" is "`endpoints = [\"HOST:PORT\"]` in [upstreams.NAME]";
    "backend" of "HAProxy" is "[upstreams.NAME]";
    "backends" of "Sozu" is "`endpoints = [\"HOST:PORT\"]` in [upstreams.NAME]";
    "clusters" of "Envoy" is "[upstreams.NAME]";
    "frontend" of "HAProxy" is "[listeners.NAME]";
    "load_balance" of "a gateway" is "`balance` in [upstreams.NAME]";
    "lb_policy" of "Envoy and Caddy" is "`balance` in [upstreams.NAME]";
    "dispatch_mode" of "Swoole" is "`balance` in [upstreams.NAME]: 1 is `round_robin`, 4 is `source_hash`";
    "ip_hash" of "nginx" is "`balance = \"source_hash\"` in [upstreams.NAME]";
    "least_conn" of "nginx" is "`balance = \"least_connections\"` in [upstreams.NAME]";
    "proxy_pass" of "nginx" is "`upstream = \"NAME\"`, with `endpoints` in [upstreams.NAME]";
    "reverse_proxy" of "Caddy" is "`upstream = \"NAME\"`, with `endpoints` in [upstreams.NAME]";
    "default_backend" of "HAProxy" is "`upstream = \"NAME\"` in [listeners.NAME]";
    "listen" of "nginx" is "`bind` in [listeners.NAME]";
    "entrypoints" of "Traefik" is "[listeners.NAME]";
    "mode" of "HAProxy" is "`protocol` in [listeners.NAME]";
    "server_name" of "nginx" is "`host` in [[routes]]";
    "location" of "nginx" is "`path` in [[routes]]";
    "auth_basic" of "nginx" is "`basic_auth = { realm = \"NAME\", file = \"htpasswd\" }`";
    "auth_basic_user_file" of "nginx" is "`basic_auth = { file = \"htpasswd\" }`";
    "basicauth" of "Traefik and Caddy" is "`basic_auth = { users = { NAME = \"HASH\" } }`";
    "error_page" of "nginx" is "`error_pages = { 404 = \"404.html\" }`";
    "proxy_intercept_errors" of "nginx" is "`intercept_errors`";
    "handle_errors" of "Caddy" is "`error_pages = { 404 = \"404.html\" }`";
    "limit_req" of "nginx" is "`rate_limits = [\"NAME\"]`, with `rate` in [rate_limits.NAME]";
    "limit_req_zone" of "nginx" is "[rate_limits.NAME]";
    "ratelimit" of "Traefik" is "`rate_limits = [\"NAME\"]`, with `rate` in [rate_limits.NAME]";
    "stick-table" of "HAProxy" is "[rate_limits.NAME]";
    "set_real_ip_from" of "nginx" is "`trusted_proxies` in [listeners.NAME]";
    "healthcheck" of "Traefik" is "`health = \"/healthz\"` in [upstreams.NAME]";
    "health_checks" of "Envoy" is "`health = \"/healthz\"` in [upstreams.NAME]";
    "health_check" of "nginx Plus" is "`health = \"/healthz\"` in [upstreams.NAME]";
    "health_uri" of "Caddy" is "`health = \"/healthz\"` in [upstreams.NAME]";
    "httpchk" of "HAProxy" is "`health = \"/healthz\"` in [upstreams.NAME]";
    "inter" of "HAProxy" is "`interval` in `health`";
    "fastinter" of "HAProxy" is "`fast_interval` in `health`";
    "healthy_threshold" of "Envoy" is "`rise` in `health`";
    "unhealthy_threshold" of "Envoy" is "`fall` in `health`";
    "agent-port" of "HAProxy" is "`agent = { port = N }` in [upstreams.NAME]";
    "max_fails" of "nginx" is "`outlier = { consecutive_failures = N }` in [upstreams.NAME]";
    "fail_timeout" of "nginx" is "`outlier = { ejection = \"10s\" }` in [upstreams.NAME]";
    "outlier_detection" of "Envoy" is "`outlier` in [upstreams.NAME]";
    "slowstart" of "HAProxy" is "`slow_start` in [upstreams.NAME]";
    "keepalive_requests" of "nginx" is "`max_requests` in [upstreams.NAME]";
    "logfile" of "Workerman" is "`log_file`, or `path` in [access_log] for requests";
    "error_log" of "nginx" is "`log_file`";
    "pid" of "nginx" is "`pid_file`";
    "pidfile" of "HAProxy" is "`pid_file`";
    "uid" of "HAProxy" is "`user`";
    "gid" of "HAProxy" is "`group`";
    "daemon" of "nginx" is "`fairwater run --daemon`";
    "daemonize" of "Swoole" is "`fairwater run --daemon`";
    "log_format" of "nginx" is "`format` or `template` in [access_log]";
    "log-format" of "HAProxy" is "`format` or `template` in [access_log]";
    "maxconn" of "HAProxy" is "`max_connections`";
    "worker_connections" of "nginx" is "`max_connections` at the top level";
    "overload_manager" of "Envoy" is "[overload]";
    "proxy_request_buffering" of "nginx" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "http-buffer-request" of "HAProxy" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "buffering" of "Traefik" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "stats" of "HAProxy" is "`socket` in [admin]";
};

/// Words of other programs that stand for one of ours.
const WORDS: &[(&str, &str)] = &[
    ("roundrobin", "round_robin"),
    ("static-rr", "round_robin"),
    ("wrr", "round_robin"),
    ("rr", "round_robin"),
    ("leastconn", "least_connections"),
    ("least_conn", "least_connections"),
    ("least_request", "least_connections"),
    ("ip_hash", "source_hash"),
    ("source", "source_hash"),
    ("consistent_hash", "source_hash"),
    ("maglev", "source_hash"),
];

/// Fields of the logs of other programs, and what they are called here.
const FIELDS: &[(&str, &str)] = &[
    ("remote_addr", "client"),
    ("remote_host", "client"),
    ("remote_ip", "client"),
    ("client_ip", "client"),
    ("remote_port", "client_port"),
    ("uri", "target"),
    ("request_uri", "target"),
    ("path", "target"),
    ("request_method", "method"),
    ("server_protocol", "protocol"),
    ("proto", "protocol"),
    ("status_code", "status"),
    ("body_bytes_sent", "bytes_out"),
    ("bytes_sent", "bytes_out"),
    ("bytes_read", "bytes_out"),
    ("request_length", "bytes_in"),
    ("request_time", "total_s"),
    ("duration", "total_s"),
    ("duration_ms", "total_ms"),
    ("upstream_addr", "endpoint"),
    ("upstream_host", "endpoint"),
    ("upstream_connect_time", "connect_s"),
    ("upstream_header_time", "response_s"),
    ("backend_name", "upstream"),
    ("server_name", "endpoint"),
    ("frontend_name", "listener"),
    ("time_local", "time_common"),
    ("time_iso8601", "time"),
    ("ts", "time"),
    ("msec", "time_ms"),
    ("request_id", "id"),
];

/// How other programs begin the names of fields for headers, and how ours begin.
const HEADERS: &[(&str, &str)] = &[
    ("header.", "request."),
    ("headers.", "request."),
    ("request.header.", "request."),
    ("http.request.header.", "request."),
    ("req.header.", "request."),
    ("http_", "request."),
    ("response.header.", "response."),
    ("http.response.header.", "response."),
    ("resp.header.", "response."),
    ("sent_http_", "response."),
    ("upstream_http_", "response."),
];

/// The field of ours that one of another program, without its `$` or `%`, stands for.
pub(crate) fn field(name: &str) -> Option<String> {
    let name = name.trim_start_matches(['$', '%']).to_ascii_lowercase();
    if let Some((_, ours)) = FIELDS.iter().find(|(foreign, _)| *foreign == name) {
        return Some((*ours).to_owned());
    }
    if matches!(&*name, "http_referer" | "http_user_agent") {
        return name.strip_prefix("http_").map(str::to_owned);
    }
    let (foreign, ours) = HEADERS.iter().find(|(foreign, _)| name.starts_with(foreign))?;
    let header = name[foreign.len()..].replace('_', "-");
    (!header.is_empty()).then(|| format!("{ours}{header}"))
}

/// "`worker_num` of Swoole is `threads = N` at the top level".
pub(crate) fn setting(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let found = SETTINGS.iter().find(|foreign| foreign.name == name)?;
    Some(format!("`{}` of {} is {} here", found.name, found.of, found.ours))
}

/// The word of ours, if it is one of `choices`.
pub(crate) fn word<'c>(text: &str, mut choices: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let text = text.to_ascii_lowercase();
    let (_, ours) = WORDS.iter().find(|(foreign, _)| *foreign == text)?;
    choices.find(|choice| choice == ours)
}
