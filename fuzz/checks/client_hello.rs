//! Any bytes of a client that shall speak TLS: no panic; a name is one, it takes the whole message,
//! and nothing behind it makes a difference.

use fairwater_proto::client_hello::{HELLO_BYTES_MAX, NoHello, server_name};

pub(crate) fn check(data: &[u8]) {
    let result = server_name(data);
    let longer = [data, &[22, 3, 1, 0, 4, 1, 0, 0, 0]].concat();
    match &result {
        Ok(name) => {
            assert_eq!(server_name(&longer), result, "what is behind it counts");
            let is_fit = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
            let is_name =
                |name: &String| (1..=253).contains(&name.len()) && name.bytes().all(is_fit);
            assert!(name.as_ref().is_none_or(is_name), "{name:?}");
            check_cuts(data);
        }
        // Nothing that comes later makes it better.
        Err(NoHello::Absent | NoHello::Malformed(_)) => assert_eq!(server_name(&longer), result),
        Err(NoHello::Incomplete) => assert!(data.len() < HELLO_BYTES_MAX, "never complete"),
    }
}

/// Of a message that is all there, every part from some length on is; the shorter ones have begun.
fn check_cuts(data: &[u8]) {
    let step = data.len().div_ceil(50).max(1);
    let cuts = (0..data.len()).step_by(step).map(|len| server_name(&data[..len]));
    let mut is_complete = false;
    for cut in cuts {
        assert!(cut.is_ok() || cut == Err(NoHello::Incomplete) && !is_complete, "{cut:?}");
        is_complete = cut.is_ok();
    }
}
