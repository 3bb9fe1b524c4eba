//! Headers that shall wear us out, or make more of a client than it is.

use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Setup, until};

use super::{CLIENT, GET, SIGNATURE, TARGET, announced, block, faults, tlv, v1, v2, v2_with};
use crate::tls::{LOCAL, Pki};

const REQUIRED: &str = "proxy_protocol = { from = \"127.0.0.1\" }";

/// E04, E07: the time of a header is one for all of it, and a pause within it does no harm.
#[test]
fn a_header_that_is_dribbled_gets_no_more_time() {
    let endpoint = Endpoint::echo("e");
    let late = "request_head_timeout = \"400ms\"";
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).listener(late).start();
    let long = v2_with(CLIENT, TARGET, &tlv(0xe0, &[7; 4000]));
    for (n, header) in [v1(CLIENT), v2(CLIENT), long].iter().enumerate() {
        let (mut client, begun) = (Client::new(&proxy), Instant::now());
        for byte in header.chunks(1) {
            if client.try_send(byte).is_err() {
                break;
            }
            // So slow that the shortest of them would take a second.
            std::thread::sleep(Duration::from_millis(40));
        }
        assert!(client.read_to_end().0.is_empty());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
        until("it to be counted", || faults(&proxy, "proxy_header_timeout") == n as u64 + 1);
    }
    proxy.assert_sound();
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    for header in [v1(CLIENT), v2(CLIENT)] {
        let (first, rest) = header.split_at(14);
        let mut client = announced(&proxy, first);
        std::thread::sleep(Duration::from_millis(300));
        client.send(rest);
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(endpoint.requests().len(), 2);
    proxy.assert_sound();
}

/// E04: what a header says of its length is never made room for.
#[test]
fn headers_that_never_end_take_no_memory() {
    let endpoint = Endpoint::echo("e");
    let late = "request_head_timeout = \"20s\"";
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).listener(late).start();
    // Refused by its length alone: not one byte of it is waited for.
    for len in [4325_u16, 65_535] {
        let head = [SIGNATURE, b"\x21\x11", &len.to_be_bytes()].concat();
        let (mut client, begun) = (announced(&proxy, &head), Instant::now());
        assert_ne!(client.end(), End::Open);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    until("both to be counted", || faults(&proxy, "bad_proxy_header") == 2);
    let half = v2_with(CLIENT, TARGET, &tlv(0xe0, &[7; 4000]));
    let before = proxy.resident();
    let open: Vec<_> = (0..500).map(|_| announced(&proxy, &half[..half.len() - 1])).collect();
    until("all to be there", || proxy.metric("fairwater_connections_active", &[]) == 500);
    let each = proxy.resident().saturating_sub(before) / 500;
    assert!(each < 8 << 10, "{each} bytes each");
    assert_eq!(announced(&proxy, &v2(CLIENT)).get("/").status(), 200);
    drop(open);
    until("all to be gone", || proxy.metric("fairwater_connections_active", &[]) == 0);
    proxy.assert_sound();
}

/// E05: within TLVs, and within those of the SSL TLV, nothing is read behind the end.
#[test]
fn tlvs_end_where_their_header_does() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let ssl = |inner: &[u8]| tlv(0x20, &[b"\x01\0\0\0\0", inner].concat());
    let noop = |count: usize| tlv(4, b"").repeat(count);
    let good = [
        noop(64),
        ssl(b""),
        ssl(&tlv(0x21, b"TLSv1.3")),
        ssl(&[tlv(0x22, b"me"), tlv(0xff, b"")].concat()),
        tlv(0x20, b"\0\0\0\0\0"),
    ];
    // The request stands right behind, and would fill up what is missing.
    let bad = [
        noop(65),
        b"\x04\xff\xff".to_vec(),
        b"\x04\0\x01".to_vec(),
        b"\x04\0".to_vec(),
        ssl(b"\x21"),
        ssl(b"\x21\0"),
        ssl(b"\x21\0\x01"),
        ssl(b"\x21\xff\xff"),
        ssl(&[tlv(0x21, b"TLSv1.3"), b"\x22\0\x09me".to_vec()].concat()),
        tlv(0x20, b"\x01\0\0\0"),
        [b"\x20\0\x20\x01\0\0\0\0".to_vec(), tlv(0x21, b"TLSv1.3")].concat(),
        tlv(3, b"\0\0\0"),
        tlv(3, &[0; 5]),
        tlv(3, &[1, 2, 3, 4]),
        [tlv(3, &[0; 4]), tlv(3, &[0; 4])].concat(),
    ];
    for tlvs in &good {
        let whole = [&v2_with(CLIENT, TARGET, tlvs)[..], GET.as_bytes()].concat();
        assert_eq!(announced(&proxy, &whole).response().unwrap().status(), 200, "{tlvs:x?}");
    }
    for (n, tlvs) in bad.iter().enumerate() {
        let whole = [&v2_with(CLIENT, TARGET, tlvs)[..], GET.as_bytes()].concat();
        let (said, end) = announced(&proxy, &whole).read_to_end();
        assert!(said.is_empty() && end != End::Open, "{tlvs:x?}: {}", said.escape_ascii());
        until("it to be counted", || faults(&proxy, "bad_proxy_header") == n as u64 + 1);
    }
    assert_eq!(endpoint.requests().len(), good.len());
    proxy.assert_sound();
}

