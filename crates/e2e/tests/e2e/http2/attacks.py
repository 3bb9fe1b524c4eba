"""Clients of HTTP/2 that are slow, or silent, or do not hear. One a call; prints what comes of it."""
import ssl, time

address, what, *words = sys.argv[1:]


def told():
    """Waits for who called us."""
    sys.stdin.readline()


def saying(*text):
    print(*text, flush=True)


def late_end(judge):
    # The endpoint has the head when it turns out that there are less bytes than it says.
    judge.ask(at("/wait", POST) + [("content-length", "50")], ends=False)
    told()
    judge.raw(frame(0, END_STREAM, 1, b"hello"))
    saying(judge.verdict(1))


def never_acknowledges(judge):
    flush = judge.raw
    judge.raw = lambda *parts: flush(*(part.replace(frame(4, ACK, 0), b"") for part in parts))
    for stream in range(1, 401, 2):
        judge.done(judge.ask(stream=stream))
    saying(sum(value == 200 for name, value in judge.seen.items() if name[0] == "status"))


def refused(judge):
    # Each way to be refused before a head is read, behind a request that was served.
    stream = 1
    for fields in [GET + [("host", "b")], GET[:3], GET + [("x", " a")], GET[:3] + [("host", "a"), ("host", "a")],
                   [(":method", "CONNECT"), (":protocol", "x")] + GET[1:]]:
        judge.done(judge.ask(at("/" + "a" * 300), stream))
        judge.done(judge.ask(fields, stream + 2))
        stream += 4
    saying(*(judge.seen.get(("status", stream)) for stream in range(1, stream, 2)))


def padded(judge):
    # 4000 bytes that take 1 MiB of windows, which are given back for the padding as well.
    judge.ask(POST, ends=False)
    for n in range(4000):
        while judge.h2.local_flow_control_window(1) < 257:
            judge.hear_more()
        judge.h2.send_data(1, b"x", end_stream=n == 3999, pad_length=255)
        if n % 50 == 0:
            judge.flush()
    judge.flush()
    judge.done()
    saying(judge.seen["status", 1], judge.body)


def messages(judge):
    # As many as a stream may send ahead, to an endpoint that does not listen; and again without an end.
    judge.settle()
    judge.ask(at("/full", POST), ends=False)
    judge.ask(at("/full", POST), 3, ends=False)
    judge.raw(frame(0, 0, 3, b"x" * 50) * 5200)
    saying(judge.verdict(3, 5))
    judge.raw(frame(0, 0, 3, b"x") * 2000)
    saying(judge.verdict(3, 7))
    told()
    for stream in range(9, 21, 2):
        judge.ask(at("/full", POST), stream, ends=False)
        judge.raw(frame(0, 0, stream, b"x") * 2000)
    saying(judge.verdict(9))


def no_window(judge):
    # What does not fit is not taken from the endpoint, and the stream has its end.
    judge.takes_data = False
    judge.h2.update_settings({4: 0})
    judge.settle()
    judge.ask(at("/large"))
    for _ in range(200):
        judge.h2.increment_flow_control_window(1, 1)
        judge.flush()
        judge.until(lambda name, _: name == ("data", 1))
        del judge.seen["data", 1]
    saying(len(judge.body))
    judge.until(lambda name, _: name == ("reset", 1))
    saying(f"reset {judge.seen['reset', 1]}")
    judge.h2.update_settings({4: 65535})
    saying(judge.verdict(1))


def stuck_uploads(judge):
    for stream in range(1, 201, 2):
        judge.ask(at("/wait", POST) + [("content-length", "50")], stream, ends=False)
        judge.data(b"hello", stream)
    saying("stuck")
    for stream in range(1, 201, 2):
        judge.until(lambda name, _: name == ("end", stream))
    statuses = [value for name, value in judge.seen.items() if name[0] == "status"]
    saying(*sorted(set(statuses)), len(statuses), judge.verdict(0))


def deaf(judge):
    # Streams behind the GOAWAY are asked for by hand: h2 knows that they must not be.
    judge.ask(at("/wait"))
    saying("asked")
    judge.until(lambda name, _: name == "leave")
    saying("told")
    told()
    for stream in range(3, 99, 2):
        judge.raw(frame(1, END_STREAM | END_HEADERS, stream, b"\x82\x86\x84\x01\x01a"))
    saying("asked again")
    end = judge.until(lambda name, _: name == ("end", 1))
    answered = sorted({name[1] for name in judge.seen if name[0] in ("status", "reset")})
    saying("ended" if end is None else judge.seen["status", 1], answered)


def behind_resets(judge):
    # 80 times 16 KiB are more than the connection takes ahead: each is given back.
    judge.settle()
    for stream in range(1, 161, 2):
        judge.ask(at("/wait", POST), stream, ends=False)
        while judge.h2.outbound_flow_control_window < 16384:
            judge.hear_more()
        judge.h2.send_data(stream, b"x" * 16384)
        judge.h2.reset_stream(stream, 8)
        judge.raw(judge.h2.data_to_send(), frame(8, 0, stream, b"\0\0\0\1"), frame(0, 0, stream, b"x"))
    saying(judge.verdict(0))


def drips(judge, parts):
    judge.settle()
    begun = time.monotonic()
    for part in parts:
        for byte in part:
            judge.raw(bytes([byte]))
            if judge.has_heard(0.02):
                judge.until(lambda name, _: name == "goaway")
                return saying(judge.seen.get("goaway"), time.monotonic() - begun < 5)
    saying("not cut off")


HEAD = b"\x82\x86\x84\x01\x01a" + b"\x00\x01x\x7f\x80\x03" + b"y" * 511
SLOW = {
    "a slow frame": [frame(1, 5, 1, HEAD)],
    "slow continuations": [frame(1, 1, 1, HEAD[:3]), *(frame(9, 0, 1, HEAD[at:at + 80]) for at in range(3, 500, 80))],
    "a slow priority": [frame(1, 37, 1, b"\0\0\0\3\x10" + HEAD)],
}


def over_tls(alpn, sent):
    context = ssl.create_default_context(cafile=words[0])
    if alpn:
        context.set_alpn_protocols([alpn])
    host, port = address.rsplit(":", 1)
    secure = context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname="localhost")
    secure.sendall(sent)
    try:
        got = secure.recv(65536)
    except ConnectionResetError:
        got = b""
    saying(secure.selected_alpn_protocol(), got[:12])


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
OVER_TLS = {
    "h2": ("h2", PREFACE),
    "h1 with h2": ("h2", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "h2 with h1": ("http/1.1", PREFACE),
    "h2 with nothing": (None, PREFACE),
    "h1": ("http/1.1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
}

CALLS = {"refused": refused, "late end": late_end, "never acknowledges": never_acknowledges, "padded": padded, "messages": messages,
         "no window": no_window, "stuck uploads": stuck_uploads, "deaf": deaf, "behind resets": behind_resets}

if what in OVER_TLS:
    over_tls(*OVER_TLS[what])
elif what in SLOW:
    drips(Judge(address), SLOW[what])
else:
    CALLS[what](Judge(address))
