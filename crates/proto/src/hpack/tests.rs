//! The examples of RFC 7541 (appendix C), and what is no block.

use proptest::collection::vec;
use proptest::prelude::*;

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

/// A block that is none, behind one that has brought `a: b` into the table.
fn check_error(hex: &str, error: HpackError) {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &bytes("4001610162")).unwrap();
    assert_eq!(decode(&mut decoder, &bytes(hex)), Err(error), "{hex}");
}

#[test]
fn a_block_ends_with_a_field() {
    // Also where a string claims to be longer than anything.
    for hex in [
        "82ff",
        "827f",
        "3f",
        "40",
        "4001",
        "400161",
        "40016101",
        "04",
        "0402",
        "04022f",
        "0482",
        "048263",
        "0f",
        "0f2f",
        "be40",
        "007fffffffff07",
        "007f80ffffff0f",
        "00ffffffffff07",
    ] {
        check_error(hex, HpackError::Truncated);
    }
}

#[test]
fn numbers_have_their_bounds() {
    // 2^32, and zeros that say nothing.
    for hex in ["ff81ffffff0f", "ffffffffff7f", "ff808080808000", "ff8080808080", "3f808080808000"]
    {
        check_error(hex, HpackError::Integer);
    }
    // Zeros in the five bytes that there may be are borne with.
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &bytes("3f8080808000")), Ok(vec![]));
    assert_eq!(decode(&mut decoder, &bytes("0f918080800000")), Ok(vec!["cookie: ".into()]));
}

#[test]
fn an_index_has_an_entry() {
    for hex in ["80", "bf", "ff00", "ff80ffffff0f", "7f0000", "0f3000", "1f3000"] {
        check_error(hex, HpackError::Index);
    }
    let mut empty = Decoder::new(4096);
    assert_eq!(decode(&mut empty, &[0xbe]), Err(HpackError::Index));
}

#[test]
fn strings_are_well_encoded() {
    for (hex, error) in [
        ("048118", HpackError::Padding),
        ("04821fff", HpackError::Padding),
        ("0481ff", HpackError::Padding),
        ("0084ffffffff00", HpackError::EndOfString),
        ("0085ffffffff1f00", HpackError::EndOfString),
    ] {
        check_error(hex, error);
    }
}

#[test]
fn the_size_changes_at_the_front_twice_and_never_above_the_limit() {
    for (hex, error) in [
        ("8220", HpackError::MisplacedUpdate),
        ("4001610162 20", HpackError::MisplacedUpdate),
        ("202020", HpackError::MisplacedUpdate),
        ("208220", HpackError::MisplacedUpdate),
        ("3fe21f", HpackError::TableSize),
        ("3fe0ffffff0f", HpackError::TableSize),
        ("203fe21f", HpackError::TableSize),
    ] {
        check_error(hex, error);
    }
    let (a, b) = ("4001610162", "a: b");
    check(4096, &[(a, b, b), ("20", "", ""), (a, b, ""), ("3fe11f", "", ""), (a, b, b)]);
    // What is between the two sizes counts, and a larger one brings nothing back.
    check(4096, &[(a, b, b), ("203fe11f82", ":method: GET", "")]);
    check(4096, &[(a, b, b), ("3f033fe11fbe", b, b)]);
    check(4096, &[(a, b, b), ("3f023fe11f", "", "")]);
}

/// Before a peer has said otherwise its table has 4096 bytes.
#[test]
fn a_large_table_is_used_when_the_peer_says_so() {
    let entry = |letter: &str| format!("4001{letter}7fce0f{}", "78".repeat(0x7f + 0x7ce));
    let shown = |name: &str| format!("{name}: {}", "x".repeat(0x7f + 0x7ce));
    let (a, b, c) = (entry("61"), entry("62"), entry("63"));
    let [a_shown, b_shown, c_shown] = ["a", "b", "c"].map(shown);
    let both = format!("{b_shown}\n{a_shown}");
    for max in [4000, 4096, 16384] {
        check(max, &[(&a, &a_shown, &a_shown), (&b, &b_shown, &b_shown)]);
    }
    let larger = format!("3fe17f{a}");
    check(16384, &[(&larger, &a_shown, &a_shown), (&b, &b_shown, &both)]);
    let all = format!("{c_shown}\n{both}");
    check(16384, &[(&larger, &a_shown, &a_shown), (&b, &b_shown, &both), (&c, &c_shown, &all)]);
}

