//! Who holds an address that is in use, as far as `/proc` tells: for whoever has to end it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The kernel's tables of a protocol, and what they call a socket that others can come to.
const TCP: (&str, &str) = ("tcp", "0A");
const UDP: (&str, &str) = ("udp", "07");

/// The process that listens on a port of TCP or UDP, in words; nothing, if there is none that we
/// may see.
pub(crate) fn of_port(address: SocketAddr, is_udp: bool) -> Option<String> {
    let (name, state) = if is_udp { UDP } else { TCP };
    let tables = [name.to_owned(), format!("{name}6")];
    let all = tables.iter().filter_map(|name| fs::read_to_string(format!("/proc/net/{name}")).ok());
    let numbers: Vec<String> =
        all.flat_map(|table| of_table(&table, state, address.port())).collect();
    process_with(&numbers)
}

/// The numbers of sockets that listen on a port.
fn of_table(table: &str, state: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let number = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_it = words.get(1)?.ends_with(&port) && *words.get(3)? == state;
        is_it.then(|| words.get(9).map(ToString::to_string)).flatten()
    };
    table.lines().skip(1).filter_map(number).collect()
}

/// The process that listens on a Unix socket.
pub(crate) fn of_path(path: &Path) -> Option<String> {
    let table = fs::read_to_string("/proc/net/unix").ok()?;
    let numbers = table.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (*words.get(7)? == path.to_str()?).then(|| words.get(6).map(ToString::to_string)).flatten()
    });
    process_with(&numbers.collect::<Vec<_>>())
}

fn process_with(sockets: &[String]) -> Option<String> {
    if sockets.is_empty() {
        return None;
    }
    let names: Vec<_> = sockets.iter().map(|number| format!("socket:[{number}]")).collect();
    let mut ids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| has_one_of(*id, &names))
        .collect();
    // Of several the one that was there first, which has started the others.
    ids.sort_unstable();
    let id = ids.first()?;
    let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words = command.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let command = words.take(2).collect::<Vec<_>>().join(" ");
    Some(format!("process {id} ({})", command.trim_end().escape_debug()))
}

fn has_one_of(process: u32, names: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.into_iter().any(|target| names.iter().any(|name| target.as_os_str() == name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn we_hold_what_we_listen_on() {
        let own = format!("process {} (", std::process::id());
        for address in ["127.0.0.1:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let said = of_port(listener.local_addr().unwrap(), false).unwrap();
            assert!(said.starts_with(&own), "{said}");
            assert_eq!(of_port("127.0.0.1:1".parse().unwrap(), false), None);
            let socket = UdpSocket::bind(address).unwrap();
            let said = of_port(socket.local_addr().unwrap(), true).unwrap();
            assert!(said.starts_with(&own), "{said}");
        }
        let path = std::env::temp_dir().join(format!("fairwater-held-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(of_path(&path).unwrap().starts_with(&own));
        drop(listener);
        fs::remove_file(&path).unwrap();
        assert_eq!(of_path(&path), None);
    }
}
