"""Two endpoints over TLS: one that speaks HTTP/2 and refuses calls, and one that speaks HTTP/1.1 and takes its time. Prints
their addresses, reads the one of the proxy, and asks. Prints for each request what came and what should have."""
import socket, ssl, struct, subprocess, sys, threading, time
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2 import events

CERT, KEY = sys.argv[1:]


def listen(serve, protocol):
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    context.set_alpn_protocols([protocol])

    def one(sock):
        try:
            serve(context.wrap_socket(sock, server_side=True))
        except (OSError, ConnectionError):
            pass

    def accept():
        while True:
            threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def refuse(sock):
    peer, paths = H2Connection(H2Configuration(client_side=False)), {}
    peer.initiate_connection()
    while True:
        sock.sendall(peer.data_to_send())
        for event in peer.receive_data(sock.recv(65536) or exit()):
            if isinstance(event, events.RequestReceived):
                paths[event.stream_id] = dict(event.headers)[b":path"]
            elif isinstance(event, events.StreamEnded):
                path = paths[event.stream_id].decode()
                fields = [(":status", "200"), ("x-path", path), ("content-length", "0")]
                if path.startswith("/call"):
                    fields += [("content-type", "application/grpc"), ("grpc-status", "14")]
                peer.send_headers(event.stream_id, fields, end_stream=True)


def answer(sock):
    came = b""
    while True:
        while b"\r\n\r\n" not in came:
            came += sock.recv(65536) or exit()
        head, came = came.split(b"\r\n\r\n", 1)
        time.sleep(0.1)
        path = head.split()[1]
        sock.sendall(b"HTTP/1.1 200 OK\r\nx-path: " + path + b"\r\ncontent-length: 0\r\n\r\n")


print(listen(refuse, "h2"), listen(answer, "http/1.1"), flush=True)
host, port = sys.stdin.readline().strip().rsplit(":", 1)
sock = socket.create_connection((host, int(port)), timeout=20)
peer = H2Connection()
peer.initiate_connection()
for number in range(12):
    is_call = number < 4
    path = f"/call{number}" if is_call else f"/{number}"
    stream, seen = peer.get_next_available_stream_id(), None
    head = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")]
    if is_call:
        head += [("content-type", "application/grpc"), ("te", "trailers")]
    peer.send_headers(stream, head, end_stream=True)
    is_open = True
    while is_open:
        sock.sendall(peer.data_to_send())
        for event in peer.receive_data(sock.recv(65536)):
            if isinstance(event, events.ResponseReceived):
                seen = dict(event.headers).get(b"x-path", b"").decode()
            if isinstance(event, (events.StreamEnded, events.StreamReset)):
                is_open = False
    print(path, seen, flush=True)
