//! What the control groups of this process leave it: a container has less memory than its machine.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The memory that this process may use with others of its groups; nothing, where no group limits
/// it.
pub(crate) fn memory_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    least(&groups, Path::new(ROOT))
}

/// The least of all limits from the group of this process up to the root.
fn least(groups: &str, root: &Path) -> Option<u64> {
    let files = groups.lines().filter_map(place).flat_map(|(below, file, group)| {
        let top = root.join(below);
        let group = top.join(group.trim_start_matches('/'));
        // A container may see its own group as the root, under a name that it does not have there.
        let ancestors: Vec<PathBuf> =
            group.ancestors().take_while(|path| path.starts_with(&top)).map(Into::into).collect();
        ancestors.into_iter().map(move |directory| directory.join(file))
    });
    files.filter_map(|file| limit(&fs::read_to_string(file).ok()?)).min()
}

/// Of a line of /proc/self/cgroup that is about memory: where its groups are, the name of the file
/// with the limit, and the group.
fn place(line: &str) -> Option<(&'static str, &'static str, &str)> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    match (hierarchy, controllers) {
        ("0", "") => Some(("", "memory.max", group)),
        _ if controllers.split(',').any(|one| one == "memory") => {
            Some(("memory", "memory.limit_in_bytes", group))
        }
        _ => None,
    }
}

/// The first version says "none" with a number that no machine has.
fn limit(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    text.trim().parse().ok().filter(|bytes| *bytes < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let root = std::env::temp_dir().join(format!("fairwater-cgroup-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/memory.max", "1000000\n");
        write("a/b/memory.max", "max\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/c/memory.limit_in_bytes", "5000\n");
        write("memory.max", "7000000\n");
        for (groups, expected) in [
            ("0::/a/b\n", Some(1_000_000)),
            ("0::/\n", Some(7_000_000)),
            ("0::/of/the/host\n", Some(7_000_000)),
            ("5:cpu,cpuacct:/c\n4:memory:/c\n", Some(5000)),
            ("4:memory:/\n", None),
            ("", None),
            ("nonsense\n", None),
        ] {
            assert_eq!(least(groups, &root), expected, "{groups}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