/// E08: rights go by the announced client, neither by the balancer nor by who says that he is one.
#[test]
fn what_is_announced_gives_no_rights_of_the_balancer() {
    let endpoint = Endpoint::echo("e");
    let setup = || Setup::http(&[&endpoint]).listener(REQUIRED);
    let ask = |client: &mut Client| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
        client.response().unwrap().status()
    };
    // The balancer is allowed and trusted; its clients are neither.
    let mut proxy = setup().listener("allow = \"127.0.0.1\"").start();
    for (source, expected) in [(CLIENT, 403), ("127.0.0.2:1", 403), ("127.0.0.1:1", 200)] {
        for header in [v1(source), v2(source)] {
            assert_eq!(ask(&mut announced(&proxy, &header)), expected, "{source}");
        }
    }
    proxy.assert_sound();
    let mut proxy = setup().listener("trusted_proxies = \"127.0.0.1\"").start();
    assert_eq!(ask(&mut announced(&proxy, &v2(CLIENT))), 200);
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.7"));
    proxy.assert_sound();
    // Nobody becomes a balancer by being announced, or by saying so.
    let mut proxy = setup().listener("deny = \"192.0.2.0/24\"").start();
    let mut stranger = Client::from_address("127.0.0.2", &proxy);
    stranger.send([v2("127.0.0.1:1"), GET.into()].concat());
    assert!(stranger.read_to_end().0.is_empty());
    until("it to be counted", || faults(&proxy, "unknown_peer") == 1);
    for address in [CLIENT, "[::ffff:192.0.2.7]:1"] {
        assert_eq!(announced(&proxy, &v2(address)).get("/").status(), 403, "{address}");
    }
    proxy.assert_sound();
}

/// Sends a header within TLS, and prints the status of the answer, or that there was none.
const WITHIN: &str = r#"
import socket, ssl, sys
host, port = sys.argv[1].rsplit(":", 1)
context = ssl.create_default_context(cafile=sys.argv[2])
plain = socket.create_connection((host, int(port)))
with context.wrap_socket(plain, server_hostname=host) as stream:
    stream.sendall(bytes.fromhex(sys.argv[3]) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    print((stream.recv(100) or b"closed")[:12].decode())
"#;

/// E02, E09: a header where none is asked for is what comes first of whatever is spoken there.
#[test]
fn a_header_in_the_wrong_place_is_garbage() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    let tls = format!("tls = {}", pki.pair("site", LOCAL).table("site"));
    let mut clear = Setup::http(&[&endpoint]).start();
    let mut secured = Setup::http(&[&endpoint]).listener(&tls).start();
    let nobody = block(0x20, 0, b"");
    for header in [v1("127.0.0.1:1"), v2("127.0.0.1:1"), nobody] {
        let whole = [&header[..], GET.as_bytes()].concat();
        let (said, end) = announced(&clear, &whole).read_to_end();
        assert_ne!(end, End::Open);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{}", said.escape_ascii());
        let (said, end) = announced(&secured, &whole).read_to_end();
        assert_ne!(end, End::Open);
        assert!(said.is_empty() || said.starts_with(&[21, 3]), "{}", said.escape_ascii());
        let digits: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = std::process::Command::new("python3");
        command.args(["-c", WITHIN, &secured.address, &pki.file("ca.pem"), &digits]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_refused = said == "HTTP/1.1 400\n" || said == "closed\n";
        assert!(is_refused, "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(endpoint.requests().len(), 0);
    clear.assert_sound();
    secured.assert_sound();
    // Raw bytes are passed on, whatever they look like.
    let raw = Endpoint::mirror();
    let mut proxy = Setup::tcp(&[&raw]).start();
    let header = v2("127.0.0.1:1");
    let mut client = announced(&proxy, &header);
    assert_eq!(client.read_exactly(header.len()), header);
    client.half_close();
    client.read_to_end();
    assert_eq!(proxy.until_log(1)[0].get("client"), "127.0.0.1");
    proxy.assert_sound();
}
