//! Raw TCP: bytes as they come, ends as they were, one line for each connection, and how
//! connections are balanced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fairwater_e2e::client::End;
use fairwater_e2e::{Caller, Client, Directory, Endpoint, Proxy, Setup, until};

fn echoing(caller: &mut Caller) {
    loop {
        let bytes = caller.read_exactly(1);
        if bytes.is_empty() || !caller.send(&bytes) {
            return;
        }
    }
}

/// Says its name at once, then nothing.
fn saying(name: &'static str) -> Endpoint {
    Endpoint::new(move |caller| {
        caller.send(name);
        caller.until_closed();
    })
}

fn reason(proxy: &Proxy) -> String {
    proxy.until_log(1)[0].get("reason").to_owned()
}

#[test]
fn bytes_go_both_ways_as_they_come() {
    let directory = Directory::new();
    for endpoint in [Endpoint::new(echoing), Endpoint::on_unix(&directory.join("e.sock"), echoing)]
    {
        let mut proxy = Setup::tcp(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        for n in 0..100_u8 {
            let bytes = [n, 0, b'\r', b'\n', 255 - n];
            client.send(bytes);
            assert_eq!(client.read_exactly(5), bytes);
        }
        client.half_close();
        assert_eq!(client.end(), End::Closed);
        let log = proxy.until_log(1);
        assert_eq!((log[0].number("bytes_in"), log[0].number("bytes_out")), (500, 500));
        assert_eq!((log[0].get("protocol"), log[0].get("reason")), ("TCP", ""));
        assert_eq!(log[0].get("endpoint"), endpoint.address);
        assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 0);
        assert_eq!(proxy.metric("fairwater_endpoint_in_flight", &[]), 0);
        proxy.assert_sound();
    }
}

/// The endpoint comes up only after the client has spoken: the first attempts fail, a later one,
/// and all that was said arrives.
#[test]
fn what_is_said_before_the_endpoint_is_up_arrives() {
    let endpoint = Endpoint::new(|caller| {
        std::thread::sleep(Duration::from_millis(100));
        let bytes = caller.read_to_end().0;
        caller.send(bytes.len().to_string());
    });
    let mut proxy = Setup::of("tcp", &["127.0.0.1:1", &endpoint.address]).start();
    let mut client = Client::new(&proxy);
    client.send(vec![b'x'; 300_000]);
    client.half_close();
    assert_eq!(client.read_to_end(), (b"300000".to_vec(), End::Closed));
    let log = proxy.until_log(1);
    assert_eq!((log[0].number("attempts"), log[0].get("reason")), (2, ""));
    proxy.assert_sound();
}

#[test]
fn a_half_close_is_carried_over() {
    // From the client: the endpoint answers after it has seen the end.
    let late = Endpoint::new(|caller| {
        assert_eq!(caller.read_to_end(), (b"question".to_vec(), false));
        caller.send("answer");
    });
    let mut proxy = Setup::tcp(&[&late]).start();
    let mut client = Client::new(&proxy);
    client.send("question");
    client.half_close();
    assert_eq!(client.read_to_end(), (b"answer".to_vec(), End::Closed));
    assert_eq!(reason(&proxy), "");
    // From the endpoint: the client goes on.
    let early = Endpoint::new(|caller| {
        caller.send("greeting");
        caller.half_close();
        assert_eq!(caller.read_to_end(), (b"much later".to_vec(), false));
    });
    let second = Setup::tcp(&[&early]).start();
    let mut client = Client::new(&second);
    assert_eq!(client.read_to_end(), (b"greeting".to_vec(), End::Closed));
    client.send_segments(&["much ", "later"]);
    client.half_close();
    early.until_closed(1);
    assert_eq!(reason(&second), "");
    assert_eq!(early.errors(), Vec::<String>::new());
    proxy.assert_sound();
}

