//! How endpoints are: they are asked, and what becomes of requests is watched.

mod probe;
mod schedule;
mod target;
