//! Any bytes as a request head: no panic; the same outcome however they are cut; and whatever is
//! accepted is read alike by others, before and after we have written it anew.

use std::net::{IpAddr, Ipv4Addr};

use fairwater_message::{BodyLength, Fault, HeadLimits, Method, RequestHead, Version};
use fairwater_proto::h1::{
    Edits, Forwarding, HostPolicy, Lines, RequestFraming, RequestReader, asks_upgrade,
    client_address, write_request,
};

use super::reference::{Naive, pieces};

const HEAD_BYTES: usize = HeadLimits::DEFAULT.bytes as usize;
const HEAD_FIELDS: usize = HeadLimits::DEFAULT.fields as usize;

/// `None` while more is needed.
pub(crate) type Outcome = Option<Result<RequestHead, Fault>>;

/// Reads the prefixes of `data` that end at `ends`, until there is an outcome.
pub(crate) fn read(data: &[u8], ends: impl IntoIterator<Item = usize>) -> Outcome {
    let (mut reader, mut head) = (RequestReader::default(), RequestHead::default());
    for end in ends {
        match reader.read(&data[..end], &mut head) {
            Ok(false) => {}
            Ok(true) => return Some(Ok(head)),
            Err(fault) => return Some(Err(fault)),
        }
    }
    None
}

pub(crate) fn check(data: &[u8]) {
    let whole = read(data, [data.len()]);
    assert_eq!(read(data, pieces(data.len())), whole, "cut into pieces");
    let Some(Ok(head)) = whole else { return };
    assert!(head.len <= data.len() && head.len <= HEAD_BYTES);
    assert!(head.fields.len() <= HEAD_FIELDS);
    let bytes = &data[..head.len];
    assert_eq!(read(bytes, [bytes.len()]), Some(Ok(head.clone())), "without what is behind");

    let naive = Naive::split(bytes);
    agree_with_httparse(bytes, &head);
    agree_with_naive(&naive, bytes, &head);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    client_address(&head, bytes, peer, |_| true);
    for (is_trusted, host) in [
        (false, HostPolicy::Keep),
        (true, HostPolicy::Keep),
        (false, HostPolicy::Set(b"endpoint.example:8080")),
    ] {
        let peer = Some(peer);
        let forwarding = Forwarding {
            peer,
            is_trusted,
            is_tls: false,
            host,
            close: false,
            edits: Edits::default(),
        };
        round_trip(&naive, bytes, &head, &forwarding);
    }
}

fn agree_with_httparse(bytes: &[u8], head: &RequestHead) {
    let mut headers = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(request.parse(bytes), Ok(httparse::Status::Complete(bytes.len())));
    assert_eq!(request.method.map(str::as_bytes), Some(head.method_span.of(bytes)));
    assert_eq!(request.path.map(str::as_bytes), Some(head.target.of(bytes)));
    assert_eq!(request.version, Some(u8::from(head.version == Version::Http11)));
    assert_eq!(request.headers.len(), head.fields.len());
    for (theirs, ours) in request.headers.iter().zip(&head.fields) {
        assert_eq!(theirs.name.as_bytes(), ours.name.of(bytes));
        assert_eq!(theirs.value, ours.value.of(bytes));
    }
}

fn agree_with_naive(naive: &Naive<'_>, bytes: &[u8], head: &RequestHead) {
    let body = match naive.body() {
        None | Some(BodyLength::Known(0)) => BodyLength::None,
        Some(body) => body,
    };
    assert_eq!(head.body, body);
    let words: Vec<_> = naive.start.split(|&b| b == b' ').collect();
    assert_eq!(words[..2], [head.method_span.of(bytes), head.target.of(bytes)]);
    assert_eq!(words.len(), 3);
    let hosts = naive.values("host");
    assert!(hosts.len() <= 1);
    match hosts.first() {
        Some(host) => assert_eq!(head.authority.of(bytes), *host),
        None => assert_eq!(head.version, Version::Http10),
    }
}

/// Writes what was accepted, and has it read by us and by the second parser.
fn round_trip(naive: &Naive<'_>, bytes: &[u8], head: &RequestHead, forwarding: &Forwarding<'_>) {
    let framing = match head.body {
        BodyLength::Known(length) => RequestFraming::Length(length),
        BodyLength::Chunked => RequestFraming::Chunked,
        BodyLength::None | BodyLength::UntilClose => RequestFraming::None,
    };
    let mut out = Vec::new();
    write_request(&mut Lines(&mut out), head, bytes, framing, forwarding);
    // One blank a field and one behind a comma, three times the authority, and our own lines.
    assert!(out.len() <= 2 * bytes.len() + 4 * head.authority.len() + 512, "{}", out.len());

    let authority = match forwarding.host {
        HostPolicy::Set(name) => name,
        HostPolicy::Keep => head.authority.of(bytes),
    };
    let fields_max = naive.fields.len() + 9;
    if authority.is_empty() || out.len() > HEAD_BYTES || fields_max > HEAD_FIELDS {
        return; // `worker` sets a host where there is none; limits are the next hop's business
    }
    let Some(Ok(again)) = read(&out, [out.len()]) else {
        panic!("we refuse what we wrote: {}", out.escape_ascii());
    };
    assert_eq!(again.len, out.len());
    agree_with_httparse(&out, &again);
    assert_eq!(again.method_span.of(&out), head.method_span.of(bytes));
    assert_eq!(again.path.of(&out), expected_path(head, bytes));
    assert_eq!(again.authority.of(&out), authority);
    assert_eq!(again.body, head.body);
    assert_eq!(again.hops, head.hops.saturating_add(1));
    let upgrade = asks_upgrade(head, bytes);
    assert_eq!(asks_upgrade(&again, &out), upgrade);
    assert_eq!(again.connection.upgrade, upgrade.is_some());

    let written = Naive::split(&out);
    let passed = naive.forwarded(forwarding.is_trusted);
    assert_eq!(written.fields[0].0, "host");
    assert_eq!(written.fields[1..=passed.len()], passed);
    for (name, value) in &written.fields[1 + passed.len()..] {
        let is_ours = matches!(
            (&**name, *value),
            ("content-length" | "transfer-encoding" | "via" | "forwarded", _)
                | ("x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host", _)
                | ("connection", b"upgrade")
                | ("upgrade", _)
        );
        assert!(is_ours, "{name} is not of our making");
    }
}

fn expected_path(head: &RequestHead, bytes: &[u8]) -> Vec<u8> {
    let path = head.path.of(bytes);
    match path.first() {
        Some(b'/' | b'*') => path.to_vec(),
        None if head.method == Method::Options => b"*".to_vec(),
        _ => [b"/", path].concat(),
    }
}
