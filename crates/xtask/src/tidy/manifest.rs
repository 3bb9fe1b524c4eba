//! The little of a Cargo.toml that tidy needs, read line by line: our manifests are plain.

/// One crate of ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub name: String,
    /// Of all targets, and of build scripts.
    pub dependencies: Vec<String>,
    pub dev_dependencies: Vec<String>,
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Self {
        let mut manifest = Self::default();
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']');
                // [dependencies.x] opens the table of one dependency.
                if let Some((kind, name)) = section.rsplit_once('.')
                    && let Some(list) = manifest.list(kind)
                {
                    list.push(unquoted(name));
                    section = "";
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            // `x.workspace = true` is the dependency x.
            let key = key.trim().split('.').next().unwrap_or_default();
            if section == "package" && key == "name" {
                manifest.name = unquoted(value.trim());
            } else if let Some(list) = manifest.list(section) {
                list.push(unquoted(key));
            }
        }
        manifest
    }

    fn list(&mut self, section: &str) -> Option<&mut Vec<String>> {
        match section.rsplit('.').next().unwrap_or(section) {
            "dependencies" | "build-dependencies" => Some(&mut self.dependencies),
            "dev-dependencies" => Some(&mut self.dev_dependencies),
            _ => None,
        }
    }
}

fn unquoted(text: &str) -> String {
    text.trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency_is_read() {
        let text = r#"
            [package]
            name = "fairwater-x"
            version.workspace = true

            [lints]
            workspace = true

            [dependencies] # a comment
            # no = "1"
            a = { workspace = true }
            b.workspace = true
            "c" = "1"

            [dependencies.d]
            version = "1"

            [target.'cfg(unix)'.dependencies]
            e = "1"

            [build-dependencies]
            f = "1"

            [dev-dependencies]
            g = { workspace = true, features = ["h"] }
        "#;
        let text = text.replace(" # a comment", "");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            Manifest::parse(&text),
            Manifest {
                name: "fairwater-x".to_owned(),
                dependencies: names(&["a", "b", "c", "d", "e", "f"]),
                dev_dependencies: names(&["g"]),
            }
        );
    }
}
