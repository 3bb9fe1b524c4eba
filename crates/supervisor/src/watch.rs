//! Looks at files for changes. By their stamps and not by notices of the kernel: those do not come
//! from disks of other machines, and follow no symbolic link that is replaced.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(500);

/// And so much later for each file, so that ten thousand of them take no more than a few per cent
/// of a core.
const LOOK_PER_FILE: Duration = Duration::from_micros(50);

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// Of the file as it is now, if there is one.
    pub fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self("none".to_owned()) };
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        let (dev, ino, size) = (metadata.dev(), metadata.ino(), metadata.size());
        Self(format!("{dev}:{ino}:{size}:{seconds}:{nanoseconds}"))
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    /// They are others than before, and may still be written.
    is_moving: bool,
    next: Option<Instant>,
}

impl Watch {
    /// Of files as they were when they were read.
    pub(crate) fn of(files: &[(PathBuf, Stamp)], now: Instant) -> Self {
        let mut watch = Self { files: files.to_vec(), is_moving: false, next: None };
        watch.next = (!files.is_empty()).then_some(now + watch.pause());
        watch
    }

    fn pause(&self) -> Duration {
        LOOK + LOOK_PER_FILE * self.files.len().try_into().unwrap_or(u32::MAX)
    }

    /// When it wants to look.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether files have changed, and stand still by now.
    pub(crate) fn has_changed(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.next = Some(now + self.pause());
        let mut is_other = false;
        for (path, before) in &mut self.files {
            let now = Stamp::of(path);
            is_other |= *before != now;
            *before = now;
        }
        let was_moving = std::mem::replace(&mut self.is_moving, is_other);
        was_moving && !is_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test has no other clock")]
    fn a_change_is_told_once_it_is_over() {
        let path = std::env::temp_dir().join(format!("fairwater-watch-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut now = Instant::now();
        let mut watch = Watch::of(&[(path.clone(), Stamp::of(&path))], now);
        let mut look = |watch: &mut Watch| {
            now += LOOK + LOOK_PER_FILE;
            watch.has_changed(now)
        };
        assert!(!look(&mut watch));
        std::fs::write(&path, "ab").unwrap();
        assert!(!look(&mut watch), "it may still be written");
        std::fs::write(&path, "abc").unwrap();
        assert!(!look(&mut watch));
        assert!(look(&mut watch));
        assert!(!look(&mut watch));
        std::fs::remove_file(&path).unwrap();
        assert_eq!([look(&mut watch), look(&mut watch)], [false, true]);
        assert_eq!(Watch::of(&[], now).next(), None);
    }
}
