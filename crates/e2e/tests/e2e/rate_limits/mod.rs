//! Rate limits: who is let in, who is not, and what they are told. Rates are so low that none of a
//! budget comes back while a test runs, unless it waits for that.

mod bytes;
mod connections;
mod memory;

use std::process::Command;
use std::time::Instant;

use fairwater_e2e::{Client, Endpoint, Message, Proxy, Setup, until};

/// A listener with this limit, and an endpoint.
fn limited(endpoint: &Endpoint, rule: &str) -> Setup {
    Setup::http(&[endpoint])
        .listener("rate_limits = \"one\"")
        .more(&format!("[rate_limits.one]\n{rule}\n"))
}

fn ask(proxy: &Proxy, target: &str, fields: &str) -> Message {
    let mut client = Client::new(proxy);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response().unwrap()
}

fn status(proxy: &Proxy, target: &str, fields: &str) -> u16 {
    ask(proxy, target, fields).status()
}

#[test]
fn beyond_the_burst_requests_are_told_when_to_come_again() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = limited(&endpoint, "rate = \"360/h\"\nburst = 3").threads(2).start();
    let mut client = Client::new(&proxy);
    for _ in 0..3 {
        let reply = client.get("/");
        assert_eq!(reply.status(), 200);
        assert_eq!((reply.field("ratelimit"), reply.field("retry-after")), (None, None));
    }
    let reply = client.get("/");
    assert_eq!(reply.status(), 429);
    let after: u64 = reply.field("retry-after").unwrap().parse().unwrap();
    assert!((9..=10).contains(&after), "{after}");
    assert_eq!(reply.field("ratelimit-policy"), Some("\"one\";q=360;w=3600"));
    assert_eq!(reply.field("ratelimit"), Some(&*format!("\"one\";r=0;t={after}")));
    // The connection goes on, another one makes no difference, and other paths neither.
    assert_eq!(client.get("/other").status(), 429);
    assert_eq!(status(&proxy, "/", ""), 429);
    let mut post = Client::new(&proxy);
    post.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    assert_eq!(post.response_to("POST").unwrap().status(), 429);
    assert_eq!(post.get("/").status(), 429);
    endpoint.until_requests(3);
    let last = proxy.until_log(8).pop().unwrap();
    assert_eq!((last.get("reason"), last.get("party")), ("rate_limited", "downstream"));
    assert_eq!((last.get("status"), last.get("detail")), ("429", "requests"));
    assert_eq!((last.get("limit"), last.get("upstream")), ("one", "app"));
    assert_eq!(proxy.metric("fairwater_rate_limit_allowed_total", &["limit=\"one\""]), 3);
    assert_eq!(proxy.metric("fairwater_rate_limit_denied_total", &["limit=\"one\""]), 5);
    assert_eq!(proxy.metric("fairwater_faults_total", &["rate_limited"]), 5);
    proxy.assert_sound();
}

#[test]
fn a_budget_comes_back_at_its_rate() {
    let endpoint = Endpoint::echo("e");
    let proxy = limited(&endpoint, "rate = \"20/s\"\nburst = 5").threads(2).start();
    let mut client = Client::new(&proxy);
    let begun = Instant::now();
    let (mut let_in, mut denied) = (0, 0);
    until("a second's worth", || {
        match client.get("/").status() {
            200 => let_in += 1,
            _ => denied += 1,
        }
        let_in >= 25
    });
    // The first five at once, and twenty at 50 ms each.
    let took = begun.elapsed().as_millis();
    assert!(took >= 990, "{took} ms, {denied} denied");
    assert!(denied > 0);
}

#[test]
fn keys_are_counted_apart() {
    let endpoint = Endpoint::echo("e");
    let key = |key: &str| limited(&endpoint, &format!("rate = \"2/h\"\nkey = {key:?}")).start();
    for (rule, name) in [("header:X-Api-Key", "x-api-key: "), ("cookie:sid", "Cookie: x=1; sid=")] {
        let proxy = key(rule);
        let ask = |value: &str| status(&proxy, "/", &format!("{name}{value}\r\n"));
        assert_eq!([ask("a"), ask("a"), ask("a"), ask("b")], [200, 200, 429, 200], "{rule}");
        // Without one the client counts.
        let bare = || status(&proxy, "/", "");
        assert_eq!([bare(), bare(), bare()], [200, 200, 429]);
        assert_eq!(ask("c"), 200);
    }
    for (rule, other) in [("client", 200), ("client/24", 429), ("client/31/48", 200)] {
        let proxy = key(rule);
        let from = |own: &str| Client::from_address(own, &proxy).get("/").status();
        let [a, b] = ["127.0.0.5", "127.0.0.6"];
        assert_eq!([from(a), from(a), from(a)], [200, 200, 429], "{rule}");
        assert_eq!(from(b), other, "{rule}");
        assert_eq!(from("127.0.1.5"), 200, "{rule}");
    }
    let proxy = key("route");
    let from = |own: &str| Client::from_address(own, &proxy).get("/").status();
    assert_eq!([from("127.0.0.5"), from("127.0.0.6"), from("127.0.0.7")], [200, 200, 429]);
}

