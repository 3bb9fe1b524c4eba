//! A configuration that says what becomes of requests: its tests, and `fairwater explain URL`.

use std::process::{Command, Output, Stdio};

use fairwater_e2e::Directory;
use fairwater_e2e::proxy::binary;

const FILE: &str = r#"
[listeners.web]
bind = "127.0.0.1:8080"
upstream = "app"

[listeners.other]
bind = "127.0.0.1:8081"
respond = 404

[[routes]]
listener = "web"
host = "*.example.com"
path = "/api/{id}/*"
upstream = "api"
strip_prefix = "/api"
allow = ["10.0.0.0/8"]

[[routes]]
listener = "web"
path = "/old/*"
redirect = { to = "https://{host}/{rest}", status = 301 }

[upstreams.app]
endpoints = ["127.0.0.1:9001"]

[upstreams.api]
endpoints = ["127.0.0.1:9101", { address = "nowhere.invalid:9102", weight = 0 }]
"#;

fn run(directory: &Directory, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn with(tests: &str) -> Directory {
    let directory = Directory::new();
    std::fs::write(directory.join("fairwater.toml"), format!("{FILE}{tests}")).unwrap();
    directory
}

#[test]
fn good_tests_pass() {
    let directory = with(
        r#"
[[tests]]
request = "GET http://a.example.com:8080/api/7/x?y"
client = "10.0.0.1"
expect = { upstream = "api", path = "/7/x?y" }

[[tests]]
request = "http://a.example.com:8080/api/7/x"
expect = { status = 403 }

[[tests]]
request = "http://b:8080/old/a%20b"
expect = { status = 301, location = "https://b/a%20b" }

[[tests]]
request = "http://b/any"
listener = "other"
expect = { status = 404 }

[[tests]]
request = "http://b:8080/%2f"
expect = { status = 400 }
"#,
    );
    let output = run(&directory, &["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "fairwater: fairwater.toml is good, and so are its 5 tests\n");
}

#[test]
fn a_failing_test_keeps_a_configuration_from_going_live() {
    let directory = with(
        r#"
[[tests]]
request = "http://b:8080/x"
expect = { upstream = "api", path = "/x" }

[[tests]]
request = "http://a.example.com:8080/api/7/x"
expect = { upstream = "api" }

[[tests]]
request = "http://b/"
expect = { status = 200 }
"#,
    );
    for command in ["check", "run"] {
        let output = run(&directory, &[command]);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("error[E0602]").count(), 3, "{said}");
        for words in [
            "GET http://b:8080/x: upstream is `app` and not `api`\n",
            "upstream is none and not `api`; it is refused with 403, access_denied\n",
            "no listener has port 80, and there are several\n",
            "fairwater.toml:35:10\n",
        ] {
            assert!(said.contains(words), "{words}\n{said}");
        }
    }
}

#[test]
fn the_way_of_a_request_is_explained() {
    let directory = with(
        "[[routes]]\nlistener = \"other\"\npath = \"/few\"\nrespond = 204\nrate_limits = \"few\"\n\
         [rate_limits.few]\nrate = \"5/min\"\n",
    );
    for (arguments, words) in [
        (
            &["--client", "10.1.1.1", "http://a.example.com:8080/api/7/x?y"][..],
            &[
                "request    GET http://a.example.com:8080/api/7/x?y",
                "listener   web on 127.0.0.1:8080",
                "route      host *.example.com, path /api/{id}/* (fairwater.toml:10)",
                "filter     strip_prefix /api",
                "upstream   api, which gets /7/x?y",
                "states     not known, the configuration opens no admin socket to ask at; this is the \
                 configuration alone",
                "endpoint   127.0.0.1:9101, weight 1",
                "endpoint   nowhere.invalid:9102, which takes nothing: weight 0",
            ][..],
        ),
        (&["http://a.example.com:8080/api/7"], &["refused    403: access_denied"]),
        (&["POST", "http://b:8080/old/x"], &["reply      301, to https://b/x"]),
        (&["--listener", "other", "http://b/"], &["reply      404"]),
        (&["no_endpoint"], &["status 503, party upstream, phase connect"]),
        (
            &["--listener", "other", "http://b/few"],
            &["rate limit few, 5 requests in 60 s, 5 at once, for each client", "reply      204"],
        ),
        (
            &["--listener", "other", "POST", "/few"],
            &["request    POST http://localhost/few", "reply      204"],
        ),
        (
            &["--header", "Host: c", "http://b:8080/"],
            &["refused    400: bad_request, repeated_host"],
        ),
    ] {
        let output = run(&directory, &[&["explain"], arguments].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?}");
        for line in words {
            assert!(said.lines().any(|said| said == *line), "{line}\n{said}");
        }
    }
    for (arguments, words) in [
        (&["http://b/"][..], "no listener has port 80, and there are several: say which one"),
        (&["/x"], "no listener has port 80, and there are several: say which one"),
        (&["E9999"], "no diagnostic has the code E9999"),
        (&["b:8080/x"], "`fairwater explain http://b:8080/x`"),
        (&["nonsense"], "neither the code of a diagnostic"),
        (&["http://"], "has no host"),
        (&["--header", "x", "http://b:8080/"], "a header is written as"),
    ] {
        let output = run(&directory, &[&["explain"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(words), "{words}\n{said}");
    }
}
