//! Large bodies that come in small pieces: each piece goes on when it comes.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use fairwater_e2e::{Client, Endpoint, Setup};

use super::{Gate, client_reads_up_to, read_up_to};

const PIECE: [u8; 1000] = [b'y'; 1000];
const PIECES: usize = 6;
/// Between two pieces: longer than anything that holds back a small one to send it with the next.
const PAUSE: Duration = Duration::from_millis(400);
const LATE: Duration = Duration::from_millis(100);
/// Below and above the size from which bodies are spliced.
const LENGTHS: [usize; 3] = [60_000, 70_000, 200_000];

/// One may be late, on a machine that does much else.
#[track_caller]
fn check(name: &str, delays: &[Duration]) {
    let late = delays.iter().filter(|&&delay| delay >= LATE).count();
    assert!(late <= 1, "{name}: {delays:?}");
}

#[test]
fn a_piece_of_a_download_arrives_when_it_is_sent() {
    for length in LENGTHS {
        let gate = Gate::default();
        let of_script = gate.clone();
        let endpoint = Endpoint::new(move |caller| {
            caller.request();
            caller.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            for _ in 0..PIECES {
                of_script.pass();
                caller.send(PIECE);
            }
            caller.until_closed();
        });
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send(super::ASK);
        client_reads_up_to(&mut client, b"\r\n\r\n");
        let delays = [(); PIECES].map(|()| {
            std::thread::sleep(PAUSE);
            let begun = Instant::now();
            gate.open();
            assert_eq!(client.read_exactly(PIECE.len()), PIECE);
            begun.elapsed()
        });
        check(&format!("of {length} bytes"), &delays);
        proxy.assert_sound();
    }
}

#[test]
fn a_piece_of_an_upload_arrives_when_it_is_sent() {
    for length in LENGTHS {
        let (came, arrival) = mpsc::channel();
        let endpoint = Endpoint::new(move |caller| {
            read_up_to(caller, b"\r\n\r\n");
            while caller.read_exactly(PIECE.len()).len() == PIECE.len() {
                came.send(Instant::now()).unwrap();
            }
        });
        let mut proxy = Setup::http(&[&endpoint]).start();
        let mut client = Client::new(&proxy);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        let delays = [(); PIECES].map(|()| {
            std::thread::sleep(PAUSE);
            let begun = Instant::now();
            client.send(PIECE);
            arrival.recv_timeout(Duration::from_secs(5)).unwrap() - begun
        });
        check(&format!("of {length} bytes"), &delays);
        proxy.assert_sound();
    }
}
