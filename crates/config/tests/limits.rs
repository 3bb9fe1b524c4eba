//! Hostile and huge files: a diagnostic or a configuration, in bounded time, and never a panic.

// The lint knows test functions, and not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::time::Duration;

use fairwater_config::{Config, Severity, parse, render};

/// Reads `text` on a small stack and gives the ids of the diagnostics.
fn codes(text: impl Into<Vec<u8>>) -> Vec<&'static str> {
    let text = text.into();
    let read = move || {
        let (config, diagnostics) = parse("fairwater.toml", &text);
        let has_error = diagnostics.iter().any(|one| one.severity() == Severity::Error);
        assert_eq!(config.is_some(), !has_error);
        assert!(render(&diagnostics).len() < 200_000);
        diagnostics.iter().map(|one| one.code.id).collect()
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(read).unwrap();
    thread.join().unwrap()
}

fn check(text: impl Into<Vec<u8>>, expected: &str) {
    let text = text.into();
    let head = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
    let codes = codes(text);
    assert!(codes.contains(&expected), "{head}: {codes:?}");
}

const VALID: &str = "listeners.web = { bind = ':80', upstream = 'app' }\n\
                     upstreams.app.endpoints = ['a:1']\n";

#[test]
fn byte_order_marks_and_carriage_returns_are_accepted() {
    let with_mark = format!("\u{feff}{VALID}");
    for text in [VALID.to_owned(), with_mark.clone(), with_mark.replace('\n', "\r\n")] {
        assert_eq!(codes(text), [""; 0]);
    }
}

#[test]
fn columns_do_not_count_the_byte_order_mark() {
    let (_, diagnostics) = parse("f", "\u{feff}thread = 2".as_bytes());
    let at = diagnostics[0].location.as_ref().unwrap();
    assert_eq!((at.line, at.column, at.excerpt.as_str()), (1, 1, "thread = 2"));
}

#[test]
fn what_is_no_text_is_refused() {
    check("", "E0304");
    check("\0", "E0003");
    check("a = \"\0\"", "E0003");
    check(b"threads = 1\n# \xff\n".to_vec(), "E0002");
    check(b"\xff\xfet\0h\0".to_vec(), "E0002");
}

#[test]
fn garbage_of_megabytes_is_refused() {
    const MIB: usize = 1024 * 1024;
    let largest = if cfg!(debug_assertions) { MIB } else { 8 * MIB };
    check(vec![b'['; 10 * MIB], "E0001");
    for garbage in
        [&b"["[..], b"{", b"a", b"=", b"\"", b"'''", b"a.", b"[a]\n", b"\n=", b"\x7f", b"[["]
    {
        for bytes in [4096, 200 * 1024, largest] {
            check(garbage.repeat(bytes / garbage.len()), "E0003");
        }
    }
}

#[test]
fn deep_nesting_is_refused_on_a_small_stack() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("a = {}", "[{a=".repeat(50_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
    ] {
        check(text, "E0003");
    }
}

#[test]
fn a_hundred_of_each_severity_are_shown() {
    let mut text = VALID.to_owned();
    for n in 0..150 {
        writeln!(text, "unknown_{n} = 1").unwrap();
    }
    let errors = codes(text);
    assert_eq!(errors.len(), 101);
    assert_eq!(errors.last(), Some(&"E0004"));

    let mut text = VALID.to_owned();
    for n in 0..150 {
        writeln!(text, "upstreams.unused{n}.endpoints = ['a:1']").unwrap();
    }
    let warnings = codes(text);
    assert_eq!(warnings.len(), 101);
    assert_eq!(warnings.last(), Some(&"W0001"));
}

/// Broken pieces in random order, the same ones in each run: no panic, whatever they make together.
#[test]
fn no_order_of_pieces_panics() {
    const PIECES: [&str; 32] = [
        "[listeners.web]\n",
        "[[routes]]\n",
        "[upstreams.app]\n",
        "[a.b]\n",
        "[[a.b]]\n",
        "[a]\n",
        "[[a]]\n",
        "a.b = 1\n",
        "a = {b = 1}\n",
        "bind = ':80'\n",
        "upstream = 'app'\n",
        "[",
        "]",
        "{",
        "}",
        "=",
        "'",
        "\"",
        "'''",
        ".",
        ",",
        "\n",
        "\r",
        "#",
        "\\u0000",
        "漢",
        "\u{301}",
        "1",
        "-",
        "_",
        "endpoints = ['a:1', {address = 'b:2', weight = 0}]\n",
        "host = '*.x'\n",
    ];
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let text: String = (0..next(16)).map(|_| PIECES[next(PIECES.len())]).collect();
        let (_, diagnostics) = parse("f", text.as_bytes());
        render(&diagnostics);
    }
}

fn many(count: usize, reference: &str) -> String {
    let mut text = "listeners.web = { bind = ':80' }\n".to_owned();
    for n in 0..count {
        writeln!(text, "[upstreams.app{n}]\nendpoints = ['10.0.0.1:{}']", 1 + n % 65_535).unwrap();
        writeln!(text, "[[routes]]\nlistener = 'web'\nhost = 'h{n}.example'").unwrap();
        writeln!(text, "path = '/v{n}/*'\nupstream = '{reference}{n}'").unwrap();
    }
    text
}

fn parse_in_time(text: &str) -> Option<Config> {
    // A test may read the clock. Far above what a busy machine needs, far below what a quadratic
    // check would take.
    #[allow(clippy::disallowed_methods)]
    let start = std::time::Instant::now();
    let (config, _) = parse("fairwater.toml", text.as_bytes());
    let bound = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    let elapsed = start.elapsed();

    assert!(elapsed < bound, "{elapsed:?}");
    config
}

#[test]
fn ten_thousand_routes_load_at_once() {
    let config = parse_in_time(&many(10_000, "app")).unwrap();
    assert_eq!((config.routes.len(), config.upstreams.len()), (10_000, 10_000));
    // A wrong name in each, for which the nearest one is looked for.
    assert!(parse_in_time(&many(10_000, "apq")).is_none());
}

#[test]
fn ten_thousand_endpoints_load_at_once() {
    let mut text = "listeners.web = { bind = ':80', upstream = 'app' }\n".to_owned();
    text.push_str("[upstreams.app]\nendpoints = [\n");
    for n in 0..10_000 {
        writeln!(text, "{{ address = '10.0.{}.{}:80', weight = {} }},", n / 256, n % 256, n % 1000)
            .unwrap();
    }
    text.push_str("]\n");
    let config = parse_in_time(&text).unwrap();
    assert_eq!(config.upstreams[0].endpoints.len(), 10_000);
}