#[test]
fn an_entry_may_push_out_the_one_that_it_is_named_after() {
    // Room for one entry with a value of three letters.
    check(
        39,
        &[
            ("40046e616d6503616263", "name: abc", "name: abc"),
            ("7e03646566", "name: def", "name: def"),
            ("7e0131", "name: 1", "name: 1"),
            ("0f2f03676869", "name: ghi", "name: 1"),
            ("1f2f036768690f2f0132", "name: ghi\nname: 2", "name: 1"),
        ],
    );
    // One byte more than the table has: it has nothing then.
    let full = ("40046e616d6503616263", "name: abc", "name: abc");
    check(39, &[full, ("7e0461626364", "name: abcd", "")]);
    check(39, &[full, ("40056e616d657303616263", "names: abc", ""), full]);
    check(0, &[("4001610162", "a: b", ""), ("40000163", ": c", "")]);
}

/// So often that its buffer is full many times.
#[test]
fn a_table_stays_true_however_much_goes_through_it() {
    let mut decoder = Decoder::new(300);
    let mut expected: Vec<String> = Vec::new();
    for number in 0..3000_usize {
        let value = "v".repeat(number * 7 % 50);
        let is_named = number % 3 == 0 && !expected.is_empty();
        let mut block = Vec::new();
        let name = if is_named {
            let place = number % expected.len();
            integer::write(&mut block, 0x40, 6, 62 + place);
            expected[place].split(':').next().unwrap().to_owned()
        } else {
            let name = format!("name-{number}");
            block.extend([0x40, name.len() as u8]);
            block.extend(name.bytes());
            name
        };
        block.push(value.len() as u8);
        block.extend(value.bytes());
        let field = shown(name.as_bytes(), value.as_bytes());
        assert_eq!(decode(&mut decoder, &block).unwrap(), [&*field]);
        expected.insert(0, field);
        // The sign and the space behind it are no part of an entry.
        while expected.iter().map(|field| field.len() - 2 + 32).sum::<usize>() > 300 {
            expected.pop();
        }
        assert_eq!(entries(&mut decoder), expected, "{number}");
        assert!(decoder.kept_bytes() <= 4 * 300 + 16 * 16, "{}", decoder.kept_bytes());
    }
}

#[test]
fn a_decoder_has_nothing_before_it_is_used_and_gives_back_what_was_much() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decoder.kept_bytes(), 0);
    decode(&mut decoder, &bytes("82 1f08 0378797a 0401 2f")).unwrap();
    assert_eq!(decoder.kept_bytes(), 0);
    // 16 KiB of `0`, and a claim of 4 GiB.
    let long = [&bytes("0f08ffe17f")[..], &[0; 0x7f + 0x3fe1]].concat();
    assert_eq!(decode(&mut decoder, &long).map(|fields| fields.len()), Ok(1));
    assert_eq!(decoder.kept_bytes(), 0);
    decode(&mut decoder, &bytes("0fd0ffffff0700")).unwrap_err();
    decode(&mut decoder, &bytes("0f08ffd0ffffff07000000")).unwrap_err();
    assert_eq!(decoder.kept_bytes(), 0);
    decode(&mut decoder, &bytes("4001610162")).unwrap();
    assert!((1..400).contains(&decoder.kept_bytes()), "{}", decoder.kept_bytes());
    decode(&mut decoder, &bytes("20")).unwrap();
    assert_eq!(decoder.kept_bytes(), 0);
}

/// A field, as it is written, is read again.
fn check_written(name: &str, value: &str, start: &str) {
    let mut out = Vec::new();
    write_field(&mut out, name.as_bytes(), value.as_bytes());
    assert!(out.starts_with(&bytes(start)), "{name}: {value} became {out:02x?}");
    let fields = decode(&mut Decoder::new(0), &out).unwrap();
    assert_eq!(fields, [shown(name.as_bytes(), value.as_bytes())]);
}

#[test]
fn fields_are_written_by_what_the_static_table_has_of_them() {
    for (name, value, start) in [
        (":method", "GET", "82"),
        (":method", "POST", "83"),
        (":method", "PUT", "0203"),
        (":path", "/index.html", "85"),
        (":path", "/b/128", "0406"),
        (":scheme", "https", "87"),
        (":authority", "a", "0101"),
        ("accept-encoding", "gzip, deflate", "90"),
        ("accept-encoding", "", "0f0100"),
        ("accept-charset", "", "8f"),
        ("www-authenticate", "", "bd"),
        ("www-authenticate", "Basic", "0f2e05"),
        ("date", "x", "0f1201"),
        ("x-other", "x", "0007"),
        ("x", "", "000178"),
        ("", "", "000000"),
        ("dote", "x", "0004"),
    ] {
        check_written(name, value, start);
    }
}

