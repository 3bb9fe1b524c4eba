"""A small HTTP server on a Unix socket, for examples/managed-apps.toml: `python3 server.py SOCKET`."""

import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        text = f"Hello from Python {os.environ['FAIRWATER_INDEX']}, process {os.getpid()}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass


Server(sys.argv[1], Handler).serve_forever()
