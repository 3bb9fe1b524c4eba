//! What the allocator keeps of freed memory, in a program of its own: nothing else may allocate.

use fairwater_sys::allocator::release;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Memory of the process that no file backs, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("RssAnon in KiB") / 1024
}

#[test]
fn freed_memory_is_given_back_to_the_kernel() {
    let before = resident_mib();
    // As heads that are not whole yet, of a thousand clients.
    let heads: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 60_000]).collect();
    assert!(resident_mib() > before + 50);
    drop(heads);
    let kept = resident_mib();
    release();
    let left = resident_mib();
    assert!(left <= before + 2, "{left} MiB of {before} before, and {kept} without the call");
    assert!(kept > left + 8, "there is nothing to release: {kept} MiB");
}
