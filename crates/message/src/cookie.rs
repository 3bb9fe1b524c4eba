//! Cookies in fields: one of them found, or taken out, and the others left as they are (RFC 6265).

/// The cookies of a `Cookie` field, in its order: names and values as they stand.
pub fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|&byte| byte == b';').filter_map(|part| {
        let part = part.trim_ascii();
        let at = part.iter().position(|&byte| byte == b'=')?;
        Some((part[..at].trim_ascii_end(), part[at + 1..].trim_ascii_start()))
    })
}

/// Whether a `Cookie` field has cookies of other names.
pub fn has_others(field: &[u8], name: &[u8]) -> bool {
    let mut parts = field.split(|&byte| byte == b';');
    parts.any(|part| !part.trim_ascii().is_empty() && name_of(part) != name)
}

/// Appends the value of a `Cookie` field without the cookies of a name; the others stay byte for
/// byte.
pub fn write_others(field: &[u8], name: &[u8], out: &mut Vec<u8>) {
    let is_other = |part: &&[u8]| name_of(part) != name;
    for (index, part) in field.split(|&byte| byte == b';').filter(is_other).enumerate() {
        if index > 0 {
            out.push(b';');
        }
        // What stood behind a separator may stand at the front now.
        out.extend_from_slice(if index > 0 { part } else { part.trim_ascii_start() });
    }
}

/// The name of the cookie that a `Set-Cookie` field, or a part of a `Cookie` field, is about.
pub fn name_of(field: &[u8]) -> &[u8] {
    let pair = field.split(|&byte| byte == b';').next().unwrap_or_default();
    let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
    name.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(field: &str, name: &str) -> String {
        let mut out = b"kept ".to_vec();
        write_others(field.as_bytes(), name.as_bytes(), &mut out);
        String::from_utf8(out).unwrap().strip_prefix("kept ").unwrap().to_owned()
    }

    #[test]
    fn one_is_taken_out_and_the_others_stay_as_they_are() {
        for (field, expected) in [
            ("s=1", ""),
            ("s", ""),
            ("s=1; a=b", "a=b"),
            ("a=b; s=1", "a=b"),
            ("a=b;s=1;c=\"d e\"", "a=b;c=\"d e\""),
            ("a=b;  s = 1 ;  c=d; s=2", "a=b;  c=d"),
            ("S=1; ss=2; as=3; a=s=1", "S=1; ss=2; as=3; a=s=1"),
            ("a;; =b; s=1;", "a;; =b;"),
            ("", ""),
            (";;s=1", ";"),
        ] {
            assert_eq!(others(field, "s"), expected, "{field}");
            let is_any = !expected.replace(';', "").is_empty();
            assert_eq!(has_others(field.as_bytes(), b"s"), is_any, "{field}");
        }
    }

    #[test]
    fn pairs_are_found_in_their_order() {
        let found: Vec<_> = pairs(b"a=1;b = \"2\" ; c; d==3=; ").collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"\"2\""), (b"d", b"=3=")];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_are_told_of_what_sets_a_cookie() {
        for (field, name) in [("s=1; Path=/", "s"), (" s ; a=b", "s"), ("=1", ""), ("", "")] {
            assert_eq!(name_of(field.as_bytes()), name.as_bytes(), "{field}");
        }
    }
}
