"""Breaks RFC 9113 section by section. Prints what comes of each case: a line with its name."""
from hyperframe.frame import PingFrame, PushPromiseFrame, RstStreamFrame, WindowUpdateFrame


def headers(fields=GET, flags=END_STREAM | END_HEADERS, stream=1):
    """A head that h2 does not hear of, for places where it cannot be answered."""
    return frame(1, flags, stream, Encoder().encode(latin(fields)))


# Without an entry for the table.
BLOCK = b"\x82\x86\x84\x01\x01a"


def settings(*pairs):
    return frame(4, 0, 0, b"".join(struct.pack(">HI", name, value) for name, value in pairs))


CASES = {}


def case(name, stream=1):
    """The stream is the one that is looked at."""
    def keep(function):
        CASES[name] = (function, stream)
        return function
    return keep


def sends(name, *frames, stream=1):
    """Frames alone, behind the preface."""
    CASES[name] = (lambda judge: judge.raw(*frames), stream)


def heads(name, frames):
    """A head in frames, of which it is the payload, behind the preface."""
    def run(judge):
        judge.raw(*frames(judge.block()))
        judge.is_whole = True
    CASES[name] = (run, 1)


def within(name, *frames, stream=1, is_whole=False):
    """Frames while a request with a body is open, which they may complete."""
    def run(judge):
        judge.ask(POST, ends=False)
        judge.is_whole = is_whole
        judge.raw(*frames)
    CASES[name] = (run, stream)


def behind(name, *frames, stream=1):
    """Frames after a request and its answer."""
    def run(judge):
        judge.done(judge.ask())
        judge.raw(*frames)
    CASES[name] = (run, stream)


def asks(name, fields, data=None, trailers=None):
    """A request that h2 sends as it is told."""
    def run(judge):
        judge.ask(fields, ends=data is None and trailers is None)
        judge.is_whole = True
        if data is not None:
            judge.data(data, ends=trailers is None)
        if trailers is not None:
            judge.raw(frame(1, END_STREAM | END_HEADERS, 1, judge.h2.encoder.encode(latin(trailers))))
    CASES[name] = (run, 1)


def but(name, value):
    return [(n, value if n == name else v) for n, v in GET]


def without(name):
    return [(n, v) for n, v in GET if n != name]


@case("3.4 another preface")
def _(judge):
    judge.h2.initiate_connection()
    judge.raw(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", judge.h2.data_to_send()[24:])


@case("3.4 no settings behind the preface")
def _(judge):
    judge.h2.initiate_connection()
    judge.h2.data_to_send()
    judge.is_whole = True
    judge.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PingFrame(0, b"8 bytes."), frame(1, 5, 1, judge.block()))


sends("4.1 a frame of a kind that nobody knows", frame(99, 255, 0, b"x"), frame(99, 255, 7, b"x"))
sends("4.1 a reserved bit", frame(6, 0, 1 << 31, b"8 bytes."))
sends("4.1 flags that nobody knows", frame(6, 0xfe, 0, b"8 bytes."))
within("4.2 data of more than 16 KiB", frame(0, END_STREAM, 1, b"x" * 16385))
sends("4.2 a head of more than 16 KiB", frame(1, 5, 1, b"\x82" * 16385))
sends("4.2 settings of more than 16 KiB", frame(4, 0, 0, b"\0\7\0\0\0\1" * 2731))
heads("4.3 an index that is not there", lambda block: [frame(1, 5, 1, block + b"\xff\x80\x01")])
heads("4.3 index zero", lambda block: [frame(1, 5, 1, block + b"\x80")])
heads("4.3 half a field", lambda block: [frame(1, 5, 1, block + b"\x00\x05abc")])
heads("4.3 a number without an end", lambda block: [frame(1, 5, 1, block + b"\xff\xff\xff\xff\xff\xff\xff\xff\x01")])
heads("4.3 Huffman with its end symbol", lambda block: [frame(1, 5, 1, block + b"\x00\x01a\x84\xff\xff\xff\xff")])
heads("4.3 Huffman with other padding", lambda block: [frame(1, 5, 1, block + b"\x00\x01a\x81\x18")])
heads("4.3 Huffman with a byte of padding", lambda block: [frame(1, 5, 1, block + b"\x00\x01a\x82\x1f\xff")])
heads("4.3 a table larger than allowed", lambda block: [frame(1, 5, 1, b"\x3f\xe2\x1f" + block)])
heads("4.3 a change of the table behind a field", lambda block: [frame(1, 5, 1, block + b"\x20")])
sends("4.3 data within a head", headers(flags=0), frame(0, 0, 1, b"x"))
sends("4.3 another head within a head", headers(flags=0), headers(stream=3))
sends("4.3 a ping within a head", headers(flags=0), PingFrame(0, b"8 bytes."))
sends("4.3 an unknown kind within a head", headers(flags=0), frame(99, 0, 0, b"x"))

