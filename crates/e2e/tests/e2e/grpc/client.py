"""Calls over gRPC, each by its name, whose outcome is printed behind it. Arguments: the address, a certificate to
trust or nothing, and the names."""
import hashlib, sys, threading
import grpc

ADDRESS, TRUST, NAMES = sys.argv[1], sys.argv[2], sys.argv[3:]
OPTIONS = [("grpc.max_receive_message_length", 32 << 20), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
SENT = (("my-text", "some text"), ("my-twice", "1"), ("my-twice", "2"), ("my-bytes-bin", bytes(range(256))))
PATIENCE = 20

if TRUST:
    channel = grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(open(TRUST, "rb").read()), OPTIONS)
else:
    channel = grpc.insecure_channel(ADDRESS, OPTIONS)


def unary(path, message, timeout=PATIENCE, metadata=(), **more):
    return channel.unary_unary(path).with_call(message, timeout=timeout, metadata=metadata, **more)


def stream(path, message, timeout=PATIENCE, **more):
    return channel.unary_stream(path)(message, timeout=timeout, **more)


def texts(metadata):
    """What a test is about, in the order of names; bytes in hexadecimal."""
    own = [(key, value) for key, value in metadata if key.startswith(("its-", "seen-"))]
    return " ".join(sorted(f"{key}={value.hex() if isinstance(value, bytes) else value}" for key, value in own))


def one_message():
    answer, call = unary("/test/Echo", b"hello", metadata=SENT)
    return f"{answer.decode()} {call.code().name} {texts(call.initial_metadata())} {texts(call.trailing_metadata())}"


def no_message():
    """A message of no bytes, which is a message all the same."""
    return repr(unary("/test/Echo", b"")[0])


def large_message():
    message = bytes(range(256)) * (6 << 12)
    return unary("/test/Echo", message)[0] == message


def many_come():
    sizes = [len(message) for message in stream("/test/Count", b"200 9000")]
    return f"{len(sizes)} {sum(sizes)}"


def many_large_come():
    return sum(len(message) for message in stream("/test/Count", b"6 1500000"))


def many_go():
    messages = [bytes([n]) * 70_000 for n in range(100)]
    expected = f"100 {hashlib.sha256(b''.join(messages)).hexdigest()}".encode()
    return channel.stream_unary("/test/Join")(iter(messages), timeout=PATIENCE) == expected


def both_ways():
    """Each message is sent when the one before has come back."""
    back = threading.Semaphore(1)

    def messages():
        for n in range(100):
            back.acquire()
            yield b"%d" % n * 50
    count = 0
    for message in channel.stream_stream("/test/Each")(messages(), timeout=PATIENCE):
        assert message == b"%d" % count * 50
        count += 1
        back.release()
    return count


def both_ways_at_once():
    messages = [bytes([n]) * 60_000 for n in range(60)]
    return list(channel.stream_stream("/test/Each")(iter(messages), timeout=PATIENCE)) == messages


def failure(path, message, timeout=PATIENCE, metadata=(), **more):
    came = 0
    call = stream(path, message, timeout, metadata=metadata, **more)
    try:
        for _ in call:
            came += 1
    except grpc.RpcError:
        pass
    words = [str(came), call.code().name, call.details(), texts(call.trailing_metadata())]
    return " ".join(word for word in words if word)


def every_status():
    """Which codes come back as they are, with their words."""
    good = []
    for code in range(1, 17):
        for begins in ("early", "late"):
            said = failure("/test/Fail", f"{code} {begins} it is {code}".encode())
            name = next(one.name for one in grpc.StatusCode if one.value[0] == code)
            if said.startswith(f"{int(begins == 'late')} {name} it is {code} its-end-bin=0001"):
                good.append(code)
    return len(good)


def words_beyond_ascii():
    return failure("/test/Fail", "9 early 100 % sicher, weil's grün ist\n".encode()).split(" its-")[0].strip()


def gives_up():
    call = stream("/test/Wait", b"begin")
    assert next(call) == b"begun"
    call.cancel()
    return call.code().name


def waits_no_longer():
    """Before a word has come, and behind one."""
    return " ".join(failure("/test/Wait", message, 0.3).split(" ")[1] for message in (b"", b"begin"))


def time_left():
    """As grpc-timeout has it, which is rounded."""
    return 16 < float(unary("/test/Left", b"", 17)[0]) < 18


def no_time_limit():
    return float(unary("/test/Left", b"", None)[0]) > 1e9


def compressed():
    message = b"squeeze me " * 5000
    return unary("/test/Echo", message, compression=grpc.Compression.Gzip)[0] == message


def silent_server():
    return b" ".join(stream("/test/Pause", b"1")).decode()


def silent_client():
    over = threading.Event()

    def messages():
        yield b"1"
        over.wait(1)
        yield b"2"
    return b" ".join(channel.stream_stream("/test/Each")(messages(), timeout=PATIENCE)).decode()


def spread():
    """Whose turn it was, over one connection."""
    return "".join(dict(unary("/test/Echo", b"")[1].initial_metadata())["its-name"] for _ in range(8))


def asks(path, message=b"", metadata=()):
    return lambda: failure(path, message, metadata=metadata)


CALLS = {
    "one message": one_message,
    "no message": no_message,
    "large message": large_message,
    "many come": many_come,
    "many large come": many_large_come,
    "many go": many_go,
    "both ways": both_ways,
    "both ways at once": both_ways_at_once,
    "every status": every_status,
    "words beyond ascii": words_beyond_ascii,
    "unknown method": asks("/test/Nothing"),
    "gives up": gives_up,
    "waits no longer": waits_no_longer,
    "time left": time_left,
    "no time limit": no_time_limit,
    "compressed": compressed,
    "silent server": silent_server,
    "silent client": silent_client,
    "spread": spread,
    "no route": asks("/nowhere/Echo"),
    "denied": asks("/denied/Echo"),
    "no password": asks("/locked/Echo"),
    "wrong password": asks("/locked/Echo", b"", (("authorization", "Basic YWRhOndyb25n"),)),
    "too large": asks("/small/Echo", bytes(2000)),
    "limited": asks("/limited/Echo"),
    "nobody there": asks("/gone/Echo"),
    "nobody at all": asks("/none/Echo"),
    "refused by one": asks("/test/Busy", b"a"),
    "refused by all": asks("/test/Busy", b"a b"),
    "goes on": lambda: failure("/test/Wait", b"begin", 20),
}

for name in NAMES:
    print(f"{name}: {CALLS[name]()}", flush=True)
channel.close()
