//! gRPC frame by frame: what is not ours to understand passes as it came.

use fairwater_e2e::Peer;
use fairwater_e2e::peer::python_with_h2;

use super::{compare, setup};

const HI: &str = "00000000026869";
const TYPE: &str = "te=trailers content-type=application/grpc";

/// Calls of `frames.py`, what the endpoint gets of each behind its path, and what the client gets.
#[test]
fn what_is_odd_passes_as_it_came() {
    let good = format!(":status=200 {HI} | grpc-status=0");
    let got = format!("Good {TYPE} {HI}");
    let with = |more: &str| (format!("Good {TYPE} {more}"), good.clone());
    let plain = |path: &str, reply: &str| (format!("{path} {TYPE} {HI}"), reply.to_owned());
    let back = |path: &str, end: &str| plain(path, &format!(":status=200 {HI} | {end}"));
    let cases = [
        ("good", with(HI)),
        ("with a subtype", (format!("Good {TYPE}+proto {HI}"), good.clone())),
        ("without te", (format!("Good content-type=application/grpc {HI}"), good.clone())),
        ("timeout", with(&format!("grpc-timeout=5000m {HI}"))),
        // Longer than anybody waits, and no number that it may be.
        ("endless timeout", with(&format!("grpc-timeout=99999999H {HI}"))),
        ("long timeout", with(&format!("grpc-timeout=99999999999H {HI}"))),
        ("negative timeout", with(&format!("grpc-timeout=-1S {HI}"))),
        ("flag without coding", with("01000000026869")),
        ("flag with coding", with("grpc-encoding=gzip 010000000a1f8b6e6f7420677a6970")),
        ("four gigabytes", with("00ffffffff6869")),
        ("broken bytes", with(&format!("x-bytes-bin=!!* {HI}"))),
        ("large head", (got, good.clone())),
        ("alone", plain("Alone", ":status=200 grpc-status=7 grpc-message=no")),
        ("no status", plain("NoStatus", &format!(":status=200 {HI}"))),
        ("no trailers", plain("NoTrailers", &format!(":status=200 {HI}"))),
        ("letters", back("Letters", "grpc-status=abc")),
        ("percent", back("Percent", "grpc-status=2 grpc-message=100%zz %f")),
        ("bytes back", back("BadBytes", "grpc-status=0 x-bytes-bin=!!*")),
        ("large trailers", back("Large", "grpc-status=0 x-large=16000")),
        (
            "squeezed",
            plain(
                "Squeezed",
                ":status=200 grpc-encoding=gzip 010000000a1f8b6e6f7420677a6970 | grpc-status=0",
            ),
        ),
        ("flag back", plain("Flag", ":status=200 01000000026869 | grpc-status=0")),
        ("huge", plain("Huge", ":status=200 00ffffffff6869 | grpc-status=0")),
        // Clients know what that means.
        ("html", plain("Html", ":status=503 3c703e")),
    ];
    let Some((endpoint, address)) = serving() else { return };
    let mut proxy = setup(&[&address]).start();
    let expected: Vec<_> = cases.iter().map(|(name, (_, reply))| (*name, &**reply)).collect();
    compare(&asking(&proxy.address, &cases.each_ref().map(|case| case.0)), &expected);
    let expected = cases.map(|(_, (got, _))| format!("got /test/{got}\n")).concat();
    assert_eq!(endpoint.said().split_once('\n').unwrap().1, expected);
    proxy.assert_sound();
}

/// It is told so by us, if it does not notice by itself.
#[test]
fn a_client_waits_no_longer_than_it_says() {
    let Some((endpoint, address)) = serving() else { return };
    let mut proxy = setup(&[&address]).start();
    let late = ":status=200 grpc-status=4 grpc-message=Gateway Timeout";
    let said = asking(&proxy.address, &["no time at all", "too late"]);
    compare(&said, &[("no time at all", late), ("too late", late)]);
    // 8 is CANCEL: nobody works for it any more.
    endpoint.until_said("reset 8", 1);
    assert!(endpoint.said().contains(&format!("got /test/Never {TYPE} grpc-timeout=200m {HI}\n")));
    let lines = proxy.until_log(2);
    assert!(lines.iter().all(|line| line.get("reason") == "grpc_deadline_exceeded"), "{lines:#?}");
    assert!(lines[1].number("total_us") >= 150_000, "{lines:#?}");
    proxy.assert_sound();
}

fn serving() -> Option<(Peer, String)> {
    let mut command = python_with_h2(include_str!("frames.py"))?;
    let peer = Peer::start(command.arg("serve"));
    let address = peer.word("listens on ");
    Some((peer, address))
}

fn asking(address: &str, names: &[&str]) -> String {
    let mut command = python_with_h2(include_str!("frames.py")).unwrap();
    Peer::run(command.args(["ask", address]).args(names))
}
