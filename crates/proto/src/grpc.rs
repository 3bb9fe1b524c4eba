//! What concerns a proxy of gRPC over HTTP/2: which requests are calls, and how long they may take
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Messages are not read.

use std::time::Duration;

const CONTENT_TYPE: &[u8] = b"application/grpc";
const DIGITS_MAX: usize = 8;
/// Longer ones are cut to this: nobody waits so long.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Whether a request with this `content-type` is a call. gRPC-Web is another protocol.
pub fn is_call(content_type: &[u8]) -> bool {
    let Some((name, rest)) = content_type.split_at_checked(CONTENT_TYPE.len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(CONTENT_TYPE)
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The value of `grpc-timeout`; `None` if it is none.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    let timeout = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout.min(TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_digits_and_a_unit() {
        for (value, expected) in [
            ("1S", Some(1000)),
            ("20m", Some(20)),
            ("2M", Some(120_000)),
            ("99999999H", Some(365 * 24 * 3_600_000)),
            ("1000u", Some(1)),
            ("1000000n", Some(1)),
            ("0S", Some(0)),
            ("999999999S", None),
            ("-1S", None),
            ("1", None),
            ("S", None),
            ("1.5S", None),
            ("1x", None),
            ("", None),
        ] {
            assert_eq!(timeout(value.as_bytes()), expected.map(Duration::from_millis), "{value}");
        }
    }

    #[test]
    fn calls_say_so() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grp", false),
            ("", false),
        ] {
            assert_eq!(is_call(value.as_bytes()), expected, "{value}");
        }
    }
}
