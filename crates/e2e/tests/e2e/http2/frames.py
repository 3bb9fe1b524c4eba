"""Speaks HTTP/2 frame by frame, also as nobody should. Prints what comes of each case: a line with its name."""
import socket, struct, sys
from hpack import Decoder, Encoder

KINDS = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION"]


def frame(kind, flags, stream, payload=b""):
    kind = KINDS.index(kind) if isinstance(kind, str) else kind
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Connection:
    def __init__(self, address, settings=b""):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.decoder, self.encoder, self.buffer = Decoder(), Encoder(), b""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame("SETTINGS", 0, 0, settings))

    def send(self, data):
        self.socket.sendall(data)

    def next(self):
        """Kind, flags, stream and payload of the next frame; nothing at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.buffer += more
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        return KINDS[kind], flags, stream, payload

    def headers(self, fields, flags, stream=1):
        # Names and values as they are: what is wrong with them is what is tested.
        block = self.encoder.encode([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields])
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)] or [b""]
        more, last = parts[1:], len(parts) - 1
        out = frame("HEADERS", flags if not last else flags & ~4, stream, parts[0])
        for number, part in enumerate(more, 1):
            out += frame("CONTINUATION", flags & 4 if number == last else 0, stream, part)
        return out

    def outcome(self, stream=1):
        """What becomes of a stream."""
        seen = {"interim": [], "body": "", "trailers": []}
        while True:
            came = self.next()
            if came is None:
                return seen | {"end": "closed"}
            kind, flags, of, payload = came
            if kind == "GOAWAY":
                code = int.from_bytes(payload[4:8], "big")
                if code:
                    return seen | {"end": f"goaway {code}"}
            elif kind == "HEADERS":
                fields = [list(field) for field in self.decoder.decode(payload)]
                if of != stream:
                    continue
                if fields[0][0] != ":status":
                    seen["trailers"] = fields
                elif fields[0][1].startswith("1"):
                    seen["interim"].append(fields[0][1])
                else:
                    seen["status"], seen["fields"] = int(fields[0][1]), fields[1:]
            elif kind == "DATA" and of == stream:
                seen["body"] += payload.decode("latin-1")
            elif kind == "RST_STREAM" and of == stream:
                return seen | {"end": f"reset {int.from_bytes(payload, 'big')}"}
            if kind in ("HEADERS", "DATA") and of == stream and flags & 1:
                return seen | {"end": "complete"}


GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
POST = [(":method", "POST")] + GET[1:]


def but(name, value):
    """A GET with another value."""
    return [(n, value if n == name else v) for n, v in GET]


def without(name):
    return [(n, v) for n, v in GET if n != name]


# Headers, data and trailers of requests.
REQUESTS = {
    "plain": (GET,),
    "body": (POST, "hello"),
    "body of known length": (POST + [("content-length", "5")], "hello"),
    "trailers": (POST, "hello", [("x-sum", "5")]),
    "cookies": (GET + [("cookie", "a=1"), ("cookie", "b=2")],),
    "te trailers": (GET + [("te", "trailers")],),
    "host as well": (GET + [("host", "a")],),
    "host alone": (without(":authority") + [("host", "a")],),
    "options": ([(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a")],),
    "crlf in a value": (GET + [("x", "a\r\nb: c")],),
    "lf in a value": (GET + [("x", "a\nb")],),
    "nul in a value": (GET + [("x", "a\0b")],),
    "crlf in the path": (but(":path", "/ HTTP/1.1\r\nx: y"),),
    "space in the path": (but(":path", "/a b"),),
    "crlf in the authority": (but(":authority", "a\r\nx: y"),),
    "crlf in the method": (but(":method", "GET / HTTP/1.1\r\nx: y"),),
    "upper case": (GET + [("X-Up", "a")],),
    "space in a name": (GET + [("x y", "a")],),
    "colon in a name": (GET + [("x:y", "a")],),
    "empty name": (GET + [("", "a")],),
    "transfer-encoding": (POST + [("transfer-encoding", "chunked")], "0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
    "connection": (GET + [("connection", "close")],),
    "keep-alive": (GET + [("keep-alive", "5")],),
    "upgrade": (GET + [("upgrade", "websocket")],),
    "te gzip": (GET + [("te", "gzip")],),
    "length too short": (POST + [("content-length", "1")], "GET /b HTTP/1.1\r\n\r\n"),
    "length too long": (POST + [("content-length", "50")], "hello"),
    "two lengths": (POST + [("content-length", "5"), ("content-length", "6")], "hello"),
    "signed length": (POST + [("content-length", "+5")], "hello"),
    "length without a body": (POST + [("content-length", "5")],),
    "another host": (GET + [("host", "b")],),
    "no host": (without(":authority"),),
    "two in the authority": (but(":authority", "a,b"),),
    "user in the authority": (but(":authority", "u@a"),),
    "slash in the authority": (but(":authority", "a/b"),),
    "empty path": (but(":path", ""),),
    "path without slash": (but(":path", "x"),),
    "absolute path": (but(":path", "http://b/"),),
    "fragment": (but(":path", "/a#b"),),
    "get of all": (but(":path", "*"),),
    "no path": (without(":path"),),
    "no method": (without(":method"),),
    "two paths": (GET + [(":path", "/b")],),
    "pseudo header behind": (GET[:3] + [("x", "y")] + GET[3:],),
    "unknown pseudo header": (GET + [(":x", "y")],),
    "pseudo header in trailers": (POST, "hello", [(":path", "/b")]),
    "connect": ([(":method", "CONNECT"), (":authority", "a:80")],),
    "ambiguous path": (but(":path", "/a%2fb"),),
    "large head": (GET + [("x-%d" % n, "y" * 1000) for n in range(40)],),
}


def ask(address, fields, data=None, trailers=None):
    connection = Connection(address)
    is_all = data is None and not trailers
    out = connection.headers(fields, 5 if is_all else 4)
    if data is not None:
        out += frame("DATA", 0 if trailers else 1, 1, data.encode("latin-1"))
    if trailers:
        out += connection.headers(trailers, 5)
    connection.send(out)
    seen = connection.outcome()
    return f"{seen.get('status')} {seen['end']} {','.join(seen['interim'])} {seen['trailers']} {seen['body']!r}"


def give_up(address):
    """Sends a request with a body, and then wants no answer."""
    connection = Connection(address)
    connection.send(connection.headers(POST, 4))
    connection.send(frame("DATA", 1, 1, b"hello"))
    sys.stdin.readline()
    connection.send(frame("RST_STREAM", 0, 1, b"\0\0\0\x08"))
    sys.stdin.readline()


address, what = sys.argv[1:3]
if what == "give up":
    give_up(address)
elif what == "put":
    print(ask(address, [(":method", "PUT")] + GET[1:], "hello", [("x-sum", "5")]))
elif what == "requests":
    for name, case in REQUESTS.items():
        print(f"{name}: {ask(address, *case)}", flush=True)
