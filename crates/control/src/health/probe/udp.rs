//! A probe of one datagram, and the first that answers it.

use std::io;
use std::time::Duration;

use fairwater_net::ask_by_datagram;
use fairwater_plan::Dial;

use super::Search;
use super::wire::{shown, why};
use crate::health::target::Target;

/// Asks the addresses of an endpoint until one answers.
pub(super) async fn ask(
    target: &Target,
    (send, expect): (&[u8], &[u8]),
    (timeout, bytes_max): (Duration, usize),
) -> Result<(), String> {
    let Dial::Ip(addresses) = &target.dial else {
        return Err("a Unix socket takes no datagrams".to_owned());
    };
    let question = [&target.header, send].concat();
    let mut last = "it has no address".to_owned();
    for address in addresses {
        let asked = tokio::time::timeout(timeout, ask_by_datagram(*address, &question));
        match asked.await {
            Err(_) => last = format!("no answer within {}", shown(timeout)),
            Ok(Err(error)) => last = said(&error),
            Ok(Ok(answer)) => match Search::new(expect, bytes_max).take(&answer) {
                Some(true) => return Ok(()),
                _ => last = "the answer is not the expected one".to_owned(),
            },
        }
    }
    Err(last)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody takes datagrams there".to_owned(),
        _ => format!("the datagram did not go out: {}", why(error)),
    }
}
