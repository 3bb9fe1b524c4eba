//! Messages of every form, and what is none.

use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex};

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Peer, Setup, until_some};

use super::{Messages, answering, clients, framed, setup};
use crate::peers::program;

/// A listener for messages of this form in front of an endpoint.
fn of_form(frame: &str, endpoint: &Endpoint) -> Setup {
    Setup::of("framed", &[&endpoint.address]).listener(frame)
}

#[test]
fn messages_of_every_form_go_through() {
    let forms: [(&str, &[&[u8]]); 8] = [
        ("frame = \"line\"", &[b"one\n", b"two\r\n", b"\n"]),
        ("frame = \"workerman-frame\"", &[b"\0\0\0\x05x", b"\0\0\0\x04"]),
        ("frame = { delimiter = \"\\r\\n\\r\\n\" }", &[b"a\r\nb\r\n\r\n", b"\r\n\r\n"]),
        ("frame = { fixed = 5 }", &[b"12345", b"67890"]),
        ("frame = { length = \"v\", offset = 1 }", &[b"x\x02\0ab", b"y\0\0"]),
        ("frame = { length = \"ascii4\" }", &[b"0003abc", b"0000"]),
        ("frame = { length = \"varint\" }", &[b"\x03abc", b"\0"]),
        ("frame = { length = \"u24be\" }", &[b"\0\0\x01x"]),
    ];
    for (form, messages) in forms {
        let endpoint = Endpoint::mirror();
        let mut proxy = of_form(form, &endpoint).start();
        let mut client = Client::new(&proxy);
        for message in messages {
            client.send(message);
            assert_eq!(client.read_exactly(message.len()), *message, "{form}");
        }
        // All at once, and what goes in comes out in order.
        let all = messages.concat();
        client.send(&all);
        assert_eq!(client.read_exactly(all.len()), all, "{form}");
        assert_eq!(proxy.until_log(2 * messages.len()).len(), 2 * messages.len(), "{form}");
        proxy.assert_sound();
    }
}

#[test]
fn the_end_of_the_stream_ends_a_message() {
    let endpoint = Endpoint::new(|caller| {
        let (bytes, _) = caller.read_to_end();
        caller.send([b"got ", &bytes[..]].concat());
    });
    let mut proxy = of_form("frame = \"eof\"", &endpoint).start();
    for body in [vec![b'x'; 3], vec![b'y'; 300_000]] {
        let mut client = Client::new(&proxy);
        client.send(&body);
        client.half_close();
        assert_eq!(client.read_to_end(), ([b"got ", &body[..]].concat(), End::Closed));
    }
    assert_eq!(endpoint.accepted(), 2);
    proxy.assert_sound();
}

/// As with whois: who asks knows by the end that this is all.
#[test]
fn the_end_of_a_reply_is_the_end_for_its_client() {
    for len in [0, 20, 300_000] {
        let endpoint = Endpoint::new(move |caller| {
            let mut reply = line(caller).unwrap();
            reply.resize(reply.len() + len, b'.');
            caller.send(reply);
        });
        let setup = of_form("frame = \"line\"", &endpoint).listener("reply_frame = \"eof\"");
        let mut proxy = setup.start();
        let mut client = Client::new(&proxy);
        client.send("question\nanother\n");
        let (reply, end) = client.read_to_end();
        assert_eq!((reply.len(), end), (9 + len, End::Closed));
        assert!(reply.starts_with(b"question\n."[..9 + len.min(1)].as_ref()));
        proxy.assert_sound();
    }
}

#[test]
fn requests_and_replies_may_have_other_forms() {
    let endpoint = Endpoint::new(|caller| {
        while let Some(line) = line(caller) {
            caller.send(framed(line));
        }
    });
    let proxy = of_form("frame = \"line\"", &endpoint).listener("reply_frame = \"swoole\"").start();
    let mut client = Client::new(&proxy);
    client.send("a question\n");
    assert_eq!(client.hear(), b"a question\n");
}

fn line(caller: &mut fairwater_e2e::Caller) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let byte = caller.read_exactly(1);
        line.push(*byte.first()?);
    }
    Some(line)
}

/// Sends back what it gets, and keeps it.
fn keeping() -> (Arc<Mutex<Vec<u8>>>, Endpoint) {
    let kept = Arc::<Mutex<Vec<u8>>>::default();
    let of_script = Arc::clone(&kept);
    let endpoint = Endpoint::new(move |caller| {
        let mut piece = [0; 4096];
        while let Ok(len @ 1..) = caller.socket.read(&mut piece) {
            of_script.lock().unwrap().extend_from_slice(&piece[..len]);
            caller.send(&piece[..len]);
        }
    });
    (kept, endpoint)
}

