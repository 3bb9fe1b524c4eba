"""An endpoint that speaks HTTP/2 frame by frame, also as nobody should. What it does with a request is
its path; prints its port, and then a line for each request: number of the connection, method, path, body length."""
import socket, struct, sys, threading
from hpack import Decoder, Encoder

KINDS = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION"]
END = 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([KINDS.index(kind), flags]) + struct.pack(">I", stream) + payload


class Connection:
    def __init__(self, sock, number):
        self.socket, self.number, self.buffer = sock, number, b""
        self.decoder, self.encoder = Decoder(), Encoder()
        self.streams, self.count, self.is_deaf = {}, 0, False

    def read(self, length):
        while len(self.buffer) < length:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError
            self.buffer += more
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def head(self, stream, fields, flags=0, kind="HEADERS", before=b""):
        block = self.encoder.encode([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields])
        return frame(kind, flags | 4, stream, before + block)

    def ok(self, stream, body=None, extra=()):
        body = f"ok {self.number}".encode() if body is None else body
        self.send(self.head(stream, [(":status", "200"), *extra]), frame("DATA", END, stream, body))

    def settings(self):
        what = sys.argv[1] if len(sys.argv) > 1 else ""
        pairs = {"one stream": [(3, 1)], "no window": [(4, 0)]}.get(what, [])
        return b"".join(struct.pack(">HI", *pair) for pair in pairs)

    def serve(self):
        self.read(24)
        self.send(frame("SETTINGS", 0, 0, self.settings()))
        while True:
            length = int.from_bytes(self.read(3), "big")
            kind, flags, stream = self.read(1)[0], self.read(1)[0], int.from_bytes(self.read(4), "big")
            payload = self.read(length)
            if self.is_deaf:
                continue
            if KINDS[kind] == "SETTINGS" and not flags & 1:
                self.send(frame("SETTINGS", 1, 0))
            elif KINDS[kind] == "PING" and not flags & 1:
                self.send(frame("PING", 1, 0, payload))
            elif KINDS[kind] == "HEADERS" and stream not in self.streams:
                fields = self.decoder.decode(payload)
                self.secrets = " ".join(field[0] for field in fields if not field.indexable)
                fields = dict(fields)
                self.streams[stream] = [fields, 0]
                early(self, stream, fields)
            elif KINDS[kind] == "DATA":
                self.streams[stream][1] += length
                if length:
                    update = struct.pack(">I", length)
                    self.send(frame("WINDOW_UPDATE", 0, 0, update), frame("WINDOW_UPDATE", 0, stream, update))
            elif KINDS[kind] == "HEADERS":
                trailers = self.decoder.decode(payload)
                self.secrets = " ".join(field[0] for field in trailers if not field.indexable)
            if KINDS[kind] in ("HEADERS", "DATA") and flags & END:
                fields, body = self.streams[stream]
                self.count += 1
                print(self.number, fields[":method"], fields[":path"], body, flush=True)
                answer(self, stream, fields[":path"], body)


def early(c, stream, fields):
    """What comes before the request has ended."""
    if fields[":path"] == "/early":
        c.send(c.head(stream, [(":status", "200")]), frame("DATA", END, stream, b"early"))
        c.send(frame("RST_STREAM", 0, stream, b"\0\0\0\0"))


