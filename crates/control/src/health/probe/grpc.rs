//! The health service of gRPC (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//! Its two messages are a field each, so that no library for them is needed.

use super::http2;
use super::value_of;
use super::wire::Wire;
use crate::health::target::Target;

/// `status` of the reply is field 1, a number.
const STATUS_TAG: u8 = 0x08;
/// `service` of the question is field 1, a text.
const SERVICE_TAG: u8 = 0x0a;
const SERVING: u8 = 1;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

pub(super) async fn ask(
    wire: &mut Wire,
    target: &Target,
    service: &str,
    body_max: usize,
) -> Result<(), String> {
    let body = question(service);
    let asked = http2::Asked {
        method: "POST",
        path: "/grpc.health.v1.Health/Check",
        host: &target.host,
        fields: &[("user-agent", "fairwater-check"), ("content-type", "application/grpc")],
        body: &body,
        is_secure: target.tls.is_some(),
        body_max,
    };
    let judge = |status: u16| match status {
        200 => Ok(Some(&b""[..])),
        status => Err(format!("it answers with status {status}")),
    };
    let reply = http2::ask(wire, asked, judge).await?;
    let find = |name| value_of(&reply.trailers, name).or_else(|| value_of(&reply.head, name));
    match find("grpc-status") {
        Some(b"0") => answer(&reply.body),
        Some(b"5") => Err("it does not know the service".to_owned()),
        Some(b"12") => Err("it has no health service".to_owned()),
        Some(code) => Err(format!("the call ends with code {}", String::from_utf8_lossy(code))),
        None => Err("the call has no status".to_owned()),
    }
}

fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Shorter than 128 bytes, as the configuration sees to it: its length is one byte.
        message.extend_from_slice(&[SERVICE_TAG, service.len() as u8]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend(message);
    body
}

fn answer(body: &[u8]) -> Result<(), String> {
    let message = body.get(PREFIX_BYTES..).ok_or("the call has no answer")?;
    match message {
        [STATUS_TAG, SERVING, ..] => Ok(()),
        [STATUS_TAG, 2, ..] => Err("it says NOT_SERVING".to_owned()),
        [STATUS_TAG, 3, ..] => Err("it says SERVICE_UNKNOWN".to_owned()),
        _ => Err("it does not say SERVING".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_a_field() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn answers_have_to_say_serving() {
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        for bad in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[], &[0, 0], &[0, 0, 0, 0, 1, 8]]
        {
            assert!(answer(bad).is_err(), "{bad:?}");
        }
    }
}
