//! Every raw system call and every `unsafe` block of the project; all other crates forbid unsafe
//! code. Nothing here decides anything: policy, logging and retries belong to the callers.

pub mod allocator;
pub mod child;
pub mod clock;
pub mod datagram;
pub mod epoll;
pub mod exec;
pub mod file;
pub mod landlock;
pub mod memory_file;
pub mod pass;
pub mod pipe;
pub mod poll;
pub mod privileges;
pub mod process;
pub mod recycle;
pub mod signal;
pub mod socket;
pub mod ticker;
