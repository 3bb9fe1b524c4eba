//! Feeds libFuzzer's inputs to the check of the same name.
#![no_main]
#![allow(dead_code, reason = "each target uses one of the checks")]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::http2_talk::check(data));
