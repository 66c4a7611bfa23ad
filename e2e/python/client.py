"""A client on the websockets library, driven by commands."""

import asyncio
import random
import ssl

import websockets

from peer import commands, compression, context, emit, emit_closed, emit_open

# Between the messages of a client that talks: a load, not a flood.
BREATH = 0.01


class Client:
    def __init__(self, name):
        self.name = name
        self.ws = None
        self.incoming = asyncio.Queue()
        self.talks = False

    async def connect(self, command):
        keepalive = command.get("keepalive")
        try:
            self.ws = await websockets.connect(
                command["url"],
                subprotocols=command.get("protocols"),
                compression=compression(command),
                ping_interval=keepalive / 1000 if keepalive else None,
                max_size=None,
                ssl=context(ssl.Purpose.SERVER_AUTH, command.get("tls")),
                extra_headers=claims(command),
                **way(command),
            )
        except websockets.InvalidStatusCode as refused:
            emit("refused", id=self.name, status=refused.status_code)
            return
        except (OSError, websockets.InvalidHandshake) as failed:
            emit("failed", id=self.name, reason=causes(failed))
            return
        emit_open(self.name, self.ws)
        await self.read()

    async def read(self):
        try:
            while True:
                self.incoming.put_nowait(await self.ws.recv())
        except websockets.ConnectionClosed as closed:
            emit_closed(self.name, closed)

    async def echo(self, command):
        emit("echoed", id=self.name, same=await self.comes_back(command))

    async def comes_back(self, command):
        message = payload(command["type"], command["size"])
        await self.ws.send(fragments(message, command.get("fragments", 1)))
        return await self.incoming.get() == message

    async def talk(self, command):
        """Echoes one message after the other, until it is told to hush."""
        self.talks, same = True, True
        while self.talks and same:
            same = await self.comes_back(command)
            await asyncio.sleep(BREATH)
        emit("talked", id=self.name, same=same)

    async def hush(self, command):
        self.talks = False

    async def ping(self, command):
        await (await self.ws.ping(command["payload"]))
        emit("pong", id=self.name, payload=command["payload"])

    async def close(self, command):
        await self.ws.close(command["code"], command.get("reason", ""))


def way(command):
    """How a connection goes: to a socket's path, or from an address of our choice."""
    if socket := command.get("socket"):
        return {"unix": True, "path": socket}
    if address := command.get("from"):
        return {"local_addr": (address, 0)}
    return {}


def claims(command):
    claimed = command.get("claims")
    return {"X-Forwarded-For": claimed} if claimed else None


def causes(error):
    told = []
    while error:
        told.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return ", since ".join(told)


def payload(kind, size):
    data = random.randbytes(size)
    return data if kind == "binary" else data.hex()[: size - 2] + "ž"


def fragments(message, count):
    """The library sends a list as the fragments of one message."""
    if count == 1:
        return message
    length = len(message) // count + 1
    return [message[i : i + length] for i in range(0, len(message), length)]


async def main():
    clients, running = {}, set()
    async for command in commands():
        name = command["id"]
        client = clients.setdefault(name, Client(name))
        task = asyncio.create_task(getattr(client, command["do"])(command))
        running.add(task)
        task.add_done_callback(running.discard)


asyncio.run(main())
