//! The access log. A data thread formats lines into a batch of its own; a writer thread takes full
//! batches and writes them. When it cannot keep up, batches are dropped and counted: the disk never
//! slows the traffic down.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use fairwater_message::Field;
use fairwater_message::log::{HeaderName, Template};
use fairwater_message::secret::SecretNames;

use crate::Counters;
use crate::escape::VALUE_BYTES_MAX;
use crate::line::{Entry, write_combined, write_json};
use crate::output::{LogTarget, Output};
use crate::template::{Dates, Kept, write_template};

/// A batch is handed over when it holds this much; a tick hands over whatever there is.
const BATCH_BYTES: usize = 128 * 1024;
/// Batches that may wait for the writer: 8 MiB of lines, a second or so of heavy traffic.
const BATCHES_MAX: usize = 64;

/// How long the end of the process waits for the last lines to be written.
const FINISH: Duration = Duration::from_secs(1);
/// Between two words about lost lines.
const SAY_EVERY_MS: u64 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// The format that Apache and nginx call combined.
    Combined,
    Template(Template),
    Off,
}

/// How lines look, the same for all threads.
#[derive(Debug)]
struct Style {
    format: LogFormat,
    secrets: SecretNames,
}

/// The lines of one thread that are not handed over yet.
#[derive(Debug)]
pub struct LogBatch {
    style: Arc<Style>,
    text: Vec<u8>,
    lines: u32,
    dates: Dates,
    to_writer: Option<SyncSender<Batch>>,
    losses: Arc<Losses>,
}

/// Lines that are lost, for those who tell of it.
#[derive(Debug, Default)]
struct Losses {
    /// Could not be written: the disk is full, the pipe is closed, nobody receives.
    unwritten: Arc<AtomicU64>,
    /// Found no room on their way to the writer. Their threads count them too.
    overflown: AtomicU64,
}

#[derive(Debug)]
struct Batch {
    text: Vec<u8>,
    lines: u32,
}

impl LogBatch {
    pub fn is_on(&self) -> bool {
        self.to_writer.is_some()
    }

    /// Whether lines have headers of replies in them, for [`Self::keep`].
    pub fn names_replies(&self) -> bool {
        !self.names().is_empty()
    }

    /// What a line will need of the head of a reply. `bytes` is what its fields point into.
    pub fn keep(&self, fields: &[Field], bytes: &[u8]) -> Kept {
        Kept::of(self.names(), fields, bytes)
    }

    fn names(&self) -> &[HeaderName] {
        match &self.style.format {
            LogFormat::Template(template) => &template.replies,
            LogFormat::Json | LogFormat::Combined | LogFormat::Off => &[],
        }
    }

    pub fn write(&mut self, entry: &Entry<'_>, counters: &Counters) {
        let Style { format, secrets } = &*self.style;
        let (text, dates) = (&mut self.text, &mut self.dates);
        match format {
            LogFormat::Json => write_json(text, &mut dates.iso, secrets, entry),
            LogFormat::Combined => write_combined(text, &mut dates.common, secrets, entry),
            LogFormat::Template(template) => write_template(text, dates, secrets, template, entry),
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
            self.losses.overflown.fetch_add(u64::from(lines), Ordering::Relaxed);
        }
    }
}

/// What the writer uses of the process around it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Milliseconds of a clock that goes forward.
    pub now_ms: fn() -> u64,
    /// Tells those who run it that lines are lost.
    pub say: fn(&str),
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    style: Arc<Style>,
    to_writer: Option<SyncSender<Batch>>,
    /// Hangs up when the writer has ended.
    end: Option<Receiver<()>>,
    losses: Arc<Losses>,
    /// The file was moved away.
    reopen: Arc<AtomicBool>,
}

impl LogWriter {
    /// Starts the writer. A receiver on a socket need not be there yet.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread cannot be started.
    pub fn start(
        format: LogFormat,
        secrets: SecretNames,
        target: LogTarget,
        around: Surroundings,
    ) -> io::Result<Self> {
        let is_off = format == LogFormat::Off;
        let (style, losses) = (Arc::new(Style { format, secrets }), Arc::<Losses>::default());
        let reopen = Arc::new(AtomicBool::new(false));
        if is_off {
            return Ok(Self { style, to_writer: None, end: None, losses, reopen });
        }
        let mut output = Output::open(&target)?;
        let (to_writer, batches) = sync_channel(BATCHES_MAX);
        let (of_writer, is_moved) = (Arc::clone(&losses), Arc::clone(&reopen));
        let (running, end) = sync_channel(0);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            let reopen = |output: &mut Output| {
                if is_moved.swap(false, Ordering::Relaxed)
                    && let Err(problem) = output.reopen(&target)
                {
                    (around.say)(&problem);
                }
            };
            write_all(&batches, &mut output, reopen, &of_writer, around);
            drop(running);
        })?;
        Ok(Self { style, to_writer: Some(to_writer), end: Some(end), losses, reopen })
    }

    /// Has the next lines written to what has the name of the file now. No line is lost or cut in
    /// two: what was handed over before may go to either.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
        // A writer with nothing to do is woken up; one with much to do looks at it anyway.
        if let Some(to_writer) = &self.to_writer {
            drop(to_writer.try_send(Batch { text: Vec::new(), lines: 0 }));
        }
    }

    /// The batch for one more data thread.
    pub fn batch(&self) -> LogBatch {
        LogBatch {
            style: Arc::clone(&self.style),
            text: Vec::new(),
            lines: 0,
            dates: Dates::new(),
            to_writer: self.to_writer.clone(),
            losses: Arc::clone(&self.losses),
        }
    }

    /// Lines that were handed over and could not be written.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.losses.unwritten)
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

