//! Landlock: a process that needs few files gives up all others, whoever owns them, and so does
//! whatever breaks into it. Kernels before 5.13 have none, and others have it switched off.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What stays allowed at or below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Files are read.
    Read,
    /// Files are made and written to.
    Append,
    /// Files are made, read, written to and removed.
    Keep,
    /// Names of files and sockets are removed.
    Remove,
}

const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_REG: u64 = 1 << 8;
const TRUNCATE: u64 = 1 << 14;
/// What may be allowed of something that is no directory.
const OF_FILES: u64 = WRITE_FILE | READ_FILE | TRUNCATE;

const BIND_TCP: u64 = 1;
/// To connect to abstract sockets, and to send signals, outside of those that are restricted too.
const SCOPES: u64 = 1 | 1 << 1;

/// The kernel's `struct landlock_ruleset_attr`, as of version 6.
#[repr(C)]
#[derive(Default)]
struct Ruleset {
    files: u64,
    net: u64,
    scopes: u64,
}

/// The kernel's `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: libc::c_int,
}

impl Access {
    fn bits(self) -> u64 {
        match self {
            Self::Read => READ_FILE,
            Self::Append => WRITE_FILE | MAKE_REG,
            Self::Keep => READ_FILE | WRITE_FILE | TRUNCATE | READ_DIR | MAKE_REG | REMOVE_FILE,
            Self::Remove => REMOVE_FILE,
        }
    }
}

/// The version of Landlock that the kernel has; 0 for none.
pub fn version() -> u32 {
    const ASK_VERSION: libc::c_ulong = 1;
    let (no_pointer, no_bytes): (libc::c_ulong, libc::c_ulong) = (0, 0);
    // SAFETY: this form of the call takes no pointer.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, no_pointer, no_bytes, ASK_VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

/// Leaves this thread, and all that it starts from now on, no files but these: nothing is run, made
/// or read elsewhere, whatever is open stays open, and connecting to Unix sockets is not a use of
/// files. TCP addresses are not bound any more, and signals reach no other process, where the
/// kernel knows of it. Paths that do not exist are left out.
///
/// The thread must have given up new privileges before.
///
/// # Errors
/// Where the kernel refuses it. `Unsupported` if it has no Landlock.
pub fn restrict(allowed: &[(&Path, Access)]) -> io::Result<()> {
    let version = version();
    // What later versions know of is left alone: nobody has tried it.
    let files = match version {
        0 => return Err(io::ErrorKind::Unsupported.into()),
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let net = if version >= 4 { BIND_TCP } else { 0 };
    let scopes = if version >= 6 { SCOPES } else { 0 };
    let ruleset = create(&Ruleset { files, net, scopes }, version)?;
    for (path, access) in allowed {
        allow(&ruleset, path, access.bits() & files)?;
    }
    let no_flags: libc::c_ulong = 0;
    // SAFETY: the call takes a descriptor and flags.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), no_flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn create(ruleset: &Ruleset, version: u32) -> io::Result<OwnedFd> {
    // An older kernel refuses fields that it does not know.
    let bytes: libc::c_ulong = match version {
        0..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    let no_flags: libc::c_ulong = 0;
    // SAFETY: the pointer is valid for so many bytes and more.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(ruleset),
            bytes,
            no_flags,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn allow(ruleset: &OwnedFd, path: &Path, access: u64) -> io::Result<()> {
    const PATH_BENEATH: libc::c_ulong = 1;
    let opened = File::options().read(true).custom_flags(libc::O_PATH).open(path);
    let parent = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let is_directory = parent.metadata()?.is_dir();
    let allowed = if is_directory { access } else { access & OF_FILES };
    let rule = Beneath { allowed, parent: parent.as_raw_fd() };
    let no_flags: libc::c_ulong = 0;
    // SAFETY: the pointer is valid for one rule of this type.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            std::ptr::from_ref(&rule),
            no_flags,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::*;

    /// A directory that is gone with the test.
    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn scratch() -> Scratch {
        let name = format!("fairwater-landlock-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for part in ["kept", "log", "etc", "run"] {
            fs::create_dir_all(path.join(part)).unwrap();
            fs::write(path.join(part).join("file"), "x").unwrap();
        }
        Scratch(path)
    }

    /// The rules are those of a thread: the other tests keep their rights.
    #[test]
    fn only_what_is_allowed_can_be_done() {
        if version() == 0 {
            eprintln!("skipped: this kernel has no Landlock");
            return;
        }
        let scratch = scratch();
        let path = |name: &str| scratch.0.join(name);
        let open = File::open(path("run/file")).unwrap();
        let receiver = UnixListener::bind(path("run/socket")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::privileges::forbid_new().unwrap();
                restrict(&[
                    (&path("kept"), Access::Keep),
                    (&path("log"), Access::Append),
                    (&path("etc"), Access::Read),
                    (&path("nowhere"), Access::Keep),
                ])
                .unwrap();
                let denied = |result: io::Result<()>| {
                    assert_eq!(result.unwrap_err().kind(), PermissionDenied);
                };
                fs::write(path("kept/new"), "y").unwrap();
                fs::rename(path("kept/new"), path("kept/file")).unwrap();
                assert_eq!(fs::read_to_string(path("kept/file")).unwrap(), "y");
                fs::remove_file(path("kept/file")).unwrap();
                crate::file::open_for_appending(&path("log/new")).unwrap();
                denied(fs::read(path("log/file")).map(drop));
                assert_eq!(fs::read(path("etc/file")).unwrap(), b"x");
                denied(fs::write(path("etc/file"), "y"));
                denied(fs::read(path("run/file")).map(drop));
                denied(fs::remove_file(path("run/file")));
                denied(fs::create_dir(path("kept/directory")));
                denied(fs::rename(path("etc/file"), path("kept/file")).map_err(|error| {
                    // Between directories it may also be a refusal to link.
                    assert!([libc::EXDEV, libc::EACCES].contains(&error.raw_os_error().unwrap()));
                    PermissionDenied.into()
                }));
                denied(std::process::Command::new("/bin/true").status().map(drop));
                assert_eq!(io::read_to_string(&open).unwrap(), "x", "open files stay open");
                UnixStream::connect(path("run/socket")).unwrap();
                if version() >= 4 {
                    denied(TcpListener::bind("127.0.0.1:0").map(drop));
                }
            });
        });
        drop(receiver);
        assert_eq!(fs::read(path("run/file")).unwrap(), b"x", "no other thread lost anything");
    }
}
