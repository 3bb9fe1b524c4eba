//! Properties of the codecs and of the normal form of paths, over generated inputs. What is
//! asserted of a head or a body stands in fuzz/checks, which the fuzz targets share.

#[path = "../../../fuzz/checks/mod.rs"]
mod checks;

use checks::{
    chunked_body, client_hello, dns_reply, frame, hpack, http2, http2_talk, proxy_header,
    request_head, response_head,
};
use fairwater_message::frame::{Framing, LengthField, Number};
use fairwater_message::target::normal_path;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,24}"
}

/// A field value without control characters.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20_u8..=0x7e, 1 => 0x80_u8..=0xff, 1 => Just(b'\t')];
    vec(byte, 0..40)
}

fn blanks() -> impl Strategy<Value = &'static str> {
    select(vec!["", " ", "\t", "  ", " \t "])
}

/// Names with a meaning, each with a value that may stand beside any other of these.
const MEANINGFUL: [(&str, &str); 30] = [
    ("Connection", "close"),
    ("Connection", "keep-alive, x-hop"),
    ("Connection", "Upgrade"),
    ("Connection", "content-length, host, cookie"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "close"),
    ("Upgrade", "websocket"),
    ("Upgrade", "h2c"),
    ("TE", "trailers"),
    ("Trailer", "x-sum"),
    ("X-Hop", "y"),
    ("Via", "1.1 a, 1.0 b"),
    ("Via", ", ,"),
    ("X-Forwarded-For", "1.2.3.4, 10.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "b"),
    ("X-Forwarded-Port", "443"),
    ("X-Real-IP", "1.2.3.4"),
    ("X-Forwarded-Client-Cert", "x"),
    ("Forwarded", "for=1.2.3.4;proto=https"),
    ("X_Forwarded_For", "1.2.3.4"),
    ("Content_Length", "5"),
    ("Cookie", "a=b"),
    ("Set-Cookie", "a=b"),
    ("Authorization", "Basic x"),
    ("Content-Type", "text/plain"),
    ("Cache-Control", "no-store"),
    ("Server", "x"),
    ("Date", "x"),
    ("HTTP2-Settings", "AAM"),
];

/// One well-formed field line.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = select(MEANINGFUL.to_vec())
        .prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let any = (token(), value()).prop_filter("no meaning", |(name, _)| {
        let names = ["host", "content-length", "transfer-encoding", "connection", "expect"];
        !names.contains(&&*name.to_ascii_lowercase())
    });
    (blanks(), prop_oneof![meaningful, any], blanks()).prop_map(|(before, (name, value), after)| {
        [name.as_bytes(), b":", before.as_bytes(), &value, after.as_bytes(), b"\r\n"].concat()
    })
}

fn framing() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (0..=i64::MAX as u64).prop_map(|length| format!("Content-Length: {length}\r\n")),
        (0..100_u64).prop_map(|length| format!("content-length:00{length} \r\n")),
        Just("Transfer-Encoding: Chunked\r\n".to_owned()),
    ]
}

fn host() -> impl Strategy<Value = String> {
    let name = "[a-zA-Z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z0-9]{1,5}){0,2}\\.?";
    prop_oneof![
        name,
        (name, 1_u16..).prop_map(|(name, port)| format!("{name}:{port}")),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ]
}

/// Method, target and authority of a request line.
fn target(host: String) -> impl Strategy<Value = (String, String)> {
    let method = "[A-Z][A-Z0-9_-]{0,10}"
        .prop_filter("refused", |method| method != "CONNECT" && method != "TRACE");
    let method = prop_oneof![select(vec!["GET", "POST", "HEAD"]).prop_map(str::to_owned), method];
    let path = "(/[!$-.0-~]{0,12}){0,4}(\\?[!$-~]{0,12})?";
    prop_oneof![
        4 => (method.clone(), path).prop_map(|(method, path)| (method, format!("/{path}"))),
        1 => (method, path).prop_map(move |(method, path)| (method, format!("HTTP://{host}{path}"))),
        1 => Just(("OPTIONS".to_owned(), "*".to_owned())),
    ]
}

