//! The contents of a file, replaced as a whole: who reads it sees the old or the new one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, Result, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Replaces what a file holds, or what the link leads to. Mode and owner stay.
///
/// # Errors
/// Then the file is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = path.canonicalize()?;
    // A file that may not be written is not replaced, either, whoever may write to its directory.
    let metadata = OpenOptions::new().write(true).open(&target)?.metadata()?;
    let temporary = beside(&target);
    let named =
        |error: Error| Error::new(error.kind(), format!("{}: {error}", temporary.display()));
    // Nobody else reads what is not complete, or what only the owner may read.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let written = fill(&file.map_err(named)?, bytes, &metadata).map_err(named);
    let replaced = written.and_then(|()| fs::rename(&temporary, &target));
    if replaced.is_err() {
        // It may stay: the first error is the one to be told.
        drop(fs::remove_file(&temporary));
    }
    replaced
}

/// In the same directory, since a file is only renamed within a file system. Begins with a dot, so
/// that no pattern of `include` takes it for a configuration.
fn beside(target: &Path) -> PathBuf {
    target.with_file_name(format!(".fairwater-fmt-{}", std::process::id()))
}

fn fill(mut file: &File, bytes: &[u8], like: &Metadata) -> Result<()> {
    file.write_all(bytes)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    // Behind the owner, whose change would take some bits away.
    file.set_permissions(like.permissions())?;
    file.sync_all()
}
