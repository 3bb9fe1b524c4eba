//! TCP connections that end without a word.

use fairwater_e2e::client::End;
use fairwater_e2e::{Client, Endpoint, Setup, until};

const TOLD: &str = "on_error = { connect = \"Connect Error\", empty = \"Backend Error\" }";

/// A crash is often a reset: the client is told all the same.
#[test]
fn a_reset_without_a_byte_is_told_by_the_configured_bytes() {
    for is_read in [true, false] {
        let endpoint = Endpoint::new(move |caller| {
            caller.read_exactly(if is_read { 6 } else { 1 });
            caller.reset();
        });
        let mut proxy = Setup::tcp(&[&endpoint]).listener(TOLD).start();
        let mut client = Client::new(&proxy);
        client.send("hello\n");
        assert_eq!(client.read_to_end(), (b"Backend Error".to_vec(), End::Closed), "{is_read}");
        drop(client);
        let line = proxy.until_log(1).remove(0);
        let reason = line.get("reason");
        assert!(matches!(reason, "upstream_reset" | "upstream_empty_reply"), "{line:?}");
        proxy.assert_sound();
    }
}

/// A balancer in front that looks whether we are there.
#[test]
fn a_connection_on_which_nobody_speaks_is_no_fault() {
    for setting in ["", TOLD] {
        let endpoint = Endpoint::new(|caller| caller.until_closed());
        let mut proxy = Setup::tcp(&[&endpoint]).listener(setting).start();
        let client = Client::new(&proxy);
        until("the endpoint's connection", || endpoint.accepted() == 1);
        drop(client);
        let line = proxy.until_log(1).remove(0);
        assert_eq!(line.get("reason"), "", "{setting:?}: {line:?}");
        assert_eq!((line.number("bytes_in"), line.number("bytes_out")), (0, 0));
        proxy.assert_sound();
    }
}
