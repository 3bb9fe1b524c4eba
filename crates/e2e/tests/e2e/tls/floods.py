"""Sends records that no library would: after a handshake by the ssl module, with its keys.

floods.py ADDRESS CA VERSION KIND COUNT PAUSE: prints `open` or `closed`, and how much was sent.
"""
import hashlib, hmac, os, socket, ssl, struct, sys, tempfile, time
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

address, ca, version, kind, count, pause = sys.argv[1:]
count, pause = int(count), float(pause)
host, port = address.rsplit(":", 1)

SUITES = {
    "TLS_AES_128_GCM_SHA256": (AESGCM, 16, "sha256"),
    "TLS_AES_256_GCM_SHA384": (AESGCM, 32, "sha384"),
    "TLS_CHACHA20_POLY1305_SHA256": (ChaCha20Poly1305, 32, "sha256"),
    "ECDHE-ECDSA-AES128-GCM-SHA256": (AESGCM, 16, "sha256"),
}


class Wire:
    """A session on a socket, whose bytes pass through our hands."""

    def __init__(self):
        self.stream = socket.create_connection((host, int(port)))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=ca)
        if version == "1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        handle, self.log = tempfile.mkstemp()
        os.close(handle)
        context.keylog_filename = self.log
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.heard = b""
        self.step(self.session.do_handshake)
        self.written = 0
        self.suite, self.size, self.hash = SUITES[self.session.cipher()[0]]
        self.take_keys()

    def step(self, action):
        while True:
            try:
                result, waits = action(), False
            except ssl.SSLWantReadError:
                result, waits = None, True
            self.stream.sendall(self.outgoing.read())
            if not waits:
                return result
            data = self.stream.recv(65536)
            if not data:
                raise ConnectionError("closed")
            self.heard += data
            self.incoming.write(data)

    def get(self):
        """A request and its answer."""
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        self.step(lambda: self.session.write(request))
        self.written += 1
        answer = self.step(lambda: self.session.read(65536))
        assert answer.startswith(b"HTTP/1.1 200 "), answer

    def take_keys(self):
        lines = [line.split() for line in open(self.log)]
        os.unlink(self.log)
        secrets = {words[0]: words[1:] for words in lines if len(words) == 3}
        if version == "1.3":
            self.secret = bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"][1])
            self.derive()
            return
        mine, master = map(bytes.fromhex, secrets["CLIENT_RANDOM"])
        # The server's hello is the first message: its random stands behind 5, 4 and 2 bytes.
        seed = b"key expansion" + self.heard[11:43] + mine
        block, part = b"", seed
        while len(block) < 40:
            part = hmac.digest(master, part, "sha256")
            block += hmac.digest(master, part + seed, "sha256")
        self.aead, self.iv = AESGCM(block[:16]), block[32:36]
        # The end of the handshake was the first record.
        self.written = 1

    def expand(self, label, size):
        label = b"tls13 " + label
        info = struct.pack("!HB", size, len(label)) + label + b"\0\x01"
        return hmac.digest(self.secret, info, self.hash)[:size]

    def derive(self):
        self.aead, self.iv = self.suite(self.expand(b"key", self.size)), self.expand(b"iv", 12)
        self.written = 0

    def record(self, kind, content):
        number = struct.pack("!Q", self.written)
        self.written += 1
        if version == "1.2":
            about = number + struct.pack("!BHH", kind, 0x303, len(content))
            sealed = number + self.aead.encrypt(self.iv + number, content, about)
            return struct.pack("!BHH", kind, 0x303, len(sealed)) + sealed
        head = struct.pack("!BHH", 23, 0x303, len(content) + 17)
        nonce = bytes(a ^ b for a, b in zip(self.iv, b"\0\0\0\0" + number))
        return head + self.aead.encrypt(nonce, content + bytes([kind]), head)

    def next_secret(self):
        self.secret = self.expand(b"traffic upd", len(self.secret))
        self.derive()


def hello():
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\xc0\x2b" + b"\1\0" + b"\0\5\xff\1\0\1\0"
    return b"\1" + struct.pack("!I", len(body))[1:] + body


def one(wire):
    if kind == "empty":
        return wire.record(23, b"")
    if kind == "header":
        return wire.record(23, b"x")
    if kind == "canceled":
        return wire.record(21, b"\1\x5a")
    if kind == "renegotiate":
        return wire.record(22, hello())
    assert kind == "key_update"
    sealed = wire.record(22, b"\x18\0\0\1\1")
    wire.next_secret()
    return sealed


def drain(wire, wait):
    """Whether the other side has closed."""
    wire.stream.settimeout(wait)
    try:
        while wire.stream.recv(65536):
            pass
        return True
    except (TimeoutError, socket.timeout):
        return False
    except OSError:
        return True


wire = Wire()
if kind != "header":
    wire.get()
sent = 0
try:
    while sent < count:
        batch = b"".join(one(wire) for _ in range(1 if pause else min(100, count - sent)))
        wire.stream.settimeout(20)
        wire.stream.sendall(batch)
        sent += 1 if pause else min(100, count - sent)
        if pause and drain(wire, pause):
            raise ConnectionError("closed")
    if kind == "empty" and not pause:
        # What comes in the end is read as if there had been nothing before.
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        wire.stream.sendall(wire.record(23, request))
        data = wire.stream.recv(65536)
        assert data[:1] == b"\x17" and len(data) > 60, data
        print("open", sent)
    else:
        print("closed" if drain(wire, 1) else "open", sent)
except OSError:
    print("closed", sent)
