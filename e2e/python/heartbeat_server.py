"""A service on the websockets library whose heartbeat is the text "ping", answered with "pong".

It says back everything else. Mute, it answers no heartbeat. With a limit, it ends a session
from which no message has come for so many milliseconds. It sends no heartbeat of its own.
"""

import asyncio
import json
import sys

import websockets

from peer import commands, emit, emit_closed, emit_open

sessions = {}
hung = set()  # of those whose program reads nothing any more, while the library answers pings


async def handler(ws, mute, limit, beat):
    name = ws.path.rsplit("/", 1)[-1]
    sessions[name] = ws
    emit_open(name, ws)
    try:
        while ws not in hung:
            message = await asyncio.wait_for(ws.recv(), limit / 1000 or None)
            if message == "ping" and not mute:
                await ws.send("pong")
            elif message not in ("ping", "pong"):
                await ws.send(message)
        await ws.wait_closed()
        while True:
            await ws.recv()
    except asyncio.TimeoutError:
        emit("starved", id=name)
        await ws.close(4000, "starved")
    except websockets.ConnectionClosed as closed:
        emit_closed(name, closed)


async def main():
    options = json.loads(sys.argv[1])
    server = await websockets.serve(lambda ws: handler(ws, **options), "127.0.0.1", 0, ping_interval=None)
    emit("listening", port=server.sockets[0].getsockname()[1])
    async for command in commands():
        hung.add(sessions[command["id"]])


asyncio.run(main())
