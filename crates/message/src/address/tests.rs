//! Each case is what was written and what comes out: the identity, or `problem: remedy`.

use super::*;

fn check_endpoint(written: &str, expected: &str) {
    check(written, expected, Endpoint::parse(written));
}

fn check_listen(written: &str, expected: &str) {
    check(written, expected, Listen::parse(written));
}

fn check<T>(written: &str, expected: &str, parsed: Result<T, AddressError>)
where
    T: fmt::Display + fmt::Debug + PartialEq + FromStr<Err = AddressError>,
{
    match parsed {
        Err(error) => assert_eq!(error.to_string(), expected, "{written:?}"),
        Ok(address) => {
            assert_eq!(address.to_string(), expected, "{written:?}");
            assert_eq!(address.to_string().parse(), Ok(address), "{written:?}");
        }
    }
}

#[test]
fn spellings_of_an_endpoint_have_one_identity() {
    for (written, expected) in [
        ("app:80", "app:80"),
        ("App.Example.COM.:080", "app.example.com:80"),
        ("my_app-1:65535", "my_app-1:65535"),
        ("1.2.3.4:80", "1.2.3.4:80"),
        ("tcp://1.2.3.4:80", "1.2.3.4:80"),
        ("TCP://1.2.3.4:80/", "1.2.3.4:80"),
        ("http://app", "app:80"),
        ("http://APP/", "app:80"),
        ("http://app:8080/", "app:8080"),
        ("http://[::1]", "[::1]:80"),
        ("[0:0::1]:80", "[::1]:80"),
        ("[::FFFF:1.2.3.4]:80", "1.2.3.4:80"),
        ("srv://_http._tcp.app.example", "srv://_http._tcp.app.example"),
        ("SRV://App.Service.Consul./", "srv://app.service.consul"),
        ("srv:80", "srv:80"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:///run/app.sock", "unix:/run/app.sock"),
        ("UNIX:/run/./app//a b.sock", "unix:/run/app/a b.sock"),
        ("unix:/run/b backup.sock", "unix:/run/b backup.sock"),
        ("unix:/run/../app.sock", "unix:/run/../app.sock"),
        ("/run/app.sock", "unix:/run/app.sock"),
    ] {
        check_endpoint(written, expected);
    }
}

#[test]
fn a_wrong_endpoint_is_told_what_to_write() {
    for (written, expected) in [
        ("", "the address is empty: write `HOST:PORT` or `unix:/PATH`"),
        ("a\0b:80", "the address contains a NUL character: remove it"),
        ("a\n:80", "the address contains the control character '\\n': remove it"),
        (
            "127.0.0.1:9001 weight=2 backup",
            "`127.0.0.1:9001 weight=2 backup` has more than an address in it: write a table: \
             `{ address = \"127.0.0.1:9001\", weight = 2, backup = true }`",
        ),
        (
            "unix:/run/a.sock max_fails=3  max_conns=5",
            "`unix:/run/a.sock max_fails=3  max_conns=5` has more than an address in it: write a \
             table: `{ address = \"unix:/run/a.sock\", max_concurrency = 5 }`",
        ),
        (
            "app:80 weight=x",
            "the port `80 weight=x` is not a number: write a number from 1 to 65535",
        ),
        ("app:80 ", "`app:80 ` begins or ends with white space: remove it"),
        ("app", "`app` has no port: add the port, as in `app:8080`"),
        ("[::1]", "`[::1]` has no port: add the port, as in `[::1]:8080`"),
        ("tcp://app", "`app` has no port: add the port, as in `app:8080`"),
        ("srv://", "`srv://` has no name: write `srv://_http._tcp.app.example`"),
        (
            "srv://app:80",
            "`srv://app:80` has a port, and SRV records say theirs: \
             write `srv://app`, or `app:PORT` for the addresses of the name itself",
        ),
        (
            "srv://app/x",
            "`srv://app/x` has the path `/x`, and an address has none: \
             write `srv://app`: paths belong to routes",
        ),
        ("8080", "`8080` has no port: for port 8080 here write `127.0.0.1:8080`"),
        ("app:", "nothing follows the colon before the port: write a number from 1 to 65535"),
        ("app:http", "the port `http` is not a number: write a number from 1 to 65535"),
        ("app:+80", "the port `+80` is not a number: write a number from 1 to 65535"),
        ("app:65536", "the port 65536 is above 65535: write a number from 1 to 65535"),
        (
            "app:0",
            "`app:0` has port 0, to which nothing can connect: \
             write the port that the endpoint listens on, from 1 to 65535",
        ),
        (
            ":80",
            "`:80` has no host, so there is nothing to connect to: \
             for an endpoint on this machine write `127.0.0.1:80`",
        ),
        (
            "*:80",
            "`*:80` has no host, so there is nothing to connect to: \
             for an endpoint on this machine write `127.0.0.1:80`",
        ),
        (
            "tcp://unix:80",
            "a host of the name `unix` cannot be told from a socket path: \
             write the host's full name or its IP address",
        ),
    ] {
        check_endpoint(written, expected);
    }
}

#[test]
fn wrong_brackets_schemes_and_paths_are_told_what_to_write() {
    for (written, expected) in [
        (
            "::1:80",
            "`::1:80` has several colons: an IPv6 address needs brackets: \
             write `[ADDRESS]:PORT`, as in `[::1]:8080`",
        ),
        ("[::1:80", "`[::1:80` has no closing `]`: write `[ADDRESS]:PORT`"),
        ("[::1]80", "`80` follows the closing `]` of `[::1]80`: write `[ADDRESS]:PORT`"),
        (
            "[app]:80",
            "`app` is not an IPv6 address: \
             write it as in `[::1]:8080`, or leave the brackets away for a host name",
        ),
        (
            "[fe80::1%eth0]:80",
            "the IPv6 address `fe80::1` has the zone `eth0`, which is not supported: \
             use an address that is not link-local",
        ),
        (
            "https://app",
            "`https://app` asks for TLS, which is a setting beside the address: \
             write `HOST:PORT`, and `tls = true` in the upstream; to listen, `tls = { cert = .. }`",
        ),
        (
            "ftp://app:21",
            "`ftp://` is not a known scheme: \
             write `HOST:PORT`, `tcp://HOST:PORT`, `http://HOST:PORT`, `srv://NAME` or `unix:/PATH`",
        ),
        (
            "http://app:80/v1",
            "`http://app:80/v1` has the path `/v1`, and an address has none: \
             write `http://app:80`: paths belong to routes",
        ),
        (
            "app:80/v1/x",
            "`app:80/v1/x` has the path `/v1/x`, and an address has none: \
             write `app:80`: paths belong to routes",
        ),
    ] {
        check_endpoint(written, expected);
    }
}

#[test]
fn a_wrong_host_name_is_told_what_is_wrong() {
    let long_label = "a".repeat(64);
    let long_name = format!("{}b", "a.".repeat(127));
    for (written, expected) in [
        (
            "127.0.0.01:80",
            "`127.0.0.01` is neither an IPv4 address nor a host name: \
             write four numbers from 0 to 255 without leading zeros, as in `10.0.0.1`",
        ),
        (
            "0x7f.0X1:80",
            "`0x7f.0X1` is neither an IPv4 address nor a host name: \
             write four numbers from 0 to 255 without leading zeros, as in `10.0.0.1`",
        ),
        (
            "me@app:80",
            "`me@app` has '@' in the host name: a host name has letters, digits, `-`, `_` and dots",
        ),
        (
            "bücher.example:80",
            "`bücher.example` has 'ü' in the host name: \
             write an international name in its ASCII form, as in `xn--bcher-kva.example`",
        ),
        ("a..b:80", "the host name `a..b` has an empty part between its dots: remove the dot"),
        (".:80", "the host name `.` has an empty part between its dots: remove the dot"),
        ("-a.b:80", "`-a` in the host name begins or ends with `-`: remove the `-`"),
        (
            &format!("{long_label}:80"),
            &format!(
                "`{long_label}` has 64 bytes, and a part of a host name has at most 63: \
                 write a shorter one"
            ),
        ),
        (
            &format!("{long_name}:80"),
            "the host name has 255 bytes, and at most 253 are allowed: write a shorter one",
        ),
    ] {
        check_endpoint(written, expected);
    }
}

#[test]
fn a_socket_path_must_fit_the_kernel() {
    let fits = format!("unix:/{}", "a".repeat(106));
    check_endpoint(&fits, &fits);
    check_endpoint(&format!("unix:///./{}", "a".repeat(106)), &fits);
    for (written, expected) in [
        (
            &*format!("{fits}a"),
            "the socket path has 108 bytes, and the kernel takes at most 107: \
             put the socket in a directory with a shorter name, such as /run",
        ),
        ("unix:", "`unix:` has no path: write `unix:/PATH`"),
        ("unix://", "`unix://` has no path: write `unix:/PATH`"),
        ("unix:/", "`unix:/` names a directory: write the path of the socket itself"),
        ("/run/", "`/run/` names a directory: write the path of the socket itself"),
        (
            "unix:app.sock",
            "the path of `unix:app.sock` is not absolute: \
             write `unix:/PATH` with the whole path from the root",
        ),
        (
            "unix://run/app.sock",
            "the path of `unix://run/app.sock` is not absolute: \
             write `unix:/PATH` with the whole path from the root",
        ),
        (
            "unix:@app",
            "the path of `unix:@app` is not absolute: \
             write `unix:/PATH` with the whole path from the root",
        ),
    ] {
        check_endpoint(written, expected);
    }
}

#[test]
fn listeners_take_wildcards_and_port_0_and_refuse_names() {
    for (written, expected) in [
        (":8080", ":8080"),
        ("*:8080", ":8080"),
        ("tcp://*:8080", ":8080"),
        (":0", ":0"),
        ("http://*", ":80"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("[::]:80", "[::]:80"),
        ("unix:/run/fw.sock", "unix:/run/fw.sock"),
        ("8080", "`8080` has no port: for port 8080 on all addresses write `:8080`"),
        ("*", "`*` has no port: add the port, as in `*:8080`"),
        (":", "nothing follows the colon before the port: write a number from 1 to 65535"),
        ("", "the address is empty: write `:PORT`, `ADDRESS:PORT` or `unix:/PATH`"),
        (
            "::",
            "`::` has no port, and an IPv6 address needs brackets: \
             write `[::]:PORT`, or `:PORT` for IPv4 and IPv6",
        ),
        (
            "localhost:80",
            "`localhost` is a host name, and listening needs an IP address: \
             write `127.0.0.1:80`, or `[::1]:80` for IPv6",
        ),
        (
            "app:80",
            "`app` is a host name, and listening needs an IP address: \
             write the IP address, or `:80` for all addresses of this machine",
        ),
    ] {
        check_listen(written, expected);
    }
}

#[test]
fn hosts_without_ports_have_one_spelling() {
    for (written, expected) in [
        ("API.Example.com.", Ok("api.example.com")),
        ("10.0.0.1", Ok("10.0.0.1")),
        ("[0::1]", Ok("[::1]")),
        ("", Err("the host name is empty")),
        ("*", Err("`*` is not a host name")),
        ("app:80", Err("`app:80` has ':' in the host name")),
    ] {
        let parsed = parse_host(written);
        let parsed = parsed.as_deref().map_err(AddressError::problem);
        assert_eq!(parsed, expected, "{written:?}");
    }
}

/// Random texts over the pieces that the grammar knows: no panic, and display then parse is the
/// identity. The generator is Knuth's MMIX constants, so that a failure repeats.
#[test]
fn display_then_parse_is_the_identity() {
    const PIECES: [&str; 26] = [
        "unix:",
        "tcp://",
        "http://",
        "https://",
        "/",
        "//",
        "/.",
        ":",
        "::",
        "[",
        "]",
        "1",
        "80",
        "127.0.0.1",
        "a",
        "App",
        ".",
        "-",
        "_",
        "*",
        "%",
        "ü",
        "\u{0}",
        " ",
        "65536",
        "0x",
    ];
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut parsed = 0;
    for _ in 0..200_000 {
        let text: String = (0..next(8)).map(|_| PIECES[next(PIECES.len())]).collect();
        if let Ok(endpoint) = Endpoint::parse(&text) {
            assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint), "{text:?}");
            parsed += 1;
        }
        if let Ok(listen) = Listen::parse(&text) {
            assert_eq!(Listen::parse(&listen.to_string()), Ok(listen), "{text:?}");
            parsed += 1;
        }
    }
    assert!(parsed > 1_000, "the generator hits too few valid addresses: {parsed}");
}
