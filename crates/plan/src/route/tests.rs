//! Precedence of routes, as data.

use fairwater_message::network::IpNet;
use fairwater_message::{Field, HeaderId, HeaderName, Method, RequestHead, Span};

use super::*;

/// As a configuration would write it.
fn pattern(path: &str) -> PathPattern {
    let (path, is_prefix) = match path.strip_suffix("/*") {
        Some(path) => (path, true),
        None => (path, false),
    };
    if path.contains('{') {
        let segment = |part: &str| match part.strip_prefix('{') {
            Some(name) => Segment::Capture(name.trim_end_matches('}').to_owned()),
            None => Segment::Literal(part.to_owned()),
        };
        let segments = path[1..].split('/').map(segment).collect();
        return PathPattern::Segments { segments, is_prefix };
    }
    match (path, is_prefix) {
        ("", true) => PathPattern::Any,
        (path, true) => PathPattern::Prefix(path.to_owned()),
        (path, false) => PathPattern::Exact(path.to_owned()),
    }
}

fn rule(index: usize, host: &str, path: &str, conditions: Vec<Condition>) -> RouteRule {
    RouteRule {
        host: match host.strip_prefix('*') {
            Some(end) => HostPattern::Wildcard(end.to_owned()),
            None if host.is_empty() => HostPattern::Any,
            None => HostPattern::Exact(host.to_owned()),
        },
        path: pattern(path),
        conditions: Conditions(conditions),
        route: Route::to(UpstreamId(index as u32)),
    }
}

fn number(route: &Route) -> u32 {
    match route.destination {
        Destination::Upstream(UpstreamId(number)) => number,
        _ => u32::MAX,
    }
}

fn table(rules: &[(&str, &str)]) -> RouteTable {
    let rules = rules.iter().enumerate();
    RouteTable::new(rules.map(|(index, (host, path))| rule(index, host, path, vec![])).collect())
}

