"""What the Python peers share: commands come in and events go out, a JSON object a line."""

import asyncio
import json
import os
import ssl
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


def context(purpose, options):
    """The TLS that options name: files, and a version if there is to be only one."""
    if not options:
        return None
    tls = ssl.create_default_context(purpose, cafile=options.get("ca"))
    if purpose == ssl.Purpose.CLIENT_AUTH and options.get("ca"):
        tls.verify_mode = ssl.CERT_REQUIRED
    if options.get("cert"):
        tls.load_cert_chain(options["cert"], options["key"])
    if version := options.get("version"):
        only = ssl.TLSVersion[version.replace(".", "_")]
        tls.minimum_version = tls.maximum_version = only
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def emit_open(name, ws):
    tls = ws.transport.get_extra_info("ssl_object")
    peer = (tls and tls.getpeercert()) or {}
    emit(
        "open",
        id=name,
        protocol=ws.subprotocol or "",
        extensions=", ".join(extension.name for extension in ws.extensions),
        headers={key.lower(): value for key, value in ws.request_headers.raw_items()},
        tls=tls.version() if tls else "",
        alpn=(tls and tls.selected_alpn_protocol()) or "",
        serial=peer.get("serialNumber", "").lower(),
    )


def emit_closed(name, closed):
    """Reports the Close that came; 1006 says that none did, 1005 that it was empty."""
    frame = closed.rcvd
    emit(
        "closed",
        id=name,
        code=frame.code if frame else 1006,
        reason=frame.reason if frame else "",
    )
