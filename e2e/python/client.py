"""A client on the websockets library, driven by commands."""

import asyncio
import random

import websockets

from peer import commands, compression, emit, emit_closed, extensions


class Client:
    def __init__(self, name):
        self.name = name
        self.ws = None
        self.incoming = asyncio.Queue()

    async def connect(self, command):
        keepalive = command.get("keepalive")
        try:
            self.ws = await websockets.connect(
                command["url"],
                subprotocols=command.get("protocols"),
                compression=compression(command),
                ping_interval=keepalive / 1000 if keepalive else None,
                max_size=None,
            )
        except websockets.InvalidStatusCode as refused:
            emit("refused", id=self.name, status=refused.status_code)
            return
        emit(
            "open",
            id=self.name,
            protocol=self.ws.subprotocol or "",
            extensions=extensions(self.ws),
        )
        await self.read()

    async def read(self):
        try:
            while True:
                self.incoming.put_nowait(await self.ws.recv())
        except websockets.ConnectionClosed as closed:
            emit_closed(self.name, closed)

    async def echo(self, command):
        message = payload(command["type"], command["size"])
        await self.ws.send(fragments(message, command.get("fragments", 1)))
        same = await self.incoming.get() == message
        emit("echoed", id=self.name, same=same)

    async def ping(self, command):
        await (await self.ws.ping(command["payload"]))
        emit("pong", id=self.name, payload=command["payload"])

    async def close(self, command):
        await self.ws.close(command["code"], command.get("reason", ""))


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
