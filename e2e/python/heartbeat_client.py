"""A client on the websockets library whose heartbeat is the text "ping", answered with "pong".

Its arguments are, in milliseconds, how often its heartbeat comes and for how long it waits for
a message. It connects again whenever its session ends.
"""

import asyncio
import sys

import websockets

from peer import commands, emit, emit_closed

beat, limit = (int(argument) / 1000 for argument in sys.argv[1:])
awake = asyncio.Event()


class Client:
    def __init__(self, name):
        self.name = name
        self.ws = None
        self.runs = asyncio.Event()

    async def connect(self, command):
        while True:
            # The library's own pings are off: the program has a heartbeat.
            async with websockets.connect(command["url"] + "/" + self.name, ping_interval=None) as ws:
                self.ws = ws
                self.runs.set()
                emit("connected", id=self.name)
                beats = asyncio.create_task(self.beat())
                try:
                    await self.read()
                except asyncio.TimeoutError:
                    emit("gaveUp", id=self.name)
                except websockets.ConnectionClosed as closed:
                    emit_closed(self.name, closed)
                beats.cancel()

    async def beat(self):
        while True:
            await asyncio.sleep(beat)
            await asyncio.gather(awake.wait(), self.runs.wait())
            await self.ws.send("ping")

    async def read(self):
        while self.runs.is_set():
            try:
                message = await asyncio.wait_for(self.ws.recv(), limit)
            except asyncio.TimeoutError:
                if awake.is_set():
                    raise
                continue
            if message == "ping":
                await self.ws.send("pong")
            elif message != "pong":
                emit("said", id=self.name, payload=message)
        await self.ws.wait_closed()
        while True:
            await self.ws.recv()

    async def say(self, command):
        await self.ws.send(command["payload"])

    async def hang(self, command):
        """Nothing runs any more but the library, which answers pings."""
        self.runs.clear()

    async def sleep(self, command):
        """The program's timers do nothing any more."""
        awake.clear()
        emit("asleep", id="")


async def main():
    awake.set()
    clients, running = {}, set()
    async for command in commands():
        client = clients.setdefault(command["id"], Client(command["id"]))
        task = asyncio.create_task(getattr(client, command["do"])(command))
        running.add(task)
        task.add_done_callback(running.discard)


asyncio.run(main())
