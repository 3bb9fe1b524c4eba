//! What clients may begin with: cut up, oversized, old, for hosts and protocols of all kinds.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

use super::hello::{Answer, Hello, alert, answer, ask, extension, long, message, record, short};
use super::{LOCAL, Pki, answers};

/// A listener with TLS, and what must hold of it at the end.
pub(super) struct Site {
    pub(super) pki: Pki,
    pub(super) endpoint: Endpoint,
    pub(super) proxy: Proxy,
}

impl Site {
    /// With further lines of the listener.
    pub(super) fn new(lines: &str) -> Self {
        let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
        let tls = pki.pair("site", LOCAL).table("site");
        let setup = Setup::http(&[&endpoint]).listener(&format!("tls = {tls}"));
        let proxy = setup.listener(lines).start();
        Self { pki, endpoint, proxy }
    }

    pub(super) fn faults(&self, reason: &str) -> u64 {
        self.proxy.metric("fairwater_faults_total", &[reason])
    }

    #[track_caller]
    pub(super) fn until_faults(&self, reason: &str, count: usize) {
        until("faults to be counted", || self.faults(reason) >= count as u64);
        assert_eq!(self.faults(reason), count as u64, "{reason}");
    }

    /// None of those who failed came through, and who speaks as he should is served.
    #[track_caller]
    pub(super) fn assert_served(&mut self) {
        assert_eq!(self.endpoint.accepted(), 0, "{:?}", self.endpoint.requests());
        assert!(answers(&self.pki, &self.proxy, &[]).starts_with('e'));
        self.proxy.until_log(1);
        self.proxy.assert_sound();
    }
}

/// How it shall go on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Hello,
    Alert(u8),
    /// An alert or the end, whichever: of what is no TLS at all.
    Refused,
}

/// Sends each of these, which all fail in the end: nobody here can finish a handshake.
#[track_caller]
fn check<N: Debug>(site: &Site, cases: Vec<(N, Vec<Vec<u8>>, Wanted)>) {
    let before = site.faults("tls_handshake_failed");
    let count = cases.len() as u64;
    for (name, segments, wanted) in cases {
        let begun = Instant::now();
        let answer = ask(&site.proxy, &segments);
        let is_it = match wanted {
            Wanted::Hello => matches!(answer, Answer::Hello(_)),
            Wanted::Alert(number) => answer == Answer::Alert(number),
            Wanted::Refused => !matches!(answer, Answer::Hello(_)),
        };
        assert!(is_it, "{name:?}: {wanted:?} and not {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{name:?}: told to go, not waited for");
    }
    until("all to be counted", || site.faults("tls_handshake_failed") == before + count);
}

fn bytes_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.iter().map(|byte| vec![*byte]).collect()
}

/// D01.
#[test]
fn first_messages_may_be_cut_up_but_not_without_end() {
    let mut site = Site::new("");
    let unknown = |count: u16| {
        let hello = (0..count).map(|n| 0x4000 + n);
        hello.fold(Hello::tls13(), |hello, kind| hello.with(kind, vec![0; 4]))
    };
    let padded = |len: usize| Hello::tls13().with(21, vec![0; len]);
    let records = |message: &[u8], len: usize| message.chunks(len).flat_map(record).collect();
    let small = Hello::tls13().message();
    let empty = record(b"");
    let cases: Vec<(&str, Vec<Vec<u8>>, Wanted)> = vec![
        ("whole", vec![Hello::tls13().bytes()], Wanted::Hello),
        ("a byte per segment", bytes_of(&Hello::tls13().bytes()), Wanted::Hello),
        ("a byte per record", vec![records(&small, 1)], Wanted::Hello),
        ("a byte per record and segment", bytes_of(&records(&small, 1)), Wanted::Hello),
        ("1 000 extensions", vec![unknown(1000).bytes()], Wanted::Hello),
        ("16 KiB", vec![padded(16_000).bytes()], Wanted::Hello),
        ("60 KiB", vec![padded(60_000).bytes()], Wanted::Hello),
        // Heads of records count: 64 KiB are kept of what does not make a message yet.
        (
            "60 KiB in records of 16 bytes",
            vec![records(&padded(60_000).message(), 16)],
            Wanted::Refused,
        ),
        ("more than 64 KiB", vec![padded(65_400).bytes()], Wanted::Refused),
        (
            "what says that it has 16 MiB",
            vec![record(b"\x01\xff\xff\xff\x03\x03")],
            Wanted::Refused,
        ),
        ("an empty record", vec![empty.clone()], Wanted::Refused),
        ("empty records", vec![empty.repeat(2000)], Wanted::Refused),
        (
            "an empty record in the middle",
            vec![[record(&small[..9]), empty, record(&small[9..])].concat()],
            Wanted::Refused,
        ),
        ("a record of 16 KiB and one byte", vec![record(&[1; 16_385 + 2048])], Wanted::Refused),
        ("an extension twice", vec![Hello::tls13().with(51, vec![]).bytes()], Wanted::Refused),
        (
            "another message",
            vec![record(&message(16, &[0; 40]))],
            Wanted::Alert(alert::UNEXPECTED_MESSAGE),
        ),
        ("a hello of nothing", vec![record(&message(1, b""))], Wanted::Alert(alert::DECODE_ERROR)),
        ("application data", vec![b"\x17\x03\x03\0\x05hello".to_vec()], Wanted::Refused),
        ("an alert", vec![b"\x15\x03\x03\0\x02\x02\x28".to_vec()], Wanted::Refused),
    ];
    check(&site, cases);
    site.assert_served();
}

