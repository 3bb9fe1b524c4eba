//! What is to be said of certificates that are good in themselves.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use fairwater_config::{Certificate, Config, Diagnostic};

const DAY: u64 = 86_400;

/// As long before the end as it is said.
const NOTICE: u64 = 30 * DAY;

/// As many as of other warnings.
const SHOWN_MAX: usize = 100;

const READABLE_BY_OTHERS: u32 = 0o004;

/// Looks for certificates of listeners that end soon, and for keys that are open to others.
pub(crate) fn look(config: &Config, now: SystemTime) -> Vec<Diagnostic> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let mut said = Vec::new();
    let mut seen = HashSet::new();
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        for certificate in &tls.certificates {
            said.extend(ends(config, certificate, now));
            if seen.insert(&certificate.key.value) {
                said.extend(open(config, certificate));
            }
        }
    }
    let more = said.len().saturating_sub(SHOWN_MAX);
    said.truncate(SHOWN_MAX);
    said.extend((more > 0).then(|| config.more_warnings(more)));
    said
}

fn ends(config: &Config, certificate: &Certificate, now: u64) -> Option<Diagnostic> {
    let Certificate { shown, not_after, .. } = certificate;
    let message = match not_after.value.checked_sub(now) {
        Some(left) if left > NOTICE => return None,
        Some(left) => format!("the certificate of {shown} ends in {}", days(left)),
        None => {
            let ago = days(now - not_after.value);
            format!("the certificate of {shown} ended {ago} ago")
        }
    };
    Some(config.certificate_expires(not_after.span, message))
}

fn days(seconds: u64) -> String {
    match (seconds / DAY, seconds / 3600) {
        (0, 1) => "1 hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

fn open(config: &Config, certificate: &Certificate) -> Option<Diagnostic> {
    let path = &certificate.key.value;
    let mode = path.metadata().ok()?.permissions().mode();
    (mode & READABLE_BY_OTHERS != 0).then(|| {
        let path = path.display();
        let message = format!("every user can read the private key in {path}");
        config.key_is_open(certificate.key.span, message, format!("chmod 640 {path}"))
    })
}
