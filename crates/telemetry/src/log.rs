//! The access log. A data thread formats lines into a batch of its own; a writer thread takes full
//! batches and writes them. When it cannot keep up, batches are dropped and counted: the disk never
//! slows the traffic down.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use fairwater_sys::file::open_for_appending;

use crate::Counters;
use crate::line::{Date, Entry, VALUE_BYTES_MAX, write_combined, write_json};

/// A batch is handed over when it holds this much; a tick hands over whatever there is.
const BATCH_BYTES: usize = 128 * 1024;
/// Batches that may wait for the writer: 8 MiB of lines, a second or so of heavy traffic.
const BATCHES_MAX: usize = 64;

/// How long the end of the process waits for the last lines to be written.
const FINISH: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// The format that Apache and nginx call combined.
    Combined,
    Off,
}

/// The lines of one thread that are not handed over yet.
#[derive(Debug)]
pub struct LogBatch {
    format: LogFormat,
    text: Vec<u8>,
    lines: u32,
    date: Date,
    to_writer: Option<SyncSender<Batch>>,
}

#[derive(Debug)]
struct Batch {
    text: Vec<u8>,
    lines: u32,
}

impl LogBatch {
    /// A batch for a thread without a log.
    pub const fn off() -> Self {
        Self {
            format: LogFormat::Off,
            text: Vec::new(),
            lines: 0,
            date: Date::new(),
            to_writer: None,
        }
    }

    pub fn is_on(&self) -> bool {
        self.to_writer.is_some()
    }

    pub fn write(&mut self, entry: &Entry<'_>, counters: &Counters) {
        match self.format {
            LogFormat::Json => write_json(&mut self.text, &mut self.date, entry),
            LogFormat::Combined => write_combined(&mut self.text, &mut self.date, entry),
            LogFormat::Off => return,
        }
        self.lines += 1;
        if self.text.len() >= BATCH_BYTES {
            self.hand_over(counters);
        }
    }

    /// Hands over what there is, or drops it when the writer is behind.
    pub fn hand_over(&mut self, counters: &Counters) {
        let Some(to_writer) = &self.to_writer else { return };
        if self.text.is_empty() {
            return;
        }
        // The next batch will be about as large as this one.
        let room = (2 * self.text.len()).min(BATCH_BYTES + VALUE_BYTES_MAX);
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(room));
        let lines = std::mem::take(&mut self.lines);
        counters.log_lines.add(u64::from(lines));
        if to_writer.try_send(Batch { text, lines }).is_err() {
            counters.log_dropped.add(u64::from(lines));
        }
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    format: LogFormat,
    to_writer: Option<SyncSender<Batch>>,
    /// Hangs up when the writer has ended.
    end: Option<Receiver<()>>,
    /// Lines that could not be written: the disk is full, the pipe is closed.
    lost: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the writer; `path` `None` means standard output.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn start(format: LogFormat, path: Option<&Path>) -> io::Result<Self> {
        if format == LogFormat::Off {
            return Ok(Self { format, to_writer: None, end: None, lost: Arc::default() });
        }
        let output: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(open_for_appending(path)?),
            None => Box::new(io::stdout()),
        };
        let (to_writer, batches) = sync_channel(BATCHES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        let (running, end) = sync_channel(0);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&batches, output, &count);
            drop(running);
        })?;
        Ok(Self { format, to_writer: Some(to_writer), end: Some(end), lost })
    }

    /// The batch for one more data thread.
    pub fn batch(&self) -> LogBatch {
        LogBatch {
            format: self.format,
            text: Vec::new(),
            lines: 0,
            date: Date::new(),
            to_writer: self.to_writer.clone(),
        }
    }

    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost)
    }

    /// Has what was handed over written, once every batch is dropped. Gives up on a reader that
    /// takes nothing for [`FINISH`]: the process must be able to end. Returns whether all is
    /// written.
    pub fn finish(mut self) -> bool {
        self.to_writer = None;
        let end = self.end.take().map(|end| end.recv_timeout(FINISH));
        end != Some(Err(RecvTimeoutError::Timeout))
    }
}

fn write_all(batches: &Receiver<Batch>, mut output: Box<dyn Write + Send>, lost: &AtomicU64) {
    while let Ok(batch) = batches.recv() {
        if output.write_all(&batch.text).and_then(|()| output.flush()).is_err() {
            lost.fetch_add(u64::from(batch.lines), Ordering::Relaxed);
        }
    }
}
