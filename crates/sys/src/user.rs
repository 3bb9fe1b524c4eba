//! Users of the system, by name.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use crate::child::Identity;

/// A user, as the system's user database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub identity: Identity,
    pub home: PathBuf,
}

/// Far more than the longest entry that was ever seen.
const ENTRY_BYTES: usize = 64 * 1024;
/// What the kernel takes.
const GROUPS_MAX: usize = 65_536;

/// Looks up a user; nothing, if there is none of this name. It may ask servers, and take its time.
///
/// # Errors
/// When the database cannot be read.
pub fn find(name: &str) -> io::Result<Option<User>> {
    let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut entry = MaybeUninit::<libc::passwd>::zeroed();
    let mut strings = vec![0; ENTRY_BYTES];
    let mut found = ptr::null_mut();
    // SAFETY: all pointers are valid, that of the strings for as many bytes as it says.
    let result = unsafe {
        let (at, len) = (strings.as_mut_ptr(), strings.len());
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), at, len, &mut found)
    };
    if found.is_null() {
        return match result {
            0 | libc::ENOENT | libc::ESRCH => Ok(None),
            error => Err(io::Error::from_raw_os_error(error)),
        };
    }
    // SAFETY: the entry was found, and so it is filled in; its strings are in `strings`.
    let (user, group, home) = unsafe {
        let entry = entry.assume_init();
        (entry.pw_uid, entry.pw_gid, CStr::from_ptr(entry.pw_dir).to_bytes().to_vec())
    };
    let groups = groups(&name, group)?;
    let home = PathBuf::from(OsStr::from_bytes(&home));
    Ok(Some(User { identity: Identity { user, group, groups }, home }))
}

fn groups(name: &CStr, group: u32) -> io::Result<Vec<u32>> {
    let mut groups: Vec<u32> = vec![0; GROUPS_MAX];
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: the name is a C string; the pointer is valid for as many groups as the count says.
    let result =
        unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &mut count) };
    if result < 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_there_and_others_are_not() {
        let root = find("root").unwrap().unwrap();
        assert_eq!((root.identity.user, root.identity.group), (0, 0));
        assert!(root.identity.groups.contains(&0));
        assert_eq!(find("nobody-has-this-name").unwrap(), None);
    }
}
