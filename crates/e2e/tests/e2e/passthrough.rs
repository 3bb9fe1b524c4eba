//! TLS that is passed through: the endpoint is chosen by the host that the client asks for.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fairwater_e2e::{Client, Directory, Endpoint, Proxy, Setup};

use crate::tls::Pki;

/// What comes after the list of endpoints of the first upstream: names that lead to others.
fn routes(names: &[(&str, &Proxy)]) -> String {
    let table = |(number, (host, proxy)): (usize, &(&str, &Proxy))| {
        format!(
            "[[routes]]\nlistener = \"web\"\nhost = {host:?}\nupstream = \"u{number}\"\n\
             [upstreams.u{number}]\nendpoints = [{:?}]\n",
            proxy.address
        )
    };
    names.iter().enumerate().map(table).collect()
}

/// An endpoint that speaks TLS for a name.
fn behind(pki: &Pki, endpoint: &Endpoint, name: &str) -> Proxy {
    let file = name.replace('*', "any");
    let tls = pki.pair(&file, &format!("DNS:{name}")).table(&file);
    Setup::http(&[endpoint]).listener(&format!("tls = {tls}")).start()
}

fn curl(pki: &Pki, proxy: &Proxy, host: &str) -> Output {
    let to = format!("::{}", proxy.address);
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--cacert", &pki.file("ca.pem"), "--connect-to", &to]);
    command.arg(format!("https://{host}/")).output().unwrap()
}