sends("5.1 idle: data", frame(0, END_STREAM, 1, b"x"))
sends("5.1 idle: a reset", RstStreamFrame(1, 8))
sends("5.1 idle: a window", WindowUpdateFrame(1, 1))
sends("5.1 idle: a priority", frame(2, 0, 1, b"\0\0\0\0\x10"))
sends("5.1 idle: a continuation", frame(9, END_HEADERS, 1, BLOCK))


def half_closed(name, *frames):
    """Frames behind the end of a request that is not answered yet."""
    def run(judge):
        judge.ask(at("/wait"))
        judge.raw(*frames)
    CASES[name] = (run, 1)


half_closed("5.1 half closed: data", frame(0, END_STREAM, 1, b"x"))
half_closed("5.1 half closed: a head", headers())
half_closed("5.1 half closed: a continuation", frame(9, END_HEADERS, 1, BLOCK))
half_closed("5.1 half closed: a window", WindowUpdateFrame(1, 1))
half_closed("5.1 half closed: a priority", frame(2, 0, 1, b"\0\0\0\0\x10"))
half_closed("5.1 half closed: a reset", RstStreamFrame(1, 8))
behind("5.1 closed: data", frame(0, END_STREAM, 1, b"x"))
behind("5.1 closed: a head", headers())
behind("5.1 closed: a window", WindowUpdateFrame(1, 1))
behind("5.1 closed: a priority", frame(2, 0, 1, b"\0\0\0\0\x10"))
behind("5.1 closed: a reset", RstStreamFrame(1, 8))
within("5.1 behind a reset: data", RstStreamFrame(1, 8), frame(0, 0, 1, b"x"))
within("5.1 behind a reset: a head", RstStreamFrame(1, 8), headers())
within("5.1 behind a reset: a window", RstStreamFrame(1, 8), WindowUpdateFrame(1, 1))
within("5.1 behind a reset: a reset", RstStreamFrame(1, 8), RstStreamFrame(1, 8))
sends("5.1.1 an even stream", headers(stream=2), stream=2)
sends("5.1.1 stream zero", headers(stream=0), stream=0)


@case("5.1.1 a lower stream", 3)
def _(judge):
    judge.done(judge.ask(stream=5))
    judge.raw(headers(stream=3))


@case("5.1.1 behind the last stream", 0)
def _(judge):
    judge.raw(headers(POST, END_HEADERS, stream=2**31 - 1), headers(stream=2**31 - 3))


@case("5.1.2 a stream too many", 257)
def _(judge):
    # 128 are allowed. They end when the one too many has been answered.
    for stream in range(1, 256, 2):
        judge.ask(POST, stream, ends=False)
    judge.ask(stream=257)
    judge.until(lambda name, _: name == ("reset", 257))
    for stream in range(1, 256, 2):
        assert ("reset", stream) not in judge.seen
        judge.h2.reset_stream(stream, 8)
    judge.flush()


sends("5.3 a stream that depends on itself", frame(2, 0, 1, b"\0\0\0\1\x10"))
heads("5.3 a head that depends on itself", lambda block: [frame(1, 37, 1, b"\0\0\0\1\x10" + block)])
behind("5.4.1 a connection that is in error closes", frame(6, 0, 0, b"short"))
sends("5.5 a setting that nobody knows", settings((0xff, 7), (7, 1), (9, 1)))