#[test]
fn a_reset_is_carried_over() {
    let resetting = Endpoint::new(|caller| {
        caller.send("x");
        caller.read_exactly(1);
        caller.reset();
    });
    let proxy = Setup::tcp(&[&resetting]).start();
    let mut client = Client::new(&proxy);
    client.read_exactly(1);
    client.send("y");
    assert_eq!(client.end(), End::Reset);
    assert_eq!(reason(&proxy), "upstream_reset");

    let (saw, see) = std::sync::mpsc::channel();
    let saw = std::sync::Mutex::new(saw);
    let watching = Endpoint::new(move |caller| {
        caller.send("x");
        saw.lock().unwrap().send(caller.read_to_end()).unwrap();
    });
    let proxy = Setup::tcp(&[&watching]).start();
    let mut client = Client::new(&proxy);
    client.read_exactly(1);
    client.reset();
    assert_eq!(see.recv_timeout(Duration::from_secs(5)).unwrap(), (Vec::new(), true));
    assert_eq!(reason(&proxy), "client_aborted");

    // A close with bytes that nobody has read is a reset as well.
    let proxy = Setup::tcp(&[&watching]).start();
    let mut client = Client::new(&proxy);
    client.send("some");
    client.read_exactly(1);
    client.reset();
    assert!(see.recv_timeout(Duration::from_secs(5)).unwrap().1);
}

#[test]
fn faults_are_told_by_the_configured_bytes_or_by_a_reset() {
    let empty = Endpoint::new(|caller| {
        caller.read_until(b"\n");
    });
    let told = "on_error = { connect = \"Failed to connect backend\", empty = \"Backend Error\" }";
    // Nobody listens there, and no other test is given this port.
    let refusing = || "127.0.0.1:1".to_owned();
    let ask = |address: &str, setting: &str, bytes: &str, expected: (&str, End), reason: &str| {
        let mut proxy = Setup::of("tcp", &[address]).listener(setting).start();
        let mut client = Client::new(&proxy);
        // A reset may be there before the bytes are sent: it is told of once, then seems a close.
        let is_sent = client.try_send(bytes.as_bytes()).is_ok();
        let (got, end) = client.read_to_end();
        let end = if is_sent { end } else { End::Reset };
        assert_eq!((String::from_utf8(got).unwrap().as_str(), end), expected, "{reason} {setting}");
        drop(client);
        assert_eq!(proxy.until_log(1)[0].get("reason"), reason, "{setting}");
        proxy.assert_sound();
    };
    let refused = "upstream_connect_refused";
    ask(&refusing(), told, "hello\n", ("Failed to connect backend", End::Closed), refused);
    ask(&refusing(), told, "", ("Failed to connect backend", End::Closed), refused);
    ask(&refusing(), "", "hello\n", ("", End::Reset), refused);
    ask("unix:/nowhere/x.sock", "", "", ("", End::Reset), refused);
    ask(&empty.address, told, "hello\n", ("Backend Error", End::Closed), "upstream_empty_reply");
}

#[test]
fn an_endpoint_that_says_nothing_is_an_ordinary_end_without_setting() {
    let empty = Endpoint::new(|caller| drop(caller.read_until(b"\n")));
    let proxy = Setup::tcp(&[&empty]).start();
    let mut client = Client::new(&proxy);
    client.send("hello\n");
    assert_eq!(client.end(), End::Closed);
    client.half_close();
    assert_eq!(reason(&proxy), "upstream_empty_reply");
}

#[test]
fn a_connection_that_is_idle_in_silence_is_kept() {
    let endpoint = Endpoint::new(echoing);
    let mut proxy = Setup::tcp(&[&endpoint]).start();
    let mut clients: Vec<_> = (0..200).map(|_| Client::new(&proxy)).collect();
    until("all to be connected", || endpoint.accepted() == 200);
    for client in &mut clients {
        client.send("x");
        assert_eq!(client.read_exactly(1), b"x");
    }
    drop(clients);
    proxy.until_log(200);
    proxy.until_metric("fairwater_connections_active", &[], 0);
    proxy.assert_sound();
}

/// Which endpoint each of so many connections in a row comes to.
fn names(proxy: &Proxy, connections: usize) -> Vec<String> {
    let one = |_| {
        let mut client = Client::new(proxy);
        let name = String::from_utf8(client.read_exactly(1)).unwrap();
        client.half_close();
        assert_eq!(client.end(), End::Closed);
        name
    };
    (0..connections).map(one).collect()
}

fn counts(names: &[String]) -> BTreeMap<&str, usize> {
    names.iter().fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name.as_str()).or_default() += 1;
        counts
    })
}

#[test]
fn round_robin_is_exact_also_over_threads() {
    let endpoints = [saying("a"), saying("b"), saying("c")];
    let references: Vec<_> = endpoints.iter().collect();
    for threads in [1, 3] {
        let proxy = Setup::tcp(&references).threads(threads).start();
        let names = names(&proxy, 30);
        let turn: Vec<_> = names[..3].to_vec();
        assert!(names.chunks(3).all(|next| next == turn), "{names:?}");
        assert_eq!(counts(&names), [("a", 10), ("b", 10), ("c", 10)].into());
    }
}

