//! What routes do to requests and replies, whatever is spoken on either side.

use std::process::Command;

use fairwater_e2e::peer::node;
use fairwater_e2e::{Directory, Peer, Setup};

/// The password of ada is `open sesame`.
const ROUTES: &str = r#"
[[routes]]
listener = "web"
path = "/in/*"
upstream = "app"
strip_prefix = "/in"
request_headers = { set = { x-set = "{path}" }, add = { x-own = "2" }, remove = ["x-gone"] }
request_id = "x-id"

[[routes]]
listener = "web"
path = "/out/*"
upstream = "app"
strip_prefix = "/out"
response_headers = { set = { x-set = "here" }, remove = ["cache-control", "x-sum"] }

[[routes]]
listener = "web"
path = "/written/{page}"
upstream = "app"
rewrite = "/head?page={page}"

[[routes]]
listener = "web"
path = "/locked/*"
upstream = "app"
strip_prefix = "/locked"

[routes.basic_auth]
users = { ada = "$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS" }
user_header = "x-user"

[[routes]]
listener = "web"
path = "/pages/*"
upstream = "app"
strip_prefix = "/pages"
error_pages = { 5xx = "page.html" }
intercept_errors = true

[[routes]]
listener = "web"
path = "/shared/*"
upstream = "app"
strip_prefix = "/shared"
cors = { origins = ["https://app.example"], methods = ["PUT"] }

[[routes]]
listener = "web"
path = "/named/*"
upstream = "named"
strip_prefix = "/named"
"#;

/// What is asked for, how (with `~` for a space), and what is in the answer, head and body; or what
/// is not, behind a `!`.
const CASES: [(&str, &str, &[&str]); 11] = [
    (
        "in/head?a=b",
        "-H x-own:1 -H x-gone:1 -H x-set:liar",
        &[
            "\"url\":\"/head?a=b\"",
            "\"x-set\":\"/in/head\"",
            "\"x-own\":\"1, 2\"",
            "\"x-id\":\"",
            "!x-gone",
        ],
    ),
    ("out/fields", "", &["x-set: here", "set-cookie: a=1", "set-cookie: b=2", "!cache-control"]),
    ("out/trailers", "-H te:trailers", &["some text", "x-more: yes", "!x-sum: 9"]),
    ("written/news", "", &["\"url\":\"/head?page=news\""]),
    ("locked/head", "", &[" 401", "www-authenticate: Basic realm="]),
    ("locked/head", "-u ada:open~sesame", &[" 200", "\"x-user\":\"ada\"", "!\"authorization\""]),
    ("pages/fails", "", &[" 500", "our page", "x-own: 1", "!xxxx"]),
    ("pages/head", "", &[" 200", "\"url\":\"/head\""]),
    (
        "shared/head",
        "-X OPTIONS -H origin:https://app.example -H access-control-request-method:PUT",
        &[" 204", "access-control-allow-origin: https://app.example"],
    ),
    (
        "shared/head",
        "-H origin:https://app.example",
        &[" 200", "access-control-allow-origin: https://app.example"],
    ),
    (
        "named/head",
        "-H host:client.example",
        &["name.example", "\"x-forwarded-host\":\"client.example\""],
    ),
];

#[track_caller]
fn check(kind: &str, is_unix: bool) {
    let Some(mut command) = node(include_str!("endpoint.js")) else { return };
    let directory = Directory::new();
    if is_unix {
        command.env("SOCKET", directory.join("own.sock"));
    }
    let endpoint = Peer::start(command.arg(kind));
    let address = endpoint.word("listens on ");
    let is_http2 = kind == "h2";
    let named = format!(
        "{ROUTES}\n[upstreams.named]\nendpoints = [{address:?}]\nhttp2 = {is_http2}\n\
         host = \"name.example\"\n"
    );
    let setup = Setup::of("http", &[&address]).upstream(&format!("http2 = {is_http2}"));
    let setup = setup.listener("http2 = true").more(&named);
    std::fs::write(setup.directory().join("page.html"), "our page").unwrap();
    let mut proxy = setup.start();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (path, words, expected) in CASES {
            let mut curl = Command::new("curl");
            curl.args(["-sSi", "--max-time", "20", version]);
            let output = curl
                .args(words.split_whitespace().map(|word| word.replace('~', " ")))
                .arg(format!("http://{}/{path}", proxy.address))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            for part in expected {
                let is_there = said.contains(part.trim_start_matches('!'));
                assert_eq!(
                    is_there,
                    !part.starts_with('!'),
                    "{version} {path}, {part}: {said:.900}"
                );
            }
        }
    }
    proxy.assert_sound();
}

#[test]
fn filters_work_with_endpoints_of_http1() {
    check("h1", false);
}

#[test]
fn filters_work_with_endpoints_of_http2() {
    check("h2", false);
}

#[test]
fn filters_work_with_endpoints_of_http2_on_unix_sockets() {
    check("h2", true);
}