sends("6.1 data on stream zero", frame(0, 0, 0, b"x"))
within("6.1 more padding than data", frame(0, END_STREAM | PADDED, 1, b"\x05abcd"))
within("6.1 padding alone", frame(0, END_STREAM | PADDED, 1, b"\x04\0\0\0\0"), is_whole=True)
within("6.1 padding without its length", frame(0, END_STREAM | PADDED, 1))
heads("6.2 more padding than head", lambda block: [frame(1, 13, 1, b"\xff" + block)])
heads("6.2 padding", lambda block: [frame(1, 13, 1, b"\x02" + block + b"\0\0")])
sends("6.2 half a priority", frame(1, 37, 1, b"\0\0\0"))
sends("6.3 a priority on stream zero", frame(2, 0, 0, b"\0\0\0\1\x10"))
sends("6.3 a priority of four bytes", frame(2, 0, 1, b"\0\0\0\3"))
within("6.3 a priority of six bytes", frame(2, 0, 1, b"\0\0\0\3\x10\0"))
sends("6.4 a reset on stream zero", frame(3, 0, 0, b"\0\0\0\x08"))
within("6.4 a reset of three bytes", frame(3, 0, 1, b"\0\0\x08"))
within("6.4 a reset with a code that nobody knows", RstStreamFrame(1, 0xffff))
sends("6.5 settings on a stream", frame(4, 0, 1))
sends("6.5 settings of five bytes", frame(4, 0, 0, b"\0\1\0\0\0"))
sends("6.5 settings that are acknowledged and sent", frame(4, ACK, 0, b"\0\1\0\0\0\1"))
sends("6.5 an acknowledgement of nothing", frame(4, ACK, 0), frame(4, ACK, 0), frame(4, ACK, 0))
sends("6.5.2 push of 2", settings((2, 2)))
sends("6.5.2 a window of 2^31", settings((4, 1 << 31)))
sends("6.5.2 frames of 16383", settings((5, 16383)))
sends("6.5.2 frames of 2^24", settings((5, 1 << 24)))
sends("6.5.2 extended CONNECT of 2", settings((8, 2)))
sends("6.5.2 extremes", settings((1, 0), (3, 0), (4, 0), (5, (1 << 24) - 1), (6, 0)),
      settings((1, 2**32 - 1), (4, 65535), (6, 2**32 - 1)))
within("6.6 a promise", PushPromiseFrame(1, 2, BLOCK, flags=["END_HEADERS"]))
sends("6.6 a promise on an idle stream", PushPromiseFrame(1, 2, BLOCK, flags=["END_HEADERS"]))
sends("6.7 a ping on a stream", frame(6, 0, 1, b"8 bytes."))
sends("6.7 a ping of seven bytes", frame(6, 0, 0, b"7 bytes"))
sends("6.7 an answer to no ping", PingFrame(0, b"8 bytes.", flags=["ACK"]))


@case("6.7 a ping is answered with its bytes", 0)
def _(judge):
    judge.h2.ping(b"8 bytes!")
    judge.flush()
    assert judge.until(lambda name, _: name == ("pong", b"8 bytes!")), "no pong"


sends("6.8 a goaway on a stream", frame(7, 0, 1, b"\0\0\0\0\0\0\0\0"))
sends("6.8 a goaway of seven bytes", frame(7, 0, 0, b"\0\0\0\0\0\0\0"))
sends("6.9 a window of three bytes", frame(8, 0, 0, b"\0\0\1"))
sends("6.9 nothing for the connection", frame(8, 0, 0, b"\0\0\0\0"))
within("6.9 nothing for a stream", frame(8, 0, 1, b"\0\0\0\0"))
sends("6.9.1 too much for the connection", WindowUpdateFrame(0, 2**31 - 1))
within("6.9.1 too much for a stream", WindowUpdateFrame(1, 2**31 - 1))
half_closed("6.9.2 too much by a setting", WindowUpdateFrame(1, 2**31 - 1 - 65535), settings((4, 65536)))

# One request goes to this upstream at a time: the others wait, and nobody reads their bodies.
FULL = at("/full", POST)


@case("6.9 more data than the stream takes", 3)
def _(judge):
    judge.settle()
    judge.ask(FULL, ends=False)
    judge.ask(FULL, 3, ends=False)
    judge.raw(frame(0, 0, 3, b"x" * 16384) * 17)


@case("6.9 more data than the connection takes", 3)
def _(judge):
    judge.settle()
    judge.ask(FULL, ends=False)
    for stream in range(3, 13, 2):
        judge.ask(FULL, stream, ends=False)
        judge.raw(frame(0, 0, stream, b"x" * 16384) * (1 if stream == 11 else 16))