#[test]
fn secrets_are_never_indexed() {
    let (short, long) = ("x".repeat(19), "x".repeat(20));
    for (name, value, start) in [
        ("authorization", "Basic x", "1f0807"),
        ("authorization", &*"x".repeat(500), "1f087ff502"),
        ("authorization", "", "1f0800"),
        ("proxy-authorization", "x", "1f2201"),
        ("set-cookie", &*long, "1f2814"),
        ("cookie", &*short, "1f1113"),
        ("cookie", &*long, "0f1114"),
    ] {
        check_written(name, value, start);
    }
}

#[test]
fn what_came_as_a_secret_goes_as_one() {
    for (name, value, start) in [
        ("x-token", "x", "1007782d746f6b656e0178"),
        ("accept-encoding", "gzip, deflate", "1f010d"),
        (":path", "/", "14012f"),
    ] {
        let mut out = Vec::new();
        write_secret(&mut out, name.as_bytes(), value.as_bytes());
        assert_eq!(out[..start.len() / 2], bytes(start), "{name}");
        let mut decoder = Decoder::new(0);
        assert_eq!(decode(&mut decoder, &out).unwrap(), [format!("{name}: {value}")]);
        assert!(decoder.has_secrets());
        write_status(&mut out, 200);
        decode(&mut decoder, &out[out.len() - 1..]).unwrap();
        assert!(!decoder.has_secrets(), "those of the last block count alone");
    }
}

#[test]
fn each_status_is_written_as_short_as_it_can_be() {
    for status in 100..1000 {
        let (mut out, mut field) = (Vec::new(), Vec::new());
        write_status(&mut out, status);
        write_field(&mut field, b":status", status.to_string().as_bytes());
        assert_eq!(out, field);
        let fields = decode(&mut Decoder::new(0), &out).unwrap();
        assert_eq!(fields, [format!(":status: {status}")]);
    }
}

#[test]
fn a_peer_may_forget_its_table() {
    let mut out = Vec::new();
    write_table_size(&mut out, 0);
    write_table_size(&mut out, 4096);
    assert_eq!(out, bytes("203fe11f"));
}

/// All that two functions must know of each other.
#[test]
fn every_entry_of_the_static_table_is_found() {
    let mut names = Vec::new();
    for (index, &(name, value)) in (1..).zip(&static_table::ENTRIES) {
        names.push(name);
        let first = names.iter().position(|&known| known == name).unwrap() as u8 + 1;
        assert_eq!(static_table::find(name), Some(first));
        let mut out = Vec::new();
        write_field(&mut out, name, value);
        if !out.starts_with(&[0x1f]) {
            assert_eq!(out, [0x80 | index]);
        }
        // Nothing that is near it.
        for at in 0..name.len() {
            let mut other = name.to_vec();
            other[at] ^= 1;
            assert!(
                static_table::find(&other)
                    .is_none_or(|found| names[usize::from(found) - 1] != name)
            );
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_blocks_do_no_harm(blocks in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let mut decoder = Decoder::new(4096);
        for block in &blocks {
            let is_good = decoder.decode(block, |_, _| ()).is_ok();
            // Buffer and entries, and what strings were decoded to.
            prop_assert!(decoder.kept_bytes() <= 4 * 4096 + 128 * 16 + 4096);
            if !is_good {
                break;
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        fields in vec((vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..300)), 0..20),
        known in vec((0..61_usize, "[a-z]{0,30}"), 0..20),
    ) {
        let known = known.iter().map(|(place, value)| {
            (static_table::ENTRIES[*place].0.to_vec(), value.as_bytes().to_vec())
        });
        let fields: Vec<_> = known.chain(fields).collect();
        let (mut block, mut read) = (Vec::new(), Vec::new());
        write_table_size(&mut block, 0);
        fields.iter().for_each(|(name, value)| write_field(&mut block, name, value));
        let result = Decoder::new(4096)
            .decode(&block, |name, value| read.push((name.to_vec(), value.to_vec())));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(read, fields);
    }
}