/// A request head that must be accepted.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = host().prop_flat_map(|host| (Just(host.clone()), target(host)));
    (line, 0..2_u8, vec(field(), 0..20), framing(), vec(field(), 0..4)).prop_map(
        |((host, (method, target)), minor, fields, framing, rest)| {
            let framing = if minor == 0 && framing.starts_with('T') { "" } else { &framing };
            let line = format!("{method} {target} HTTP/1.{minor}\r\n");
            let host = format!("Host: {host}\r\n");
            let start = [line.as_bytes(), host.as_bytes()].concat();
            [&start[..], &fields.concat(), framing.as_bytes(), &rest.concat(), b"\r\n"].concat()
        },
    )
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    (0..2_u8, 100..1000_u16, value(), vec(field(), 0..20), framing()).prop_map(
        |(minor, status, reason, fields, framing)| {
            let framing = if minor == 0 && framing.starts_with('T') { "" } else { &framing };
            let line = format!("HTTP/1.{minor} {status} ");
            [line.as_bytes(), &reason, b"\r\n", &fields.concat(), framing.as_bytes(), b"\r\n"]
                .concat()
        },
    )
}

/// Fragments whose sequences look nearly like a message.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = select(
        [
            "GET ",
            "POST ",
            "get ",
            "/",
            " ",
            "*",
            "http://a",
            " HTTP/1.1",
            " HTTP/1.0",
            "\r\n",
            "\r\n",
            "\r\n",
            "\n",
            "\r",
            "\t",
            ":",
            ": ",
            "Host: a\r\n",
            "Host",
            "Content-Length: ",
            "5",
            "0",
            "+",
            ",",
            ";",
            "Transfer-Encoding: ",
            "chunked",
            "Connection: ",
            "close",
            "Expect: 100-continue\r\n",
            "X: y\r\n",
            " folded\r\n",
            "HTTP/1.1 ",
            "200",
            " OK",
            "\0",
            "\u{7f}",
            "\u{e9}",
            "5\r\nhello\r\n",
            "0\r\n",
            "\r\n\r\n",
            "a=\"b\"",
            "ffffffff",
        ]
        .to_vec(),
    );
    let piece = Union::new_weighted(vec![
        (20, fragment.prop_map(|text| text.as_bytes().to_vec()).boxed()),
        (1, vec(any::<u8>(), 0..6).boxed()),
    ]);
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Places to cut an input of `len` bytes at, in order, the end included.
fn cuts(places: &[proptest::sample::Index], len: usize) -> Vec<usize> {
    let mut ends: Vec<_> = places.iter().map(|place| place.index(len + 1)).collect();
    ends.sort_unstable();
    ends.push(len);
    ends
}

