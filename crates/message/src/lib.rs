//! HTTP heads as bytes plus an index, addresses, and the fault.

pub mod address;
pub mod network;
