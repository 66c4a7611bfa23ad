"""An echo server on the websockets library that never pings: a legacy service."""

import asyncio
import json
import sys

import websockets

from peer import commands, compression, emit, emit_closed, extensions

sessions = {}


async def handler(ws):
    name = ws.path.rsplit("/", 1)[-1]
    sessions[name] = ws
    emit("open", id=name, protocol=ws.subprotocol or "", extensions=extensions(ws))
    try:
        while True:
            await ws.send(await ws.recv())
    except websockets.ConnectionClosed as closed:
        emit_closed(name, closed)


async def main():
    options = json.loads(sys.argv[1])
    server = await websockets.serve(
        handler,
        "127.0.0.1",
        0,
        ping_interval=None,
        compression=compression(options),
        subprotocols=options.get("protocols"),
        max_size=None,
    )
    emit("listening", port=server.sockets[0].getsockname()[1])
    closing = set()
    async for command in commands():
        # The library's close waits for the answer; commands must not.
        task = asyncio.create_task(
            sessions[command["id"]].close(command["code"], command.get("reason", ""))
        )
        closing.add(task)
        task.add_done_callback(closing.discard)


asyncio.run(main())
