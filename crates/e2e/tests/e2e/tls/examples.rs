//! The examples about TLS and balancers in front, with requests as they say that it is tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fairwater_e2e::{Client, Directory, Endpoint, Proxy};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// An example with endpoints in place of its own, on any free port, and with a log to look at.
pub(crate) fn start(name: &str, endpoints: &[(&str, &str)]) -> Proxy {
    let mut text = fs::read_to_string(examples().join(name)).unwrap();
    for port in ["8080", "8081", "8443"] {
        for host in ["127.0.0.1", ""] {
            let bind = format!("bind = \"{host}:{port}\"");
            text = text.replace(&bind, "bind = \"127.0.0.1:0\"");
        }
    }
    let tls = examples().join("tls").canonicalize().unwrap();
    text = text.replace("\"tls/", &format!("\"{}/", tls.display()));
    for (own, address) in endpoints {
        text = text.replace(&format!("127.0.0.1:{own}"), address);
    }
    let directory = Directory::new();
    let path = directory.path().display();
    let more = format!(
        "[access_log]\npath = \"{path}/access.log\"\n[admin]\nsocket = \"{path}/admin.sock\"\n"
    );
    fs::write(directory.join("fairwater.toml"), format!("{more}{text}")).unwrap();
    Proxy::start(directory, &[]).unwrap_or_else(|said| panic!("{name}: {said}"))
}

/// curl with files of the examples, for the name in their certificate.
pub(crate) fn curl(proxy: &Proxy, words: &[&str]) -> Output {
    let port = proxy.address.rsplit(':').next().unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20"]).args(words).current_dir(examples());
    command.args(["--cacert", "tls/site.pem", &format!("https://localhost:{port}/")]);
    command.output().unwrap()
}

#[test]
fn tls_of_the_examples_is_what_they_say() {
    let endpoint = Endpoint::echo("e");
    let proxy = start("tls.toml", &[("9001", &endpoint.address)]);
    let output = curl(&proxy, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(endpoint.requests()[0].field("x-forwarded-proto"), Some("https"));

    let endpoint = Endpoint::echo("e");
    let mut proxy = start("mtls.toml", &[("9001", &endpoint.address)]);
    let liar = ["-H", "X-Client-Subject: CN=root"];
    assert!(!curl(&proxy, &liar).status.success(), "nobody comes in without a certificate");
    // That of the server is signed by another authority.
    let other = ["--cert", "tls/site.pem", "--key", "tls/site.key"];
    assert!(!curl(&proxy, &other).status.success());
    assert_eq!(endpoint.accepted(), 0);
    let me = ["--cert", "tls/client.pem", "--key", "tls/client.key", liar[0], liar[1]];
    let output = curl(&proxy, &me);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let request = endpoint.requests().remove(0);
    assert_eq!(request.field("x-client-subject"), Some("CN=me"));
    assert_eq!(request.field("x-client-fingerprint").map(str::len), Some(64));
    assert_eq!(proxy.until_log(1)[0].get("client_subject"), "CN=me");
    proxy.assert_sound();
}

#[test]
fn the_balancer_of_the_examples_is_believed() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = start("behind-a-balancer.toml", &[("9001", &endpoint.address)]);
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--haproxy-protocol"]);
    let output = command.arg(format!("http://{}/", proxy.address)).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "e: GET / 0\n");
    assert_eq!(proxy.until_log(1)[0].get("client"), "127.0.0.1");
    let mut client = Client::new(&proxy);
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n");
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(proxy.until_log(2)[1].get("client"), "192.0.2.7");
    let request = endpoint.requests().pop().unwrap();
    assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(Client::new(&proxy).get("/").status(), 200, "without a header as well");
    proxy.assert_sound();
}
