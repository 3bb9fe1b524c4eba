//! `fairwater hash-password`: a password in, its hash out.

use std::io::Read;
use std::process::ExitCode;

use fairwater_password::{BCRYPT_BYTES_MAX, hash};
use fairwater_sys::process;

use crate::{fail, print};

/// One line: an argument would be in the list of processes, for everybody to see.
pub(crate) fn run() -> ExitCode {
    let mut password = Vec::new();
    // A line end of two bytes, and one byte to see that it is too long.
    let mut stdin = std::io::stdin().lock().take(BCRYPT_BYTES_MAX as u64 + 3);
    if let Err(error) = stdin.read_to_end(&mut password) {
        return fail(format_args!("cannot read standard input: {error}"));
    }
    let password = password.strip_suffix(b"\n").unwrap_or(&password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if std::str::from_utf8(password).is_err() || password.contains(&b'\n') {
        return fail("the password is not one line of UTF-8 text");
    }
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&process::random_u64().to_le_bytes());
    salt[8..].copy_from_slice(&process::random_u64().to_le_bytes());
    if salt == [0; 16] {
        return fail("the kernel gives no random numbers");
    }
    match hash(password, salt) {
        Ok(hash) => print(format!("{hash}\n")),
        Err(problem) => fail(problem),
    }
}
