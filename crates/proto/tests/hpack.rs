//! Compressed fields that a codec of others wrote, and ours as it reads them: Debian's
//! python3-hpack, which comes with python3-h2.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fairwater_proto::hpack::{Decoder, write_field, write_table_size};

/// Says of each block what it encodes, and how: fields as `name=value`, a colon, the block; all in
/// hexadecimal. It reads lines of the same form and says what it finds wrong with them.
const SCRIPT: &str = r"
import random, sys
from hpack import Decoder, Encoder

random.seed(1)
names = [b':method', b':path', b'cookie', b'date', b'x-id', b'x-much']
values = [b'', b'GET', b'/', b'/index.html', bytes(range(256)), b'x' * 3000]

def word():
    return bytes(random.choices(b'abcdefghijklmnopqrstuvwxyz0123456789-', k=random.randint(1, 40)))

def field():
    name = random.choice(names) if random.random() < .7 else word()
    value = random.choice(values) if random.random() < .4 else word()
    return name, value, random.random() < .1

encoder = Encoder()
for _ in range(2000):
    for _ in range(random.choice([0, 0, 0, 0, 1, 2])):
        # Who sets the size that there is makes the encoder forget to say the one before.
        others = {0, 50, 1000, 4096} - {encoder.header_table_size}
        encoder.header_table_size = random.choice(sorted(others))
    fields = [field() for _ in range(random.randint(0, 12))]
    block = encoder.encode(fields, huffman=random.random() < .8)
    text = ','.join(name.hex() + '=' + value.hex() for name, value, _ in fields)
    print(text + ':' + block.hex())

decoder = Decoder()
for line in sys.stdin:
    text, block = line.rstrip().split(':')
    read = decoder.decode(bytes.fromhex(block), raw=True)
    if ','.join(name.hex() + '=' + value.hex() for name, value in read) != text:
        print('wrong', text, read)
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// What it says, also of what it read of ours.
fn talk(ours: String) -> io::Result<Vec<u8>> {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = command.spawn()?;
    let stdin = python.stdin.take();
    // It writes all of its own before it reads, and somebody must take that.
    let writer =
        std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(ours.as_bytes())));
    let output = python.wait_with_output()?;
    assert!(output.status.success());
    assert!(matches!(writer.join(), Ok(Some(Ok(())))));
    Ok(output.stdout)
}

/// Blocks of fields from all of these, in many orders.
fn ours() -> String {
    let names = ["date", "x-id", "cookie", "authorization", ":method", ":path", "vary", "range"];
    let long = "v".repeat(5000);
    let values = ["", "GET", "/", "/index.html", "gzip, deflate", "bytes=0-", "\u{e9}", &long];
    let mut lines = String::new();
    for number in 0..500_usize {
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        if number == 0 {
            write_table_size(&mut block, 0);
        }
        for at in 0..number % 10 {
            let name = names[(number / 3 + 5 * at) % 8];
            let value = values[(number / 8 + 3 * at) % 8];
            write_field(&mut block, name.as_bytes(), value.as_bytes());
            fields.push(format!("{}={}", hex(name.as_bytes()), hex(value.as_bytes())));
        }
        lines += &format!("{}:{}\n", fields.join(","), hex(&block));
    }
    lines
}

#[test]
fn the_codec_of_others_agrees() {
    if !Path::new("/usr/lib/python3/dist-packages/hpack").exists() {
        eprintln!("skipped: python3-hpack is not installed");
        return;
    }
    let said = String::from_utf8(talk(ours()).unwrap()).unwrap();
    let mut decoder = Decoder::new(4096);
    for (number, line) in said.lines().enumerate() {
        assert!(!line.starts_with("wrong"), "{line}");
        let (text, block) = line.split_once(':').unwrap();
        let mut fields = Vec::new();
        let read = decoder.decode(&bytes(block), |name, value| {
            fields.push(format!("{}={}", hex(name), hex(value)));
        });
        assert_eq!((read, &*fields.join(",")), (Ok(()), text), "block {number}: {block}");
    }
    assert_eq!(said.lines().count(), 2000);
}
