//! What an endpoint of HTTP/1.1 gets of requests that HTTP/2 lets pass (B01 to B13), byte by byte.

use fairwater_e2e::{Endpoint, Message};

use super::{judged, setup};

/// `UPDATE_GOLDEN=1` writes it anew: read the difference before committing it.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/http2/conversions.txt");

/// Lines of a head that are the same for all.
fn is_ours(line: &str) -> bool {
    let ours = ["x-case: ", "x-forwarded-", "forwarded: for=127.0.0.1;host=", "via: 2 fairwater"];
    ours.iter().any(|start| line.starts_with(start))
}

/// A request without those, and short.
fn shown(request: &Message) -> String {
    let raw = request.raw.iter().map(|&byte| char::from(byte)).collect::<String>();
    let lines: Vec<_> = raw.split("\r\n").filter(|line| !is_ours(line)).collect();
    let text = lines.join("\r\n").escape_default().to_string();
    match text.len() {
        len @ 500.. => format!("{} .. {} ({len} characters)", &text[..80], &text[len - 80..]),
        _ => text,
    }
}

/// The cases of `conversions.py` with what became of them, and under each what the endpoint got.
#[test]
fn what_endpoints_get_of_requests_is_one_request() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = setup(&endpoint).start();
    let Some(said) = judged(include_str!("conversions.py"), &proxy, &[]) else { return };
    let (requests, mut found) = (endpoint.requests(), String::new());
    for line in said.lines() {
        let (number, outcome) = line.split_once(' ').unwrap();
        found += &format!("{outcome}\n");
        let of_case = |request: &&Message| request.field("x-case") == Some(number);
        for request in requests.iter().filter(of_case) {
            found += &format!("    {}\n", shown(request));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let expected = std::fs::read_to_string(GOLDEN).unwrap();
    let lines = found.lines().zip(expected.lines().chain(std::iter::repeat("")));
    let wrong: Vec<_> = lines.filter(|(found, expected)| found != expected).collect();
    assert!(found == expected, "found, and expected: {wrong:#?}");
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    assert_eq!(endpoint.partial_requests(), []);
    // Each request has its line: also the canary behind each, but for those whose connection ended.
    let ended = said.lines().filter(|line| line.contains(": goaway ")).count();
    proxy.until_log(2 * (said.lines().count() - ended));
    proxy.assert_sound();
}

/// Who the client is, and how it came, is for us to say, whatever scheme it names.
#[test]
fn who_the_client_is_is_not_for_it_to_say() {
    let endpoint = Endpoint::echo("e");
    let proxy = setup(&endpoint).start();
    let own = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4"];
    let words: Vec<_> = own.iter().flat_map(|line| ["-H", line]).collect();
    super::curl(&proxy, &words);
    let Some(_) = judged(include_str!("conversions.py"), &proxy, &["B09 https in clear"]) else {
        return;
    };
    for request in endpoint.requests() {
        let host = request.field("host").unwrap();
        let forwarded = match host {
            "a" => "for=127.0.0.1;host=a;proto=http".to_owned(),
            host => format!("for=127.0.0.1;host=\"{host}\";proto=http"),
        };
        assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.field("x-forwarded-proto"), Some("http"));
        assert_eq!(request.field("x-forwarded-host"), Some(host));
        assert_eq!(request.field("forwarded"), Some(&*forwarded));
    }
}
