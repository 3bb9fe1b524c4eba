//! How much memory and how many descriptors this process uses. The files that say it are opened
//! before it gives up the right to open any, and read again and again.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use fairwater_control::{Capacity, InUse, Meter};
use fairwater_sys::process;

use crate::cgroup;
use crate::room::Room;

/// More than any of the files has.
const GAUGE_BYTES_MAX: usize = 16 * 1024;

struct Files {
    /// Pages of this process.
    pages: Option<File>,
    page_bytes: u64,
    /// Memory of its control group.
    group: Option<File>,
    /// Its descriptors: a directory whose size says how many there are.
    descriptors: Option<File>,
}

/// Opens what is read later.
pub(crate) fn open(room: &Room, is_asked: bool) -> Meter {
    let group_bytes = cgroup::memory_bytes();
    let files = Files {
        pages: File::open("/proc/self/statm").ok(),
        page_bytes: process::page_bytes(),
        // Where no group has a limit, what the kernel holds is nobody's.
        group: group_bytes.and_then(|_| cgroup::memory_uses()),
        descriptors: File::open("/proc/self/fd").ok(),
    };
    let capacity = Capacity {
        memory: group_bytes.or_else(machine_bytes),
        descriptors: room.descriptors,
        connections: (!is_asked).then_some(room.connections),
    };
    Meter { capacity, read: Box::new(move || files.read()) }
}

impl Files {
    fn read(&self) -> InUse {
        let pages = self.pages.as_ref().and_then(text).and_then(|text| anonymous(&text));
        let kernel =
            self.group.as_ref().and_then(text).map_or(0, |text| cgroup::kernel_bytes(&text));
        let size = self.descriptors.as_ref().and_then(|directory| directory.metadata().ok());
        InUse {
            memory: pages.map(|pages| pages * self.page_bytes + kernel),
            // Zero on kernels before 6.2.
            descriptors: size.map(|metadata| metadata.size()).filter(|count| *count > 0),
        }
    }
}

/// The whole of a file that is made when it is read.
fn text(file: &File) -> Option<String> {
    let mut bytes = vec![0; GAUGE_BYTES_MAX];
    let len = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(len);
    String::from_utf8(bytes).ok()
}

/// Pages that are no copy of a file (proc(5), statm): what can be given back to nobody.
fn anonymous(statm: &str) -> Option<u64> {
    let mut numbers = statm.split_whitespace().map(|number| number.parse::<u64>().ok());
    let (resident, shared) = (numbers.nth(1)??, numbers.next()??);
    Some(resident.saturating_sub(shared))
}

fn machine_bytes() -> Option<u64> {
    total(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn total(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_understood() {
        assert_eq!(anonymous("5000 1200 300 10 0 900 0\n"), Some(900));
        for bad in ["", "5000", "5000 x 300", "5000 1200"] {
            assert_eq!(anonymous(bad), None, "{bad}");
        }
        assert_eq!(total("MemFree: 7 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total("MemTotal: 1 MB\n"), None);
    }

    #[test]
    fn this_process_is_measured() {
        let room = Room::of(100, 1000);
        let meter = open(&room, false);
        let before = (meter.read)();
        let taken = vec![1_u8; 32 << 20];
        let files: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let after = (meter.read)();
        assert!(after.memory.unwrap() >= before.memory.unwrap() + (30 << 20));
        if let (Some(before), Some(after)) = (before.descriptors, after.descriptors) {
            // Other tests open and close some meanwhile.
            assert!(after >= before + 100, "{before} and {after}");
        }
        assert_eq!((taken.len(), files.len()), (32 << 20, 200));
        assert!(meter.capacity.memory.unwrap() > 64 << 20);
        assert_eq!(
            (meter.capacity.connections, open(&room, true).capacity.connections),
            (Some(100), None)
        );
    }
}
