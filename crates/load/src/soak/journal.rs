//! What became of each request, one line each, for whoever compares it with the access log.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Journal {
    next: AtomicU64,
    file: Mutex<BufWriter<File>>,
}

/// One line: `id kind class status began_us ended_us port bytes detail`. Times are those of the
/// wall; the port is the client's; bytes are those of the body that came back.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) id: u64,
    pub(super) kind: &'a str,
    pub(super) class: &'a str,
    pub(super) status: u16,
    pub(super) began_us: u64,
    pub(super) port: u16,
    pub(super) bytes: usize,
    pub(super) detail: &'a str,
}

impl Journal {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = Mutex::new(BufWriter::new(File::create(path)?));
        Ok(Self { next: AtomicU64::new(1), file })
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { id, kind, class, status, began_us, port, bytes, detail } = entry;
        let ended_us = now_us();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{id} {kind} {class} {status} {began_us} {ended_us} {port} {bytes} {detail}")
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Microseconds since the epoch, which other processes can compare.
pub(super) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros() as u64)
}