#[test]
fn the_client_is_whom_trusted_proxies_name() {
    let endpoint = Endpoint::echo("e");
    let proxy = limited(&endpoint, "rate = \"2/h\"")
        .listener("trusted_proxies = [\"127.0.0.1\"]")
        .threads(2)
        .start();
    let ask = |client: &str| status(&proxy, "/", &format!("X-Forwarded-For: {client}\r\n"));
    let all = [ask("192.0.2.1"), ask("9.9.9.9, 192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")];
    assert_eq!(all, [200, 200, 429, 200]);
    let all = [ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8::3"), ask("2001:db8:1::1")];
    assert_eq!(all, [200, 200, 429, 200]);
}

#[test]
fn limits_of_a_listener_hold_beside_those_of_routes() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint])
        .listener("rate_limits = \"all\"\nerror_pages = { 429 = \"busy.txt\" }")
        .more(
            "[[routes]]\nlistener = \"web\"\npath = \"/login\"\nupstream = \"app\"\n\
             rate_limits = [\"login\", \"all\"]\n\
             [[routes]]\nlistener = \"web\"\npath = \"/told\"\nrespond = 204\n\
             rate_limits = \"told\"\n\
             [[routes]]\nlistener = \"web\"\npath = \"/locked\"\nupstream = \"app\"\n\
             rate_limits = \"login\"\n\
             basic_auth = { users = { a = \"$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS\" } }\n\
             [rate_limits.all]\nrate = \"10/h\"\nheaders = \"always\"\n\
             [rate_limits.login]\nrate = \"2/h\"\nheaders = \"never\"\n\
             [rate_limits.told]\nrate = \"1/h\"\nburst = 3\nkey = \"route\"\nheaders = \"always\"\n",
        );
    std::fs::write(proxy.directory().join("busy.txt"), "try later: {status}").unwrap();
    proxy = proxy.threads(2);
    let mut proxy = proxy.start();
    // The password that is not there costs one of `login`, as any request does.
    assert_eq!(status(&proxy, "/locked", ""), 401);
    assert_eq!(status(&proxy, "/login", ""), 200);
    let denied = ask(&proxy, "/login", "");
    assert_eq!((denied.status(), denied.text().as_str()), (429, "try later: 429"));
    assert!(denied.field("retry-after").is_some() && denied.field("ratelimit").is_none());
    assert_eq!(status(&proxy, "/locked", ""), 429);
    // Who is denied by one is charged by none: eight of ten are left, and this one takes one.
    let told = ask(&proxy, "/told", "");
    assert_eq!(told.status(), 204);
    assert_eq!(told.field("ratelimit-policy"), Some("\"all\";q=10;w=3600, \"told\";q=1;w=3600"));
    let state = told.field("ratelimit").unwrap();
    assert!(state.starts_with("\"all\";r=7;t=") && state.contains(", \"told\";r=2;t="), "{state}");
    for left in (0..7).rev() {
        let reply = ask(&proxy, "/nothing", "");
        let state = reply.field("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"all\";r={left};")), "{state}");
    }
    assert_eq!(status(&proxy, "/told", ""), 429);
    assert_eq!(proxy.metric("fairwater_rate_limit_denied_total", &["\"all\""]), 1);
    assert_eq!(proxy.metric("fairwater_rate_limit_denied_total", &["\"login\""]), 2);
    proxy.assert_sound();
}

#[test]
fn requests_without_a_route_count_too() {
    let endpoint = Endpoint::echo("e");
    let proxy = limited(&endpoint, "rate = \"2/h\"")
        .without_route()
        .more("[[routes]]\nlistener = \"web\"\npath = \"/x\"\nupstream = \"app\"\n")
        .start();
    let all = [status(&proxy, "/a", ""), status(&proxy, "/x", ""), status(&proxy, "/b", "")];
    assert_eq!(all, [404, 200, 429]);
    let line = proxy.until_log(3).pop().unwrap();
    assert_eq!((line.get("limit"), line.get("upstream")), ("one", ""));
}

#[test]
fn streams_of_http2_are_requests_like_others() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = limited(&endpoint, "rate = \"360/h\"\nburst = 3")
        .listener("http2 = true")
        .threads(2)
        .start();
    // Some versions of curl send but one request over such a connection.
    let one = |words: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sSi", "--max-time", "20", "--http2-prior-knowledge"]).args(words);
        let output = curl.arg(format!("http://{}/", proxy.address)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let curl = |words: &[&str]| (0..5).map(|_| one(words)).collect::<String>();
    let said = curl(&[]);
    assert_eq!((said.matches("HTTP/2 200").count(), said.matches("HTTP/2 429").count()), (3, 2));
    assert!(said.contains("\r\nretry-after: ") && said.contains("\r\nratelimit: \"one\";r=0;t="));
    // What clients of gRPC are told.
    let said = curl(&["-H", "content-type: application/grpc", "-X", "POST"]);
    assert_eq!(said.matches("\r\ngrpc-status: 8\r\n").count(), 5, "{said}");
    assert!(said.contains("grpc-retry-pushback-ms: ") && said.contains("retry-after: "), "{said}");
    proxy.assert_sound();
}

#[test]
fn what_is_known_outlives_a_reload_that_does_not_change_the_limit() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = limited(&endpoint, "rate = \"2/h\"").reloadable().threads(2).start();
    assert_eq!([status(&proxy, "/", ""), status(&proxy, "/", "")], [200, 200]);
    assert_eq!(status(&proxy, "/", ""), 429);
    proxy.edit("[upstreams.app]", "[upstreams.app]\nretries = 1");
    proxy.reload_well();
    assert_eq!(status(&proxy, "/", ""), 429);
    assert_eq!(proxy.metric("fairwater_rate_limit_denied_total", &[]), 2);
    // Another rate is another limit.
    proxy.edit("rate = \"2/h\"", "rate = \"3/h\"");
    proxy.reload_well();
    until("the new plan", || status(&proxy, "/", "") == 200);
    // One that is gone limits nothing.
    proxy.edit("rate_limits = \"one\"", "");
    proxy.reload_well();
    until("the new plan", || (0..4).all(|_| status(&proxy, "/", "") == 200));
    proxy.assert_sound();
}
