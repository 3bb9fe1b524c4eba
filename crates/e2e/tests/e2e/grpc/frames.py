"""gRPC as it stands in frames of HTTP/2, also as nobody should send it. `serve` answers by path and prints what it gets;
`ask ADDRESS NAME..` makes calls and prints what comes of each."""
import socket, struct, sys, threading
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2 import events


def message(data, flag=0):
    return struct.pack(">BI", flag, len(data)) + data


class Peer:
    """One end of a connection, which hands over what happens on it."""

    def __init__(self, sock, is_client):
        self.sock = sock
        # What is wrong with a head is what is tested.
        config = H2Configuration(client_side=is_client, header_encoding="utf-8", validate_outbound_headers=False,
                                 normalize_outbound_headers=False, validate_inbound_headers=False)
        self.h2 = H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def events(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return
            for event in self.h2.receive_data(data):
                if isinstance(event, events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                yield event
            self.flush()

    def send(self, stream, data, end=False):
        """What fits into the windows at once, which is all that is sent here."""
        self.h2.send_data(stream, data, end)
        self.flush()

    def head(self, stream, fields, end=False):
        self.h2.send_headers(stream, fields, end)
        self.flush()


GOOD = [(":status", "200"), ("content-type", "application/grpc")]
ENDS = {
    "/test/Good": (GOOD, message(b"hi"), [("grpc-status", "0")]),
    "/test/Alone": (GOOD + [("grpc-status", "7"), ("grpc-message", "no")], None, None),
    "/test/NoStatus": (GOOD, message(b"hi"), []),
    "/test/NoTrailers": (GOOD, message(b"hi"), None),
    "/test/Letters": (GOOD, message(b"hi"), [("grpc-status", "abc")]),
    "/test/Percent": (GOOD, message(b"hi"), [("grpc-status", "2"), ("grpc-message", "100%zz %f")]),
    "/test/BadBytes": (GOOD, message(b"hi"), [("grpc-status", "0"), ("x-bytes-bin", "!!*")]),
    "/test/Large": (GOOD, message(b"hi"), [("grpc-status", "0"), ("x-large", "x" * 16000)]),
    "/test/Squeezed": (GOOD + [("grpc-encoding", "gzip")], message(b"\x1f\x8bnot gzip", 1), [("grpc-status", "0")]),
    "/test/Flag": (GOOD, message(b"hi", 1), [("grpc-status", "0")]),
    "/test/Huge": (GOOD, b"\0\xff\xff\xff\xffhi", [("grpc-status", "0")]),
    "/test/Html": ([(":status", "503"), ("content-type", "text/html")], b"<p>", None),
}


def serve_one(sock):
    peer, heads = Peer(sock, False), {}
    bodies = {}
    for event in peer.events():
        if isinstance(event, events.RequestReceived):
            heads[event.stream_id], bodies[event.stream_id] = dict(event.headers), b""
        elif isinstance(event, events.DataReceived):
            bodies[event.stream_id] += event.data
        elif isinstance(event, events.StreamReset):
            print("reset", event.error_code, flush=True)
        elif isinstance(event, events.StreamEnded):
            head, body = heads[event.stream_id], bodies[event.stream_id]
            names = ["te", "content-type", "grpc-timeout", "grpc-encoding", "x-bytes-bin"]
            seen = " ".join(f"{name}={head[name]}" for name in names if name in head)
            print("got", head[":path"], seen, body.hex(), flush=True)
            if head[":path"] not in ENDS:
                continue
            fields, data, trailers = ENDS[head[":path"]]
            peer.head(event.stream_id, fields, data is None)
            if data is not None:
                peer.send(event.stream_id, data, not trailers)
            if trailers:
                peer.head(event.stream_id, trailers, True)


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listens on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()


CALL = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), ("content-type", "application/grpc"), ("te", "trailers")]


def call(path, more=(), data=message(b"hi"), without=()):
    fields = [field for field in CALL if field[0] not in without]
    return [*fields[:1], (":path", path), *fields[1:], *more], data


CALLS = {
    "good": call("/test/Good"),
    "with a subtype": call("/test/Good", [("content-type", "application/grpc+proto")], without=["content-type"]),
    "without te": call("/test/Good", without=["te"]),
    "timeout": call("/test/Good", [("grpc-timeout", "5000m")]),
    "endless timeout": call("/test/Good", [("grpc-timeout", "99999999H")]),
    "long timeout": call("/test/Good", [("grpc-timeout", "99999999999H")]),
    "negative timeout": call("/test/Good", [("grpc-timeout", "-1S")]),
    "no time at all": call("/test/Never", [("grpc-timeout", "0n")]),
    "too late": call("/test/Never", [("grpc-timeout", "200m")]),
    "flag without coding": call("/test/Good", data=message(b"hi", 1)),
    "flag with coding": call("/test/Good", [("grpc-encoding", "gzip")], message(b"\x1f\x8bnot gzip", 1)),
    "four gigabytes": call("/test/Good", data=b"\0\xff\xff\xff\xffhi"),
    "broken bytes": call("/test/Good", [("x-bytes-bin", "!!*")]),
    "large head": call("/test/Good", [("x-large", "x" * 16000)]),
    "alone": call("/test/Alone"),
    "no status": call("/test/NoStatus"),
    "no trailers": call("/test/NoTrailers"),
    "letters": call("/test/Letters"),
    "percent": call("/test/Percent"),
    "bytes back": call("/test/BadBytes"),
    "large trailers": call("/test/Large"),
    "squeezed": call("/test/Squeezed"),
    "flag back": call("/test/Flag"),
    "huge": call("/test/Huge"),
    "html": call("/test/Html"),
}


def shown(fields):
    quiet = ("date", "via", "content-type")
    return " ".join(f"{name}={value if len(value) < 99 else len(value)}" for name, value in fields if name not in quiet)


def ask(address, names):
    host, port = address.rsplit(":", 1)
    peer = Peer(socket.create_connection((host, int(port)), timeout=20), True)
    streams = peer.events()
    for name in names:
        fields, data = CALLS[name]
        stream = peer.h2.get_next_available_stream_id()
        peer.head(stream, sorted(fields, key=lambda field: not field[0].startswith(":")))
        peer.send(stream, data, True)
        said = []
        for event in streams:
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, events.ResponseReceived):
                said.append(shown(event.headers))
            elif isinstance(event, events.TrailersReceived):
                said.append("| " + shown(event.headers))
            elif isinstance(event, events.DataReceived) and event.data:
                said.append(event.data.hex())
            elif isinstance(event, events.StreamReset):
                said.append(f"reset {event.error_code}")
                break
            elif isinstance(event, events.StreamEnded):
                break
        print(f"{name}: {' '.join(said)}", flush=True)


serve() if sys.argv[1] == "serve" else ask(sys.argv[2], sys.argv[3:])
