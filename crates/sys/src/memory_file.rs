//! Files that exist in memory alone, and that nobody can change any more.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Makes an empty file, to be written. It is closed on exec.
///
/// # Errors
/// When there is no descriptor or no memory left.
pub fn open(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let fd =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a file of these bytes and seals it: whoever gets the descriptor reads them and no others.
/// It stands at its start, and is closed on exec.
///
/// # Errors
/// When there is no descriptor or no memory left.
pub fn sealed(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(open(name)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the call touches no memory of ours.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

/// All bytes of such a file, wherever it stands: several processes share its place.
///
/// # Errors
/// As `read(2)`.
pub fn read(fd: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(fd);
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], of somebody who may be anybody by now: no more than `bytes_max` are taken in.
///
/// # Errors
/// As `read(2)`; `FileTooLarge` if there are more.
pub fn read_at_most(fd: OwnedFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::from(fd);
    let too_large = || Err(io::ErrorKind::FileTooLarge.into());
    if file.metadata()?.len() > bytes_max {
        return too_large();
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    // It may still grow.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { too_large() } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_stays_as_it_is() {
        let fd = sealed(c"test", b"as it was").unwrap();
        let mut file = File::from(fd.try_clone().unwrap());
        assert!(file.write_all(b"other").is_err());
        assert!(file.set_len(0).is_err());
        assert_eq!(read(fd.try_clone().unwrap()).unwrap(), b"as it was");
        assert_eq!(read_at_most(fd.try_clone().unwrap(), 9).unwrap(), b"as it was");
        let error = read_at_most(fd, 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
