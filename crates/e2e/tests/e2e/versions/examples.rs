//! The examples about HTTP/2, WebSocket and gRPC, with peers that speak them.

use fairwater_e2e::{Endpoint, Peer, Setup, until_some};

use crate::tls::Pki;
use crate::tls::examples::{curl, start};
use crate::{grpc, websocket};

#[test]
fn http2_of_the_examples_is_spoken_on_both_sides() {
    let [app, old] = ["app", "old"].map(Endpoint::echo);
    let backs = [(); 2].map(|()| Setup::http(&[&app]).start());
    let [one, other] = backs.each_ref().map(|back| &*back.address);
    let endpoints = [("9001", one), ("9002", other), ("9003", &*old.address)];
    let mut proxy = start("http2.toml", &endpoints);
    let output = curl(&proxy, &["-w", "%{http_version}"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "app: GET / 0\n2");
    let line = until_some("a line", || backs.iter().find_map(|back| back.log().pop()));
    assert_eq!(line.get("protocol"), "HTTP/2");
    let output =
        curl(&proxy, &["--http1.1", "-w", "%{http_version}", "--request-target", "/old/a"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "old: GET /old/a 0\n1.1");
    proxy.assert_sound();
}

#[test]
fn grpc_of_the_examples_is_balanced_and_tried_again() {
    let (Some((_one, a)), Some((_other, b))) = (grpc::server("a", None), grpc::server("b", None))
    else {
        return;
    };
    let mut proxy = start("grpc.toml", &[("9101", &a), ("9102", &b), ("9201", &a)]);
    let refused = "refused by one";
    grpc::check(
        &proxy,
        None,
        &[("many come", "200 1800000"), (refused, "1 OK"), (refused, "1 OK"), ("both ways", "100")],
    );
    proxy.assert_sound();
}

#[test]
fn websockets_of_the_examples_reach_servers_of_either_version() {
    let pki = Pki::new();
    let servers = ["python", "h1", "h2"].map(|kind| websocket::server(kind, "with", &pki));
    let [Some((_one, chat)), Some((_other, other)), Some((_live, live))] = servers else { return };
    let app = Endpoint::echo("e");
    let endpoints = [("9001", &*app.address), ("9101", &chat), ("9102", &other), ("9201", &live)];
    let mut proxy = start("websocket.toml", &endpoints);
    for client in ["python", "h1", "h2"] {
        for path in ["/chat", "/live"] {
            let mut command = websocket::client(client, &proxy, &pki).unwrap();
            let said = Peer::run(command.env("BASE", path).env("ONLY", "large"));
            assert_eq!(said, "large: True\n", "{client} {path}");
        }
    }
    proxy.assert_sound();
}
