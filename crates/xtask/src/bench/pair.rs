//! The certificate and the key of the proxies under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The certificate.
pub(crate) const CERTIFICATE: &str = "site.pem";
/// Its key.
pub(crate) const KEY: &str = "site.key";
/// Both, as HAProxy wants them.
pub(crate) const BOTH: &str = "site.both";

/// Makes them, for P-256 and this machine; gives the certificate.
pub(crate) fn make(directory: &Path) -> Result<PathBuf, Failure> {
    let [certificate, key, both] = [CERTIFICATE, KEY, BOTH].map(|name| directory.join(name));
    let output = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split(' '))
        .args(["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()?;
    if !output.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    fs::write(both, [fs::read(&certificate)?, fs::read(&key)?].concat())?;
    Ok(certificate)
}
