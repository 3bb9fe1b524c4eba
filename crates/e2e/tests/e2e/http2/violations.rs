//! RFC 9113, broken section by section: what it demands, and what comes of it.

use std::collections::HashMap;

use fairwater_e2e::Endpoint;

use super::{judged, setup};

/// What `violations.py` does, what the RFC wants to come of it, and what comes. A stream in error
/// may take its connection with it (section 5.4.1).
const VIOLATIONS: [(&str, &str, &str); 139] = [
    ("3.4 another preface", "closed", "closed"),
    ("3.4 no settings behind the preface", "goaway 1", "goaway 1"),
    ("4.1 a frame of a kind that nobody knows", "served", "served"),
    ("4.1 a reserved bit", "served", "served"),
    ("4.1 flags that nobody knows", "served", "served"),
    ("4.2 data of more than 16 KiB", "goaway 6", "goaway 6"),
    ("4.2 a head of more than 16 KiB", "goaway 6", "goaway 6"),
    ("4.2 settings of more than 16 KiB", "goaway 6", "goaway 6"),
    ("4.3 an index that is not there", "goaway 9", "goaway 9"),
    ("4.3 index zero", "goaway 9", "goaway 9"),
    ("4.3 half a field", "goaway 9", "goaway 9"),
    ("4.3 a number without an end", "goaway 9", "goaway 9"),
    ("4.3 Huffman with its end symbol", "goaway 9", "goaway 9"),
    ("4.3 Huffman with other padding", "goaway 9", "goaway 9"),
    ("4.3 Huffman with a byte of padding", "goaway 9", "goaway 9"),
    ("4.3 a table larger than allowed", "goaway 9", "goaway 9"),
    ("4.3 a change of the table behind a field", "goaway 9", "goaway 9"),
    ("4.3 data within a head", "goaway 1", "goaway 1"),
    ("4.3 another head within a head", "goaway 1", "goaway 1"),
    ("4.3 a ping within a head", "goaway 1", "goaway 1"),
    ("4.3 an unknown kind within a head", "goaway 1", "goaway 1"),
    ("5.1 idle: data", "goaway 1", "goaway 1"),
    ("5.1 idle: a reset", "goaway 1", "goaway 1"),
    ("5.1 idle: a window", "goaway 1", "goaway 1"),
    ("5.1 idle: a priority", "served", "served"),
    ("5.1 idle: a continuation", "goaway 1", "goaway 1"),
    ("5.1 half closed: data", "reset 5", "reset 5"),
    ("5.1 half closed: a head", "reset 5", "reset 5"),
    ("5.1 half closed: a continuation", "goaway 1", "goaway 1"),
    ("5.1 half closed: a window", "served", "served"),
    ("5.1 half closed: a priority", "served", "served"),
    ("5.1 half closed: a reset", "served", "served"),
    ("5.1 closed: data", "status 200", "status 200"),
    ("5.1 closed: a head", "goaway 1", "goaway 1"),
    ("5.1 closed: a window", "status 200", "status 200"),
    ("5.1 closed: a priority", "status 200", "status 200"),
    ("5.1 closed: a reset", "status 200", "status 200"),
    ("5.1 behind a reset: data", "reset 5", "reset 5"),
    ("5.1 behind a reset: a head", "goaway 1", "goaway 1"),
    ("5.1 behind a reset: a window", "served", "served"),
    ("5.1 behind a reset: a reset", "served", "served"),
    ("5.1.1 an even stream", "goaway 1", "goaway 1"),
    ("5.1.1 stream zero", "goaway 1", "goaway 1"),
    ("5.1.1 a lower stream", "goaway 1", "goaway 1"),
    ("5.1.1 behind the last stream", "goaway 1", "goaway 1"),
    ("5.1.2 a stream too many", "reset 7", "reset 7"),
    ("5.3 a stream that depends on itself", "served", "served"),
    ("5.3 a head that depends on itself", "status 200", "status 200"),
    ("5.4.1 a connection that is in error closes", "goaway 6", "goaway 6"),
    ("5.5 a setting that nobody knows", "served", "served"),
    ("6.1 data on stream zero", "goaway 1", "goaway 1"),
    ("6.1 more padding than data", "goaway 1", "goaway 1"),
    ("6.1 padding alone", "status 200", "status 200"),
    ("6.1 padding without its length", "goaway 6", "goaway 6"),
    ("6.2 more padding than head", "goaway 1", "goaway 1"),
    ("6.2 padding", "status 200", "status 200"),
    ("6.2 half a priority", "goaway 6", "goaway 6"),
    ("6.3 a priority on stream zero", "goaway 1", "goaway 1"),
    ("6.3 a priority of four bytes", "reset 6", "goaway 6"),
    ("6.3 a priority of six bytes", "reset 6", "goaway 6"),
    ("6.4 a reset on stream zero", "goaway 1", "goaway 1"),
    ("6.4 a reset of three bytes", "goaway 6", "goaway 6"),
    ("6.4 a reset with a code that nobody knows", "served", "served"),
    ("6.5 settings on a stream", "goaway 1", "goaway 1"),
    ("6.5 settings of five bytes", "goaway 6", "goaway 6"),
    ("6.5 settings that are acknowledged and sent", "goaway 6", "goaway 6"),
    ("6.5 an acknowledgement of nothing", "goaway 1", "goaway 1"),
    ("6.5.2 push of 2", "goaway 1", "goaway 1"),
    ("6.5.2 a window of 2^31", "goaway 3", "goaway 3"),
    ("6.5.2 frames of 16383", "goaway 1", "goaway 1"),
    ("6.5.2 frames of 2^24", "goaway 1", "goaway 1"),
    ("6.5.2 extended CONNECT of 2", "goaway 1", "goaway 1"),
    ("6.5.2 extremes", "served", "served"),
    ("6.6 a promise", "goaway 1", "goaway 1"),
    ("6.6 a promise on an idle stream", "goaway 1", "goaway 1"),
    ("6.7 a ping on a stream", "goaway 1", "goaway 1"),
    ("6.7 a ping of seven bytes", "goaway 6", "goaway 6"),
    ("6.7 an answer to no ping", "served", "served"),
    ("6.7 a ping is answered with its bytes", "served", "served"),
    ("6.8 a goaway on a stream", "goaway 1", "goaway 1"),
    ("6.8 a goaway of seven bytes", "goaway 6", "goaway 6"),
    ("6.9 a window of three bytes", "goaway 6", "goaway 6"),
    ("6.9 nothing for the connection", "goaway 1", "goaway 1"),
    ("6.9 nothing for a stream", "reset 1", "reset 1"),
    ("6.9.1 too much for the connection", "goaway 3", "goaway 3"),
    ("6.9.1 too much for a stream", "reset 3", "reset 3"),
    ("6.9.2 too much by a setting", "goaway 3", "goaway 3"),
    ("6.9 more data than the stream takes", "reset 3", "reset 3"),
    ("6.9 more data than the connection takes", "goaway 3", "goaway 3"),
    ("6.10 a continuation on stream zero", "goaway 1", "goaway 1"),
    ("6.10 a continuation of nothing", "goaway 1", "goaway 1"),
    ("6.10 a continuation of another stream", "goaway 1", "goaway 1"),
    ("6.10 a continuation behind the end", "goaway 1", "goaway 1"),
    ("6.10 pieces of a head", "status 200", "status 200"),
    ("8.1 trailers without an end", "reset 1", "reset 1"),
    ("8.1 a pseudo field in trailers", "reset 1", "reset 1"),
    ("8.1 a field of connections in trailers", "reset 1", "reset 1"),
    ("8.1.1 less than the length", "reset 1", "reset 1"),
    ("8.1.1 more than the length", "reset 1", "reset 1"),
    ("8.1.1 a length and no body", "reset 1", "reset 1"),
    ("8.1.1 two lengths", "reset 1", "reset 1"),
    ("8.1.1 a length that is no number", "reset 1", "reset 1"),
    ("8.2 an upper case name", "reset 1", "reset 1"),
    ("8.2.1 a space in a name", "reset 1", "reset 1"),
    ("8.2.1 a colon in a name", "reset 1", "reset 1"),
    ("8.2.1 no name", "reset 1", "reset 1"),
    ("8.2.1 a control character in a name", "reset 1", "reset 1"),
    ("8.2.1 eight bits in a name", "reset 1", "reset 1"),
    ("8.2.1 a NUL in a value", "reset 1", "reset 1"),
    ("8.2.1 an LF in a value", "reset 1", "reset 1"),
    ("8.2.1 a CR in a value", "reset 1", "reset 1"),
    ("8.2.1 a space before a value", "status 400", "status 400"),
    ("8.2.1 a tab behind a value", "status 400", "status 400"),
    ("8.2.2 connection", "reset 1", "reset 1"),
    ("8.2.2 keep-alive", "reset 1", "reset 1"),
    ("8.2.2 proxy-connection", "reset 1", "reset 1"),
    ("8.2.2 transfer-encoding", "reset 1", "reset 1"),
    ("8.2.2 upgrade", "reset 1", "reset 1"),
    ("8.2.2 te that is not trailers", "reset 1", "reset 1"),
    ("8.2.2 te", "status 200", "status 200"),
    ("8.2.3 a cookie in two", "status 200", "status 200"),
    ("8.3 a pseudo field behind others", "reset 1", "reset 1"),
    ("8.3 a pseudo field that nobody knows", "reset 1", "reset 1"),
    ("8.3 the pseudo field of replies", "reset 1", "reset 1"),
    ("8.3 a pseudo field twice", "reset 1", "reset 1"),
    ("8.3.1 no method", "reset 1", "reset 1"),
    ("8.3.1 no scheme", "reset 1", "reset 1"),
    ("8.3.1 no path", "reset 1", "reset 1"),
    ("8.3.1 an empty path", "reset 1", "reset 1"),
    ("8.3.1 an empty method", "reset 1", "reset 1"),
    ("8.3.1 an empty scheme", "reset 1", "reset 1"),
    ("8.3.1 a user in the authority", "status 400", "status 400"),
    ("8.3.1 authority and host differ", "status 400", "status 400"),
    ("8.5 CONNECT with a path", "reset 1", "reset 1"),
    ("8.5 CONNECT with a scheme", "reset 1", "reset 1"),
    ("8.5 CONNECT without an authority", "reset 1", "reset 1"),
    ("8.5 CONNECT", "status 405", "status 405"),
    ("RFC 8441 CONNECT for a protocol that nobody knows", "status 501", "status 501"),
    ("RFC 8441 a protocol without CONNECT", "reset 1", "reset 1"),
];