/// D01: whoever is slow gets no more time for saying something now and then.
#[test]
fn a_handshake_has_its_time_however_it_is_dribbled() {
    let mut site = Site::new("tls_handshake_timeout = \"400ms\"");
    let hello = Hello::tls13().bytes();
    let records: Vec<u8> = Hello::tls13().message().chunks(1).flat_map(record).collect();
    for (n, bytes) in [hello, records].iter().enumerate() {
        let (mut client, begun) = (Client::new(&site.proxy), Instant::now());
        for byte in bytes.chunks(1) {
            if client.try_send(byte).is_err() {
                break;
            }
            // So slow that all of it would take 5 s at least.
            std::thread::sleep(Duration::from_millis(30));
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(matches!(answer(&mut client), Answer::Closed));
        site.until_faults("tls_handshake_timeout", n + 1);
    }
    // Who stops in the middle, after the server has answered.
    let mut client = Client::new(&site.proxy);
    client.send(Hello::tls12().bytes());
    assert!(matches!(answer(&mut client), Answer::Hello(_)));
    client.read_to_end();
    site.until_faults("tls_handshake_timeout", 3);
    assert_eq!(site.faults("tls_handshake_failed"), 0);
    site.assert_served();
}

/// D02.
#[test]
fn what_is_old_or_weak_is_refused() {
    let mut site = Site::new("");
    let version = Wanted::Alert(alert::PROTOCOL_VERSION);
    let none = Wanted::Alert(alert::HANDSHAKE_FAILURE);
    let old = |version: u16| vec![Hello { version, ..Hello::tls12() }.bytes()];
    let with = |suites: &[u16]| vec![Hello::tls12().suites(suites).bytes()];
    let pressed = |compressions: &[u8]| {
        let compressions = compressions.to_vec();
        vec![Hello { compressions, ..Hello::tls12() }.bytes()]
    };
    // Three bytes per suite, and a challenge.
    let ssl2 = b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10\x01\0\x80\x02\0\x80\x03\0\x80\x04\0\x80\x05\0\x80\x06\0\x40\x07\0\xc0";
    let ssl2 = vec![[&ssl2[..], &[5; 16]].concat()];
    let only13 =
        |versions: &[u8]| vec![Hello::tls12().with(extension::VERSIONS, short(versions)).bytes()];
    let cases: Vec<(&str, Vec<Vec<u8>>, Wanted)> = vec![
        ("SSL 2", ssl2, Wanted::Refused),
        ("SSL 3", old(0x0300), version),
        ("TLS 1.0", old(0x0301), version),
        ("TLS 1.1", old(0x0302), version),
        ("TLS 1.2", old(0x0303), Wanted::Hello),
        ("TLS 9, which does not exist yet", old(0x0a00), Wanted::Hello),
        ("1.1 at most, by the extension", only13(b"\x03\x02\x03\x01"), version),
        ("a draft of 1.3", only13(b"\x7f\x1c"), version),
        ("RC4", with(&[0x0005, 0xc011]), none),
        ("3DES", with(&[0x000a, 0xc012]), none),
        ("export", with(&[0x0003, 0x0008]), none),
        ("nothing but a checksum", with(&[0x0001, 0x0002, 0xc006]), none),
        ("nobody's certificate", with(&[0x0034, 0xc018, 0x00a6]), none),
        ("CBC", with(&[0xc009, 0xc00a, 0xc023, 0xc024, 0x002f, 0x0035]), none),
        ("no forward secrecy", with(&[0x009c, 0x009d]), none),
        ("a finite field", with(&[0x009e, 0x009f]), none),
        ("CCM", with(&[0xc0ac, 0xc0ae]), none),
        ("suites of 1.3 for 1.2", with(&[0x1301, 0x1302]), none),
        ("no suite", with(&[]), Wanted::Refused),
        ("compression and none", pressed(&[1, 0]), Wanted::Hello),
        ("compression", pressed(&[1]), Wanted::Alert(alert::ILLEGAL_PARAMETER)),
    ];
    check(&site, cases);
    site.assert_served();
    // Nor does OpenSSL find one with all that it knows.
    for words in ["-tls1", "-tls1_1", "-tls1_2 -cipher ALL:!AESGCM:!CHACHA20:@SECLEVEL=0"] {
        let said = super::s_client(&site.pki, &site.proxy, words);
        assert!(!said.contains("200 OK"), "{words}: {said}");
    }
}

/// The common name of the certificate that a hello is answered with.
fn shown(answer: &Answer) -> Option<&'static str> {
    let Answer::Hello(bytes) = answer else { return None };
    // The subject is the last name in a certificate; before it stands the authority's.
    let names = ["first", "second", "third"];
    let found = |name: &&&str| {
        let der = [b"\x06\x03U\x04\x03\x0c", &short(name.as_bytes())[..]].concat();
        bytes.windows(der.len()).any(|window| window == der)
    };
    names.iter().find(found).copied()
}

