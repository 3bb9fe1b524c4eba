"""Requests that HTTP/2 lets pass and HTTP/1 could read otherwise, or not at all. Prints what comes of each: a line with
its name. Those that get to an endpoint have their number in a field."""


def but(name, value, fields=GET):
    return [(n, value if n == name else v) for n, v in fields]


def without(name):
    return [(n, v) for n, v in GET if n != name]


def sized(length, *more):
    return POST + [("content-length", length), *more]


# Fields, pieces of data, trailers.
CASES = {
    "a plain one": (GET,),
    "a body": (POST, ["hello"]),
    "a body in pieces": (POST, ["he", "", "llo", ""]),
    "a body that is empty": (POST, [""]),
    "a body of known length": (sized("5"), ["hel", "lo"]),
    "a body of no length": (sized("0"), [""]),
    "a length of nothing": (GET + [("content-length", "0")],),
    "a body of a GET": (GET, ["hello"]),
    "trailers": (POST, ["hello"], [("x-sum", "5"), ("x-more", "")]),
    "trailers alone": (POST, None, [("x-sum", "5")]),
    "trailers behind a known length": (sized("5"), ["hello"], [("x-sum", "5")]),
    "trailers that belong into heads": (POST, ["hello"], [("host", "b"), ("content-length", "7"), ("x-sum", "5"),
                                                           ("authorization", "x"), ("cookie", "a=b"), ("te", "trailers"),
                                                           ("trailer", "x"), ("x-forwarded-for", "1.2.3.4")]),
    "B12 cookies in crumbs": (GET + [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")],),
    "B12 a cookie that is empty": (GET + [("cookie", ""), ("cookie", "b=2")],),
    "B12 1000 crumbs": (GET + [("cookie", "a=%03d" % n) for n in range(1000)],),
    "B12 6000 crumbs": (GET + [("cookie", "a=%04d" % n) for n in range(6000)],),
    "B12 a space around a crumb": (GET + [("cookie", "a=1 "), ("cookie", "b=2")],),
    "an extension of the scheme": (but(":scheme", "javascript"),),
    "B09 https in clear": (but(":scheme", "https"),),
    "B09 a scheme that is a URL": (but(":scheme", "https://x/?"),),
    "B09 a space in the scheme": (but(":scheme", "ht tp"),),
    "B02 an LF in the scheme": (but(":scheme", "http\nx: y"),),
    "te": (GET + [("te", "trailers")],),
    "expectations": (sized("5", ("expect", "100-continue")), ["hello"]),
    "another expectation": (sized("5", ("expect", "the worst")), ["hello"]),
    "what others have passed": (GET + [("via", "2 other")],),
    "fields of proxies": (GET + [("proxy-authorization", "x"), ("proxy-authenticate", "x"), ("trailer", "x")],),
    "HTTP2-Settings": (GET + [("http2-settings", "AAMAAABk")],),
    "a priority": (GET + [("priority", "u=1, i")],),
    "an empty value": (GET + [("x", "")],),
    "eight bits in a value": (GET + [("x", "\xe4\xff")],),
    "a tab in a value": (GET + [("x", "a\tb")],),
    "B01 a DEL in a value": (GET + [("x", "a\x7fb")],),
    "B01 an ESC in a value": (GET + [("x", "a\x1bb")],),
    "a name with an underscore": (GET + [("content_length", "5"), ("x_y", "z")],),
    "100 fields": (GET + [("x-%d" % n, "y") for n in range(100)],),
    "129 fields": (GET + [("x-%d" % n, "y") for n in range(128)],),
    "5000 fields": (GET + [("x-%d" % n, "") for n in range(5000)],),
    "a field of 31 KiB": (GET + [("x", "y" * 31000)],),
    "a field of 40 KiB": (GET + [("x", "y" * 40960)],),
    "a field of 90 KiB": (GET + [("x", "y" * 92160)],),
    "a name of 40 KiB": (GET + [("x" * 40960, "y")],),
    "B06 data and a length of 0": (sized("0"), ["GET /b HTTP/1.1\r\n\r\n"]),
    "B06 one length twice": (sized("5", ("content-length", "5")), ["hello"]),
    "B06 two lengths in one": (sized("5, 5"), ["hello"]),
    "B06 a length in hex": (sized("0x5"), ["hello"]),
    "B06 a negative length": (sized("-1"), ["hello"]),
    "B06 a length of 2^64": (sized("18446744073709551616"), ["hello"]),
    "B06 a length of 2^64 + 5": (sized("18446744073709551621"), ["hello"]),
    "B06 an empty length": (sized(""), ["hello"]),
    "B06 a length with zeros": (sized("005"), ["hello"]),
    "B06 a length with a dot": (sized("5.0"), ["hello"]),
    "B07 capitals in the authority": (but(":authority", "A.Example:80"),),
    "B07 host in capitals": (but(":authority", "a.b") + [("host", "A.B")],),
    "B07 host alone": (without(":authority") + [("host", "a")],),
    "B07 host twice": (without(":authority") + [("host", "a"), ("host", "b")],),
    "B07 host twice the same": (without(":authority") + [("host", "a"), ("host", "a")],),
    "B07 an empty authority": (but(":authority", ""),),
    "B07 an empty host beside the authority": (GET + [("host", "")],),
    "B07 a question in the authority": (but(":authority", "a?b"),),
    "B07 a fragment in the authority": (but(":authority", "a#b"),),
    "B07 a space in the authority": (but(":authority", "a b"),),
    "B07 two ports": (but(":authority", "a:1:2"),),
    "B07 a port that is none": (but(":authority", "a:b"),),
    "B07 a port too high": (but(":authority", "a:65536"),),
    "B07 a port alone": (but(":authority", ":80"),),
    "B07 a port that is empty": (but(":authority", "a:"),),
    "B07 an address of IPv6": (but(":authority", "[::1]:80"),),
    "B07 half an address of IPv6": (but(":authority", "[::1"),),
    "B07 a URL as authority": (but(":authority", "http://a"),),
    "B07 a backslash in the authority": (but(":authority", "a\\b"),),
    "B07 a percent in the authority": (but(":authority", "a%00"),),
    "B07 eight bits in the authority": (but(":authority", "\xe4"),),
    "B07 a long authority": (but(":authority", "a" * 300),),
    "B08 a query": (but(":path", "/a?b=c&d?e"),),
    "B08 a query alone": (but(":path", "?b"),),
    "B08 a fragment": (but(":path", "/a#b"),),
    "B08 a fragment behind a query": (but(":path", "/a?b#c"),),
    "B08 a fragment alone": (but(":path", "#b"),),
    "B08 a DEL in the path": (but(":path", "/\x7f"),),
    "B08 a NUL in the path": (but(":path", "/\0"),),
    "B08 a tab in the path": (but(":path", "/a\tb"),),
    "B08 eight bits in the path": (but(":path", "/\xe4"),),
    "B08 UTF-8 in the path": (but(":path", "/\xc3\xa4"),),
    "B08 a backslash in the path": (but(":path", "/a\\b"),),
    "B08 two slashes": (but(":path", "//b/c"),),
    "B08 dots above the root": (but(":path", "/../b"),),
    "B08 an escaped slash": (but(":path", "/a%2fb"),),
    "B08 an escaped NUL": (but(":path", "/a%00b"),),
    "B08 quotes and braces": (but(":path", "/\"{}|^'"),),
    "B08 angles": (but(":path", "/<>"),),
    "B08 what browsers leave in a query": (but(":path", "/?|^`{}[]'"),),
    "B08 a long path": (but(":path", "/" + "a" * 8000),),
    "B08 too long a path": (but(":path", "/" + "a" * 9000),),
    "B10 no method at all": (but(":method", ""),),
    "B10 a space in the method": (but(":method", "GET /b"),),
    "B10 a NUL in the method": (but(":method", "GET\0"),),
    "B10 a method of 33 letters": (but(":method", "A" * 33),),
    "B10 a method of 64 KiB": (but(":method", "A" * 65536),),
    "a method that nobody knows": (but(":method", "M-SEARCH"),),
    "a method in small letters": (but(":method", "get"),),
    "TRACE": (but(":method", "TRACE"),),
    "PRI": (but(":method", "PRI"),),
    "OPTIONS of a path": (but(":method", "OPTIONS"),),
    "HEAD": (but(":method", "HEAD"),),
    "HEAD with a body": (but(":method", "HEAD"), ["hello"]),
    "B13 CONNECT": ([(":method", "CONNECT"), (":authority", "a:80")],),
    "B13 CONNECT with a body": ([(":method", "CONNECT"), (":authority", "a:80")], ["hello"]),
}

only = sys.argv[2:]
for number, (name, (fields, *more)) in enumerate(CASES.items()):
    if only and name not in only:
        continue
    (data, trailers) = (list(more) + [None, None])[:2]
    judge = Judge(sys.argv[1])
    judge.is_whole = True
    # In one piece: nobody sees the head of a request before what is wrong behind it.
    block = judge.block(fields + [("x-case", str(number))], ends=data is None and trailers is None)
    judge.raw(judge.framed(block, END_STREAM if data is None and trailers is None else 0),
              *[frame(0, END_STREAM if trailers is None and at + 1 == len(data) else 0, 1, piece.encode("latin-1"))
                for at, piece in enumerate(data or [])],
              *[judge.framed(judge.h2.encoder.encode(latin(trailers or [])), END_STREAM)] * (trailers is not None))
    print(f"{number} {name}: {judge.verdict(1)}", flush=True)
    judge.socket.close()
