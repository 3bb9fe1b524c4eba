//! Cargo.lock, as cargo writes it.

use std::collections::BTreeSet;

/// All packages of the workspace, ours and others'.
#[derive(Debug, Default)]
pub(super) struct Lock {
    pub packages: Vec<Package>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    pub name: String,
    pub version: String,
    /// Where it is from; none for our own.
    pub source: Option<String>,
    /// Names alone: tidy asks who reaches whom, and two versions of one name are an error anyway.
    pub dependencies: Vec<String>,
}

impl Lock {
    pub(super) fn parse(text: &str) -> Self {
        let mut packages: Vec<Package> = Vec::new();
        for line in text.lines() {
            if line == "[[package]]" {
                packages.push(Package::default());
                continue;
            }
            let Some(package) = packages.last_mut() else { continue };
            let value = line.split('"').nth(1).unwrap_or_default();
            match line.split_once(" = ").map_or(line, |(key, _)| key) {
                "name" => value.clone_into(&mut package.name),
                "version" => value.clone_into(&mut package.version),
                "source" => package.source = Some(value.to_owned()),
                _ if line.starts_with(" \"") => {
                    // `name`, or `name version` where there are several.
                    let name = value.split(' ').next().unwrap_or_default();
                    package.dependencies.push(name.to_owned());
                }
                _ => {}
            }
        }
        Self { packages }
    }

    /// Keeps those of these names, `name vVERSION`.
    pub(super) fn keep(&mut self, names: &BTreeSet<String>) {
        self.packages.retain(|one| names.contains(&format!("{} v{}", one.name, one.version)));
    }

    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Package> {
        self.packages.iter().filter(move |package| package.name == name)
    }
}

/// A version as numbers, for comparison; what follows them does not count.
pub(super) fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read() {
        let text = r#"
version = 4

[[package]]
name = "a"
version = "1.2.3"
source = "registry+https://example"
checksum = "00"
dependencies = [
 "b",
 "c 0.1.0",
]

[[package]]
name = "b"
version = "0.1.0"
"#;
        let lock = Lock::parse(text);
        assert_eq!(lock.packages.len(), 2);
        assert_eq!(
            lock.packages[0],
            Package {
                name: "a".to_owned(),
                version: "1.2.3".to_owned(),
                source: Some("registry+https://example".to_owned()),
                dependencies: vec!["b".to_owned(), "c".to_owned()],
            }
        );
        assert_eq!(lock.named("b").count(), 1);
    }

    #[test]
    fn versions_compare_as_numbers() {
        for (text, expected) in [
            ("1.2.3", [1, 2, 3]),
            ("0.10.0", [0, 10, 0]),
            ("1.2.1+spec-1.1.0", [1, 2, 1]),
            ("2.0.0-rc.1", [2, 0, 0]),
            ("1", [1, 0, 0]),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
