//! Precedence of routes, as data.

use fairwater_message::{RequestHead, Span};

use super::*;

fn table(rules: &[(&str, &str)]) -> RouteTable {
    let rules: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(index, (host, path))| RouteRule {
            host: (!host.is_empty()).then(|| (*host).to_owned()),
            path: (*path).to_owned(),
            upstream: UpstreamId(index as u32),
        })
        .collect();
    RouteTable::new(&rules)
}

fn find(table: &RouteTable, authority: &str, path: &str) -> Result<u32, Unroutable> {
    let bytes = format!("{authority}{path}");
    let head = RequestHead {
        authority: Span::new(0, authority.len()),
        path: Span::new(authority.len(), bytes.len()),
        ..RequestHead::default()
    };
    table.find(&head, bytes.as_bytes()).map(|upstream| upstream.0)
}

#[test]
fn the_most_specific_route_wins() {
    let table = table(&[
        ("", "/*"),
        ("", "/v1/*"),
        ("", "/v1/users"),
        ("a.example", "/v1/*"),
        ("", "/v1/users/*"),
    ]);
    for (authority, path, expected) in [
        ("x", "/", Ok(0)),
        ("x", "/v1", Ok(1)),
        ("x", "/v1/", Ok(1)),
        ("x", "/v1?a=/v1/users", Ok(1)),
        ("x", "/v1x", Ok(0)),
        ("x", "/v1/users", Ok(2)),
        ("x", "/v1/users?q", Ok(2)),
        ("x", "/v1/users/7", Ok(4)),
        ("x", "/v1/./users", Ok(2)),
        ("x", "/v1/%75sers", Ok(2)),
        ("x", "/x/../v1/users", Ok(2)),
        ("x", "//v1//users", Ok(2)),
        ("A.Example.:8080", "/v1/users", Ok(3)),
        ("a.example", "/v2", Ok(0)),
        ("x", "/v1%2fusers", Err(Unroutable::AmbiguousPath)),
        ("x", "/../v1", Err(Unroutable::AmbiguousPath)),
        ("x", "", Ok(0)),
    ] {
        assert_eq!(find(&table, authority, path), expected, "{authority} {path}");
    }
}

#[test]
fn a_host_has_one_name_however_it_is_written() {
    let table = table(&[("", "/*"), ("[2001:db8::1]", "/*"), ("a.example", "/*")]);
    for (authority, expected) in [
        ("[2001:db8::1]", 1),
        ("[2001:DB8::1]:8080", 1),
        ("[2001:db8:0:0:0:0:0:1]", 1),
        ("[2001:0db8::0001]:80", 1),
        ("[2001:db8::2]", 0),
        ("A.EXAMPLE", 2),
        ("a.example.:80", 2),
        ("a.example.org", 0),
        ("", 0),
    ] {
        assert_eq!(find(&table, authority, "/"), Ok(expected), "{authority}");
    }
}

#[test]
fn no_route_is_an_answer() {
    let table = table(&[("a", "/v1/*")]);
    assert_eq!(find(&table, "b", "/v1/x"), Err(Unroutable::NoRoute));
    assert_eq!(find(&table, "a", "/v2"), Err(Unroutable::NoRoute));
}

#[test]
fn a_path_of_slashes_is_no_work() {
    let table = table(&[("", "/a/b/*")]);
    let path = format!("/{}", "a/".repeat(4000));
    assert_eq!(find(&table, "x", &path), Err(Unroutable::NoRoute));
}
