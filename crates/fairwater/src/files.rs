//! The files of a configuration, and the environment, as `config` asks for them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use fairwater_config::Surroundings;

/// This machine's files and this process's environment.
pub(crate) struct Files;

impl Surroundings for Files {
    fn expand(&self, pattern: &str, from: &str) -> Result<Vec<String>, String> {
        let directory = Path::new(from).parent().unwrap_or(Path::new(""));
        let path = lexically_normal(&directory.join(pattern));
        let shown = |path: &Path| path.display().to_string();
        let Some((parent, last)) = path.parent().zip(path.file_name()) else {
            return Err("it names no file".to_owned());
        };
        let last = last.to_string_lossy();
        if shown(parent).contains('*') {
            return Err("`*` stands in the last part of a path only".to_owned());
        }
        if !last.contains('*') {
            return Ok(vec![shown(&path)]);
        }
        let listed = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let mut found = Vec::new();
        let entries = match fs::read_dir(listed) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error.to_string()),
        };
        for entry in entries {
            let name = entry.map_err(|error| error.to_string())?.file_name();
            let name = name.to_string_lossy();
            if matches(&last, &name) {
                found.push(shown(&parent.join(&*name)));
            }
        }
        found.sort();
        Ok(found)
    }

    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        read(Path::new(name), bytes_max).map_err(|error| error.to_string())
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads a file, and no more than a byte beyond the limit of it.
pub(crate) fn read(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    // Opening anything else may block, or never end.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    // One call for most files, and one to see that it was all.
    let expected = usize::try_from(metadata.len()).unwrap_or(bytes_max).min(bytes_max) + 1;
    let mut bytes = Vec::with_capacity(expected);
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Without `.`, and without `..` behind a name: one file has one name, as long as no link is in it.
fn lexically_normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

/// Whether a name is one of a pattern, in which `*` stands for any characters. As in a shell, none
/// stands for a dot at the start.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", false),
            ("*.toml", ".a.toml", false),
            (".*.toml", ".a.toml", true),
            ("*.toml", "a.toml~", false),
            ("*", "a", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("site-*", "site-", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn one_file_has_one_name() {
        for (path, expected) in [
            ("./conf.d/a.toml", "conf.d/a.toml"),
            ("conf.d/../conf.d/./a.toml", "conf.d/a.toml"),
            ("../a.toml", "../a.toml"),
            ("/etc/x/../a.toml", "/etc/a.toml"),
        ] {
            assert_eq!(lexically_normal(Path::new(path)), Path::new(expected));
        }
    }
}
