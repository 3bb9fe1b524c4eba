"""A client of HTTP/2 that the library h2 judges: it is the other side of what is no violation, and hears everything that
comes back. What it does not understand ends the script. Frames that it would not send are made by hand."""
import select, socket, struct, sys
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import ConnectionTerminated, DataReceived, PingAckReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from hpack import Encoder

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
POST = [(":method", "POST")] + GET[1:]
CANARY = 1001
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32


def frame(kind, flags, stream, payload=b""):
    """One of which nothing is checked."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def latin(fields):
    """Names and values as they are: what is wrong with them is what is tested."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class Judge:
    def __init__(self, address, preface=True):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False,
                                 normalize_outbound_headers=False)
        self.h2 = H2Connection(config)
        encode = self.h2.encoder.encode
        # Huffman of long values takes this encoder seconds.
        self.h2.encoder.encode = lambda fields: encode(fields, huffman=all(len(v) < 999 for _, v in fields))
        self.seen, self.got, self.body = {}, b"", b""
        self.takes_data = True
        # The stream is answered, unless something is wrong with it.
        self.is_whole = False
        if preface:
            self.h2.initiate_connection()
            self.flush()

    def flush(self):
        self.raw(self.h2.data_to_send())

    def raw(self, *parts):
        parts = [part.serialize() if hasattr(part, "serialize") else part for part in parts]
        try:
            self.socket.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, fields=GET, stream=1, ends=True):
        self.h2.send_headers(stream, latin(fields), end_stream=ends)
        self.flush()
        return stream

    def block(self, fields=GET, stream=1, ends=True):
        """The fields of a request that h2 takes for sent."""
        self.h2.send_headers(stream, latin(fields), end_stream=ends)
        frames, block = self.h2.data_to_send(), b""
        while frames:
            length = int.from_bytes(frames[:3], "big")
            block, frames = block + frames[9:9 + length], frames[9 + length:]
        return block

    @staticmethod
    def framed(block, flags=END_STREAM, stream=1):
        """A block of fields in as many frames as it takes."""
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)] or [b""]
        ends = [0] * (len(parts) - 1) + [END_HEADERS]
        first = frame(1, flags | ends[0], stream, parts[0])
        return first + b"".join(frame(9, end, stream, part) for end, part in zip(ends[1:], parts[1:]))

    def data(self, data=b"", stream=1, ends=False):
        self.h2.send_data(stream, data, end_stream=ends)
        self.flush()

    def settle(self):
        """Hears what the server allows, and says so."""
        self.seen.pop(("pong", b"settled?"), None)
        self.h2.ping(b"settled?")
        self.flush()
        self.until(lambda name, _: name == ("pong", b"settled?"))

    def until(self, is_it):
        """Hears until there is something. `None` at the end of the connection."""
        while True:
            for name, value in self.seen.items():
                if is_it(name, value):
                    return name, value
            if not self.hear_more():
                return None

    def hear_more(self):
        """Hears what comes next. False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.got += data
        while len(self.got) >= 9 and len(self.got) >= (end := 9 + int.from_bytes(self.got[:3], "big")):
            one, self.got = self.got[:end], self.got[end:]
            for event in self.h2.receive_data(one):
                self.hear(event)
        self.flush()
        return bool(data)

    def has_heard(self, wait):
        return bool(select.select([self.socket], [], [], wait)[0])

    def hear(self, event):
        if isinstance(event, ConnectionTerminated):
            self.seen["goaway" if event.error_code else "leave"] = int(event.error_code)
            if not event.error_code:
                # What runs goes on, which h2 does not know.
                self.h2.state_machine.state = ConnectionState.CLIENT_OPEN
        elif isinstance(event, StreamReset):
            self.seen["reset", event.stream_id] = int(event.error_code)
        elif isinstance(event, ResponseReceived):
            self.seen["status", event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, DataReceived):
            self.body += event.data
            self.seen["data", event.stream_id] = True
            if self.takes_data:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.seen["end", event.stream_id] = True
        elif isinstance(event, PingAckReceived):
            self.seen["pong", event.ping_data] = True

    def done(self, stream=1):
        """A request whose answer has come."""
        self.until(lambda name, _: name == ("end", stream))
        return stream

    def verdict(self, stream, canary=CANARY):
        """What has become of a stream, and of the connection, on which another request follows."""
        if self.is_whole:
            self.until(lambda name, _: name in ("goaway", ("end", stream), ("reset", stream)))
        if self.h2.state_machine.state != ConnectionState.CLOSED:
            self.h2.send_headers(canary, latin(GET), end_stream=True)
            self.flush()
        if self.until(lambda name, _: name in ("goaway", ("end", canary), ("reset", canary))) is None:
            return "closed"
        if "goaway" in self.seen:
            rest = self.rest()
            return f"goaway {self.seen['goaway']}" + (", and goes on" if rest else "")
        if self.seen.get(("status", canary)) != 200:
            return "no canary"
        for kind in ("reset", "status"):
            if (kind, stream) in self.seen:
                return f"{kind} {self.seen[kind, stream]}"
        return "served"

    def rest(self):
        """What comes behind a GOAWAY, up to the close."""
        got = b""
        try:
            while more := self.socket.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        return got


def at(path, fields=GET):
    return [(n, path if n == ":path" else v) for n, v in fields]


