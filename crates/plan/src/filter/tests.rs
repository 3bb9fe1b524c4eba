//! What variables, paths and headers become, as data.

use fairwater_message::{Field, HeaderId, RequestHead, Span};

use super::*;
use crate::route::{PathPattern, Segment};

/// A request for `host` with one header `x-a`.
fn with_values(target: &str, normal: &str, check: impl FnOnce(&Values<'_>)) {
    let bytes = format!("GETa.example:80x-av w{target}");
    let head = RequestHead {
        method_span: Span::new(0, 3),
        authority: Span::new(3, 15),
        fields: vec![Field {
            name: Span::new(15, 18),
            value: Span::new(18, 21),
            id: HeaderId::Other,
        }],
        path: Span::new(21, bytes.len()),
        ..RequestHead::default()
    };
    check(&Values {
        head: &head,
        bytes: bytes.as_bytes(),
        path: normal.as_bytes(),
        client: Some("192.0.2.1".parse().unwrap()),
        scheme: "http",
        tls: None,
        request_id: "id-1",
        user: "Zoë",
    });
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn shape() -> PathShape {
    let segments = vec![
        Segment::Literal("users".to_owned()),
        Segment::Capture("id".to_owned()),
        Segment::Literal("x".to_owned()),
    ];
    PathShape::new(&PathPattern::Segments { segments, is_prefix: true })
}

fn template(text: &str) -> Template {
    Template::parse(text, &["id"]).unwrap()
}

#[test]
fn variables_are_filled_in() {
    with_values("/users/m%20e/x/y?q=1", "/users/m e/x/y", |values| {
        for (text, in_header, in_url) in [
            ("{client}", "192.0.2.1", "192.0.2.1"),
            ("{scheme}://{host}{target}", "http://a.example/users/m%20e/x/y?q=1", ""),
            ("{path}?{query}", "/users/m%20e/x/y?q=1", ""),
            ("{method} {request_id}", "GET id-1", ""),
            ("{id}", "m e", "m%20e"),
            ("{user}", "Zoë", "Zo%C3%AB"),
            ("{rest}", "y", "y"),
            ("{header.x-a}", "v w", "v%20w"),
            ("{header.x-b}", "", ""),
            ("{{{id}}}", "{m e}", "{m%20e}"),
        ] {
            for (place, expected) in [(Place::Header, in_header), (Place::Location, in_url)] {
                let expected = if expected.is_empty() { in_header } else { expected };
                let text_out = written(|out| values.fill_in(&template(text), &shape(), place, out));
                assert_eq!(text_out, expected, "{text} {place:?}");
            }
        }
    });
}

#[test]
fn paths_become_others() {
    let prefix =
        |strip: &str, add: &str| PathEdit::Prefix { strip: strip.to_owned(), add: add.to_owned() };
    let rewrite = |text: &str| PathEdit::Rewrite(template(text));
    for (edit, target, normal, expected) in [
        (PathEdit::Keep, "/a?b", "/a", "/a?b"),
        (prefix("/api", ""), "/api/x?q", "/api/x", "/x?q"),
        (prefix("/api", ""), "/api", "/api", "/"),
        (prefix("/api", ""), "/api?q", "/api", "/?q"),
        (prefix("/api", ""), "/apix", "/apix", "/apix"),
        (prefix("/api", ""), "/%61pi/y%20z", "/api/y z", "/y%20z"),
        (prefix("/api", ""), "/x/../api/y", "/api/y", "/y"),
        (prefix("/api", "/v2"), "/api/x", "/api/x", "/v2/x"),
        (prefix("", "/v2"), "/x%20", "/x ", "/v2/x%20"),
        (prefix("/caf\u{e9}", ""), "/caf%c3%a9/x", "/caf\u{e9}/x", "/x"),
        (prefix("/app", "/public"), "/app/../secret", "/secret", "/public/secret"),
        (prefix("/app", "/public"), "/app/%2e%2e/app/x", "/app/x", "/public/x"),
        (prefix("/api", ""), "/api//evil.example/x", "/api/evil.example/x", "/evil.example/x"),
        (rewrite("/public{path}"), "/a/../secret", "/secret", "/public/secret"),
        (rewrite("/public{target}"), "/a%20b?q", "/a b", "/public/a%20b?q"),
        (rewrite("/t/{header.x-a}/x"), "/x", "/x", "/t/v%20w/x"),
        (prefix("", "/v2"), "", "/", "/v2/"),
        (rewrite("/u/{id}/{rest}"), "/users/1/x/y/z?q", "/users/1/x/y/z", "/u/1/y/z?q"),
        (rewrite("/u?id={id}"), "/users/1/x?q", "/users/1/x", "/u?id=1"),
        (rewrite("/u?id={id}&{query}"), "/users/a%26b/x?q", "/users/a&b/x", "/u?id=a%26b&q"),
        (rewrite("/u/{id}"), "/users/a&b%3F/x", "/users/a&b?/x", "/u/a&b%3F"),
    ] {
        with_values(target, normal, |values| {
            let path = written(|out| edit.write(values, &shape(), out).unwrap());
            assert_eq!(path, expected, "{edit:?} {target}");
        });
    }
}

#[test]
fn captures_and_rests_are_counted_in_segments() {
    let shape = PathShape::new(&PathPattern::Prefix("/a/b".to_owned()));
    for (path, expected) in [("/a/b/c/d", "c/d"), ("/a/b", ""), ("/a/b/", "")] {
        assert_eq!(shape.rest(path.as_bytes()), expected.as_bytes(), "{path}");
    }
    assert_eq!(PathShape::new(&PathPattern::Any).rest(b"/x/y"), b"x/y");
    assert_eq!(self::shape().capture("id", b"/users/7/x"), b"7");
    assert_eq!(self::shape().capture("id", b"/users"), b"");
}

#[test]
fn a_path_never_names_another_host() {
    let redirect = |text: &str| Redirect { status: 301, location: template(text) };
    for (text, target, expected) in [
        ("{target}", "//evil.example/x", "/evil.example/x"),
        ("/{path}", "//evil.example", "/evil.example"),
        ("https://{host}{target}", "//x", "https://a.example//x"),
        ("//cdn.example{path}", "/x", "//cdn.example/x"),
    ] {
        with_values(target, target, |values| {
            let location = written(|out| redirect(text).write(values, &shape(), out));
            assert_eq!(location, expected, "{text}");
        });
    }
}

#[test]
fn headers_are_written_as_lines() {
    let mut edits = HeaderEdits::default();
    edits.set("X-User", template("{id}"));
    edits.add("x-b", template("1"));
    edits.remove("Cookie");
    with_values("/", "/users/m e", |values| {
        assert_eq!(written(|out| edits.write(values, &shape(), out)), "x-user: m e\r\nx-b: 1\r\n");
    });
    let names: Vec<_> = edits.removed.iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["x-user", "cookie"]);
}

#[test]
fn a_rewritten_path_has_no_dot_segments() {
    let rewrite = |text: &str| PathEdit::Rewrite(template(text));
    for (header, text, is_good) in [
        ("..", "/t/{header.x-a}/x", false),
        ("../../admin", "/t/{header.x-a}/x", true),
        (".", "/t/{header.x-a}", false),
        (".", "/t/.{header.x-a}/x", false),
        ("..;x", "/t/{header.x-a}/x", false),
        ("%2e%2E", "/t/{header.x-a}/x", true),
        ("...", "/t/{header.x-a}/x", true),
        ("a", "/t?x=../{header.x-a}", true),
    ] {
        let bytes = format!("x-a{header}/");
        let head = RequestHead {
            fields: vec![Field {
                name: Span::new(0, 3),
                value: Span::new(3, 3 + header.len()),
                id: HeaderId::Other,
            }],
            path: Span::new(3 + header.len(), bytes.len()),
            ..RequestHead::default()
        };
        let values = Values {
            head: &head,
            bytes: bytes.as_bytes(),
            path: b"/",
            client: None,
            scheme: "http",
            tls: None,
            request_id: "",
            user: "",
        };
        let result = rewrite(text).write(&values, &shape(), &mut Vec::new());
        assert_eq!(result.is_ok(), is_good, "{header} {text}");
    }
}
