"""Requests over one TLS connection while others only begin handshakes: how long they take."""
import socket, ssl, sys, time

host, port = sys.argv[1].rsplit(":", 1)
address, burst, seconds = (host, int(port)), int(sys.argv[2]), float(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

# The first message of a client, which costs the server a signature each time.
into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
session = context.wrap_bio(into, out, server_hostname="localhost")
try:
    session.do_handshake()
except ssl.SSLWantReadError:
    pass
hello = out.read()


def probe():
    stream = context.wrap_socket(socket.create_connection(address))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times, end = [], time.time() + seconds
    while time.time() < end:
        begun = time.perf_counter()
        stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = b""
        while b"\r\n\r\n" not in reply:
            part = stream.recv(4096)
            assert part, "cut off"
            reply += part
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.003)
    times.sort()
    return times


if burst == 0:
    times, count = probe(), 0
else:
    # Another process, so that both have a processor.
    import os
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.nice(10)
        count, end = 0, time.time() + seconds
        while time.time() < end:
            all = [socket.create_connection(address) for _ in range(burst)]
            for one in all:
                one.sendall(hello)
            for one in all:
                assert one.recv(1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                one.close()
            count += burst
        os.write(writer, str(count).encode())
        os._exit(0)
    times = probe()
    count = int(os.read(reader, 100))
half, last = times[len(times) // 2], times[int(len(times) * 0.99)]
print(f"{count / seconds:.0f} handshakes a second: half of {len(times)} requests took {half:.2f} ms, "
      f"99 of 100 at most {last:.2f} ms")
