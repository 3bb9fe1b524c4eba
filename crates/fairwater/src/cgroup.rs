//! What the control groups of this process leave it: a container has less memory than its machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The memory that this process may use with others of its groups; nothing, where no group limits
/// it.
pub(crate) fn memory_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    least(&groups, Path::new(ROOT))
}

/// What the group of this process uses memory for, as a file that stays open: it can be read anew
/// when no further one can be opened. Only the second version has it.
pub(crate) fn memory_uses() -> Option<File> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    File::open(Path::new(ROOT).join(group).join("memory.stat")).ok()
}

/// Of that, the memory that the kernel holds for this group and cannot take back: of sockets, pipes
/// and all that belongs to a connection.
pub(crate) fn kernel_bytes(uses: &str) -> u64 {
    let of = |name: &str| {
        let mut values = uses.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    of("sock") + of("kernel").saturating_sub(of("slab_reclaimable"))
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
    fn what_the_kernel_cannot_take_back_counts() {
        let uses = "anon 9000\nfile 8000\nkernel 5000\nkernel_stack 70\nsock 300\nslab_reclaimable \
                    1000\nslab 1500\nsock_other 1\n";
        assert_eq!(kernel_bytes(uses), 4300);
        assert_eq!(kernel_bytes("anon 5\nslab_reclaimable 7\n"), 0);
        assert_eq!(kernel_bytes("sock 12345678901234567890123\nkernel x"), 0);
    }

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
