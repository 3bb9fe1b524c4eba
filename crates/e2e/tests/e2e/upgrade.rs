//! Another program in the place of one that serves: the same process, sockets and children.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fairwater_e2e::proxy::signal_to;
use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

fn answer(proxy: &Proxy) -> String {
    Client::new(proxy).get("/").text()
}

/// What `/proc` says that the master runs.
fn runs(proxy: &Proxy) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", proxy.process_id())).unwrap()
}

#[test]
fn an_upgrade_keeps_the_process_and_its_sockets() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upgradable().threads(2).start();
    let unix = proxy.directory().join("in.sock");
    let addresses = format!("bind = [\"127.0.0.1:0\", \"unix:{}\"]", unix.display());
    for step in 0..3 {
        proxy.install_again();
        if step == 1 {
            // With another configuration, which is read by the new program.
            proxy.edit("bind = \"127.0.0.1:0\"", &addresses);
        }
        assert!(runs(&proxy).ends_with("fairwater (deleted)"), "{}", runs(&proxy).display());
        let said = proxy.upgrade_well();
        assert!(said.contains("has taken over from"), "{said}");
        assert!(runs(&proxy).ends_with("fairwater"), "{}", runs(&proxy).display());
        assert!(answer(&proxy).starts_with('e'));
    }
    assert!(Client::connect(&format!("unix:{}", unix.display())).get("/").text().starts_with('e'));
    proxy.until_one_worker();
    let file = proxy.directory().join("fairwater.toml");
    let mut status = Command::new(fairwater_e2e::proxy::binary());
    let status = status.arg("status").arg("-c").arg(file).output().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let master = format!("master {}, version ", proxy.process_id());
    let worker = format!("worker {} serves, ", proxy.worker_id());
    assert!(status.starts_with(&master) && status.contains(&worker), "{status}");
    assert!(status.contains("THREAD") && status.contains("web"), "{status}");
    // What a master does, it does for children that another program has started, too.
    signal_to(proxy.worker_id(), Signal::KILL);
    assert!(answer(&proxy).starts_with('e'));
    proxy.edit(&addresses, "bind = \"127.0.0.1:0\"");
    proxy.reload_well();
    assert!(!unix.exists());
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
    assert!(!proxy.directory().join("run/master.sock").exists());
}

#[test]
fn a_signal_upgrades_as_well() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).upgradable().start();
    let first = proxy.worker_id();
    proxy.signal(Signal::USR2);
    until("the upgrade", || proxy.said().contains("has taken over"));
    until("the first worker to end", || !fs::exists(format!("/proc/{first}")).unwrap());
    assert!(answer(&proxy).starts_with('e'));
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let endpoint = Endpoint::echo("e");
    let mut proxy = Setup::http(&[&endpoint]).upgradable().start();
    let (bytes, worker) = (fs::read(proxy.program()).unwrap(), proxy.worker_id());
    let wrong: [&[u8]; 4] = [
        b"no program",
        b"#!/bin/sh\nexit 0\n",
        b"#!/bin/sh\necho 'what is that?' >&2; exit 1\n",
        b"#!/none\n",
    ];
    for bytes in wrong {
        proxy.install(bytes);
        let (code, said) = proxy.command("upgrade");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("all is as before") || said.contains("cannot read"), "{said}");
        assert!(answer(&proxy).starts_with('e'));
    }
    fs::remove_file(proxy.program()).unwrap();
    assert_eq!(proxy.command("upgrade").0, 1);
    // A good program, and a bad file.
    proxy.install(&bytes);
    proxy.edit("threads = 1", "threads = none");
    let (code, said) = proxy.command("upgrade");
    assert!(code == 1 && said.contains("threads"), "{said}");
    // A file that is good, and a worker that cannot have so much.
    proxy.edit("threads = none", "threads = 1\nmax_connections = 100000000");
    let (code, said) = proxy.command("upgrade");
    assert!(code == 1 && said.contains("the configuration is as before"), "{said}");
    until("the worker that failed to end", || proxy.worker_ids() == [worker]);
    assert!(answer(&proxy).starts_with('e'));
    proxy.edit("\nmax_connections = 100000000", "");
    proxy.upgrade_well();
    assert!(answer(&proxy).starts_with('e'));
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

#[test]
fn who_asks_during_an_upgrade_is_answered_after_it() {
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).upgradable().start();
    std::thread::scope(|scope| {
        let ask = |name: &'static str| scope.spawn(|| proxy.command(name));
        let all = [ask("upgrade"), ask("reload"), ask("upgrade"), ask("reload")];
        for one in all {
            let (code, said) = one.join().unwrap();
            assert!(code == 0 && said.contains("is in force"), "{said}");
        }
    });
}

#[test]
fn a_relay_goes_on_in_the_process_before() {
    let endpoint = Endpoint::new(|caller| {
        while let [byte] = *caller.read_exactly(1) {
            caller.send([byte]);
        }
    });
    let proxy = Setup::tcp(&[&endpoint]).upgradable().start();
    let mut client = TcpStream::connect(&proxy.address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for byte in 0..4 {
        client.write_all(&[byte]).unwrap();
        let mut back = [0];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, [byte]);
        if byte < 2 {
            proxy.upgrade_well();
        }
    }
}
