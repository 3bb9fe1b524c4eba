//! Which endpoints get traffic: by checks, by what becomes of requests, and by what they ask for.

mod checks;
mod ejection;
mod peers;
mod roles;
mod surviving;

use std::collections::BTreeSet;

use fairwater_e2e::{Client, Endpoint, Proxy, Setup, until};

use crate::patient::{Patient, script, trio};

/// Checks that come quickly after one another.
const OFTEN: &str =
    "health = { path = \"/healthz\", interval = \"50ms\", fast_interval = \"20ms\" }";
/// Checks of which there is one, at the start.
const ONCE: &str = "health = { path = \"/healthz\", interval = \"1h\", fast_interval = \"1h\" }";

fn setup(patients: &[&Patient]) -> Setup {
    let endpoints: Vec<_> = patients.iter().map(|patient| &patient.endpoint).collect();
    Setup::http(&endpoints)
}

/// The text of a field of an endpoint, as the admin socket has it.
fn field(proxy: &Proxy, endpoint: &Endpoint, name: &str) -> String {
    field_of(proxy, &endpoint.address, name)
}

fn field_of(proxy: &Proxy, address: &str, name: &str) -> String {
    let all = proxy.ask("/endpoints/app").text();
    let start = format!("\"address\":\"{address}\"");
    let own = all.split(&start).nth(1).unwrap_or_else(|| panic!("{start}: {all}"));
    let own = own.split(&format!("\"{name}\":")).nth(1).unwrap();
    let quoted = own.strip_prefix('"').map(|rest| rest.split('"').next().unwrap());
    quoted.unwrap_or_else(|| own.split([',', '}']).next().unwrap()).to_owned()
}

fn state(proxy: &Proxy, endpoint: &Endpoint) -> String {
    field(proxy, endpoint, "state")
}

#[track_caller]
fn until_state(proxy: &Proxy, endpoint: &Endpoint, expected: &str) {
    until(&format!("{} to be {expected}", endpoint.address), || state(proxy, endpoint) == expected);
}

/// Who answers the next requests, each over a connection of its own.
fn answering(proxy: &Proxy, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| Client::new(proxy).get("/").text()).collect()
}

#[track_caller]
fn until_answering(proxy: &Proxy, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|name| (*name).to_owned()).collect();
    until(&format!("{expected:?} to answer"), || answering(proxy, 8) == expected);
}