/// Those before it are answered; then the connection ends, and no endpoint has seen a byte of it.
#[test]
fn what_is_no_message_ends_the_connection() {
    let swoole = "frame = { length = \"u32be\", offset = 0, body_offset = 4, max = \"1MiB\" }";
    let whole = "frame = { length = \"i32be\", body_offset = 0, max = \"1MiB\" }";
    let cases: [(&str, Vec<u8>, &str); 6] = [
        (swoole, vec![0xff; 4], "too_long"),
        (swoole, 1_048_573_u32.to_be_bytes().to_vec(), "too_long"),
        (whole, vec![0xff; 4], "length_negative"),
        (whole, 3_u32.to_be_bytes().to_vec(), "length_runt"),
        (whole, 0_u32.to_be_bytes().to_vec(), "length_runt"),
        ("frame = { line = true, max = \"1KiB\" }", vec![b'x'; 1025], "too_long"),
    ];
    for (form, bad, detail) in cases {
        let (kept, endpoint) = keeping();
        let mut proxy = of_form(form, &endpoint).start();
        let mut client = Client::new(&proxy);
        let good: &[u8] = match () {
            () if form == swoole => b"\0\0\0\x02ok",
            () if form == whole => b"\0\0\0\x06ok",
            () => b"ok\n",
        };
        client.send([good, &bad].concat());
        assert_eq!(client.read_to_end(), (good.to_vec(), End::Closed), "{form}");
        let log = proxy.until_log(2);
        assert_eq!((log[0].get("reason"), log[1].get("reason")), ("", "bad_frame"), "{form}");
        assert_eq!(log[1].get("detail"), detail, "{form}");
        assert_eq!(log[1].number("bytes_in"), bad.len() as u64, "{form}");
        let all = (good.len() + bad.len()) as u64;
        proxy.until_metric("fairwater_received_bytes_total", &[], all);
        proxy.assert_sound();
        // Nothing more comes of it behind that.
        drop(proxy);
        endpoint.until_closed(1);
        assert_eq!(endpoint.accepted(), 1);
        assert_eq!(*kept.lock().unwrap(), good, "{form}");
    }
}

/// Whether an endpoint has got a part of it, or none.
#[test]
fn of_what_becomes_no_message_it_is_told_how_much_has_come() {
    let long = vec![b'x'; 150_000];
    for (form, bytes, detail) in [
        ("frame = \"swoole\"", &framed("xxxxx")[..7], "torn_message"),
        ("frame = { delimiter = \"..\", max = \"100KiB\" }", &long[..], "too_long"),
        ("frame = { eof = true, max = \"100KiB\" }", &long[..], "too_long"),
        (
            "frame = { length = \"u8\", max = \"8B\" }\nidentity = \"address\"",
            b"\x02hi",
            "too_long_with_identity",
        ),
    ] {
        let (_, endpoint) = keeping();
        let mut proxy = of_form(form, &endpoint).start();
        let mut client = Client::new(&proxy);
        client.send(bytes);
        client.half_close();
        assert_ne!(client.end(), End::Open, "{form}");
        let line = until_some(detail, || {
            proxy.log().into_iter().find(|line| line.get("detail") == detail)
        });
        let (came, sent) = (line.number("bytes_in"), bytes.len() as u64);
        // What is too long is found out when that much of it was read.
        let least = if sent > 100_000 { 100 * 1024 } else { sent };
        assert!((least..=sent).contains(&came), "{form}: {line:?}");
        proxy.assert_sound();
    }
}

/// Of what a length claims nothing is allocated.
#[test]
fn a_claimed_length_costs_nothing() {
    let endpoint = answering("e");
    let form = "frame = { length = \"u32be\", max = \"1GiB\" }";
    let proxy = of_form(form, &endpoint).listener("max_inflight = 2").start();
    assert!(Client::new(&proxy).ask("x").ends_with(" x"));
    let before = proxy.allocated();
    let mut clients = clients(&proxy, 50);
    for client in &mut clients {
        // Whoever answers the first has read the length as well.
        client.send([&framed("y")[..], &0x3fff_fff0_u32.to_be_bytes()].concat());
        assert!(client.hear().ends_with(b" y"));
    }
    assert!(Client::new(&proxy).ask("z").ends_with(" z"));
    let risen = proxy.allocated().saturating_sub(before);
    assert!(risen < 8 * 1024 * 1024, "{risen}");
}

#[test]
fn messages_come_over_tls_too() {
    let Some(python) = program("python3") else { return };
    let endpoint = answering("e");
    let mut proxy = setup(&[&endpoint]).listener("tls = \"dev\"").start();
    let address = proxy.address.clone();
    let script = format!(
        "import socket, ssl, struct\n\
         context = ssl.create_default_context()\n\
         context.check_hostname = False\n\
         context.verify_mode = ssl.CERT_NONE\n\
         host, port = {address:?}.rsplit(':', 1)\n\
         raw = socket.create_connection((host, int(port)))\n\
         secure = context.wrap_socket(raw, server_hostname='localhost')\n\
         for n in (1, 1000, 100000, 300000):\n\
         \x20   secure.sendall(struct.pack('>I', n) + b'x' * n)\n\
         \x20   stream = secure.makefile('rb')\n\
         \x20   length, = struct.unpack('>I', stream.read(4))\n\
         \x20   body = stream.read(length)\n\
         \x20   assert body == b'e0 ' + b'x' * n, (n, body[:20])\n\
         print('done')\n"
    );
    assert_eq!(Peer::run(Command::new(python).args(["-c", &script])), "done\n");
    proxy.assert_sound();
}

/// To endpoints that speak TLS: a second one of ours, which ends it.
#[test]
fn messages_go_to_endpoints_over_tls() {
    let endpoint = answering("e");
    let inner = setup(&[&endpoint]).listener("tls = \"dev\"").start();
    let mut proxy = setup(&[])
        .endpoints(&format!("{:?}", inner.address))
        .upstream("tls = { insecure_skip_verify = true }")
        .upstream("max_connections = 1")
        .start();
    let mut clients = clients(&proxy, 5);
    for len in [0, 10, 70_000, 300_000] {
        for client in &mut clients {
            client.say(vec![b'x'; len]);
        }
        for client in &mut clients {
            assert!(client.hear() == [&b"e0 "[..], &vec![b'x'; len]].concat());
        }
    }
    assert_eq!(inner.metric("fairwater_connections_total", &["web"]), 1);
    proxy.assert_sound();
}
