//! Connections move to the process that serves in place of this one: idle ones, raw TCP
//! connections and tunnels, with both descriptors and the bytes in flight. What the other process
//! does not take stays and finishes here.
//!
//! `parcel` is what is said about a connection, `heir` the side that gives, `legacy` the one that
//! takes.

mod heir;
mod legacy;
mod parcel;

pub(crate) use heir::{Estate, Heir};
pub(crate) use legacy::take_from;
pub(crate) use parcel::{Door, Kind, RelayParcel};

/// Of the form of what is said. A process that speaks another one gets nothing.
pub(crate) const FORM: u64 = 2;
