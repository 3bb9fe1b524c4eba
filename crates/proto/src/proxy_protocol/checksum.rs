//! CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.

/// Of a header with the value of the checksum in it taken for zeros. `tlvs` is the end of it, and
/// holds the checksum.
pub(super) fn of(header: &[u8], tlvs: &[u8]) -> u32 {
    let mut crc = !0;
    let (before, mut rest) = header.split_at(header.len() - tlvs.len());
    crc = update(crc, before);
    while let [kind, high, low, ..] = rest {
        let len = 3 + usize::from(u16::from_be_bytes([*high, *low]));
        let (one, behind) = rest.split_at(len.min(rest.len()));
        crc = match *kind {
            super::tlv::CRC32C => update(update(crc, &one[..3]), &[0; 4]),
            _ => update(crc, one),
        };
        rest = behind;
    }
    !update(crc, rest)
}

fn update(crc: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    bytes.iter().fold(crc, step)
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < table.len() {
        let (mut crc, mut bit) = (at as u32, 0);
        while bit < 8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x82f6_3b78;
            }
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_the_rfc() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, expected) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(!update(!0, bytes), expected);
        }
    }
}