#[test]
fn weights_are_exact_over_a_turn() {
    let endpoints = [saying("a"), saying("b"), saying("c")];
    let list = format!(
        "{{ address = {:?}, weight = 5 }}, {:?}, {{ address = {:?}, weight = 2 }}",
        endpoints[0].address, endpoints[1].address, endpoints[2].address
    );
    let proxy = Setup::tcp(&[]).endpoints(&list).start();
    let names = names(&proxy, 80);
    for turn in names.chunks(8) {
        assert_eq!(counts(turn), [("a", 5), ("b", 1), ("c", 2)].into(), "{names:?}");
    }
    let random = Setup::tcp(&[]).endpoints(&list).upstream("balance = \"random\"").start();
    let drawn = self::names(&random, 400);
    let counts = counts(&drawn);
    assert!((190..310).contains(&counts["a"]), "{counts:?}");
    assert!(counts["b"] > 20 && counts["c"] > counts["b"], "{counts:?}");
}

#[test]
fn source_hash_is_stable() {
    let endpoints = [saying("a"), saying("b"), saying("c")];
    let references: Vec<_> = endpoints.iter().collect();
    let start = || Setup::tcp(&references).upstream("balance = \"source_hash\"").threads(2).start();
    let first = names(&start(), 20);
    assert_eq!(counts(&first).len(), 1, "one client, one endpoint: {first:?}");
    assert_eq!(names(&start(), 3), first[..3], "the same after a restart");
}

#[test]
fn least_connections_goes_where_there_are_fewest() {
    let endpoints = [saying("a"), saying("b"), saying("c")];
    let references: Vec<_> = endpoints.iter().collect();
    let proxy =
        Setup::tcp(&references).upstream("balance = \"least_connections\"").threads(2).start();
    let mut held: Vec<(String, Client)> = Vec::new();
    let open = |held: &mut Vec<(String, Client)>| {
        let mut client = Client::new(&proxy);
        let name = String::from_utf8(client.read_exactly(1)).unwrap();
        held.push((name, client));
    };
    for _ in 0..9 {
        open(&mut held);
    }
    let names: Vec<_> = held.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(counts(&names), [("a", 3), ("b", 3), ("c", 3)].into(), "{names:?}");
    held.retain(|(name, _)| name != "b");
    proxy.until_metric("fairwater_endpoint_in_flight", &[], 6);
    for _ in 0..3 {
        open(&mut held);
        assert_eq!(held.last().unwrap().0, "b");
    }
}

#[test]
#[ignore = "slow: 30 s"]
fn a_half_closed_connection_has_thirty_seconds() {
    let endpoint = Endpoint::new(|caller| {
        caller.half_close();
        caller.until_closed();
    });
    let proxy = Setup::tcp(&[&endpoint]).start();
    let mut client = Client::new(&proxy);
    client.socket.patience(Duration::from_secs(50)).unwrap();
    assert_eq!(client.end(), End::Closed);
    let begun = Instant::now();
    endpoint.until_closed(0);
    until("the line, in half a minute", || {
        !proxy.log().is_empty() || begun.elapsed() > Duration::from_secs(15)
    });
    assert!(proxy.log().is_empty(), "too early");
    until("the line", || !proxy.log().is_empty());
    assert!((28..36).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(reason(&proxy), "idle_timeout");
}

#[test]
fn few_connections_are_spread_over_the_threads() {
    let endpoint = Endpoint::echo("e");
    for (setup, slack) in [(Setup::tcp(&[&endpoint]), 1), (Setup::http(&[&endpoint]), 3)] {
        let mut proxy = setup.threads(3).start();
        let mut clients: Vec<_> = (0..12).map(|_| Client::new(&proxy)).collect();
        // All are served, wherever they are.
        for client in &mut clients {
            assert!(client.get("/").text().starts_with('e'));
        }
        let status = proxy.ask("/status").text();
        let counts = status.split("{\"connections\":").skip(1).take(3);
        let counts: Vec<u32> =
            counts.map(|rest| rest.split('}').next().unwrap().parse().unwrap()).collect();
        let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        assert!(counts.iter().sum::<u32>() == 12 && most - least <= slack, "{counts:?}");
        drop(clients);
        proxy.assert_sound();
    }
}
