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
    "worker_num" of "Swoole" is "`instances = N` in [apps.NAME], for servers that are started here; how many workers each has stays a setting of its own";
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
    "dispatch_mode" of "Swoole" is "`balance` in [upstreams.NAME]: 1 is `round_robin`, 3 is `least_connections`, 4 is `source_hash`, and 5 `key_hash` with a `key` in [listeners.NAME]; for 2 write `mode = \"connection\"` there";
    "max_request" of "Swoole" is "`max_requests = N`: in [apps.NAME] of a process, in [upstreams.NAME] of a connection to an endpoint";
    "max_conn" of "Swoole" is "`max_connections`: in [listeners.NAME] of clients, in [upstreams.NAME] to endpoints";
    "max_connection" of "Swoole" is "`max_connections`: in [listeners.NAME] of clients, in [upstreams.NAME] to endpoints";
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
    "maxconn" of "HAProxy" is "`max_concurrency` of an endpoint, or `max_connections` of a listener";
    "worker_connections" of "nginx" is "`max_connections` at the top level";
    "overload_manager" of "Envoy" is "[overload]";
    "proxy_request_buffering" of "nginx" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "http-buffer-request" of "HAProxy" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "buffering" of "Traefik" is "`buffer_requests = \"64KiB\"` in [upstreams.NAME]";
    "stats" of "HAProxy" is "`socket` in [admin]";
    "ssl_certificate" of "nginx" is "`cert` in `tls = { cert = \"site.pem\", key = \"site.key\" }` of [listeners.NAME]";
    "ssl_certificate_key" of "nginx" is "`key` in `tls = { cert = \"site.pem\", key = \"site.key\" }` of [listeners.NAME]";
    "ssl_protocols" of "nginx" is "`tls_min_version` in [listeners.NAME]";
    "ssl_verify_client" of "nginx" is "`client_auth` in [listeners.NAME]";
    "ssl" of "nginx and HAProxy" is "`tls`: `tls = { cert = \"site.pem\" }` in [listeners.NAME], `tls = true` in [upstreams.NAME]";
    "crt" of "HAProxy" is "`tls = { cert = \"site.pem\" }` in [listeners.NAME]";
    "certificate" of "Traefik" is "`tls = { cert = \"site.pem\", key = \"site.key\" }` in [listeners.NAME]";
    "verify" of "HAProxy" is "`tls = true` in [upstreams.NAME], which verifies; `ca` and `insecure_skip_verify` in a `tls` that is a table";
    "proxy_ssl_verify" of "nginx" is "`tls = true` in [upstreams.NAME], which verifies";
    "client_max_body_size" of "nginx" is "`max_body = \"10MiB\"` in [listeners.NAME] or [[routes]]";
    "proxy_set_header" of "nginx" is "`request_headers = { set = { NAME = \"VALUE\" } }` in [listeners.NAME] or [[routes]]";
    "add_header" of "nginx" is "`response_headers = { set = { NAME = \"VALUE\" } }` in [listeners.NAME] or [[routes]]";
    "http-request" of "HAProxy" is "`request_headers`, `redirect`, `respond` or `deny` in [listeners.NAME] or [[routes]]";
    "http-response" of "HAProxy" is "`response_headers` in [listeners.NAME] or [[routes]]";
    "keepalive_timeout" of "nginx" is "`idle_timeout` in [listeners.NAME] for clients, in [upstreams.NAME] for endpoints";
    "return" of "nginx" is "`respond = 404`, or `redirect = \"https://HOST/\"`, in [[routes]]";
    "acl" of "HAProxy" is "`host`, `path`, `method`, `headers`, `query` and `client` in [[routes]]";
    "use_backend" of "HAProxy" is "`upstream = \"NAME\"` in [[routes]]";
    "rule" of "Traefik" is "`host`, `path`, `method`, `headers`, `query` and `client` in [[routes]]";
    "routers" of "Traefik" is "[[routes]]";
    "send-proxy" of "HAProxy" is "`proxy_protocol = \"v1\"` in [upstreams.NAME]";
    "send-proxy-v2" of "HAProxy" is "`proxy_protocol = \"v2\"` in [upstreams.NAME]";
    "accept-proxy" of "HAProxy" is "`proxy_protocol = { from = [\"NETWORK\"] }` in [listeners.NAME]";
    "cookie" of "HAProxy" is "`sticky = \"cookie\"` in [upstreams.NAME]";
    "hash" of "nginx" is "`balance = \"source_hash\"` in [upstreams.NAME]";
    "downinter" of "HAProxy" is "`fast_interval` in `health`, which holds while no endpoint is good";
    "observe" of "HAProxy" is "`outlier` in [upstreams.NAME], which is on by default";
    "error-limit" of "HAProxy" is "`outlier = { consecutive_failures = N }` in [upstreams.NAME]";
    "fail_duration" of "Caddy" is "`outlier = { ejection = \"10s\" }` in [upstreams.NAME]";
    "max_ejection_percent" of "Envoy" is "`outlier = { max_ejected = N }` in [upstreams.NAME]";
    "base_ejection_time" of "Envoy" is "`outlier = { ejection = \"10s\" }` in [upstreams.NAME]";
    "max_ejection_time" of "Envoy" is "`outlier = { max_ejection = \"5m\" }` in [upstreams.NAME]";
    "consecutive_5xx" of "Envoy" is "`outlier = { consecutive_failures = N }` in [upstreams.NAME]";
    "health_interval" of "Caddy" is "`interval` in `health`";
    "proxy_next_upstream" of "nginx" is "`retries = N` and `retry_status` in [upstreams.NAME]";
    "proxy_next_upstream_tries" of "nginx" is "`retries = N` in [upstreams.NAME]";
    "num_retries" of "Envoy" is "`retries = N` in [upstreams.NAME]";
    "retry_policy" of "Envoy" is "`retries = N` and `retry_status` in [upstreams.NAME]";
    "retry-on" of "HAProxy" is "`retry_status` in [upstreams.NAME]; a request that did not arrive is tried again in any case";
    "redispatch" of "HAProxy" is "`retries = N` in [upstreams.NAME]: each goes to another endpoint";
    "timeout_connect" of "HAProxy" is "`connect_timeout` in [upstreams.NAME]";
    "timeout_server" of "HAProxy" is "`response_timeout` in [upstreams.NAME], and `body_timeout` in [listeners.NAME]";
    "timeout_queue" of "HAProxy" is "`queue_timeout` in [upstreams.NAME]";
    "timeout_client" of "HAProxy" is "`body_timeout` in [listeners.NAME]";
    "timeout_check" of "HAProxy" is "`timeout` in `health`";
    "timeout_tunnel" of "HAProxy" is "`tunnel_timeout` in [listeners.NAME]";
    "timeout_http_request" of "HAProxy" is "`request_head_timeout` in [listeners.NAME]";
    "timeout_http_keep_alive" of "HAProxy" is "`idle_timeout` in [listeners.NAME]";
    "proxy_connect_timeout" of "nginx" is "`connect_timeout` in [upstreams.NAME]";
    "proxy_read_timeout" of "nginx" is "`response_timeout` in [upstreams.NAME], and `body_timeout` in [listeners.NAME]";
    "circuit_breakers" of "Envoy" is "`max_connections`, `max_concurrency` and `max_queue` in [upstreams.NAME]; `circuit_breaker` there opens by failures";
    "max_conns" of "nginx" is "`max_connections` in [upstreams.NAME], or `max_concurrency` of an endpoint";
    "maxqueue" of "HAProxy" is "`max_queue` in [upstreams.NAME]";
    "rate_limit" of "Envoy and Caddy" is "`rate_limits = [\"NAME\"]`, with `rate` in [rate_limits.NAME]";
    "limit_conn" of "nginx" is "`max_connections_per_client` in [listeners.NAME]";
    "limit_rate" of "nginx" is "`counts = \"bytes\"` in [rate_limits.NAME], which denies what is too much and slows nothing down";
    "global" of "HAProxy" is "the top level of the file, before all tables";
};

