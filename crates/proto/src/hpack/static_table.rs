//! The table that both sides know (RFC 7541, appendix A).

/// Name and value of the entries, of which the first has the index 1.
pub(super) static ENTRIES: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Places of names by their hash, twice as many and more, so that no two have the same.
const PLACES: usize = 256;

/// A factor that gives every name a place of its own.
const FACTOR: u32 = factor();

/// By the hash of a name the index of the first entry that has it.
static INDEX_OF_HASH: [u8; PLACES] = match index_of_hash(FACTOR) {
    Some(table) => table,
    None => panic!("the factor is one that was tried"),
};

/// The index of the first entry with this name, in small letters.
#[inline]
pub(super) fn find(name: &[u8]) -> Option<u8> {
    let index = INDEX_OF_HASH[hash(name, FACTOR)?];
    // An index of 0 is that of no name.
    let entry = ENTRIES.get(usize::from(index).wrapping_sub(1))?;
    (entry.0 == name).then_some(index)
}

/// Of the length and three letters, by which all names differ.
const fn hash(name: &[u8], factor: u32) -> Option<usize> {
    let [first, .., last] = name else { return None };
    let middle = name[name.len() / 2];
    let key = u32::from_le_bytes([*first, middle, *last, name.len() as u8]);
    Some((key.wrapping_mul(factor) >> 24) as usize)
}

const fn factor() -> u32 {
    // Odd, and with bits everywhere: the golden ratio, and every second number behind it.
    let mut factor = 0x9e37_79b9_u32;
    while index_of_hash(factor).is_none() {
        factor = factor.wrapping_add(2);
    }
    factor
}

/// Nothing, if two names have the same hash.
const fn index_of_hash(factor: u32) -> Option<[u8; PLACES]> {
    let mut table = [0; PLACES];
    let mut place = 0;
    while place < ENTRIES.len() {
        let name = ENTRIES[place].0;
        if place == 0 || !is_same(name, ENTRIES[place - 1].0) {
            match hash(name, factor) {
                Some(hash) if table[hash] == 0 => table[hash] = place as u8 + 1,
                _ => return None,
            }
        }
        place += 1;
    }
    Some(table)
}

/// As [`find`], for constants; 0 for none.
pub(super) const fn index_of(name: &[u8]) -> u8 {
    let mut place = 0;
    while place < ENTRIES.len() {
        if is_same(name, ENTRIES[place].0) {
            return place as u8 + 1;
        }
        place += 1;
    }
    0
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
