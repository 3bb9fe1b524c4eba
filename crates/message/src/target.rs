//! Authority and path forms: which bytes are accepted, and the one normal form that routes match on
//! (RFC 3986, section 6.2.2; RFC 9110, section 4.2).

use std::net::Ipv6Addr;

/// The most bytes of an authority: a DNS name has at most 253, a port at most 6 with its colon.
pub const AUTHORITY_BYTES_MAX: usize = 260;

/// Whether `authority` is `host` or `host:port` in the only spelling that is let in: a name of
/// letters, digits, `-`, `.`, `_` and `~`, or a bracketed IPv6 address, and a port from 1 to 65535.
/// User information, a list, percent escapes and anything else are refused, since the next hop
/// might read them differently.
pub fn authority_is_valid(authority: &[u8]) -> bool {
    if authority.is_empty() || authority.len() > AUTHORITY_BYTES_MAX {
        return false;
    }
    let end = match authority[0] {
        b'[' => literal_end(authority),
        _ => name_end(authority),
    };
    match end.map(|end| &authority[end..]) {
        Some([]) => true,
        Some([b':', digits @ ..]) => port(digits).is_some(),
        Some(_) | None => false,
    }
}

/// Where a bracketed IPv6 address ends, if it is one.
fn literal_end(authority: &[u8]) -> Option<usize> {
    let end = authority.iter().position(|&b| b == b']')?;
    let literal = std::str::from_utf8(&authority[1..end]).ok()?;
    literal.parse::<Ipv6Addr>().ok().map(|_| end + 1)
}

/// Where a name ends, if it is one: at the colon before a port, or at the end. Labels are not
/// empty, but for the root behind one trailing dot.
#[inline]
fn name_end(authority: &[u8]) -> Option<usize> {
    const NAME_BYTES_MAX: usize = 254;
    let mut label = 0;
    let mut end = 0;
    for &byte in authority {
        match NAME_BYTE[usize::from(byte)] {
            LETTER => label += 1,
            DOT if label > 0 => label = 0,
            COLON => break,
            _ => return None,
        }
        end += 1;
    }
    (end > 0 && end <= NAME_BYTES_MAX).then_some(end)
}

const LETTER: u8 = 1;
const DOT: u8 = 2;
const COLON: u8 = 3;
const NAME_BYTE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'.' => DOT,
            b':' => COLON,
            b'-' | b'_' | b'~' => LETTER,
            b if b.is_ascii_alphanumeric() => LETTER,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&port| port != 0)
}

/// Whether a valid authority is a name and nothing else: no port, and no bracketed address.
#[inline]
pub fn is_name(authority: &[u8]) -> bool {
    // A port has five digits at the most.
    let tail = &authority[authority.len().saturating_sub(6)..];
    authority.first() != Some(&b'[') && !tail.contains(&b':')
}

/// The host of a valid authority, without port, brackets kept, one trailing dot dropped. Case is
/// left to the caller, who compares or copies in lower case.
pub fn host_of(authority: &[u8]) -> &[u8] {
    let end = if authority.first() == Some(&b'[') {
        authority.iter().position(|&b| b == b']').map_or(authority.len(), |at| at + 1)
    } else {
        authority.iter().position(|&b| b == b':').unwrap_or(authority.len())
    };
    let host = &authority[..end];
    host.strip_suffix(b".").unwrap_or(host)
}

/// A path that two hops might read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The path of a target, without the query.
#[inline]
pub fn path_of(path_and_query: &[u8]) -> &[u8] {
    match path_and_query.iter().position(|&b| b == b'?') {
        Some(at) => &path_and_query[..at],
        None => path_and_query,
    }
}

/// The query of a target, without its question mark; empty if there is none.
pub fn query_of(path_and_query: &[u8]) -> &[u8] {
    let path = path_of(path_and_query);
    path_and_query.get(path.len() + 1..).unwrap_or_default()
}

/// The normal form that routes match on: percent escapes decoded once, dot segments resolved,
/// repeated slashes merged. The target is forwarded as it came. `path` starts with `/` and holds no
/// query.
///
/// # Errors
/// `Ambiguous` for an escaped slash, backslash, NUL or other control character, a raw backslash, an
/// overlong UTF-8 sequence, a broken escape, a dot segment with parameters (`..;x`), and for `..`
/// above the root or over an empty segment.
pub fn normal_path<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Ambiguous> {
    if is_normal(path) {
        return Ok(path);
    }
    scratch.clear();
    let mut merged_at = 0;
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let decoded = if byte == b'%' {
            let value = escape(rest)?;
            rest = &rest[2..];
            if matches!(value, b'/' | b'\\' | 0..=0x1f | 0x7f) {
                return Err(Ambiguous);
            }
            value
        } else if byte == b'\\' {
            return Err(Ambiguous);
        } else {
            byte
        };
        // Only a slash that was written as one separates segments.
        if byte == b'/' {
            if scratch.last() == Some(&b'/') {
                merged_at = scratch.len();
                continue;
            }
            resolve_dots(scratch, merged_at)?;
            if scratch.last() == Some(&b'/') {
                continue;
            }
        }
        scratch.push(decoded);
    }
    resolve_dots(scratch, merged_at)?;
    if has_overlong(scratch) {
        return Err(Ambiguous);
    }
    Ok(scratch)
}

