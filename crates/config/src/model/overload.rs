//! What is done when memory or descriptors run short.

/// From where on. Absent means that it is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    pub memory: Option<MemoryMark>,
    /// Percent of the descriptors that the process may have.
    pub descriptors: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryMark {
    /// Of what the control group or the machine has.
    Percent(u32),
    Bytes(u64),
}

impl Default for Overload {
    fn default() -> Self {
        Self { memory: Some(MemoryMark::Percent(80)), descriptors: Some(90) }
    }
}
