//! Files that root makes for another user, in directories where that user could not.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use fairwater_sys::{file, process};

use crate::account::ROOT;

/// For whoever writes it, and for the group, as other programs have their logs.
const MODE: u32 = 0o640;

/// Makes a file for `owner`, if it is not there, and if its directory is one that nobody but root
/// can change. Elsewhere, its user either can make it, or could lead root astray: a name that is
/// changed at the right moment would have root give away another file.
///
/// # Errors
/// As `open(2)`.
pub fn make_for(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    if process::user_id() != ROOT || user == ROOT || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new(".")).canonicalize()?;
    if !directory.ancestors().all(is_of_root) {
        return Ok(());
    }
    let path = directory.join(path.file_name().unwrap_or(OsStr::new("")));
    let made = File::options()
        .append(true)
        .create_new(true)
        .mode(MODE)
        .custom_flags(file::NO_LINK)
        .open(&path)?;
    fchown(&made, Some(user), Some(group))
}

/// A directory, and no link to one, whose names only root can change; others may at most add some.
fn is_of_root(directory: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const OWN_NAMES_ALONE: u32 = 0o1000;
    fs::symlink_metadata(directory).is_ok_and(|found| {
        let is_closed = found.mode() & OTHERS_WRITE == 0 || found.mode() & OWN_NAMES_ALONE != 0;
        found.is_dir() && found.uid() == ROOT && is_closed
    })
}