/// D04.
#[test]
fn names_are_found_however_they_are_written() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.pair("first", LOCAL).pair("second", "DNS:second.example,DNS:*.w.example");
    pki.pair("third", "DNS:a.w.example");
    let tables = ["first", "second", "third"].map(|name| pki.table(name)).join(", ");
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = [{tables}]"));
    let proxy = setup.start();
    let long_name = [b"a.".repeat(150), b"second.example".to_vec()].concat();
    let long_label = [&[b'a'; 64][..], b".w.example"].concat();
    let cases: &[(&[u8], Option<&str>)] = &[
        (b"second.example", Some("second")),
        (b"SECOND.Example", Some("second")),
        (b"second.example.", Some("second")),
        (b"b.w.example", Some("second")),
        (b"a.w.example", Some("third")),
        (b"A.W.EXAMPLE.", Some("third")),
        // A wildcard is one label, and not none.
        (b"b.a.w.example", Some("first")),
        (b"w.example", Some("first")),
        (b"unknown.example", Some("first")),
        (b"xn--bcher-kva.example", Some("first")),
        // No names in the sense of the extension (RFC 6066, section 3): as if there were none.
        (b"127.0.0.1", Some("first")),
        (b"::1", Some("first")),
        (b"second.example\0", None),
        (b"second.example\0.evil.example", None),
        (b"second.example\r\nx: y", None),
        (b"b\xc3\xbccher.example", None),
        (b"..", None),
        (b".second.example", None),
        (b"second.example..", None),
        (b"*.w.example", None),
        (b"second.example:443", None),
        (b"", None),
        (&long_name, None),
        (&long_label, None),
    ];
    for (name, expected) in cases {
        let answer = ask(&proxy, &[Hello::tls12().name(name).bytes()]);
        assert_eq!(shown(&answer), *expected, "{}: {answer:?}", name.escape_ascii());
        if expected.is_none() {
            let is_alert = matches!(answer, Answer::Alert(_));
            assert!(is_alert, "{}: {answer:?}", name.escape_ascii());
        }
    }
    let none = ask(&proxy, &[Hello::tls12().bytes()]);
    assert_eq!(shown(&none), Some("first"));
    let two = [&[0][..], &long(b"second.example"), &[0], &long(b"a.w.example")].concat();
    let two = Hello::tls12().with(extension::SERVER_NAME, long(&two)).bytes();
    assert!(matches!(ask(&proxy, &[two]), Answer::Alert(_)), "one name at most");
    let count = cases.len() as u64 + 2;
    let faults = || proxy.metric("fairwater_faults_total", &["tls_handshake_failed"]);
    until("all to be counted", || faults() == count);
    let mut site = Site { pki, endpoint, proxy };
    site.assert_served();
}

