//! What becomes of clients when memory or descriptors run short: in a defined order, and of those
//! that are served never anything.

mod buffering;
mod slow;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Directory, Endpoint, Proxy, Setup, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A program in place of the real one: that, with few descriptors.
fn limit_descriptors(directory: &Directory, limit: u32) {
    use std::os::unix::fs::PermissionsExt;
    let real = fairwater_e2e::proxy::binary();
    let script = format!("#!/bin/sh\nulimit -n {limit}\nexec {} \"$@\"\n", real.display());
    let path = directory.join("fairwater");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Answers at once, but for `/wait`, which waits until it is let go.
fn waiting() -> (Endpoint, Arc<AtomicBool>) {
    let is_let_go = Arc::new(AtomicBool::new(false));
    let of_endpoint = Arc::clone(&is_let_go);
    let endpoint = Endpoint::new(move |caller| {
        while let Some(request) = caller.request() {
            if request.target() == "/wait" {
                until("to be let go", || of_endpoint.load(Ordering::Acquire));
            }
            caller.reply(request.method(), "done");
        }
    });
    (endpoint, is_let_go)
}

fn level(proxy: &Proxy) -> u64 {
    proxy.metric("fairwater_overload_level", &[])
}

fn until_level(proxy: &Proxy, expected: u64) {
    until(&format!("level {expected}"), || level(proxy) == expected);
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let (endpoint, is_let_go) = waiting();
    let setup = Setup::http(&[&endpoint]).upstream("idle_timeout = \"1m\"");
    limit_descriptors(setup.directory(), 256);
    let mut proxy = setup.start();
    let said = proxy.said();
    let room = said.split("room for ").nth(1).and_then(|rest| rest.split(' ').next());
    let room: usize = room.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!((50..100).contains(&room), "{said}");
    // Those who are served, and more who are idle than there is room for.
    let mut busy: Vec<_> = (0..10).map(|_| Client::new(&proxy)).collect();
    for client in &mut busy {
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    endpoint.until_requests(10);
    let mut idle = Vec::new();
    for _ in 0..2 * room {
        let mut client = Client::new(&proxy);
        client.send(GET);
        assert_eq!(client.response().unwrap().status(), 200);
        idle.push(client);
    }
    let shed = proxy.metric("fairwater_overload_shed_total", &["side=\"client\""]);
    assert!(shed >= room as u64 / 2, "{shed} of {room}");
    assert!(proxy.metric("fairwater_overload_shed_total", &["side=\"endpoint\""]) > 0);
    // The oldest have gone, and the youngest not.
    for client in &mut idle[..room / 2] {
        assert_eq!(client.end(), End::Closed);
    }
    let shown = proxy.ask("/status").text();
    assert!(shown.contains("\"resource\":\"connections\""), "{shown}");
    is_let_go.store(true, Ordering::Release);
    for client in &mut busy {
        assert_eq!(client.response().unwrap().status(), 200);
    }
    drop((idle, busy));
    until_level(&proxy, 0);
    let said = proxy.said();
    assert!(said.contains("overload: idle connections are closed ("), "{said}");
    until("the word that it is over", || {
        proxy.said().contains("overload is over: all is served (")
    });
    proxy.assert_sound();
}

/// An upload that waits for room in a Unix socket takes a descriptor more, if there is one.
#[test]
fn uploads_wait_for_room_without_a_descriptor_as_well() {
    const BODY: usize = 1 << 20;
    const LIMIT: u32 = 256;
    let is_let_go = Arc::new(AtomicBool::new(false));
    let of_endpoint = Arc::clone(&is_let_go);
    let directory = Directory::new();
    let endpoint = Endpoint::on_unix(&directory.join("endpoint"), move |caller| {
        let begun = caller.read_until(b"\r\n\r\n");
        let head = begun.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        until("to be let go", || of_endpoint.load(Ordering::Acquire));
        let rest = caller.read_exactly(BODY + head - begun.len());
        caller.reply("POST", &(begun.len() - head + rest.len()).to_string());
    });
    let setup = Setup::http(&[&endpoint]);
    limit_descriptors(setup.directory(), LIMIT);
    let mut proxy = setup.start();
    let room =
        proxy.said().split("room for ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\n\r\n");
    let mut clients: Vec<_> = (0..room.parse().unwrap()).map(|_| Client::new(&proxy)).collect();
    clients.iter_mut().for_each(|client| client.send(&head));
    until("all to be there", || endpoint.accepted() == clients.len());
    let upload = |mut client: Client| {
        std::thread::spawn(move || {
            client.send(vec![b'x'; BODY]);
            client.response().map(|reply| (reply.status(), reply.text()))
        })
    };
    let uploads: Vec<_> = clients.into_iter().map(upload).collect();
    until("all descriptors to be used", || proxy.descriptors() == LIMIT as usize);
    is_let_go.store(true, Ordering::Release);
    for upload in uploads {
        assert_eq!(upload.join().unwrap(), Ok((200, BODY.to_string())));
    }
    proxy.assert_sound();
}

/// A head that is not whole takes memory: here nearly as much as one may.
fn slow_head(proxy: &Proxy) -> Client {
    let mut client = Client::new(proxy);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(60_000)));
    client
}

