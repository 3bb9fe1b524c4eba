//! The PROXY protocol, by bytes and with real proxies.

mod attacks;
mod endpoints;
mod listeners;
mod programs;

use std::net::{IpAddr, SocketAddr};

use fairwater_e2e::{Client, Proxy};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The address that most headers announce.
const CLIENT: &str = "192.0.2.7:51000";
const TARGET: &str = "198.51.100.1:443";

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A block of version 2.
fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &len, rest].concat()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn v2_with(source: &str, target: &str, tlvs: &[u8]) -> Vec<u8> {
    let [source, target]: [SocketAddr; 2] = [source, target].map(|one| one.parse().unwrap());
    let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
    let rest = [&octets(source.ip())[..], &octets(target.ip()), &ports, tlvs].concat();
    block(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &rest)
}

fn v2(source: &str) -> Vec<u8> {
    v2_with(source, if source.starts_with('[') { "[2001:db8::1]:443" } else { TARGET }, b"")
}

fn v1(source: &str) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let (word, target) =
        if source.is_ipv4() { ("TCP4", "198.51.100.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {word} {} {target} {} 443\r\n", source.ip(), source.port()).into_bytes()
}

/// A TLV of version 2.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// The value of a TLV behind a block of IPv4.
fn find(header: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = &header[28..];
    while let [own, high, low, behind @ ..] = rest {
        let (value, behind) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        if *own == kind {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// A client behind a header.
fn announced(proxy: &Proxy, header: &[u8]) -> Client {
    let mut client = Client::new(proxy);
    client.send(header);
    client
}

fn faults(proxy: &Proxy, reason: &str) -> u64 {
    proxy.metric("fairwater_faults_total", &[reason])
}
