"""WebSockets of Python's, of which what comes is printed. Arguments: the address, and a certificate to trust or nothing."""
import asyncio, os, ssl, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

ADDRESS, TRUST = sys.argv[1:3]
BASE, ONLY = os.environ.get("BASE", ""), os.environ.get("ONLY")
CONTEXT = ssl.create_default_context(cafile=TRUST) if TRUST else None


def begin(path, **more):
    scheme = "wss" if TRUST else "ws"
    return connect(f"{scheme}://{ADDRESS}{BASE}{path}", ssl=CONTEXT, max_size=64 << 20, proxy=None, open_timeout=20, **more)


async def back(message):
    async with begin("/echo") as socket:
        await socket.send(message)
        return await socket.recv()


async def count_up(socket, number):
    for n in range(number):
        await socket.send(str(n))


async def both_ways(path, number, times):
    async with begin(path) as socket:
        sender = asyncio.create_task(count_up(socket, number))
        good = [await socket.recv() == str(n) * times for n in range(number)]
        await sender
        if path == "/talk":
            return f"{all(good)} {await socket.recv()}"
        return all(good)


async def pings():
    async with begin("/echo") as socket:
        return (await (await socket.ping(b"hello"))) > 0


async def is_pinged():
    async with begin("/pings") as socket:
        return await socket.recv()


async def ended(path, *words):
    async with begin(path) as socket:
        try:
            if words:
                await socket.close(*words)
            else:
                await socket.send("go on")
            await socket.recv()
        except ConnectionClosed:
            pass
        return f"{socket.close_code} {socket.close_reason}".strip()


async def fields():
    more = {"origin": "http://page.example", "additional_headers": {"X-Own": "a", "Cookie": "a=1; b=2"}}
    async with begin("/fields/origin/x-own/cookie", **more) as socket:
        return await socket.recv()


async def protocol():
    async with begin("/echo", subprotocols=["a", "b", "c"]) as socket:
        return socket.subprotocol


async def refused():
    try:
        async with begin("/refuse"):
            return "taken"
    except InvalidStatus as error:
        return f"{error.response.status_code} {error.response.body.decode().strip()}"


async def same(message):
    return await back(message) == message


async def nothing():
    return repr(await back(""))

CASES = {
    "text": lambda: back("grüße"),
    "bytes": lambda: same(bytes(range(256))),
    "nothing": nothing,
    "parts": lambda: back(["one ", "two ", "three"]),
    "large": lambda: same(bytes(range(256)) * (3 << 12)),
    "many": lambda: both_ways("/echo", 500, 1),
    "both ways": lambda: both_ways("/talk", 200, 100),
    "pings": pings,
    "is pinged": is_pinged,
    "closes": lambda: ended("/echo/closes", 4001, "because"),
    "is closed": lambda: ended("/close/4002/enough"),
    "is dropped": lambda: ended("/drop"),
    "fields": fields,
    "protocol": protocol,
    "refused": refused,
}


async def main():
    for name, make in CASES.items():
        if ONLY in (None, name):
            print(f"{name}: {await make()}", flush=True)

asyncio.run(main())