/// Clients that take memory, some more at a time, until there is this level. Threads go by it when
/// they have looked again, which they do twenty times a second.
fn fill(proxy: &Proxy, expected: u64) -> Vec<Client> {
    let mut clients = Vec::new();
    until(&format!("level {expected}"), || {
        if clients.len() < 1000 {
            clients.extend((0..10).map(|_| slow_head(proxy)));
        }
        level(proxy) >= expected
    });
    std::thread::sleep(Duration::from_millis(200));
    clients
}

/// With some 16 MiB until the watermark, and 4 more until the last level.
fn with_little_memory(endpoint: &Endpoint, listener: &str, more: &str) -> Proxy {
    // What a process takes by itself depends on how it was compiled.
    let quiet = Setup::http(&[endpoint]).start();
    let own = (quiet.resident() >> 20) + 16;
    drop(quiet);
    let more = format!("{more}[overload]\nmemory = \"{own}MiB\"\n");
    let slow = "max_head = \"63KiB\"\nrequest_head_timeout = \"1m\"";
    Setup::http(&[endpoint]).listener(slow).listener(listener).more(&more).start()
}

/// Level for level: idle ones go, keep-alive ends, new connections wait, requests are refused. Who
/// is served is served to the end, and then all is as before.
#[test]
fn little_memory_is_left_to_those_who_are_served() {
    let (endpoint, is_let_go) = waiting();
    let mut proxy = with_little_memory(&endpoint, "", "");
    let mut served: Vec<_> = (0..10).map(|_| Client::new(&proxy)).collect();
    for client in &mut served {
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    endpoint.until_requests(10);
    let mut idle = Client::new(&proxy);
    assert_eq!(idle.get("/").status(), 200);
    let mut slow = fill(&proxy, 4);
    assert_eq!(idle.end(), End::Closed);
    // One that becomes a request now is refused, and tells when to come again.
    slow[0].send("\r\n\r\n");
    let reply = slow[0].response().unwrap();
    assert_eq!((reply.status(), reply.field("retry-after")), (503, Some("1")));
    assert!(reply.closes());
    // A new connection waits in the backlog.
    let accepted = proxy.metric("fairwater_connections_total", &[]);
    let mut late = Client::new(&proxy);
    late.send(GET);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(proxy.metric("fairwater_connections_total", &[]), accepted);
    assert_eq!(proxy.ask("/live").status(), 200);
    assert_eq!(proxy.ask("/ready").status(), 503);
    is_let_go.store(true, Ordering::Release);
    for client in &mut served {
        let reply = client.response().unwrap();
        assert_eq!((reply.status(), reply.closes()), (200, true));
    }
    drop(slow);
    assert_eq!(late.response().unwrap().status(), 200);
    until_level(&proxy, 0);
    assert_eq!(proxy.ask("/ready").status(), 200);
    let mut client = Client::new(&proxy);
    until("keep-alive to be granted", || {
        client = Client::new(&proxy);
        !client.get("/").closes()
    });
    assert_eq!(client.get("/").status(), 200);
    let said = proxy.said();
    for words in ["overload: new requests are refused (memory ", "overload is over: all is served"]
    {
        assert!(said.contains(words), "{said}");
    }
    proxy.assert_sound();
}

/// Where a listener answers probes it accepts connections to the last, and refuses requests
/// instead.
#[test]
fn probes_are_answered_to_the_last() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = with_little_memory(&endpoint, "when_full = \"reject\"", PROBES);
    let slow = fill(&proxy, 3);
    let ask = |target: &str| Client::new(&proxy).get(target);
    let live = ask("/live");
    assert_eq!((live.status(), live.closes()), (200, true));
    let ready = ask("/ready");
    assert_eq!((ready.status(), ready.text()), (503, "overloaded\n".to_owned()));
    let refused = ask("/");
    assert_eq!((refused.status(), refused.field("retry-after")), (503, Some("1")));
    let counted = || proxy.metric("fairwater_faults_total", &["reason=\"overloaded\""]);
    until("it to be counted", || counted() == 1);
    drop(slow);
    until_level(&proxy, 0);
    until("/ready to say so", || Client::new(&proxy).get("/ready").status() == 200);
    assert!(proxy.log().iter().any(|line| line.get("reason") == "overloaded"));
    proxy.assert_sound();
}

