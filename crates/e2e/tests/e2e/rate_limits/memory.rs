//! What many keys cost.

use fairwater_e2e::{Client, Endpoint};

use super::limited;

/// Pipelined, so that they come fast.
const AT_ONCE: usize = 100;

#[test]
fn a_hundred_thousand_keys_take_no_more_memory_than_is_declared() {
    let endpoint = Endpoint::echo("e");
    let rule = "rate = \"1/h\"\nkey = \"header:x-key\"\nkeys = 10000";
    let setup = limited(&endpoint, rule).without_route().log("format = \"off\"");
    let mut proxy = setup.more("[[routes]]\nlistener = \"web\"\nrespond = 204\n").start();
    let mut client = Client::new(&proxy);
    let mut number = 0;
    let mut ask = |count: usize| {
        let mut let_in = 0;
        for _ in 0..count / AT_ONCE {
            let mut text = String::new();
            for _ in 0..AT_ONCE {
                number += 1;
                text.push_str(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {number}\r\n\r\n"));
            }
            client.send(&text);
            for _ in 0..AT_ONCE {
                let_in += usize::from(client.response().unwrap().status() == 204);
            }
        }
        let_in
    };
    let before = proxy.resident();
    let first = ask(5_000);
    assert!(first >= 4_900, "{first} of 5000 keys have had their own budget");
    let warm = proxy.resident();
    let rest = ask(95_000);
    let after = proxy.resident();
    let table = proxy.metric("fairwater_rate_limit_table_bytes", &["limit=\"one\""]);
    println!("before {before}, warm {warm}, after {after}, table {table}, {rest} more let in");
    assert!(table <= 10_000 * 64 + 10_000, "{table}");
    assert!(warm <= before + table + (1 << 20), "{before} {warm}");
    assert!(after <= warm + (256 << 10), "{warm} {after}");
    // The table lets in no more than its places have: 16 384 of 32 bytes for two keys.
    assert!(first + rest <= 32_768, "{}", first + rest);
    assert!(proxy.metric("fairwater_rate_limit_crowded_total", &[]) > 0 || rest < 95_000);
    proxy.assert_sound();
}