#[track_caller]
fn answer(pki: &Pki, proxy: &Proxy, host: &str) -> String {
    let output = curl(pki, proxy, host);
    assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn vector(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

/// The first message of a client that asks for a host, in records of so many bytes.
fn hello(host: &str, record_bytes: usize) -> Vec<u8> {
    let name = vector(&[&[0][..], &vector(host.as_bytes())].concat());
    let extensions = vector(&[&[0, 0][..], &vector(&name)].concat());
    let start = [&[3, 3][..], &[7; 32], b"\0\0\x02\x13\x01\x01\0"].concat();
    let body = [start, extensions].concat();
    let message = [&[1, 0][..], &vector(&body)].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &vector(part)].concat();
    message.chunks(record_bytes).flat_map(record).collect()
}

#[test]
fn sessions_go_to_the_endpoints_of_their_hosts() {
    let pki = Pki::new();
    let [a, b, other] = ["a", "b", "o"].map(Endpoint::echo);
    let [at_a, at_b, at_other] = [(&a, "a.example"), (&b, "*.b.example"), (&other, "c.example")]
        .map(|(endpoint, name)| behind(&pki, endpoint, name));
    let names = routes(&[("a.example", &at_a), ("*.b.example", &at_b)]);
    let front = Setup::of("tcp", &[&at_other.address]).more(&names).start();
    for (host, expected, upstream) in [
        ("a.example", 'a', "u0"),
        ("A.EXAMPLE", 'a', "u0"),
        ("x.b.example", 'b', "u1"),
        ("c.example", 'o', "app"),
    ] {
        let lines = front.log().len();
        assert!(answer(&pki, &front, host).starts_with(expected), "{host}");
        let line = &front.until_log(lines + 1)[lines];
        let asked = host.to_ascii_lowercase();
        assert_eq!((line.get("tls_server_name"), line.get("upstream")), (&*asked, upstream));
        // It is nobody's but the endpoint's.
        assert_eq!(line.get("tls_version"), "");
    }
    // Who speaks no TLS, or names nobody, gets what is there for all.
    let mut clear = Client::new(&front);
    clear.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    clear.read_to_end();
    drop(clear);
    let line = &front.until_log(5)[4];
    assert_eq!((line.get("upstream"), line.get("reason")), ("app", ""));
}

#[test]
fn no_byte_is_lost_however_the_message_is_split() {
    let (mirror, refused) = (Endpoint::mirror(), Endpoint::mirror());
    let names = format!(
        "[[routes]]\nlistener = \"web\"\nhost = \"a.example\"\nupstream = \"a\"\n\
         [upstreams.a]\nendpoints = [{:?}]\n",
        mirror.address
    );
    let front = Setup::tcp(&[&refused]).more(&names).start();
    for record_bytes in [9000, 50, 1] {
        let bytes = hello("a.example", record_bytes);
        let segments: Vec<_> = bytes.chunks(1).map(<[u8]>::to_vec).collect();
        for segments in [vec![bytes.clone()], segments] {
            let mut client = Client::new(&front);
            client.send_segments(&segments);
            client.send("and more");
            let expected = [&bytes[..], b"and more"].concat();
            assert_eq!(client.read_exactly(expected.len()), expected);
        }
    }
    assert_eq!(refused.accepted(), 0);
}

#[test]
fn who_asks_for_nobody_is_told() {
    let endpoint = Endpoint::mirror();
    let front = Setup::tcp(&[&endpoint])
        .without_route()
        .listener("tls_handshake_timeout = \"500ms\"")
        .more("[[routes]]\nlistener = \"web\"\nhost = \"a.example\"\nupstream = \"app\"\n")
        .start();
    let alert = |kind: u8| vec![21, 3, 3, 0, 2, 2, kind];
    let long = hello(&"a".repeat(9000), 1);
    let huge = [&[22, 3, 1, 0, 4, 1][..], &[255, 255, 255]].concat();
    let broken = [&hello("a.example", 9000)[..60], &[255; 30]].concat();
    let cases = [
        (hello("b.example", 9000), alert(112), "no_route"),
        (hello("a.example\0.b", 9000), alert(112), "no_route"),
        (hello("127.0.0.1", 9000), alert(112), "no_route"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new(), "tls_handshake_failed"),
        (b"\x80\x2e\x01\x03\x01\0".to_vec(), Vec::new(), "tls_handshake_failed"),
        (long, alert(50), "tls_handshake_failed"),
        (huge, alert(50), "tls_handshake_failed"),
        (broken, alert(50), "tls_handshake_failed"),
        (b"\x16\x03\x01\0\0".to_vec(), alert(50), "tls_handshake_failed"),
        (hello("a.example", 9000)[..40].to_vec(), Vec::new(), "tls_handshake_timeout"),
        (Vec::new(), Vec::new(), "tls_handshake_timeout"),
    ];
    for (count, (bytes, expected, reason)) in cases.into_iter().enumerate() {
        let mut client = Client::new(&front);
        client.send(&bytes);
        if !expected.is_empty() {
            assert_eq!(client.read_exactly(7), expected, "{reason}: {bytes:?}");
            client.half_close();
        }
        assert_eq!(client.read_to_end().0, b"", "{reason}");
        let line = &front.until_log(count + 1)[count];
        assert_eq!(line.get("reason"), reason, "{bytes:?}");
        // In vain as it was, the name that was asked for is told.
        let name = if count == 0 { "b.example" } else { line.get("tls_server_name") };
        assert_eq!(line.get("tls_server_name"), name);
    }
    // One that is cut off, and a probe.
    let mut client = Client::new(&front);
    client.send(&hello("a.example", 9000)[..40]);
    client.half_close();
    client.read_to_end();
    assert_eq!(front.until_log(12)[11].get("reason"), "client_aborted");
    Client::new(&front).half_close();
    assert_eq!(front.until_log(13)[12].get("reason"), "");
    assert_eq!(endpoint.accepted(), 0);
    let mut client = Client::new(&front);
    let good = hello("a.example", 9000);
    client.send(&good);
    assert_eq!(client.read_exactly(good.len()), good);
}

#[test]
fn sessions_of_ours_have_hosts_as_well() {
    let pki = Pki::new();
    pki.pair("site", "DNS:a.example,DNS:b.example");
    let [a, b] = ["a", "b"].map(Endpoint::echo);
    let names = format!(
        "[[routes]]\nlistener = \"web\"\nhost = \"a.example\"\nupstream = \"a\"\n\
         [upstreams.a]\nendpoints = [{:?}]\n\
         [[routes]]\nlistener = \"web\"\nhost = \"b.example\"\nupstream = \"app\"\n",
        a.address
    );
    let tls = format!("tls = {}", pki.table("site"));
    let front = Setup::tcp(&[&b]).without_route().listener(&tls).more(&names).start();
    assert!(answer(&pki, &front, "a.example").starts_with('a'));
    assert!(answer(&pki, &front, "b.example").starts_with('b'));
    assert!(!curl(&pki, &front, "c.example").status.success());
    let line = &front.until_log(3)[2];
    assert_eq!((line.get("reason"), line.get("upstream")), ("no_route", ""));
}

#[test]
fn sessions_survive_reloads_and_upgrades() {
    let [before, after] = [Endpoint::mirror(), Endpoint::mirror()];
    let mut front = Setup::tcp(&[&before])
        .without_route()
        .more(&format!(
            "[[routes]]\nlistener = \"web\"\nhost = \"a.example\"\nupstream = \"app\"\n\
             [upstreams.next]\nendpoints = [{:?}]\n\
             [[routes]]\nlistener = \"web\"\nhost = \"b.example\"\nupstream = \"next\"\n",
            after.address
        ))
        .upgradable()
        .start();
    let bytes = hello("a.example", 9000);
    let mut client = Client::new(&front);
    client.send(&bytes);
    assert_eq!(client.read_exactly(bytes.len()), bytes);
    front.edit("host = \"a.example\"", "host = \"c.example\"");
    front.reload_well();
    client.send("still");
    assert_eq!(client.read_exactly(5), b"still");
    front.upgrade_well();
    client.send("there");
    assert_eq!(client.read_exactly(5), b"there");
    client.half_close();
    assert_eq!(client.read_to_end().0, b"");
    let line = &front.until_log(1)[0];
    assert_eq!((line.get("tls_server_name"), line.get("upstream")), ("a.example", "app"));
    let mut stranger = Client::new(&front);
    stranger.send(&bytes);
    assert_eq!(stranger.read_exactly(7)[6], 112);
    drop(stranger);
    front.assert_sound();
}

#[test]
fn the_example_works() {
    let endpoints = [(); 4].map(|()| Endpoint::mirror());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/passthrough.toml");
    let mut text = fs::read_to_string(file).unwrap().replace("127.0.0.1:8443", "127.0.0.1:0");
    for (endpoint, port) in endpoints.iter().zip(9443..) {
        let address = format!("127.0.0.1:{port}");
        assert!(text.contains(&address));
        text = text.replace(&address, &endpoint.address);
    }
    let directory = Directory::new();
    fs::write(directory.join("fairwater.toml"), text).unwrap();
    let front = Proxy::start(directory, &[]).unwrap();
    let hosts = ["example.com", "mail.example.com", "a.shop.example.com", "b.shop.example.com"];
    for host in hosts {
        let (bytes, mut client) = (hello(host, 9000), Client::new(&front));
        client.send(&bytes);
        assert_eq!(client.read_exactly(bytes.len()), bytes);
    }
    assert_eq!(endpoints.map(|endpoint| endpoint.accepted()), [1; 4]);
}
