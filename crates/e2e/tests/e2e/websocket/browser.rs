//! A page in a browser, whose WebSocket goes over the connection that the page came by.

use std::process::Command;

use fairwater_e2e::{Directory, Peer, until_some};

use super::{server, setup};
use crate::peers::program;
use crate::tls::{LOCAL, Pki};

/// A browser that looks at a page for as long as it lives, and at nothing else.
fn browser(directory: &Directory, url: &str) -> Option<Peer> {
    let mut command = Command::new(program("chromium")?);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update"]);
    command.args(["--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors"]);
    command.arg(format!("--user-data-dir={}", directory.path().display()));
    Some(Peer::start(command.arg(url)))
}

#[test]
fn a_browser_has_its_websocket_over_http2() {
    let pki = Pki::new();
    pki.pair("site", LOCAL);
    let Some((server, address)) = server("h1", "with", &pki) else { return };
    let mut proxy = setup(("h2s", "h1"), &address, &pki).start();
    let (_, port) = proxy.address.rsplit_once(':').unwrap();
    let directory = Directory::new();
    let Some(browser) = browser(&directory, &format!("https://localhost:{port}/page")) else {
        return;
    };
    assert_eq!(server.word("told "), "from a page");
    drop(browser);
    let line = |target: &str| proxy.log().into_iter().find(|line| line.get("target") == target);
    let tunnel = until_some("the end of the tunnel", || line("/echo"));
    let page = line("/page").unwrap();
    for line in [&page, &tunnel] {
        assert_eq!((line.get("protocol"), line.get("status")), ("HTTP/2", "200"), "{line:#?}");
    }
    assert_eq!(page.get("client_port"), tunnel.get("client_port"), "one connection");
    proxy.assert_sound();
}
