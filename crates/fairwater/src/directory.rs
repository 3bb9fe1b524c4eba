//! Directories that the program keeps things in.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use fairwater_sys::{file, process};

/// Makes a directory with a mode, if it is not there, for `owner` if that is somebody else. One
/// that is there must be nobody else's: who may change it may put other files in the place of ours.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub(crate) fn prepare(
    setting: &str,
    path: &Path,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<(), String> {
    let shown = path.display();
    let own_id = owner.map_or_else(process::user_id, |(user, _)| user);
    match DirBuilder::new().mode(mode).create(path) {
        // The umask has had its say; the mode is ours to decide.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .and_then(|()| owner.map_or(Ok(()), |owner| give(path, owner)))
            .map_err(|error| format!("{setting}: cannot set mode and owner of {shown}: {error}")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::metadata(path)
                .map_err(|error| format!("{setting}: cannot look at {shown}: {error}"))?;
            if !found.is_dir() {
                return Err(format!("{setting}: {shown} is no directory"));
            }
            if found.uid() != own_id && found.uid() != 0 {
                let owner = found.uid();
                return Err(format!(
                    "{setting}: {shown} belongs to user {owner}, who could replace what is in it: \
                     `chown {own_id} {shown}`, or name another directory"
                ));
            }
            if owner.is_some() && found.uid() != own_id {
                return Err(format!(
                    "{setting}: {shown} belongs to root, and user {own_id} cannot write to it: \
                     `chown -R {own_id} {shown}`, or name another directory"
                ));
            }
            match found.mode() & 0o022 {
                0 => Ok(()),
                _ => Err(format!(
                    "{setting}: others may write to {shown}: `chmod go-w {shown}`, or name another \
                     directory"
                )),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "{setting}: {shown} cannot be made, since the directory above it is not there"
        )),
        Err(error) => Err(format!("{setting}: cannot make {shown}: {error}")),
    }
}

/// Gives a directory that was just made to its owner: that one, and none that a link leads to.
fn give(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    let directory = File::options().read(true).custom_flags(file::NO_LINK).open(path)?;
    fchown(&directory, Some(user), Some(group))
}
