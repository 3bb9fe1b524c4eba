//! Retries, the queue for room, bodies that are held, and what protects from overload: what a peer
//! can make of each, and of two of them together.

use fairwater_e2e::{Client, Endpoint, Setup, until};

/// What came behind the held part of a body, and went to an endpoint that failed, belongs to the
/// second try as well.
#[test]
fn a_body_that_is_held_in_part_is_sent_again_whole() {
    for chunked in [false, true] {
        let silent = Endpoint::new(|caller| {
            caller.read_until(b"#middle#");
        });
        let good = Endpoint::echo("good");
        let list =
            format!("{:?}, {{ address = {:?}, backup = true }}", silent.address, good.address);
        let mut proxy =
            Setup::http(&[]).endpoints(&list).upstream("buffer_requests = \"4KiB\"").start();
        let (first, middle, last) = ("x".repeat(5000), "#middle#", "y".repeat(100));
        let len = first.len() + middle.len() + last.len();
        let framing = match chunked {
            true => "transfer-encoding: chunked".to_owned(),
            false => format!("content-length: {len}"),
        };
        let framed = |text: &str| match chunked {
            true => format!("{:x}\r\n{text}\r\n", text.len()),
            false => text.to_owned(),
        };
        let mut client = Client::new(&proxy);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{}", framed(&first)));
        until("it is at the first", || silent.accepted() == 1);
        client.send(framed(middle));
        until("it is at the second", || good.accepted() == 1);
        client.send(framed(&last) + if chunked { "0\r\n\r\n" } else { "" });
        assert_eq!(client.response_to("PUT").unwrap().status(), 200, "{chunked}");
        let requests = good.requests();
        assert_eq!(requests[0].text(), first + middle + &last, "{chunked}");
        proxy.assert_sound();
    }
}

/// Only where another endpoint can be tried the time for a try counts.
#[test]
fn a_body_that_cannot_be_sent_again_waits_as_long_as_it_may() {
    let slow = Endpoint::new(|caller| {
        while let Some(request) = caller.request() {
            std::thread::sleep(Duration::from_millis(800));
            caller.reply(request.method(), &request.text());
        }
    });
    let other = Endpoint::echo("other");
    let list = format!("{:?}, {{ address = {:?}, backup = true }}", slow.address, other.address);
    let mut proxy = Setup::http(&[]).endpoints(&list).upstream("try_timeout = \"200ms\"").start();
    let mut client = Client::new(&proxy);
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    );
    let reply = client.response_to("PUT").unwrap();
    assert_eq!((reply.status(), reply.text()), (200, "abcdef".to_owned()));
    proxy.assert_sound();
}
