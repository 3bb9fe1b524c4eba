"""One end of streams of HTTP/2 that are tunnels (RFC 8441), which does as it is told line by line and prints what comes.
`ask ADDRESS` is a client, `serve` an endpoint, and `serve without` one that has said nothing of tunnels."""
import os, socket, struct, sys, threading
from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2 import events
from h2.settings import SettingCodes, Settings

# The library would have no more of a connection of which the other side takes no new streams.
for state in (ConnectionState.IDLE, ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN):
    H2ConnectionStateMachine._transitions[state, ConnectionInputs.RECV_GOAWAY] = (None, state)


def say(*words):
    print(*words, flush=True)


def text(fields):
    return " ".join(f"{name}={value}" for name, value in fields)


class End:
    def __init__(self, sock, is_client, has_tunnels):
        self.sock, self.lock, self.stream = sock, threading.Lock(), None
        config = H2Configuration(client_side=is_client, header_encoding="utf-8", validate_outbound_headers=False,
                                 normalize_outbound_headers=False, validate_inbound_headers=False)
        self.h2 = H2Connection(config)
        if has_tunnels:
            first = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            self.h2.local_settings = Settings(client=is_client, initial_values=first)
        with self.lock:
            self.h2.initiate_connection()
            self.flush()

    def start(self):
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def listen(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                return say("closed")
            with self.lock:
                for event in self.h2.receive_data(data):
                    self.see(event)
                self.flush()

    def see(self, event):
        if isinstance(event, events.RemoteSettingsChanged):
            changed = event.changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
            if changed:
                say("tunnels", changed.new_value)
        elif isinstance(event, events.RequestReceived):
            self.stream = event.stream_id
            fields = dict(event.headers)
            say("asked", text(event.headers))
            if fields[":method"] != "CONNECT":
                self.h2.send_headers(event.stream_id, [(":status", "200"), ("x-plain", "yes")], True)
        elif isinstance(event, events.ResponseReceived):
            say("head", text(field for field in event.headers if field[0] not in ("date", "via")))
        elif isinstance(event, events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.data:
                say("data", event.data.hex())
        elif isinstance(event, events.StreamReset):
            say("reset", event.error_code)
        elif isinstance(event, events.StreamEnded):
            say("end")
        elif isinstance(event, events.ConnectionTerminated):
            say("goaway", event.error_code)

    def do(self, what, words):
        if what == "open":
            path, protocol, *more = words
            fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path), (":authority", "a")]
            self.stream = self.h2.get_next_available_stream_id()
            self.h2.send_headers(self.stream, fields + [tuple(one.split("=", 1)) for one in more])
        elif what == "get":
            fields = [(":method", "GET"), (":scheme", "http"), (":path", words[0]), (":authority", "a")]
            self.h2.send_headers(self.h2.get_next_available_stream_id(), fields, True)
        elif what == "answer":
            fields = [(":status", words[0])] + [tuple(one.split("=", 1)) for one in words[1:]]
            self.h2.send_headers(self.stream, fields, words[0] != "200")
        elif what == "send":
            self.h2.send_data(self.stream, bytes.fromhex(words[0]))
        elif what == "end":
            self.h2.end_stream(self.stream)
        elif what == "reset":
            self.h2.reset_stream(self.stream, int(words[0]))
        elif what == "die":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os._exit(0)
        self.flush()


def obey(end):
    for line in sys.stdin:
        what, *words = line.split()
        with end().lock:
            end().do(what, words)


if sys.argv[1] == "ask":
    host, port = sys.argv[2].rsplit(":", 1)
    one = End(socket.create_connection((host, int(port)), timeout=20), True, False).start()
    obey(lambda: one)
else:
    listener = socket.create_server(("127.0.0.1", 0))
    say(f"listens on 127.0.0.1:{listener.getsockname()[1]}")
    ends = []

    def accept():
        while True:
            # What it hears is answered by the last of them, so it is there before it hears anything.
            ends.append(End(listener.accept()[0], False, sys.argv[2:] != ["without"]))
            ends[-1].start()
    threading.Thread(target=accept, daemon=True).start()
    obey(lambda: ends[-1])