def answer(c, stream, path, body):
    status = (":status", "200")
    reset = lambda code: frame("RST_STREAM", 0, stream, struct.pack(">I", code))
    goaway = lambda last, code=0: frame("GOAWAY", 0, 0, struct.pack(">II", last, code))
    is_first = c.number == 0 and c.count == 1
    if path == "/refused" and is_first:
        return c.send(reset(7))
    if path == "/unseen" and is_first:
        c.send(goaway(0))
        raise ConnectionError
    if path == "/last":
        c.send(goaway(stream))
        c.ok(stream)
        raise ConnectionError
    if path == "/closed":
        raise ConnectionError
    if path == "/deaf" and is_first:
        c.ok(stream)
        c.is_deaf = True
        return
    if path == "/silent":
        return
    if path == "/secret":
        block = c.encoder.encode([(":status", "200"), ("x-open", "a"), ("x-reply", "b", True)])
        return c.send(frame("HEADERS", 4, stream, block), frame("DATA", END, stream, b"secrets: " + c.secrets.encode()))
    if path == "/secret-trailers":
        said = frame("DATA", 0, stream, b"secrets: " + c.secrets.encode())
        trailers = c.encoder.encode([("x-reply", "b", True)])
        return c.send(c.head(stream, [status]), said, frame("HEADERS", END | 4, stream, trailers))
    if path == "/cut":
        c.send(c.head(stream, [status]), frame("DATA", 0, stream, b"half"))
        raise ConnectionError
    case = {
        "/reset": lambda: [reset(2)],
        "/reset-late": lambda: [c.head(stream, [status]), frame("DATA", 0, stream, b"half"), reset(2)],
        "/short": lambda: [c.head(stream, [status, ("content-length", "9")]), frame("DATA", END, stream, b"half")],
        "/long": lambda: [c.head(stream, [status, ("content-length", "2")]), frame("DATA", END, stream, b"half")],
        "/no-status": lambda: [c.head(stream, [("x", "y")], END)],
        "/odd-status": lambda: [c.head(stream, [(":status", "abc")], END)],
        "/low-status": lambda: [c.head(stream, [(":status", "42")], END)],
        "/switch": lambda: [c.head(stream, [(":status", "101")], END)],
        "/upper": lambda: [c.head(stream, [status, ("X-Up", "a")], END)],
        "/crlf": lambda: [c.head(stream, [status, ("x", "a\r\nset-cookie: b")], END)],
        "/nul": lambda: [c.head(stream, [status, ("x", "a\0b")], END)],
        "/connection": lambda: [c.head(stream, [status, ("connection", "close")], END)],
        "/coding": lambda: [c.head(stream, [status, ("transfer-encoding", "chunked")]), frame("DATA", END, stream, b"0\r\n\r\n")],
        "/two-lengths": lambda: [c.head(stream, [status, ("content-length", "4"), ("content-length", "5")]), frame("DATA", END, stream, b"half")],
        "/interim": lambda: [c.head(stream, [(":status", "103")]) for _ in range(20)] + [c.head(stream, [status], END)],
        "/push": lambda: [c.head(stream, [(":method", "GET"), (":scheme", "http"), (":path", "/p"), (":authority", "a")], 0, "PUSH_PROMISE", struct.pack(">I", 2))],
        "/large": lambda: [c.head(stream, [status] + [("x-%d" % n, "y" * 300) for n in range(50)]), frame("DATA", END, stream, b"ok")],
        "/fields": lambda: [c.head(stream, [status] + [("x-%d" % n, "y") for n in range(200)]), frame("DATA", END, stream, b"ok")],
        "/hollow": lambda: [c.head(stream, [status]), frame("DATA", 0, stream), frame("DATA", END, stream, b"ok %d" % c.number)],
        "/pings": lambda: [frame("PING", 0, 0, b"8 bytes.")] * 5000,
        "/settings": lambda: [frame("SETTINGS", 0, 0)] * 5000,
        "/head": lambda: [c.head(stream, [status, ("content-length", "9")], END)],
        "/no-content": lambda: [c.head(stream, [(":status", "204")], END)],
        "/empty": lambda: [c.head(stream, [status], END)],
    }.get(path)
    if case:
        return c.send(*case())
    c.ok(stream, extra=[("x-body", str(body))])


def run(connection):
    try:
        connection.serve()
    except (ConnectionError, OSError):
        pass
    try:
        connection.socket.shutdown(socket.SHUT_WR)
        connection.socket.settimeout(5)
        while connection.socket.recv(65536):
            pass
    except OSError:
        pass
    connection.socket.close()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
number = 0
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=run, args=(Connection(accepted, number),), daemon=True).start()
    number += 1