proptest! {
    #[test]
    fn good_requests_are_accepted_and_survive_us(request in request()) {
        let outcome = request_head::read(&request, [request.len()]);
        prop_assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
        request_head::check(&request);
    }

    #[test]
    fn good_responses_are_accepted_and_survive_us(response in response()) {
        let outcome = response_head::read(&response, false, [response.len()]);
        prop_assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
        response_head::check(&response);
    }

    #[test]
    fn any_split_gives_the_same_request(
        request in prop_oneof![request(), fragments()],
        places in vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let ends = cuts(&places, request.len());
        let whole = request_head::read(&request, [request.len()]);
        prop_assert_eq!(request_head::read(&request, ends), whole);
    }

    #[test]
    fn any_split_gives_the_same_response(
        response in prop_oneof![response(), fragments()],
        places in vec(any::<proptest::sample::Index>(), 0..8),
        is_relaxed: bool,
    ) {
        let ends = cuts(&places, response.len());
        let whole = response_head::read(&response, is_relaxed, [response.len()]);
        prop_assert_eq!(response_head::read(&response, is_relaxed, ends), whole);
    }

    #[test]
    fn nearly_messages_are_read_alike_by_all(data in fragments()) {
        request_head::check(&data);
        response_head::check(&data);
        chunked_body::check(&data);
    }

    #[test]
    fn nearly_heads_are_read_alike_by_all(
        request in request(),
        response in response(),
        at: proptest::sample::Index,
        noise in fragments(),
    ) {
        for (head, check) in [
            (request, request_head::check as fn(&[u8])),
            (response, response_head::check),
        ] {
            let at = at.index(head.len());
            check(&[&head[..at], &noise, &head[at..]].concat());
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(data in vec(any::<u8>(), 0..600)) {
        request_head::check(&data);
        response_head::check(&data);
        chunked_body::check(&data);
        dns_reply::check(&data);
        hpack::check(&data);
        http2::check(&data);
        frame::check(&data);
    }

    #[test]
    fn two_that_talk_http2_lose_nothing(acts in vec(any::<u8>(), 0..600)) {
        http2_talk::check(&acts);
    }

    #[test]
    fn what_is_chunked_is_unchunked(data in vec(any::<u8>(), 0..5000), size in 1..6000_usize) {
        chunked_body::check_identity(&data, size);
    }

    #[test]
    fn any_split_gives_the_same_body(
        chunks in vec(vec(any::<u8>(), 1..40), 0..12),
        extension in "(;[a-z]{1,5}(=([a-z]{1,5}|\"[ !#-Z]{0,5}\"))?){0,2}",
        trailers in "([A-Za-z-]{1,9}:[ -~]{0,9}\r\n){0,3}",
        behind in vec(any::<u8>(), 0..20),
        places in vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let mut encoded = Vec::new();
        for chunk in &chunks {
            encoded.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(format!("000{extension}\r\n{trailers}\r\n").as_bytes());
        let consumed = encoded.len();
        encoded.extend_from_slice(&behind);
        let ends = cuts(&places, encoded.len());
        let body = chunked_body::decode(&encoded, ends);
        let trailers = trailers.into_bytes();
        let expected =
            chunked_body::Body { data: chunks.concat(), trailers, consumed, is_done: true };
        prop_assert_eq!(body, Ok(expected));
        chunked_body::check(&encoded);
    }
}

/// Paths that need work: dots, escapes, doubled slashes.
fn path() -> impl Strategy<Value = String> {
    let piece = select(
        [
            "/", "/", "/", "//", "/.", "/..", "a", "b", ".", "..", ";x", "%2e", "%2E", "%61",
            "%25", "%2f", "%5c", "%00", "%c3%a9", "%c0%ae", "%", "\\", "~", "%7e", "%3b", "%3F",
        ]
        .to_vec(),
    );
    vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn normal(path: &[u8]) -> Option<Vec<u8>> {
    normal_path(path, &mut Vec::new()).ok().map(<[u8]>::to_vec)
}

/// Another way to write a path: letters escaped, dot segments and slashes added.
fn alias(path: &[u8], choices: &[u8]) -> Vec<u8> {
    let mut alias = Vec::new();
    let mut choices = choices.iter().copied().cycle();
    for (at, &byte) in path.iter().enumerate() {
        let choice = choices.next().unwrap_or_default();
        match (byte, choice % 4) {
            (b'/', 0) => alias.extend_from_slice(b"//"),
            (b'/', 1) => alias.extend_from_slice(b"/./"),
            (b'/', 2) if at + 1 < path.len() => alias.extend_from_slice(b"/gone/%2e%2E/"),
            (b'/', _) => alias.push(b'/'),
            (b'%', _) => alias.extend_from_slice(b"%25"),
            (0x80.., _) | (_, 0) => alias.extend_from_slice(format!("%{byte:02x}").as_bytes()),
            (_, 1) => alias.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => alias.push(byte),
        }
    }
    alias
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_normal_path_has_nothing_left_to_resolve(path in path()) {
        let Some(normal) = normal(path.as_bytes()) else { return Ok(()) };
        prop_assert!(normal.starts_with(b"/") && normal.len() <= path.len());
        let segments: Vec<_> = normal.split(|&b| b == b'/').skip(1).collect();
        for (at, segment) in segments.iter().enumerate() {
            prop_assert!(*segment != b"." && *segment != b"..");
            prop_assert!(!segment.starts_with(b"..;") && !segment.starts_with(b".;"));
            prop_assert!(!segment.is_empty() || at + 1 == segments.len());
            prop_assert!(!segment.iter().any(|&b| b == b'\\' || b < 0x20 || b == 0x7f));
        }
    }

    /// Escapes are decoded once: a decoded percent sign is written as one to be read again.
    #[test]
    fn a_normal_path_is_its_own_normal_form(path in path(), choices in vec(any::<u8>(), 1..12)) {
        let Some(once) = normal(path.as_bytes()) else { return Ok(()) };
        if !once.contains(&b'%') {
            prop_assert_eq!(normal(&once), Some(once.clone()));
        }
        let escaped = String::from_utf8_lossy(&once).replace('%', "%25");
        if std::str::from_utf8(&once).is_ok() {
            prop_assert_eq!(normal(escaped.as_bytes()), Some(once.clone()));
        }
        let alias = alias(&once, &choices);
        prop_assert_eq!(normal(&alias), Some(once), "{}", alias.escape_ascii());
    }
}

/// PROXY headers of both versions, most of them right.
fn proxy_header() -> impl Strategy<Value = Vec<u8>> {
    let line =
        "PROXY (TCP4 1.2.3.4 5.6.7.8|TCP6 ::1 2001:db8::1|UNKNOWN) [0-9]{1,5} [0-9]{1,5}\r\n";
    let tlv = (any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, value)| {
        [&[kind][..], &(value.len() as u16).to_be_bytes(), &value].concat()
    });
    let family = select(vec![(0x11, 12), (0x21, 36), (0x31, 216), (0, 0), (0x12, 12)]);
    let block = (select(vec![0x20, 0x21, 0x22]), family).prop_flat_map(move |(command, family)| {
        let (family, len) = family;
        (vec(any::<u8>(), len), vec(tlv.clone(), 0..6), any::<bool>()).prop_map(
            move |(addresses, tlvs, is_cut)| {
                let rest = [addresses, tlvs.concat()].concat();
                let len = (rest.len() as u16).to_be_bytes();
                let mut all =
                    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, &rest].concat();
                all.truncate(all.len() - usize::from(is_cut));
                all
            },
        )
    });
    prop_oneof![line.prop_map(String::into_bytes), block]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_proxy_header_ends_there(header in proxy_header(), behind in vec(any::<u8>(), 0..9)) {
        proxy_header::check(&header);
        proxy_header::check(&[header, behind].concat());
    }
}

/// Messages that begin a TLS session, most of them right, in records of any length.
fn any_client_hello() -> impl Strategy<Value = Vec<u8>> {
    let vector = |content: &[u8]| [&(content.len() as u16).to_be_bytes()[..], content].concat();
    let name = vec(any::<u8>(), 1..300).prop_map(move |name| {
        let names = vector(&[&[0][..], &vector(&name)].concat());
        [&[0, 0][..], &vector(&names)].concat()
    });
    let other = (1..60_u8, vec(any::<u8>(), 0..20))
        .prop_map(move |(kind, value)| [&[0, kind][..], &vector(&value)].concat());
    let extensions = (vec(other, 0..6), name, 0..7_usize);
    (extensions, 1..400_usize).prop_map(move |((mut all, name, place), record_len)| {
        all.insert(place.min(all.len()), name);
        let start = [b"\x03\x03", &[7; 32][..], b"\0\0\x02\x13\x01\x01\0"].concat();
        let body = [start, vector(&all.concat())].concat();
        let message = [b"\x01\0", &vector(&body)[..]].concat();
        let record = |part: &[u8]| [&[22, 3, 1][..], &vector(part)].concat();
        message.chunks(record_len).flat_map(record).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_client_hello_is_read_to_its_end(
        hello in any_client_hello(),
        behind in vec(any::<u8>(), 0..9),
        change in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        client_hello::check(&hello);
        client_hello::check(&[&*hello, &behind].concat());
        let mut broken = hello;
        let place = change.0.index(broken.len());
        broken[place] = change.1;
        client_hello::check(&broken);
    }
}

fn number() -> impl Strategy<Value = Number> {
    let binary = (select(vec![1, 2, 3, 4, 8]), any::<bool>(), any::<bool>())
        .prop_map(|(bytes, is_signed, is_little)| Number::Binary { bytes, is_signed, is_little });
    let ascii = (1..=10_u8).prop_map(|digits| Number::Ascii { digits });
    prop_oneof![3 => binary, 1 => Just(Number::Varint), 1 => ascii]
}

/// How messages can be told apart; few delimiters that are not a part of themselves.
fn message_framing() -> impl Strategy<Value = Framing> {
    let max = prop_oneof![1..40_u64, Just(1000), Just(u64::MAX)];
    let length = (number(), 0..20_u32, 0..30_u32, max.clone()).prop_map(
        |(number, offset, body_offset, max)| {
            Framing::Length(LengthField { number, offset, body_offset, max })
        },
    );
    let delimiter = (vec(select(b"ab".to_vec()), 1..9), max.clone())
        .prop_map(|(bytes, max)| Framing::Delimiter { bytes: bytes.into(), max });
    prop_oneof![
        4 => length,
        3 => delimiter,
        1 => (1..40_u64).prop_map(|size| Framing::Fixed { size }),
        1 => max.prop_map(|max| Framing::Eof { max }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn messages_are_told_apart_however_they_are_cut(
        framing in message_framing(),
        bodies in vec(vec(select(b"ab\0\x01\x80\xff09".to_vec()), 0..40), 0..6),
        behind in vec(any::<u8>(), 0..9),
        change in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let mut stream = Vec::new();
        for body in &bodies {
            let before = stream.len();
            let wrapped = fairwater_proto::frame::wrap(&framing, body, &mut stream);
            prop_assert!(wrapped.is_ok() || stream.len() == before, "written in part");
        }
        stream.extend_from_slice(&behind);
        frame::check_stream(&framing, &stream);
        if !stream.is_empty() {
            let place = change.0.index(stream.len());
            stream[place] = change.1;
            frame::check_stream(&framing, &stream);
        }
    }
}