sends("6.10 a continuation on stream zero", headers(flags=0), frame(9, END_HEADERS, 0))
sends("6.10 a continuation of nothing", frame(9, END_HEADERS, 1, BLOCK))
sends("6.10 a continuation of another stream", headers(flags=0), frame(9, END_HEADERS, 3))
sends("6.10 a continuation behind the end", headers(), frame(9, END_HEADERS, 1))
heads("6.10 pieces of a head", lambda block: [frame(1, END_STREAM, 1, block[:3]), frame(9, 0, 1, block[3:4]), frame(9, END_HEADERS, 1, block[4:])])

@case("8.1 trailers without an end")
def _(judge):
    judge.ask(POST, ends=False)
    judge.raw(frame(1, END_HEADERS, 1, judge.h2.encoder.encode(latin([("x", "y")]))))


asks("8.1 a pseudo field in trailers", POST, b"x", [(":path", "/b")])
asks("8.1 a field of connections in trailers", POST, b"x", [("connection", "x")])
asks("8.1.1 less than the length", POST + [("content-length", "5")], b"x")
asks("8.1.1 more than the length", POST + [("content-length", "5")], b"xxxxxx")
asks("8.1.1 a length and no body", POST + [("content-length", "5")])
asks("8.1.1 two lengths", POST + [("content-length", "5"), ("content-length", "6")], b"xxxxx")
asks("8.1.1 a length that is no number", POST + [("content-length", "five")], b"xxxxx")
asks("8.2 an upper case name", GET + [("X-Y", "a")])
asks("8.2.1 a space in a name", GET + [("x y", "a")])
asks("8.2.1 a colon in a name", GET + [("x:y", "a")])
asks("8.2.1 no name", GET + [("", "a")])
asks("8.2.1 a control character in a name", GET + [("x\x01", "a")])
asks("8.2.1 eight bits in a name", GET + [("x\xff", "a")])
asks("8.2.1 a NUL in a value", GET + [("x", "a\0")])
asks("8.2.1 an LF in a value", GET + [("x", "a\nb")])
asks("8.2.1 a CR in a value", GET + [("x", "a\rb")])
asks("8.2.1 a space before a value", GET + [("x", " a")])
asks("8.2.1 a tab behind a value", GET + [("x", "a\t")])
asks("8.2.2 connection", GET + [("connection", "x")])
asks("8.2.2 keep-alive", GET + [("keep-alive", "5")])
asks("8.2.2 proxy-connection", GET + [("proxy-connection", "close")])
asks("8.2.2 transfer-encoding", POST + [("transfer-encoding", "chunked")], b"x")
asks("8.2.2 upgrade", GET + [("upgrade", "h2c")])
asks("8.2.2 te that is not trailers", GET + [("te", "trailers, gzip")])
asks("8.2.2 te", GET + [("te", "trailers")])
asks("8.2.3 a cookie in two", GET + [("cookie", "a=1"), ("cookie", "b=2")])
asks("8.3 a pseudo field behind others", GET[:3] + [("x", "y")] + GET[3:])
asks("8.3 a pseudo field that nobody knows", GET + [(":x", "y")])
asks("8.3 the pseudo field of replies", GET + [(":status", "200")])
asks("8.3 a pseudo field twice", GET + [(":path", "/b")])
asks("8.3.1 no method", without(":method"))
asks("8.3.1 no scheme", without(":scheme"))
asks("8.3.1 no path", without(":path"))
asks("8.3.1 an empty path", but(":path", ""))
asks("8.3.1 an empty method", but(":method", ""))
asks("8.3.1 an empty scheme", but(":scheme", ""))
asks("8.3.1 a user in the authority", but(":authority", "u:p@a"))
asks("8.3.1 authority and host differ", GET + [("host", "b")])
asks("8.5 CONNECT with a path", [(":method", "CONNECT")] + GET[2:])
asks("8.5 CONNECT with a scheme", [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a:80")])
asks("8.5 CONNECT without an authority", [(":method", "CONNECT")])
asks("8.5 CONNECT", [(":method", "CONNECT"), (":authority", "a:80")])
asks("RFC 8441 CONNECT for a protocol that nobody knows", [(":method", "CONNECT"), (":protocol", "x")] + GET[1:])
asks("RFC 8441 a protocol without CONNECT", GET + [(":protocol", "websocket")])

only = sys.argv[2:]
for name, (run, stream) in CASES.items():
    if only and name not in only:
        continue
    judge = Judge(sys.argv[1], preface=not name.startswith("3.4"))
    run(judge)
    print(f"{name}: {judge.verdict(stream)}", flush=True)
    judge.socket.close()