fn write_all(
    batches: &Receiver<Batch>,
    output: &mut Output,
    mut reopen: impl FnMut(&mut Output),
    losses: &Losses,
    Surroundings { now_ms, say }: Surroundings,
) {
    let mut said_lines = 0;
    let mut said_at_ms = None;
    while let Ok(batch) = batches.recv() {
        reopen(output);
        if batch.text.is_empty() {
            continue;
        }
        let mut reason = "they come faster than they are taken".to_owned();
        if let Err(loss) = output.write(&batch.text, batch.lines, now_ms) {
            losses.unwritten.fetch_add(u64::from(loss.lines), Ordering::Relaxed);
            reason = loss.reason;
        }
        let unwritten = losses.unwritten.load(Ordering::Relaxed);
        let lines = unwritten + losses.overflown.load(Ordering::Relaxed);
        let is_due = |said_ms| now_ms().saturating_sub(said_ms) >= SAY_EVERY_MS;
        if lines > said_lines && said_at_ms.is_none_or(is_due) {
            (said_lines, said_at_ms) = (lines, Some(now_ms()));
            say(&format!("the access log loses lines, {lines} so far: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::line::tests::entry;

    static NOW_MS: AtomicU64 = AtomicU64::new(0);
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    const AROUND: Surroundings = Surroundings {
        now_ms: || NOW_MS.load(Ordering::Relaxed),
        say: |text| SAID.lock().unwrap().push(text.to_owned()),
    };

    /// A receiver that is not there, as told by a clock that stands still and then goes on.
    #[test]
    fn lost_lines_are_told_of_now_and_then() {
        let target = LogTarget::Socket("/nowhere/log.sock".into());
        let writer =
            LogWriter::start(LogFormat::Json, SecretNames::none(), target, AROUND).unwrap();
        let counters = Counters::new(0, 0, 0);
        let mut batch = writer.batch();
        let lost = writer.lost();
        let mut lose = |lines: u64| {
            let before = lost.load(Ordering::Relaxed);
            (0..lines).for_each(|_| batch.write(&entry(), &counters));
            batch.hand_over(&counters);
            while lost.load(Ordering::Relaxed) < before + lines {
                std::thread::yield_now();
            }
        };
        lose(1);
        lose(2);
        lose(3);
        // The writer may look at the clock for the last ones only now.
        NOW_MS.store(SAY_EVERY_MS, Ordering::Relaxed);
        lose(4);
        drop(batch);
        assert!(writer.finish(), "nobody waits for who is not there");
        let said = SAID.lock().unwrap();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains(" 1 so far: unix:/nowhere/log.sock: No such file"), "{said:?}");
        assert!(!said[1].contains(" 1 so far: "), "{said:?}");
        assert_eq!(counters.log_lines.get(), 10);
    }

    #[test]
    fn lines_that_overflow_are_told_of() {
        let (to_writer, batches) = sync_channel(1);
        let losses = Arc::<Losses>::default();
        let style = Style { format: LogFormat::Json, secrets: SecretNames::none() };
        let mut batch = LogBatch {
            style: Arc::new(style),
            text: Vec::new(),
            lines: 0,
            dates: Dates::new(),
            to_writer: Some(to_writer),
            losses: Arc::clone(&losses),
        };
        let counters = Counters::new(0, 0, 0);
        for _ in 0..3 {
            batch.write(&entry(), &counters);
            batch.hand_over(&counters);
        }
        drop(batch);
        static TOLD: Mutex<String> = Mutex::new(String::new());
        let say = |text: &str| text.clone_into(&mut TOLD.lock().unwrap());
        let mut output = Output::Stream(Box::new(io::sink()));
        write_all(&batches, &mut output, |_| {}, &losses, Surroundings { now_ms: || 0, say });
        let told = TOLD.lock().unwrap();
        assert!(told.contains("loses lines, 2 so far: they come faster"), "{told}");
        assert_eq!((counters.log_lines.get(), counters.log_dropped.get()), (3, 2));
    }
}
