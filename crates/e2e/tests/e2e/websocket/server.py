"""A server of WebSockets that does what the path says. Arguments: a certificate and its key, or nothing."""
import asyncio, ssl, sys
from websockets.asyncio.server import serve

FILES = sys.argv[1:]


async def serve_one(socket):
    path = socket.request.path
    words = path.strip("/").split("/")
    try:
        if words[0] == "fields":
            await socket.send(" ".join(f"{name}={socket.request.headers.get(name)}" for name in words[1:]))
        elif words[0] == "pings":
            await (await socket.ping(b"are you there"))
            await socket.send("pong came")
        elif words[0] == "talk":
            sender = asyncio.create_task(talk(socket))
            count = 0
            async for _ in socket:
                count += 1
                if count == 200:
                    await sender
                    await socket.send("all came")
        elif words[0] == "close":
            await socket.recv()
            await socket.close(int(words[1]), words[2])
        elif words[0] == "drop":
            await socket.recv()
            socket.transport.abort()
        async for message in socket:
            await socket.send(message)
    except Exception:
        pass
    await socket.wait_closed()
    print("closed", path, socket.close_code, socket.close_reason, flush=True)


async def talk(socket):
    for n in range(200):
        await socket.send(str(n) * 100)


def refuse(socket, request):
    if request.path == "/refuse":
        return socket.respond(403, "not you\n")
    return None


def choose(socket, offered):
    return next((name for name in ("b", "c") if name in offered), None)


async def main():
    context = None
    if FILES:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*FILES)
    options = {"process_request": refuse, "select_subprotocol": choose, "max_size": 64 << 20, "ssl": context}
    async with serve(serve_one, "127.0.0.1", 0, **options) as server:
        print(f"listens on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
