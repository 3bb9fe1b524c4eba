//! The letters that crypt and bcrypt write bytes in. Both have the same 64, in two orders, and
//! crypt shuffles the bytes before.

const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Whether a text has no other letters.
pub(crate) fn is_bcrypt(text: &str) -> bool {
    text.bytes().all(|byte| BCRYPT.contains(&byte))
}

/// Six bits a letter, the first bits first; without padding.
pub(crate) fn bcrypt_encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let letters = (0..=group.len()).map(|n| BCRYPT[(bits >> (18 - 6 * n) & 63) as usize]);
        text.extend(letters.map(char::from));
    }
    text
}

/// The 16 bytes of 22 letters; the last four bits count for nothing.
pub(crate) fn bcrypt_decoded(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let (mut bits, mut len, mut at) = (0, 0, 0);
    for byte in text.bytes() {
        let six = BCRYPT.iter().position(|&letter| letter == byte)?;
        bits = bits << 6 | six;
        len += 6;
        if len >= 8 {
            len -= 8;
            *bytes.get_mut(at)? = (bits >> len & 255) as u8;
            at += 1;
        }
    }
    (at == 16).then_some(bytes)
}

/// Thirds of the digest side by side, turned by one with each group.
pub(crate) fn sha256_encoded(digest: &[u8; 32]) -> String {
    let mut text = String::new();
    for group in 0..10 {
        let mut three = [digest[group], digest[group + 10], digest[group + 20]];
        three.rotate_right(group % 3);
        push(&three, 4, &mut text);
    }
    push(&[0, digest[31], digest[30]], 3, &mut text);
    text
}

/// The same, turned the other way.
pub(crate) fn sha512_encoded(digest: &[u8; 64]) -> String {
    let mut text = String::new();
    for group in 0..21 {
        let mut three = [digest[group], digest[group + 21], digest[group + 42]];
        three.rotate_left(group % 3);
        push(&three, 4, &mut text);
    }
    push(&[0, 0, digest[63]], 2, &mut text);
    text
}

/// Six bits a letter, the last bits first.
fn push(three: &[u8; 3], letters: usize, text: &mut String) {
    let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
    let letters = (0..letters).map(|n| CRYPT[(bits >> (6 * n) & 63) as usize]);
    text.extend(letters.map(char::from));
}
