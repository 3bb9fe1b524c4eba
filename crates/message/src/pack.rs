//! Facts in one block of bytes, for another process of the same program on the same machine.

/// Writes one fact after the other.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Reads them in the same order. All answers are `None` where the block is broken.
#[derive(Clone, Copy, Debug)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn number(&mut self) -> Option<u64> {
        let (digits, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*digits))
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (part, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(part)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut packer = Packer::default();
        packer.number(7).bytes(b"seven").bytes(b"").bytes("\u{e4}".as_bytes());
        let block = packer.into_vec();
        let read = |block| {
            let mut all = Unpacker::new(block);
            let facts = (all.number()?, all.bytes()?, all.bytes()?, all.text()?);
            all.is_empty().then_some(facts)
        };
        assert_eq!(read(&block), Some((7, &b"seven"[..], &b""[..], "\u{e4}")));
        for end in 0..block.len() {
            assert_eq!(read(&block[..end]), None);
        }
        assert_eq!(Unpacker::new(&[255; 8]).bytes(), None);
    }
}
