//! The file with the number of the process: its lock says whether that process still runs.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fairwater_sys::file;

/// A file that this process has locked; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    file: File,
    path: PathBuf,
}

/// The longest number there is, and more.
const NUMBER_BYTES_MAX: u64 = 20;

impl PidFile {
    /// One that this process has locked already.
    pub(crate) fn of(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Locks the file, and writes the number of this process into it.
    ///
    /// # Errors
    /// Says who holds it, or why it cannot be written.
    pub(crate) fn hold(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error| format!("pid_file: cannot write {shown}: {error}");
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(file::NO_LINK)
                .open(path)
                .map_err(failed)?;
            if !file::lock(&file).map_err(failed)? {
                let mut text = String::new();
                drop(file.take(NUMBER_BYTES_MAX).read_to_string(&mut text));
                let holder = match text.trim() {
                    "" => "another process".to_owned(),
                    number => format!("process {number}"),
                };
                return Err(format!("pid_file: {holder} holds {shown}: it runs already"));
            }
            // Whoever held it may have removed it between the two calls.
            if is_at(&file, path) {
                let number = format!("{}\n", std::process::id());
                let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
                written.and_then(|_| file.write_all(number.as_bytes())).map_err(failed)?;
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            drop(fs::remove_file(&self.path));
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(found)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (open.dev(), open.ino()) == (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_it() {
        let name = format!("fairwater-pid-{}.pid", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of one that was killed.
        fs::write(&path, "4194305 and more\n").unwrap();
        let held = PidFile::hold(&path).unwrap();
        let own = std::process::id();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{own}\n"));
        let said = PidFile::hold(&path).unwrap_err();
        assert!(said.contains(&format!("process {own} holds")), "{said}");
        drop(held);
        assert!(!path.exists());
        let held = PidFile::hold(&path).unwrap();
        // Somebody has put another in its place: it is theirs.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(held);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        let said = PidFile::hold(Path::new("/nowhere/x.pid")).unwrap_err();
        assert!(said.contains("cannot write /nowhere/x.pid: No such file"), "{said}");
    }
}
