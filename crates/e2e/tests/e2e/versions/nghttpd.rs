//! Endpoints by the library of nghttp2, for curl over both versions.

use std::process::Command;

use fairwater_e2e::{Directory, Setup};

use crate::peers::{Server, free_address, program};
use crate::tls::{LOCAL, Pki};

const LARGE: usize = 3_000_001;

#[track_caller]
fn check(is_secured: bool) {
    let (Some(nghttpd), Some(curl)) = (program("nghttpd"), program("curl")) else { return };
    let (documents, pki, address) = (Directory::new(), Pki::new(), free_address());
    let large: Vec<u8> = (0..LARGE).map(|n| ((n * 7) >> 5) as u8).collect();
    std::fs::write(documents.join("large.bin"), &large).unwrap();
    let mut command = Command::new(nghttpd);
    command.args(["--echo-upload", "--trailer=x-end: 1", "--address=127.0.0.1", "--htdocs"]);
    command.arg(documents.path());
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut setup = Setup::of("http", &[&address]).listener("http2 = true");
    if is_secured {
        pki.pair("site", LOCAL);
        command.args([port, &pki.file("site.key"), &pki.file("site.pem")]);
        setup = setup.upstream(&format!("tls = {{ ca = {:?} }}", pki.file("ca.pem")));
    } else {
        command.args(["--no-tls", port]);
        setup = setup.upstream("http2 = true");
    }
    let _server = Server::start(address.clone(), &mut command);
    let mut proxy = setup.start();
    let run = |version: &str, path: &str, words: &[&str]| {
        let mut command = Command::new(&curl);
        command.args(["-sS", "--max-time", "20", version, "-w", "%{stderr}%{http_code} "]);
        command.args(words).arg(format!("http://{}/{path}", proxy.address));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8_lossy(&output.stderr).trim().to_owned(), output.stdout)
    };
    let large_file = documents.join("large.bin");
    let upload = ["--data-binary", &format!("@{}", large_file.display()), "-H", "Expect:"];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for words in [&[][..], &upload] {
            let (status, body) = run(version, "large.bin", words);
            assert!(status == "200" && body == large, "{status}, {} bytes", body.len());
        }
        let (status, head) = run(version, "large.bin", &["--head"]);
        let head = String::from_utf8(head).unwrap();
        let field = |name: &str| {
            let of_line = |line: &str| Some(line.split_once(": ")?.1.to_owned());
            let mut lines = head.lines();
            lines.find(|line| line.to_ascii_lowercase().starts_with(name)).and_then(of_line)
        };
        assert_eq!((&*status, field("content-length")), ("200", Some(LARGE.to_string())));
        let since = format!("If-Modified-Since: {}", field("last-modified").unwrap());
        assert_eq!(run(version, "large.bin", &["-H", &since]), ("304".to_owned(), Vec::new()));
        assert_eq!(run(version, "nothing", &["-o", "/dev/null"]).0, "404");
    }
    let lines = proxy.until_log(10);
    let bad = lines.iter().find(|line| !line.get("reason").is_empty());
    assert!(bad.is_none(), "{bad:?}");
    assert_eq!(proxy.metric("fairwater_endpoint_connections", &[]), 1, "one for all");
    proxy.assert_sound();
}

#[test]
fn nghttpd_answers_in_clear() {
    check(false);
}

#[test]
fn nghttpd_answers_over_tls() {
    check(true);
}
