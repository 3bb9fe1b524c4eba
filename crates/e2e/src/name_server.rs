//! A DNS server that answers as it is told, over UDP and TCP, and counts what it is asked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::until;

/// How a name is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With its records.
    Good,
    /// With its records in another order each time.
    Turning,
    NoName,
    /// The name is there, and has no records.
    Empty,
    /// With the code for a failure of the server.
    Failing,
    Silent,
    /// With bytes that are none.
    Garbage,
    /// With garbage and answers to other questions, and then with its records.
    NoisyGood,
    /// With nothing over UDP but that the answer is too long.
    OverTcp,
    /// Late.
    Slow(Duration),
    /// Not at all, if it is asked for addresses of IPv6.
    WithoutSix,
}

#[derive(Debug)]
pub struct NameServer {
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    names: HashMap<String, Name>,
    /// Questions so far, but those for addresses of IPv6.
    asked: HashMap<String, usize>,
    is_stopping: bool,
}

#[derive(Clone, Debug)]
struct Name {
    records: Vec<Record>,
    ttl_s: u32,
    manner: Manner,
}

#[derive(Clone, Debug)]
enum Record {
    Address(IpAddr),
    Service { priority: u16, weight: u16, port: u16, target: String },
}

impl Record {
    fn number(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Service { .. } => 33,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Address(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Service { priority, weight, port, target } => {
                let mut data: Vec<u8> =
                    [priority, weight, port].iter().flat_map(|word| word.to_be_bytes()).collect();
                for label in target.split('.') {
                    data.push(label.len() as u8);
                    data.extend(label.as_bytes());
                }
                data.push(0);
                data
            }
        }
    }
}

impl Default for NameServer {
    fn default() -> Self {
        Self::new()
    }
}

impl NameServer {
    /// # Panics
    /// When no port is free for both.
    pub fn new() -> Self {
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
                let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
                Some((udp, tcp))
            })
            .unwrap();
        let address = udp.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let (of_udp, of_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || of_udp.serve_udp(&udp));
        std::thread::spawn(move || of_tcp.serve_tcp(&tcp));
        Self { address, shared }
    }

    /// The `[resolver]` table that sends questions here.
    pub fn table(&self) -> String {
        format!("[resolver]\nservers = [\"{}\"]\ntimeout = \"250ms\"\n", self.address)
    }

    /// # Panics
    /// When one is no address.
    pub fn set(&self, name: &str, ttl_s: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect();
        self.put(name, ttl_s, records);
    }

    /// Each with its priority, weight, port and target.
    pub fn set_service(&self, name: &str, ttl_s: u32, services: &[(u16, u16, u16, &str)]) {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Record::Service {
            priority,
            weight,
            port,
            target: target.to_owned(),
        };
        self.put(name, ttl_s, services.iter().map(record).collect());
    }

    fn put(&self, name: &str, ttl_s: u32, records: Vec<Record>) {
        let name = name.to_owned();
        self.shared.lock().names.insert(name, Name { records, ttl_s, manner: Manner::Good });
    }

    /// # Panics
    /// When the name was not set.
    pub fn answer(&self, name: &str, manner: Manner) {
        self.shared.lock().names.get_mut(name).unwrap().manner = manner;
    }

    /// How often a name was asked for; the questions for both families count as one.
    pub fn asked(&self, name: &str) -> usize {
        self.shared.lock().asked.get(name).copied().unwrap_or(0)
    }

    /// Waits until a name was asked for so many times more.
    #[track_caller]
    pub fn until_asked(&self, name: &str, more: usize) {
        let before = self.asked(name);
        until(&format!("{name} to be asked for"), || self.asked(name) >= before + more);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        // Both threads wait for one thing more.
        let udp = UdpSocket::bind("127.0.0.1:0");
        udp.and_then(|socket| socket.send_to(b"", &self.address)).ok();
        std::net::TcpStream::connect(&self.address).ok();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve_udp(self: Arc<Self>, socket: &UdpSocket) {
        let mut query = [0; 1500];
        while let Ok((len, peer)) = socket.recv_from(&mut query) {
            if self.lock().is_stopping {
                return;
            }
            let Some((name, manner)) = self.asked(&query[..len]) else { continue };
            let reply = match manner {
                Manner::Silent => continue,
                Manner::Garbage => b"\0garbage".to_vec(),
                Manner::OverTcp => reply(&query[..len], 0x8200, &[], 0),
                _ => self.reply(&query[..len], &name),
            };
            if let Manner::Slow(wait) = manner {
                std::thread::sleep(wait);
            }
            if manner == Manner::NoisyGood {
                let mut foreign = reply.clone();
                foreign[0] ^= 1;
                let mut broken = reply.clone();
                broken.truncate(reply.len() - 3);
                for noise in [b"?".to_vec(), query[..len].to_vec(), foreign, broken] {
                    socket.send_to(&noise, peer).ok();
                }
            }
            socket.send_to(&reply, peer).ok();
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if self.lock().is_stopping {
                return;
            }
            let mut len = [0; 2];
            if stream.read_exact(&mut len).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            let read = stream.read_exact(&mut query).is_ok();
            if let Some((name, _)) = self.asked(&query).filter(|_| read) {
                let reply = self.reply(&query, &name);
                stream.write_all(&(reply.len() as u16).to_be_bytes()).ok();
                stream.write_all(&reply).ok();
            }
        }
    }

    /// The name of a question, which is counted, and how it is answered.
    fn asked(&self, query: &[u8]) -> Option<(String, Manner)> {
        let (name, kind) = question(query)?;
        let mut state = self.lock();
        if kind != 28 {
            *state.asked.entry(name.clone()).or_default() += 1;
        }
        let manner = match state.names.get(&name).map_or(Manner::NoName, |name| name.manner) {
            Manner::WithoutSix if kind == 28 => Manner::Silent,
            manner => manner,
        };
        Some((name, manner))
    }

    fn reply(&self, query: &[u8], name: &str) -> Vec<u8> {
        let mut state = self.lock();
        let Some(entry) = state.names.get_mut(name) else {
            return reply(query, 0x8183, &[], 0);
        };
        if entry.manner == Manner::Turning && !entry.records.is_empty() {
            entry.records.rotate_left(1);
        }
        match entry.manner {
            Manner::NoName => reply(query, 0x8183, &[], 0),
            Manner::Failing => reply(query, 0x8182, &[], 0),
            Manner::Empty => reply(query, 0x8180, &[], 0),
            _ => reply(query, 0x8180, &entry.records, entry.ttl_s),
        }
    }
}

/// Name and kind of the one question of a query.
fn question(query: &[u8]) -> Option<(String, u16)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).into_owned());
        at += len;
    }
    let kind = query.get(at..at + 2)?;
    Some((labels.join("."), u16::from_be_bytes([kind[0], kind[1]])))
}

/// A reply with those of the records that are of the kind that was asked for.
fn reply(query: &[u8], flags: u16, records: &[Record], ttl_s: u32) -> Vec<u8> {
    let Some((name, kind)) = question(query) else { return Vec::new() };
    let question_end = 12 + name.len() + 2 + 4;
    let fitting: Vec<_> = records.iter().filter(|record| record.number() == kind).collect();
    let mut out = query[..2].to_vec();
    for word in [flags, 1, fitting.len() as u16, 0, 0] {
        out.extend(word.to_be_bytes());
    }
    out.extend(&query[12..question_end]);
    for record in fitting {
        out.extend([0xc0, 12]);
        out.extend(record.number().to_be_bytes());
        out.extend(1_u16.to_be_bytes());
        out.extend(ttl_s.to_be_bytes());
        let data = record.data();
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    out
}