const PROBES: &str = "[[routes]]\nlistener = \"web\"\npath = \"/live\"\nrespond = \"live\"\n\
                      [[routes]]\nlistener = \"web\"\npath = \"/ready\"\nrespond = \"ready\"\n";

/// Who asks in vain whether the process lives would end it. There is room for a few of them.
#[test]
fn who_probes_gets_in_where_all_connections_are_taken() {
    for when_full in ["wait", "reject"] {
        let endpoint = Endpoint::echo("e");
        let mut proxy = Setup::http(&[&endpoint])
            .top("max_connections = 2")
            .listener(&format!("when_full = {when_full:?}"))
            .more(PROBES)
            .start();
        let client = |target: &str| {
            let mut client = Client::new(&proxy);
            let status = client.get(target).status();
            (client, status)
        };
        let mut served: Vec<_> = (0..2).map(|_| client("/")).collect();
        let mut probes: Vec<_> = (0..8).map(|_| client("/ready")).collect();
        let all = served.iter().chain(&probes);
        assert!(all.map(|(_, status)| *status).all(|status| status == 200), "{when_full}");
        let accepted = || proxy.metric("fairwater_connections_total", &[]);
        assert_eq!(accepted(), 10);
        let mut late = Client::new(&proxy);
        late.send("GET /live HTTP/1.1\r\nHost: a\r\n\r\n");
        match when_full {
            "wait" => {
                // Those who are in are answered meanwhile, and it is not let in.
                for (client, _) in &mut served {
                    (0..10).for_each(|_| assert_eq!(client.get("/").status(), 200));
                }
                assert_eq!(accepted(), 10);
                drop(probes.pop());
                assert_eq!(late.response().unwrap().status(), 200);
            }
            _ => {
                assert_eq!(late.response().unwrap().status(), 503);
                drop(probes.pop());
                until("a probe is let in", || client("/live").1 == 200);
            }
        }
        proxy.assert_sound();
    }
}

/// New connections are told at once where the listener is set so.
#[test]
fn new_connections_are_rejected_where_that_is_set() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = with_little_memory(&endpoint, "when_full = \"reject\"", "");
    let slow = fill(&proxy, 3);
    assert_eq!(Client::new(&proxy).get("/").status(), 503);
    assert!(proxy.metric("fairwater_connections_refused_total", &[]) > 0);
    drop(slow);
    until_level(&proxy, 0);
    proxy.assert_sound();
}

/// A client of HTTP/2 on which nothing runs is told to go, and goes.
#[test]
fn idle_clients_of_http2_are_sent_away() {
    use std::io::{Read, Write};
    let endpoint = Endpoint::echo("e");
    let mut proxy = with_little_memory(&endpoint, "", "");
    let mut client = Client::new(&proxy);
    client.socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let head = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 1, 1, b'a'];
    client.socket.write_all(&head).unwrap();
    let slow = fill(&proxy, 1);
    let mut bytes = Vec::new();
    client.socket.read_to_end(&mut bytes).unwrap();
    // The last frames: GOAWAY, without an error.
    let has_goaway = bytes.windows(9).any(|head| head[3] == 7 && head[..3] == [0, 0, 8]);
    assert!(has_goaway, "{bytes:?}");
    drop(slow);
    proxy.assert_sound();
}

/// `off` looks at nothing.
#[test]
fn it_can_be_turned_off() {
    let endpoint = Endpoint::echo("e");
    let more = "[overload]\nmemory = \"off\"\ndescriptors = \"off\"\n";
    let proxy = Setup::http(&[&endpoint]).more(more).start();
    let text = proxy.metrics();
    assert!(!text.contains("fairwater_overload_used{"), "{text}");
    assert_eq!(level(&proxy), 0);
    let proxy = Setup::http(&[&endpoint]).start();
    for resource in ["memory", "descriptors", "connections"] {
        let label = format!("resource={resource:?}");
        until("what is used to be measured", || {
            proxy.metrics().contains(&format!("fairwater_overload_used{{{label}}}"))
        });
        let mark = proxy.metric("fairwater_overload_watermark", &[&label]);
        assert!(mark > proxy.metric("fairwater_overload_used", &[&label]), "{resource}");
    }
}
