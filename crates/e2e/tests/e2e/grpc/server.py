"""A server of gRPC whose messages are bytes. Arguments: its name, and a certificate and a key or nothing."""
import hashlib, sys, threading
from concurrent import futures
import grpc

NAME, FILES = sys.argv[1], sys.argv[2:]
OPTIONS = [("grpc.max_receive_message_length", 32 << 20), ("grpc.so_reuseport", 0)]
END = (("its-end", "z"), ("its-end-bin", bytes(range(256))))


def say(*words):
    print(*words, flush=True)


def greet(context):
    """Sends back what the client has said about itself."""
    said = [("seen-" + key, value) for key, value in context.invocation_metadata() if key.startswith("my-")]
    context.send_initial_metadata((("its-name", NAME), *said))
    context.set_trailing_metadata(END)


def echo(message, context):
    greet(context)
    return message


def count(message, context):
    greet(context)
    number, size = map(int, message.split())
    for n in range(number):
        yield bytes([n % 251]) * size


def join(messages, context):
    greet(context)
    all_of, number = hashlib.sha256(), 0
    for message in messages:
        all_of.update(message)
        number += 1
    return f"{number} {all_of.hexdigest()}".encode()


def each(messages, context):
    greet(context)
    for message in messages:
        yield message


def fail(message, context):
    """With this code, and before a message or behind one."""
    code, begins, words = message.split(b" ", 2)
    if begins == b"late":
        yield b"first"
    context.set_trailing_metadata(END)
    context.abort(next(one for one in grpc.StatusCode if one.value[0] == int(code)), words.decode())


def wait(message, context):
    """Until the client has had enough."""
    over = threading.Event()

    def end():
        say(NAME, "is left alone")
        over.set()
    say(NAME, "waits")
    if not context.add_callback(end):
        end()
    if message == b"begin":
        yield b"begun"
    over.wait(20)


def left(message, context):
    greet(context)
    return str(context.time_remaining()).encode()


def pause(message, context):
    """Says nothing for so many seconds, between two messages."""
    yield b"1"
    threading.Event().wait(float(message))
    yield b"2"


def busy(message, context):
    """Takes nothing, or for the others everything."""
    say(NAME, "was asked")
    if NAME.encode() in message.split():
        context.abort(grpc.StatusCode.UNAVAILABLE, f"not {NAME}")
    return NAME.encode()


def check(message, context):
    """The health of a service, which is field 1 of the question; the answer is a number in field 1."""
    health = {b"": 1, b"shop": 1, b"sick": 2}.get(message[2:])
    if health is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return bytes([8, health])


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Join": grpc.stream_unary_rpc_method_handler(join),
    "Each": grpc.stream_stream_rpc_method_handler(each),
    "Fail": grpc.unary_stream_rpc_method_handler(fail),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "Left": grpc.unary_unary_rpc_method_handler(left),
    "Pause": grpc.unary_stream_rpc_method_handler(pause),
    "Busy": grpc.unary_unary_rpc_method_handler(busy),
}

server = grpc.server(futures.ThreadPoolExecutor(16), options=OPTIONS)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", METHODS),))
HEALTH = {"Check": grpc.unary_unary_rpc_method_handler(check)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", HEALTH),))
if FILES:
    cert, key = (open(name, "rb").read() for name in FILES)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
say(f"listens on 127.0.0.1:{port}")
for line in sys.stdin:
    if line.strip() == "stop":
        break
server.stop(None)