/// What other programs have and we have not, and what there is instead.
const ABSENT: &[(&str, &str, &str)] = &[
    ("root", "nginx", "files are served by endpoints"),
    ("try_files", "nginx", "files are served by endpoints"),
    ("file_server", "Caddy", "files are served by endpoints"),
    ("gzip", "nginx", "replies pass as endpoints encode them"),
    ("encode", "Caddy", "replies pass as endpoints encode them"),
    ("compression", "HAProxy", "replies pass as endpoints encode them"),
    ("proxy_cache", "nginx", "every request goes to an endpoint"),
    ("option", "HAProxy", "each has a setting of its own, such as `health` for `option httpchk`"),
    ("defaults", "HAProxy", "what is left out has its default, which the reference tells"),
    ("middlewares", "Traefik", "a listener or a route has its filters itself"),
    (
        "package_length_func",
        "Swoole",
        "no functions are run; `frame = { length = \"N\" }` takes the codes of pack(), `u24be` and \
         its like, `varint`, and `ascii4` for digits",
    ),
    ("acme", "Traefik and Caddy", "a certificate is a file: `tls = { cert = \"site.pem\" }`"),
];

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
    ("h2", "http"),
    ("h2c", "http"),
    ("http2", "http"),
    ("https", "http"),
    ("grpc", "http"),
    ("ws", "http"),
    ("wss", "http"),
    ("websocket", "http"),
    ("tls", "tcp"),
    ("length", "framed"),
    ("text", "framed"),
    ("frame", "framed"),
    ("swoole", "framed"),
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

