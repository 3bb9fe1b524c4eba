//! WebSockets by the libraries of Python and Node, over HTTP/1.1 and over streams of HTTP/2 (RFC
//! 8441), on either side.

mod browser;
mod lasting;
mod relayed;
mod streams;

use std::process::Command;

use fairwater_e2e::peer::{node, python};
use fairwater_e2e::{Peer, Proxy, Setup};

use crate::tls::Pki;

/// A server of `kind`: h1, h1s, h2 or h2s of Node, or `python` and `pythons`; with an s over TLS.
pub(crate) fn server(kind: &str, with: &str, pki: &Pki) -> Option<(Peer, String)> {
    let mut command = match kind.starts_with("python") {
        true => python(include_str!("server.py"))?,
        false => node(include_str!("server.js"))?,
    };
    if !kind.starts_with("python") {
        command.args([kind, with]);
    }
    if kind.ends_with('s') {
        command.args([pki.file("site.pem"), pki.file("site.key")]);
    }
    let peer = Peer::start(&mut command);
    let address = peer.word("listens on ");
    Some((peer, address))
}

/// A client that goes through all of its cases, or the one that `ONLY` names, at paths below
/// `BASE`. The kinds are those of [`server`].
pub(crate) fn client(kind: &str, proxy: &Proxy, pki: &Pki) -> Option<Command> {
    let trust = if kind.ends_with('s') { pki.file("ca.pem") } else { String::new() };
    let mut command = match kind.starts_with("python") {
        true => python(include_str!("client.py"))?,
        false => node(include_str!("client.js"))?,
    };
    if !kind.starts_with("python") {
        command.arg(kind);
    }
    command.args([&proxy.address, &trust]);
    Some(command)
}

/// A proxy between a client and a server of these kinds.
fn setup((of_client, of_server): (&str, &str), address: &str, pki: &Pki) -> Setup {
    let mut setup = Setup::of("http", &[address]).listener("http2 = true");
    if of_client.ends_with('s') {
        setup = setup.listener(&format!("tls = {}", pki.table("site")));
    }
    if of_server.ends_with('s') {
        setup = setup.upstream(&format!("tls = {{ ca = {:?} }}", pki.file("ca.pem")));
    } else if of_server == "h2" {
        setup = setup.upstream("http2 = true");
    }
    setup
}
