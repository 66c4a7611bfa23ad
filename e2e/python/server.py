"""An echo server on the websockets library that never pings: a legacy service."""

import asyncio
import json
import ssl
import sys

import websockets

from peer import commands, compression, context, emit, emit_closed, emit_open

sessions = {}


async def handler(ws):
    name = ws.path.rsplit("/", 1)[-1]
    sessions[name] = ws
    emit_open(name, ws)
    try:
        while True:
            await ws.send(await ws.recv())
    except websockets.ConnectionClosed as closed:
        emit_closed(name, closed)


async def serve(options):
    settings = {
        "ping_interval": None,
        "compression": compression(options),
        "subprotocols": options.get("protocols"),
        "max_size": None,
        "ssl": context(ssl.Purpose.CLIENT_AUTH, options.get("tls")),
    }
    if socket := options.get("socket"):
        await websockets.unix_serve(handler, socket, **settings)
        return 0
    server = await websockets.serve(handler, "127.0.0.1", 0, **settings)
    return server.sockets[0].getsockname()[1]


async def main():
    emit("listening", port=await serve(json.loads(sys.argv[1])))
    closing = set()
    async for command in commands():
        # The library's close waits for the answer; commands must not.
        task = asyncio.create_task(
            sessions[command["id"]].close(command["code"], command.get("reason", ""))
        )
        closing.add(task)
        task.add_done_callback(closing.discard)


asyncio.run(main())