#[test]
fn what_breaks_the_rules_ends_as_they_say() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/wait" {
                return caller.until_closed();
            }
            caller.reply(request.method(), "here");
        }
    });
    let full = format!(
        "[[routes]]\nlistener = \"web\"\npath = \"/full\"\nupstream = \"full\"\n\
         [upstreams.full]\nendpoints = [{:?}]\nmax_connections = 1",
        endpoint.address
    );
    let mut proxy = setup(&endpoint).more(&full).start();
    let Some(said) = judged(include_str!("violations.py"), &proxy, &[]) else { return };
    let found: HashMap<&str, &str> =
        said.lines().filter_map(|line| line.rsplit_once(": ")).collect();
    assert_eq!(found.len(), VIOLATIONS.len(), "{said}");
    let mut wrong = Vec::new();
    for (name, wanted, expected) in VIOLATIONS {
        if found[name] != expected {
            wrong.push(format!("{name}: {}, and not {expected}; {wanted} is wanted", found[name]));
        }
        let code = wanted.strip_prefix("reset ").unwrap_or("none");
        let is_wanted = expected == wanted || expected == format!("goaway {code}");
        assert!(is_wanted, "{name}: {expected}, and {wanted} is wanted");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What ended with a connection or before anybody saw it is accounted for as well.
    let ends = |what: &str| VIOLATIONS.iter().filter(|(_, _, end)| end.starts_with(what)).count();
    let lost = (ends("goaway ") + ends("closed")) as u64;
    proxy.until_metric("fairwater_faults_total", &["\"http2_error\""], lost);
    proxy.until_metric("fairwater_faults_total", &["\"http2_busy\""], 1);
    assert_eq!(endpoint.errors(), Vec::<String>::new());
    proxy.assert_sound();
}