fn find(table: &RouteTable, authority: &str, path: &str) -> Result<u32, Unroutable> {
    let bytes = format!("{authority}{path}");
    let head = RequestHead {
        authority: Span::new(0, authority.len()),
        path: Span::new(authority.len(), bytes.len()),
        ..RequestHead::default()
    };
    let facts = Facts { head: &head, bytes: bytes.as_bytes(), client: &|| None };
    table.find(facts).map(number)
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

#[test]
fn wildcards_take_hosts_with_more_labels() {
    let table = table(&[
        ("", "/*"),
        ("*.example.com", "/*"),
        ("*.b.example.com", "/x"),
        ("a.example.com", "/*"),
        ("*.com", "/c/*"),
    ]);
    for (authority, path, expected) in [
        ("a.example.com", "/", 3),
        ("b.example.com", "/", 1),
        ("A.B.Example.com.:80", "/x", 2),
        ("a.b.example.com", "/y", 1),
        ("example.com", "/", 0),
        ("example.com", "/c", 4),
        (".example.com", "/", 0),
        ("example.org", "/", 0),
        ("com", "/c", 0),
        ("[::1]", "/", 0),
        ("", "/", 0),
    ] {
        assert_eq!(find(&table, authority, path), Ok(expected), "{authority} {path}");
    }
}

#[test]
fn a_literal_comes_before_a_capture_before_a_prefix() {
    let table = table(&[
        ("", "/users/{id}"),
        ("", "/users/me"),
        ("", "/users/*"),
        ("", "/users/{id}/posts/*"),
        ("", "/{any}/me/posts"),
        ("", "/a/*"),
        ("", "/{x}/b"),
        ("", "/slash/{x}/"),
    ]);
    for (path, expected) in [
        ("/users/7", Ok(0)),
        ("/users/me", Ok(1)),
        ("/users", Ok(2)),
        ("/users/", Ok(2)),
        ("/users/7/", Ok(2)),
        ("/users/7/posts", Ok(3)),
        ("/users/7/posts/1/2", Ok(3)),
        ("/users/me/posts", Ok(3)),
        ("/groups/me/posts", Ok(4)),
        ("/a/b", Ok(5)),
        ("/c/b", Ok(6)),
        ("/slash/x/", Ok(7)),
        ("/slash/x", Err(Unroutable::NoRoute)),
        ("/", Err(Unroutable::NoRoute)),
        ("/%75sers/%6de", Ok(1)),
    ] {
        assert_eq!(find(&table, "x", path), expected, "{path}");
    }
}

/// The fast tables and the tree of patterns rank alike.
#[test]
fn both_ways_of_finding_agree() {
    let mut random = 7_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..300 {
        let path = |draw: &mut dyn FnMut(u64) -> u64| -> String {
            (0..draw(4)).map(|_| ["/a", "/b", "/c", "/"][draw(4) as usize]).collect()
        };
        let mut rules: Vec<(String, String)> = Vec::new();
        for _ in 0..draw(8) {
            let mut path = path(&mut draw);
            match draw(2) {
                _ if path.is_empty() => path = "/*".to_owned(),
                0 => path = format!("{}/*", path.trim_end_matches('/')),
                _ => {}
            }
            if !path.contains("//") && rules.iter().all(|(_, known)| *known != path) {
                rules.push((String::new(), path));
            }
        }
        let rules: Vec<_> = rules.iter().map(|(host, path)| (&**host, &**path)).collect();
        let with_pattern = [&rules[..], &[("", "/never/{x}/never")]].concat();
        let (fast, slow) = (table(&rules), table(&with_pattern));
        for _ in 0..20 {
            let path = format!("/{}", path(&mut draw));
            assert_eq!(find(&fast, "h", &path), find(&slow, "h", &path), "{rules:?} {path}");
        }
    }
}

#[test]
fn more_conditions_come_first() {
    let header = |name: &str, value| Condition::Header { name: HeaderName::new(name), value };
    let query = |name: &str, value| Condition::Query { name: name.to_owned(), value };
    let is = |value: &str| ValueRule::Is(value.to_owned());
    let methods =
        |names: &[&str]| Condition::Method(names.iter().map(|name| (*name).to_owned()).collect());
    let client = |text: &str| Condition::Client(vec![IpNet::parse(text).unwrap()]);
    let rules = vec![
        rule(0, "", "/*", vec![]),
        rule(1, "", "/*", vec![methods(&["GET"])]),
        rule(2, "", "/*", vec![methods(&["POST", "PUT"])]),
        rule(3, "", "/*", vec![methods(&["GET"]), header("x-beta", is("1"))]),
        rule(4, "", "/*", vec![methods(&["GET"]), query("v", ValueRule::Present)]),
        rule(5, "", "/*", vec![client("10.0.0.0/8"), header("cookie", ValueRule::Absent)]),
        rule(6, "", "/x/*", vec![methods(&["DELETE"])]),
    ];
    let table = RouteTable::new(rules);
    for (request, client, expected) in [
        ("GET / HTTP/1.1\r\n", "", 1),
        ("HEAD / HTTP/1.1\r\n", "", 1),
        ("PUT / HTTP/1.1\r\n", "", 2),
        ("PATCH / HTTP/1.1\r\n", "", 0),
        ("GET / HTTP/1.1\r\nX-Beta: 1\r\n", "", 3),
        ("GET / HTTP/1.1\r\nx-beta: 0\r\nx-beta: 1\r\n", "", 3),
        ("GET / HTTP/1.1\r\nX-Beta: 10\r\n", "", 1),
        ("GET /?a&v HTTP/1.1\r\n", "", 4),
        ("GET /?a&v= HTTP/1.1\r\nX-Beta: 1\r\n", "", 3),
        ("GET / HTTP/1.1\r\n", "10.1.2.3", 5),
        ("GET / HTTP/1.1\r\nCookie: a\r\n", "10.1.2.3", 1),
        ("GET / HTTP/1.1\r\n", "11.1.2.3", 1),
        ("DELETE /x HTTP/1.1\r\n", "", 6),
        ("PUT /x HTTP/1.1\r\n", "", 2),
    ] {
        let (head, bytes) = head_of(request);
        let client = || client.parse().ok();
        let facts = Facts { head: &head, bytes: &bytes, client: &client };
        assert_eq!(table.find(facts).map(number), Ok(expected), "{request}");
    }
}

/// The index of a well-formed head, made without the codec, which this crate does not know.
fn head_of(text: &str) -> (RequestHead, Vec<u8>) {
    let at = |part: &str| {
        let start = part.as_ptr() as usize - text.as_ptr() as usize;
        Span::new(start, start + part.len())
    };
    let mut lines = text.lines();
    let mut words = lines.next().unwrap().split(' ');
    let method = words.next().unwrap();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        Field { name: at(name), value: at(value), id: HeaderId::of(name.as_bytes()) }
    });
    let head = RequestHead {
        method: Method::of(method.as_bytes()),
        method_span: at(method),
        path: at(words.next().unwrap()),
        fields: fields.collect(),
        ..RequestHead::default()
    };
    (head, text.as_bytes().to_vec())
}