/// D06.
#[test]
fn the_protocol_above_is_agreed_on_or_the_handshake_ends() {
    let mut site = Site::new("");
    let many: Vec<_> = (0..1000).map(|n| format!("p{n}")).collect();
    let with_ours = [&many[..], &["http/1.1".to_owned()]].concat();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let longest = "x".repeat(255);
    let none = Err(alert::NO_APPLICATION_PROTOCOL);
    for (offered, expected) in [
        (names(&["http/1.1"]), Ok("http/1.1")),
        (names(&["http/1.1", "h2"]), Ok("h2")),
        (with_ours, Ok("http/1.1")),
        (many, none),
        (names(&["spdy/3"]), none),
        (names(&[&longest]), none),
        (names(&["HTTP/1.1"]), none),
        (names(&[""]), Err(alert::DECODE_ERROR)),
        (names(&[]), Err(alert::DECODE_ERROR)),
    ] {
        let answer = ask(&site.proxy, &[Hello::tls12().alpn(&offered).bytes()]);
        let found = match &answer {
            Answer::Hello(bytes) => Ok(protocol(bytes)),
            Answer::Alert(number) => Err(*number),
            Answer::Closed => Err(0),
        };
        assert_eq!(found, expected, "{} offered, the first: {:?}", offered.len(), offered.first());
    }
    let Answer::Hello(bytes) = ask(&site.proxy, &[Hello::tls12().bytes()]) else {
        panic!("who asks for none is served");
    };
    assert!(!bytes.windows(8).any(|bytes| bytes == b"http/1.1"));
    site.until_faults("tls_handshake_failed", 10);
    site.assert_served();
}

/// Which of ours a server has chosen.
fn protocol(hello: &[u8]) -> &'static str {
    let says = |name: &[u8]| hello.windows(name.len()).any(|bytes| bytes == name);
    match (says(b"\x08http/1.1"), says(b"\0\x03\x02h2")) {
        (true, false) => "http/1.1",
        (false, true) => "h2",
        _ => "",
    }
}

/// D07.
#[test]
fn other_protocols_on_the_port_are_closed() {
    let mut site = Site::new("");
    let noise: Vec<u8> =
        (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("SMTP", b"EHLO example.org\r\n".to_vec()),
        ("Redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("the PROXY protocol", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("noise", noise),
    ];
    let cases = cases.map(|(name, bytes)| (name, vec![bytes], Wanted::Refused));
    check(&site, cases.into_iter().collect());
    site.assert_served();
}

/// D11.
#[test]
fn tickets_that_nobody_has_made_are_no_tickets() {
    let mut site = Site::new("");
    let mut count = 0;
    for len in [0, 1, 32, 192, 10_000, 60_000] {
        let junk: Vec<u8> = (0..len).map(|n| (n * 7 % 256) as u8).collect();
        let old = Hello::tls12().with(extension::TICKET, junk.clone());
        let mut all = vec![old];
        if len > 0 {
            let identity = [&long(&junk)[..], &[1, 2, 3, 4]].concat();
            let keys = [long(&identity), long(&short(&[6; 32]))].concat();
            let modes = short(&[1]);
            let new = Hello::tls13().with(extension::KEY_EXCHANGE_MODES, modes);
            all.push(new.with(extension::PRE_SHARED_KEY, keys));
        }
        for hello in all {
            let Answer::Hello(bytes) = ask(&site.proxy, &[hello.bytes()]) else {
                panic!("{len} bytes");
            };
            // A certificate follows, in clear, or the key that was offered is not taken.
            let is_full = match hello.extensions.len() {
                3 => bytes.windows(6).any(|bytes| bytes == b"\x06\x03U\x04\x03\x0c"),
                _ => !bytes.windows(4).any(|bytes| bytes == b"\0\x29\0\x02"),
            };
            assert!(is_full, "{len} bytes: {}", bytes.escape_ascii());
            count += 1;
        }
    }
    site.until_faults("tls_handshake_failed", count);
    site.assert_served();
}
