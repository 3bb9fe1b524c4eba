//! Real programs that speak in datagrams.

use std::process::{Command, Stdio};

use fairwater_e2e::datagrams::target;
use fairwater_e2e::{Directory, Peer, Setup, until};

use crate::peers::{free_address, port_of, program};

/// Names that a resolver knows by itself.
const NAMES: u32 = 20;

#[test]
fn dig_asks_dnsmasq_through_us() {
    let (Some(dnsmasq), Some(dig)) = (program("dnsmasq"), program("dig")) else { return };
    let directory = Directory::new();
    let resolvers: Vec<_> = (1..=2)
        .map(|which| {
            let address = free_address();
            let mut command = Command::new(&dnsmasq);
            command.args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ]);
            command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"]);
            command.arg(format!("--port={}", port_of(&address)));
            let pid_file = directory.join(&format!("{which}.pid"));
            command.arg(format!("--pid-file={}", pid_file.display()));
            for number in 0..NAMES {
                command.arg(format!("--address=/n{number}.example/10.{which}.0.{number}"));
            }
            (Peer::start(&mut command), address)
        })
        .collect();
    let addresses: Vec<_> = resolvers.iter().map(|(_, address)| address.as_str()).collect();
    let mut proxy = Setup::of("udp", &addresses)
        .listener("max_replies = 1\nidle_timeout = \"3s\"")
        .upstream("balance = \"round_robin\"")
        .start();
    let port = target(&proxy).port().to_string();
    let ask = |name: &str, more: &[&str]| {
        let mut command = Command::new(&dig);
        command.args(["@127.0.0.1", "-p", &port, "+short", "+tries=5", "+timeout=2", name]);
        Peer::run(command.args(more)).trim().to_owned()
    };
    until("the resolvers to be there", || {
        (0..2).all(|_| ask("n0.example", &[]).starts_with("10."))
    });
    let mut seen = [0; 2];
    for number in 0..NAMES {
        let answer = ask(&format!("n{number}.example"), &[]);
        let which = (1..=2).find(|which| answer == format!("10.{which}.0.{number}"));
        seen[which.unwrap_or_else(|| panic!("{answer}")) - 1] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    proxy.until_metric("fairwater_connections_active", &[], 0);
    proxy.assert_sound();
}

/// It drops what comes from a proxy without a header, and answers by who the header names.
#[test]
fn powerdns_reads_the_header_of_each_datagram() {
    let (Some(recursor), Some(dig)) = (program("pdns_recursor"), program("dig")) else { return };
    let directory = Directory::new();
    let (hosts, address) = (directory.join("hosts"), free_address());
    std::fs::write(&hosts, "10.0.0.7 known.example\n").unwrap();
    let mut command = Command::new(recursor);
    for setting in [
        format!("--config-dir={}", directory.path().display()),
        format!("--socket-dir={}", directory.path().display()),
        format!("--etc-hosts-file={}", hosts.display()),
        format!("--local-port={}", port_of(&address)),
        "--local-address=127.0.0.1".to_owned(),
        "--export-etc-hosts=yes".to_owned(),
        "--proxy-protocol-from=127.0.0.0/8".to_owned(),
        // Whoever is not named so is refused.
        "--allow-from=127.0.0.7/32".to_owned(),
        "--daemon=no".to_owned(),
        "--disable-syslog=yes".to_owned(),
    ] {
        command.arg(setting);
    }
    let _recursor = Peer::start(&mut command);
    let mut proxy = Setup::of("udp", &[&address])
        .listener("max_replies = 1")
        .upstream("proxy_protocol = \"v2\"\noutlier = false")
        .start();
    let port = target(&proxy).port().to_string();
    let ask = |own: &str| {
        let mut command = Command::new(&dig);
        command.args(["@127.0.0.1", "-p", &port, "-b", own, "+tries=2", "+timeout=2"]);
        let output = command.arg("known.example").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    until("the recursor to be there", || ask("127.0.0.7").contains("10.0.0.7"));
    assert!(!ask("127.0.0.8").contains("10.0.0.7"));
    for _ in 0..5 {
        assert!(ask("127.0.0.7").contains("10.0.0.7"));
    }
    proxy.assert_sound();
}

#[test]
fn logger_writes_to_socat_through_us() {
    let (Some(logger), Some(socat)) = (program("logger"), program("socat")) else { return };
    let directory = Directory::new();
    let (file, address) = (directory.join("syslog"), free_address());
    let mut command = Command::new(socat);
    command.args(["-u", &format!("UDP-RECV:{},bind=127.0.0.1", port_of(&address))]);
    command.arg(format!("OPEN:{},creat,append", file.display()));
    let _receiver = Peer::start(command.stderr(Stdio::null()));
    let mut proxy = Setup::of("udp", &[&address]).start();
    let port = target(&proxy).port().to_string();
    let log = |text: &str| {
        let mut command = Command::new(&logger);
        command.args(["--udp", "--server", "127.0.0.1", "--port", &port, "--rfc5424"]);
        Peer::run(command.args(["--tag", "water", text]));
    };
    let text = || std::fs::read_to_string(&file).unwrap_or_default();
    until("the receiver to be there", || {
        log("begin");
        text().contains("begin")
    });
    (0..20).for_each(|number| log(&format!("line {number} of twenty")));
    until("all lines", || {
        let text = text();
        (0..20).all(|number| text.contains(&format!("line {number} of twenty")))
    });
    assert!(text().contains(" water "), "{}", text());
    proxy.assert_sound();
}
