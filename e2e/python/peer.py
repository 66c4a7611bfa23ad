"""What the Python peers share: commands come in and events go out, a JSON object a line."""

import asyncio
import json
import os
import sys


def emit(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def commands():
    """Yields commands for as long as the test lives: its end closes our stdin."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)
    os._exit(0)


def compression(options):
    return "deflate" if options.get("deflate") else None


def extensions(ws):
    return ", ".join(extension.name for extension in ws.extensions)


def emit_closed(name, closed):
    """Reports the Close that came; 1006 says that none did, 1005 that it was empty."""
    frame = closed.rcvd
    emit(
        "closed",
        id=name,
        code=frame.code if frame else 1006,
        reason=frame.reason if frame else "",
    )
