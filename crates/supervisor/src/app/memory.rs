//! How much memory a process and all its children have.

use std::fs;

/// More children than this are not looked at: whatever they have, is above any limit.
const PROCESSES_MAX: usize = 1024;

/// Bytes that belong to the processes themselves (`RssAnon`), not to files or shared memory; what a
/// child has from its parent and neither has written to since counts in both.
pub(crate) fn bytes(process_id: u32) -> u64 {
    let mut open = vec![process_id];
    let (mut total, mut seen) = (0, 0);
    while let Some(id) = open.pop().filter(|_| seen < PROCESSES_MAX) {
        seen += 1;
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        total += own(&status);
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(children.split_ascii_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    total
}

fn own(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_children_counts() {
        assert_eq!(own("Name:\tphp\nRssAnon:\t    1024 kB\nRssFile:\t 5 kB\n"), 1 << 20);
        let alone = bytes(std::process::id());
        assert!(alone > 0);
        let mut command = std::process::Command::new("sleep");
        let mut child = command.arg("60").spawn().unwrap();
        let both = bytes(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(bytes(child.id()) == 0 && both > 0);
    }
}