/// The common case, decided in one pass: nothing to decode, resolve or merge.
#[inline]
fn is_normal(path: &[u8]) -> bool {
    let mut last = 0;
    for &byte in path {
        if byte == b'%' || byte == b'\\' || (last == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        last = byte;
    }
    true
}

/// Removes a final `.` or `..` segment (and, for the latter, the segment before it) from what was
/// written so far. `merged_at` is where slashes were merged last: nothing before it is taken back.
fn resolve_dots(path: &mut Vec<u8>, merged_at: usize) -> Result<(), Ambiguous> {
    let Some(slash) = path.iter().rposition(|&b| b == b'/') else { return Ok(()) };
    match &path[slash + 1..] {
        b"." => path.truncate(slash + 1),
        b".." if slash + 1 == merged_at => return Err(Ambiguous),
        b".." => {
            let parent = path[..slash].iter().rposition(|&b| b == b'/').ok_or(Ambiguous)?;
            path.truncate(parent + 1);
        }
        segment if segment.starts_with(b".;") || segment.starts_with(b"..;") => {
            return Err(Ambiguous);
        }
        _ => {}
    }
    Ok(())
}

fn escape(rest: &[u8]) -> Result<u8, Ambiguous> {
    let digit = |at: usize| -> Result<u8, Ambiguous> {
        let byte = *rest.get(at).ok_or(Ambiguous)?;
        (byte as char).to_digit(16).map(|digit| digit as u8).ok_or(Ambiguous)
    };
    Ok(digit(0)? << 4 | digit(1)?)
}

/// Overlong UTF-8 is how `/` and `.` were smuggled past filters since 2000.
fn has_overlong(path: &[u8]) -> bool {
    path.iter().enumerate().any(|(at, &byte)| match (byte, path.get(at + 1)) {
        (0xc0 | 0xc1, _) => true,
        (0xe0, Some(&next)) => (0x80..0xa0).contains(&next),
        (0xf0, Some(&next)) => (0x80..0x90).contains(&next),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_one_spelling() {
        for good in ["a", "A.b", "a.", "a:1", "a_b.c:65535", "127.0.0.1:80", "[::1]", "[::1]:8080"]
        {
            assert!(authority_is_valid(good.as_bytes()), "{good}");
        }
        let long = "a".repeat(300);
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a:",
            "a:0",
            "a:80x",
            "a:99999",
            "a:+1",
            "good@evil",
            "a/b",
            "a,b",
            "a b",
            "[::1",
            "[::1]x",
            "[::1%eth0]",
            "[1.2.3.4]",
            "a%00",
            "a\0",
            "é",
            ":80",
            &long,
        ] {
            assert!(!authority_is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn names_have_no_port_and_no_brackets() {
        for (authority, expected) in [
            ("a", true),
            ("a-name.of.more.than.six.bytes.example.", true),
            ("127.0.0.1", true),
            ("a:1", false),
            ("a.example:65535", false),
            ("127.0.0.1:80", false),
            ("[::1]", false),
            ("[2001:db8::1234:5678:9abc]", false),
            ("[::1]:8080", false),
        ] {
            assert!(authority_is_valid(authority.as_bytes()), "{authority}");
            assert_eq!(is_name(authority.as_bytes()), expected, "{authority}");
        }
    }

    #[test]
    fn hosts_lose_port_and_final_dot() {
        for (authority, host) in
            [("a:80", "a"), ("a.:80", "a"), ("[::1]:80", "[::1]"), ("a", "a"), ("a.", "a")]
        {
            assert_eq!(host_of(authority.as_bytes()), host.as_bytes());
        }
    }

    #[test]
    fn paths_have_one_normal_form() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("//a///b", "/a/b"),
            ("/a//b/../c", "/a/c"),
            ("/a//./b", "/a/b"),
            ("/a/b/../../c", "/c"),
            ("/a/./../c", "/c"),
            ("/a/b/./../.././c", "/c"),
            ("/%61%2e%2E/b", "/a../b"),
            ("/a/%2e%2e/b", "/b"),
            ("/%252e/", "/%2e/"),
            ("/a;x/../b", "/b"),
            ("/.hidden", "/.hidden"),
            ("/...", "/..."),
            ("/%c3%a9", "/é"),
        ] {
            let mut scratch = Vec::new();
            let got = normal_path(path.as_bytes(), &mut scratch).unwrap();
            assert_eq!(got, normal.as_bytes(), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "/..",
            "/a/../..",
            "/%2e%2e/",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/%0d%0a",
            "/%7f",
            "/%",
            "/%4",
            "/%zz",
            "/%c0%ae",
            "/%e0%80%af",
            "/..%2f",
            "/%f0%80%80%af",
            // Servers that strip path parameters first read these as dot segments.
            "/a/..;/b",
            "/a/..;x=y",
            "/a/.;/b",
            "/a/%2e%2e%3bx/b",
            // Whether `..` takes the empty segment or the one before depends on who merges slashes.
            "/a//..",
            "/a//../b",
            "/a/b///../c",
            "/a//b/../../c",
        ] {
            assert_eq!(normal_path(path.as_bytes(), &mut Vec::new()), Err(Ambiguous), "{path}");
        }
    }
}
