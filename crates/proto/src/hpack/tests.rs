//! The examples of RFC 7541 (appendix C), and what is no block.

use super::*;

/// A field as it is shown: `name: value`.
fn shown(name: &[u8], value: &[u8]) -> String {
    format!("{}: {}", name.escape_ascii(), value.escape_ascii())
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push(shown(name, value)))?;
    Ok(fields)
}

/// What is in the table that the peer fills, the newest first.
fn entries(decoder: &mut Decoder) -> Vec<String> {
    (62..127).map_while(|index| decode(decoder, &[0x80 | index]).ok()?.pop()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// Blocks of one peer, one after the other: each in hexadecimal, its fields, and the table behind
/// it.
fn check(table_bytes_max: u32, blocks: &[(&str, &str, &str)]) {
    let mut decoder = Decoder::new(table_bytes_max);
    for (hex, fields, table) in blocks {
        let read = decode(&mut decoder, &bytes(hex)).unwrap();
        assert_eq!(read, lines(fields), "{hex}");
        assert_eq!(entries(&mut decoder), lines(table), "{hex}");
    }
}

#[test]
fn every_representation_is_read() {
    let custom = "custom-key: custom-header";
    check(4096, &[("400a637573746f6d2d6b65790d637573746f6d2d686561646572", custom, custom)]);
    check(4096, &[("040c2f73616d706c652f70617468", ":path: /sample/path", "")]);
    check(4096, &[("100870617373776f726406736563726574", "password: secret", "")]);
    check(4096, &[("82", ":method: GET", "")]);
}

const REQUESTS: [&str; 3] = [
    ":method: GET
     :scheme: http
     :path: /
     :authority: www.example.com",
    ":method: GET
     :scheme: http
     :path: /
     :authority: www.example.com
     cache-control: no-cache",
    ":method: GET
     :scheme: https
     :path: /index.html
     :authority: www.example.com
     custom-key: custom-value",
];

const TABLES_OF_REQUESTS: [&str; 3] = [
    ":authority: www.example.com",
    "cache-control: no-cache
     :authority: www.example.com",
    "custom-key: custom-value
     cache-control: no-cache
     :authority: www.example.com",
];

/// Blocks with these fields, and these in the table behind them.
fn check_all(size: u32, hex: [&str; 3], fields: [&str; 3], tables: [&str; 3]) {
    check(size, &[0, 1, 2].map(|at| (hex[at], fields[at], tables[at])));
}

#[test]
fn requests_are_read() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    check_all(4096, plain, REQUESTS, TABLES_OF_REQUESTS);
    let huffman = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    check_all(4096, huffman, REQUESTS, TABLES_OF_REQUESTS);
}

const REPLIES: [&str; 3] = [
    ":status: 302
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 307
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:21 GMT
     location: https://www.example.com",
    ":status: 200
     cache-control: private
     date: Mon, 21 Oct 2013 20:13:22 GMT
     location: https://www.example.com
     content-encoding: gzip
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

const TABLES_OF_REPLIES: [&str; 3] = [
    "location: https://www.example.com
     date: Mon, 21 Oct 2013 20:13:21 GMT
     cache-control: private
     :status: 302",
    ":status: 307
     location: https://www.example.com
     date: Mon, 21 Oct 2013 20:13:21 GMT
     cache-control: private",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1
     content-encoding: gzip
     date: Mon, 21 Oct 2013 20:13:22 GMT",
];

#[test]
fn the_oldest_entries_give_way() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d\
         546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f\
         6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b\
         2076657273696f6e3d31",
    ];
    check_all(256, plain, REPLIES, TABLES_OF_REPLIES);
    let huffman = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c7\
         8f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335\
         dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    check_all(256, huffman, REPLIES, TABLES_OF_REPLIES);
}

#[test]
fn numbers_are_as_in_the_examples() {
    for (prefix, value, hex) in [(5, 10, "0a"), (5, 1337, "1f9a0a"), (7, 127, "7f00")] {
        let mut out = Vec::new();
        integer::write(&mut out, 0, prefix, value);
        assert_eq!(out, bytes(hex));
        let mut rest = &out[1..];
        assert_eq!(integer::read(out[0], prefix, &mut rest), Ok(value as u32));
        assert!(rest.is_empty());
    }
}
