//! `sticky` of upstreams: settings as a plan has them, and the secret that cookies are sealed with
//! where the configuration gives none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fairwater_config as config;
use fairwater_config::Spanned;
use fairwater_plan::sticky::{Secure, SessionCookie};
use fairwater_tls::{SealKey, unguessable};

use crate::roster::Member;

const NAME: &str = "sticky.key";
/// Of the section in what is left to another process, and of the file.
pub(crate) const VERSION: &str = "1";

/// A secret of this process and of those that come after it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret([u8; 32]);

/// Tells nothing that must not be known.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

impl Secret {
    pub(crate) fn new() -> Self {
        Self(unguessable())
    }

    /// For a plan that nobody serves by.
    pub(crate) const fn of_nobody() -> Self {
        Self([0; 32])
    }

    fn key(&self) -> SealKey {
        SealKey::of(&self.0, config::StickyCookie::PURPOSE)
    }

    /// 64 hexadecimal digits.
    pub(crate) fn render(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        fairwater_tls::parse_fingerprint(text.trim()).map(Self)
    }

    /// The one that `state_dir` keeps; a broken one is none.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<Self>> {
        let mut text = String::new();
        match File::open(directory.join(NAME)) {
            // As long as it is, and a line end.
            Ok(file) => file.take(65).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::parse(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Keeps it, for its owner alone to read.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let new: PathBuf = directory.join(format!("{NAME}.new"));
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let mut file = options.open(&new)?;
        file.write_all(self.render().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, directory.join(NAME))?;
        File::open(directory)?.sync_all()
    }
}

/// Draws a first random number if cookies will need any: it takes the library a tenth of a second,
/// which no request shall wait for.
pub(crate) fn warm_up(config: &config::Config) {
    let is_by_cookie = |sticky: &Spanned<_>| sticky.value != config::Sticky::Address;
    if config.upstreams.iter().filter_map(|one| one.sticky.as_ref()).any(is_by_cookie) {
        let _: [u8; 1] = unguessable();
    }
}

/// Whether an endpoint serves the sessions that its cookies tell of. A process that is being
/// replaced does not: it may end at any moment in which nothing runs on it.
pub(crate) fn keeps_sessions(upstream: &config::Upstream, member: &Member) -> bool {
    let is_by_cookie = |sticky: &Spanned<_>| sticky.value != config::Sticky::Address;
    let is_mandatory = upstream.health.as_ref().is_some_and(|health| health.is_mandatory);
    upstream.sticky.as_ref().is_some_and(is_by_cookie)
        && !member.is_leaving
        && member.given.reason.is_none_or(|reason| reason.keeps_sessions(is_mandatory))
}

/// The cookie of an upstream, if it has one.
pub(crate) fn cookie(
    upstream: &config::Upstream,
    secret: impl FnOnce() -> Secret,
) -> Option<SessionCookie> {
    let config::Sticky::Cookie(cookie) = &upstream.sticky.as_ref()?.value else { return None };
    let keys = match cookie.keys.is_empty() {
        true => vec![secret().key()],
        false => cookie.keys.clone(),
    };
    Some(SessionCookie {
        name: cookie.name.clone(),
        secure: match (cookie.secure, cookie.same_site) {
            (config::CookieSecure::Always, _) => Secure::Always,
            // Browsers take it no other way.
            (config::CookieSecure::Auto, config::SameSite::None) => Secure::Always,
            (config::CookieSecure::Auto, _) => Secure::Auto,
            (config::CookieSecure::Never, _) => Secure::Never,
        },
        attributes: attributes(cookie),
        keys,
        context: upstream.name.value.clone(),
    })
}

fn attributes(cookie: &config::StickyCookie) -> String {
    let mut out = format!("; Path={}", cookie.path);
    if let Some(domain) = &cookie.domain {
        out.push_str(&format!("; Domain={domain}"));
    }
    if let Some(age) = cookie.max_age {
        out.push_str(&format!("; Max-Age={}", age.as_secs()));
    }
    if cookie.http_only {
        out.push_str("; HttpOnly");
    }
    out.push_str(match cookie.same_site {
        config::SameSite::Strict => "; SameSite=Strict",
        config::SameSite::Lax => "; SameSite=Lax",
        config::SameSite::None => "; SameSite=None",
    });
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn upstream(cookie: config::StickyCookie) -> config::Upstream {
        let mut upstream = config::Upstream::new("app", []);
        upstream.sticky = Some(config::Sticky::Cookie(cookie).into());
        upstream
    }

    #[test]
    fn attributes_are_written_as_they_are_set() {
        let plain = config::StickyCookie::new("a".to_owned());
        assert_eq!(attributes(&plain), "; Path=/; HttpOnly; SameSite=Lax");
        let all = config::StickyCookie {
            path: "/shop".to_owned(),
            domain: Some("example.com".to_owned()),
            max_age: Some(Duration::from_secs(3600)),
            http_only: false,
            same_site: config::SameSite::None,
            ..plain
        };
        let expected = "; Path=/shop; Domain=example.com; Max-Age=3600; SameSite=None";
        assert_eq!(attributes(&all), expected);
        let cookie = cookie(&upstream(all), Secret::new).unwrap();
        assert_eq!((cookie.secure, cookie.keys.len()), (Secure::Always, 1));
    }

    #[test]
    fn a_secret_is_asked_for_where_none_is_given() {
        let mut own = config::StickyCookie::new("a".to_owned());
        let secret = Secret::new();
        let keys = cookie(&upstream(own.clone()), || secret.clone()).unwrap().keys;
        assert_eq!(keys, [secret.key()]);
        own.keys.push(SealKey::of(b"x", config::StickyCookie::PURPOSE));
        let keys = cookie(&upstream(own.clone()), || unreachable!()).unwrap().keys;
        assert_eq!(keys, own.keys);
        let mut by_address = upstream(own);
        by_address.sticky = Some(config::Sticky::Address.into());
        assert_eq!(cookie(&by_address, Secret::new), None);
    }

    #[test]
    fn a_secret_that_is_kept_is_found_again() {
        let directory =
            std::env::temp_dir().join(format!("fairwater-sticky-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(Secret::read(&directory).unwrap(), None);
        let secret = Secret::new();
        secret.write(&directory).unwrap();
        assert_eq!(Secret::read(&directory).unwrap(), Some(secret.clone()));
        assert_eq!(Secret::parse(&secret.render()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.render()));
        fs::write(directory.join(NAME), "short").unwrap();
        assert!(Secret::read(&directory).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
