//! One Unix socket for all processes of an app. The master opens it, so that it is there whichever
//! process comes and goes: what nobody accepts waits.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use fairwater_sys::process;
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that wait to be accepted; the kernel caps it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Shared {
    path: PathBuf,
    socket: OwnedFd,
}

impl Shared {
    /// Opens the socket below `directory`, for clients with the rights of user `reader`.
    pub(super) fn open(directory: &Path, reader: u32) -> io::Result<Self> {
        match DirBuilder::new().mode(0o711).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = directory.join("socket");
        // Of a master before, which is gone.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        let shared = Self { path, socket: socket.into() };
        fs::set_permissions(&shared.path, fs::Permissions::from_mode(0o600))?;
        if reader != process::user_id() {
            lchown(&shared.path, Some(reader), None)?;
        }
        let socket = Socket::from(shared.socket.try_clone()?);
        socket.listen(BACKLOG)?;
        Ok(shared)
    }

    /// One that is open already.
    pub(super) fn of(path: PathBuf, socket: OwnedFd) -> Self {
        Self { path, socket }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
        self.path.parent().map(fs::remove_dir);
    }
}
