"""An echo server on http.server, whose 101 is as old services have it."""

import base64
import hashlib
import http.server
import json
import os
import sys
import threading

from peer import emit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = 8


class Handler(http.server.BaseHTTPRequestHandler):
    options = json.loads(sys.argv[1])
    protocol_version = options["version"]

    def do_GET(self):
        key = self.headers["Sec-WebSocket-Key"]
        if not key:  # a page, which shows the target's bytes
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(self.path.encode("iso-8859-1"))
            return
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        for name, value in (self.options["fields"] or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while True:
            opcode, payload = self.read_frame()
            self.wfile.write(bytes([0x80 | opcode, len(payload)]) + payload)
            if opcode == CLOSE:
                return

    def read_frame(self):
        """Reads a masked frame with a payload of at most 125 bytes; a pong is its ping's echo."""
        first, second = self.rfile.read(2)
        mask = self.rfile.read(4)
        payload = bytes(
            byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(second & 0x7F))
        )
        opcode = first & 0x0F
        return (10 if opcode == 9 else opcode), payload

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
emit("listening", port=server.server_port)
sys.stdin.read()
os._exit(0)
