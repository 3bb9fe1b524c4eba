//! Packets that are dropped. The test runs once more in a network of its own, in which it can tell
//! the kernel to.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::privileges::is_root;

/// Set in the network of its own.
const WITHIN: &str = "FAIRWATER_TEST_NETWORK";
const NFT: &str = "/usr/sbin/nft";

/// Whether this is the run in a network of its own. Else that run is made here.
fn is_within(test: &str) -> bool {
    if std::env::var_os(WITHIN).is_some() {
        return true;
    }
    if !is_root() || !std::path::Path::new(NFT).exists() {
        eprintln!("skipped: dropping packets takes root and nft");
        return false;
    }
    let enter = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", enter, "sh"]).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(WITHIN, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    false
}

/// While it is there no packet comes to an address.
struct Hole;

impl Hole {
    fn at(address: &str) -> Self {
        let (host, port) = address.split_once(':').unwrap();
        nft(&format!(
            "table inet faults {{\nchain input {{\ntype filter hook input priority 0;\n\
             ip daddr {host} tcp dport {port} drop;\n}}\n}}\n"
        ));
        Self
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        nft("delete table inet faults\n");
    }
}

fn nft(rules: &str) {
    let mut nft = Command::new(NFT).args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

/// What went over a connection that was open gets no answer within the time for a try, and
/// everything else no connection: both go elsewhere.
#[test]
fn packets_that_are_dropped_fail_no_request() {
    if !is_within("faults::network::packets_that_are_dropped_fail_no_request") {
        return;
    }
    // Without a time for a try it is seen that nothing is acknowledged.
    for lines in
        ["connect_timeout = \"300ms\"\ntry_timeout = \"300ms\"", "connect_timeout = \"700ms\""]
    {
        let (all, setup) = three();
        let mut proxy = setup.upstream(lines).start();
        let clients = Clients::start(&proxy);
        clients.until_asked(SOME);
        let hole = Hole::at(&all[1].address);
        clients.until_asked(SOME * 3);
        drop(hole);
        let seen = clients.end();
        seen.assert_none_failed();
        let slow = seen.slower_than(Duration::from_millis(290));
        assert!((1..=2 * ROW).contains(&slow), "{slow}");
        let longest = Duration::from_secs(5);
        assert_eq!(seen.slower_than(longest), 0, "{lines}");
        proxy.assert_sound();
    }
}
