//! The handshake of WebSocket over HTTP/1.1 (RFC 6455, section 4), which has none over HTTP/2: who
//! stands between the two makes it for the one side and checks it for the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What is asked for by `Upgrade`, and by `:protocol` (RFC 8441, section 5).
pub const NAME: &str = "websocket";

/// What every server puts behind the key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Key` of these random bytes.
pub fn key(random: [u8; 16]) -> [u8; 24] {
    let mut out = [0; 24];
    encode(&random, &mut out);
    out
}

/// Whether a client may say this in `Sec-WebSocket-Key` (RFC 6455, section 4.2.1).
pub fn is_key(value: &[u8]) -> bool {
    let mut random = [0; 18];
    STANDARD.decode_slice(value, &mut random).is_ok_and(|len| len == 16)
}

/// `Sec-WebSocket-Accept` for a key; SHA-1 comes from elsewhere.
pub fn accept(key: &[u8], sha1: impl FnOnce(&[u8]) -> [u8; 20]) -> [u8; 28] {
    let digest = sha1(&[key, GUID].concat());
    let mut out = [0; 28];
    encode(&digest, &mut out);
    out
}

fn encode(bytes: &[u8], out: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, out);
    debug_assert!(written.is_ok_and(|len| len == out.len()), "both sizes are fixed");
}

/// Whether `Upgrade` asks for it, and for nothing else.
pub fn is_asked(upgrade: &[u8]) -> bool {
    upgrade.eq_ignore_ascii_case(NAME.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_answered_as_the_rfc_does() {
        // Section 1.3, which tells the digest as well.
        let sha1 = |bytes: &[u8]| {
            assert_eq!(bytes, b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            [
                0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38,
                0x59, 0x45, 0xb2, 0xbe, 0xc4, 0xea,
            ]
        };
        let answer = accept(b"dGhlIHNhbXBsZSBub25jZQ==", sha1);
        assert_eq!(&answer, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        for (value, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("AAAAAAAAAAAAAAAAAAAAAA==", true),
            ("dGhlIHNhbXBsZSBub25jZQ", false),
            ("dGhlIHNhbXBsZQ==", false),
            ("dGhlIHNhbXBsZSBub25jZSEh", false),
            ("dGhlIHNhbXBsZSBub25jZSEhISEhISEhISEhISEhISE=", false),
            ("dGhl!HNhbXBsZSBub25jZQ==", false),
            ("", false),
        ] {
            assert_eq!(is_key(value.as_bytes()), expected, "{value}");
        }
    }
}
