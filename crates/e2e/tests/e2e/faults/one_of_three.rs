//! One endpoint of three fails: the others make up for it.

use std::net::TcpStream;

use socket2::{Domain, Socket, Type};

use super::*;

#[test]
fn a_killed_endpoint_costs_no_request() {
    let (mut all, setup) = three();
    let mut proxy = setup.start();
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME);
    all[1].kill();
    clients.until_asked(SOME);
    all[1].revive();
    clients.until_asked(SOME);
    clients.end().assert_none_failed();
    proxy.assert_sound();
}

#[test]
fn an_endpoint_that_flaps_costs_no_request() {
    let (mut all, setup) = three();
    // Short ejections, so that it is used each time that it is there.
    let mut proxy = setup.upstream("outlier = { ejection = \"100ms\" }").start();
    let clients = Clients::start(&proxy);
    for _ in 0..6 {
        clients.until_asked(SOME);
        all[1].kill();
        clients.until_asked(SOME / 2);
        all[1].revive();
    }
    clients.end().assert_none_failed();
    assert!(all[1].asked() > 0);
    proxy.assert_sound();
}

#[test]
fn a_rolling_restart_costs_no_request() {
    let (mut all, setup) = three();
    let mut proxy = setup.upstream("health = \"/healthz\"").start();
    let clients = Clients::start(&proxy);
    for one in &mut all {
        clients.until_asked(SOME);
        one.kill();
        clients.until_asked(SOME);
        one.revive();
    }
    clients.until_asked(SOME);
    clients.end().assert_none_failed();
    proxy.assert_sound();
}

/// What has begun to arrive cannot be asked for again.
#[test]
fn bodies_that_break_off_are_cut_until_the_endpoint_is_left_alone() {
    check_failing(Manner::Reset, "", "cut");
}

#[test]
fn errors_are_passed_on_until_the_endpoint_is_left_alone() {
    check_failing(Manner::Error, "", "500");
}

#[test]
fn silence_costs_a_timeout_until_the_endpoint_is_left_alone() {
    check_failing(Manner::Silent, "response_timeout = \"200ms\"", "504");
}

#[track_caller]
fn check_failing(manner: Manner, lines: &str, word: &str) {
    let (all, setup) = three();
    let mut proxy = setup.upstream(lines).start();
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME);
    all[1].is_now(manner);
    clients.until_asked(SOME * 3);
    all[1].is_now(Manner::Good);
    clients.end().assert_failed(word, ROW);
    proxy.assert_sound();
}

#[test]
fn a_slow_endpoint_gets_less_where_connections_are_counted() {
    let (all, setup) = three();
    let mut proxy = setup.upstream("balance = \"least_connections\"").start();
    all[1].is_now(Manner::Slow);
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME * 3);
    clients.end().assert_none_failed();
    let asked = all.each_ref().map(Unsound::asked);
    // Half of its share would be a sixth of all.
    assert!(asked[1] * 6 < asked.iter().sum(), "{asked:?}");
    proxy.assert_sound();
}

/// The kernel answers no connection to it: each that is tried waits for its whole time.
#[test]
fn a_full_queue_delays_some_and_fails_none() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let _queued: Vec<_> = std::iter::from_fn(connect).take(16).collect();
    let good = [Unsound::new(), Unsound::new()];
    let addresses =
        [&*good[0].address, &*address.to_string(), &*good[1].address].map(str::to_owned);
    let addresses = addresses.each_ref().map(String::as_str);
    let setup = Setup::of("http", &addresses).threads(2);
    let mut proxy = setup.upstream("connect_timeout = \"300ms\"").start();
    let clients = Clients::start(&proxy);
    clients.until_asked(SOME * 3);
    let seen = clients.end();
    seen.assert_none_failed();
    let slow = seen.slower_than(Duration::from_millis(290));
    assert!((1..=ROW).contains(&slow), "{slow}");
    proxy.assert_sound();
}
