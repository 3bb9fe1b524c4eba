//! Where a value was written.

/// A file, and byte offsets into its text behind a byte order mark. [`Span::NONE`] is for a value
/// that no file holds: a default, or one from the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The place of the file in the order of reading; 0 is the one that names the others.
    pub file: u16,
    pub start: usize,
    pub end: usize,
}

/// A value and where it was written.
#[derive(Debug, Clone, Copy)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl Span {
    pub const NONE: Self = Self { file: 0, start: usize::MAX, end: usize::MAX };

    pub fn new(file: u16, range: std::ops::Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end }
    }

    /// The very start of a file.
    pub fn start_of(file: u16) -> Self {
        Self { file, start: 0, end: 0 }
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: convert(self.value), span: self.span }
    }
}

/// A value that no file holds.
impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self { value, span: Span::NONE }
    }
}

/// Equal values are equal wherever they stand: a reload that moved lines changed nothing.
impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}