/// "`reactor_num` of Swoole is here `threads = N` at the top level".
pub(crate) fn setting(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    // Such as `timeout connect`, which a key of TOML cannot be without quotes.
    let plain = |name: &str| name.replace([' ', '-', '.'], "_");
    if let Some((_, of, instead)) = ABSENT.iter().find(|(foreign, ..)| *foreign == name) {
        return Some(format!("`{name}` of {of} has no counterpart here: {instead}"));
    }
    let found = SETTINGS.iter().find(|foreign| plain(foreign.name) == plain(&name))?;
    Some(format!("`{name}` of {} is here {}", found.of, found.ours))
}

/// What is to be said of a word that stands for no other one, in a setting.
pub(crate) fn note(setting: &str, word: &str) -> Option<&'static str> {
    Some(match (setting, &*word.to_ascii_lowercase()) {
        ("protocol", "https") => "write `http`, and `tls = { cert = \"site.pem\" }` beside it",
        ("protocol", "h2" | "h2c" | "http2" | "http/2" | "grpc") => {
            "write `http`, which serves HTTP/2 and gRPC as well; for endpoints set `http2 = true` in \
             [upstreams.NAME]"
        }
        ("protocol", "ws" | "wss" | "websocket") => "write `http`, which serves WebSocket as well",
        ("protocol", "tls" | "ssl") => {
            "write `tcp`, which passes TLS on as it comes; add `tls = { cert = \"site.pem\" }` to \
             end it here"
        }
        ("protocol", "quic" | "h3" | "http3") => {
            "there is no HTTP/3; `udp` passes it on as it comes"
        }
        ("protocol", "dgram" | "datagram" | "dns" | "syslog") => "write `udp`",
        _ => return None,
    })
}

/// The word of ours, if it is one of `choices`.
pub(crate) fn word<'c>(text: &str, mut choices: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let text = text.to_ascii_lowercase();
    let (_, ours) = WORDS.iter().find(|(foreign, _)| *foreign == text)?;
    choices.find(|choice| choice == ours)
}
