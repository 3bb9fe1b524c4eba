"""Sends bodies over HTTP/2 in the windows that there are, and prints how far it is. With an address it is a client, without
one an endpoint. Goes on with each line of its input."""
import socket, sys
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2 import events
from h2.settings import SettingCodes

OTHERS = 8
HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
is_client = len(sys.argv) > 1
if is_client:
    host, port = sys.argv[1].rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=20)
else:
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listens on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sock = listener.accept()[0]
peer = H2Connection(H2Configuration(client_side=is_client))
peer.initiate_connection()
pongs, asked = [], []


def flush():
    sock.sendall(peer.data_to_send())


def hear():
    for event in peer.receive_data(sock.recv(65536)):
        if isinstance(event, events.PingAckReceived):
            pongs.append(event.ping_data)
        elif isinstance(event, events.RequestReceived):
            asked.append(event.stream_id)
        elif isinstance(event, events.RemoteSettingsChanged):
            changed = event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE)
            if changed:
                print("window", changed.new_value, flush=True)
    flush()


def begin(number):
    """The stream of that number: ours to begin, or begun by the other side."""
    if is_client:
        stream = peer.get_next_available_stream_id()
        peer.send_headers(stream, HEAD)
    else:
        while len(asked) <= number:
            hear()
        stream = asked[number]
        peer.send_headers(stream, [(":status", "200")])
    flush()
    return stream


def send(stream, size):
    while size:
        room = min(size, peer.local_flow_control_window(stream), peer.max_outbound_frame_size)
        if room <= 0:
            hear()
            continue
        peer.send_data(stream, bytes(room))
        size -= room
        flush()


def until_window(size):
    while peer.remote_settings.initial_window_size != size:
        hear()


flush()
first = begin(0)
until_window(256 << 10)
send(first, 1200 << 10)
until_window(4 << 20)
send(first, 1200 << 10)
print("sent", 2400 << 10, flush=True)
sys.stdin.readline()
others = [begin(number) for number in range(1, OTHERS + 1)]
# Whatever that changes has come before the answers to these.
for number in range(4):
    peer.ping(bytes([number] * 8))
    flush()
    while len(pongs) <= number:
        hear()
print("left", peer.local_flow_control_window(first), flush=True)
# The window of new streams may be what it is: that of this one must not be shut.
send(first, 6000 << 10)
for stream in others:
    send(stream, 300 << 10)
for stream in [first, *others]:
    peer.end_stream(stream)
flush()
print("done", flush=True)
sys.stdin.read()
