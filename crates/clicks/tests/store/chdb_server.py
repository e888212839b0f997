"""The HTTP interface of ClickHouse over its own engine, as chdb embeds it: enough for one test program.

    chdb_server.py PORT DIRECTORY

Statements are done one after the other. It ends when nobody holds the other end of its input any more.
"""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

# What belongs to HTTP, and not to the engine.
NOT_SETTINGS = {"database", "query", "wait_end_of_query", "max_query_size"}

lock = threading.Lock()
databases = set()


def run(database, settings, sql):
    with lock:
        if database not in databases:
            engine.query(f"CREATE DATABASE IF NOT EXISTS {database}")
            databases.add(database)
        engine.query(f"USE {database}")
        settings.setdefault("insert_deduplication_token", "")
        for name, value in settings.items():
            engine.query(f"SET {name} = '{value}'")
        return engine.query(sql).bytes()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        given = dict(parse_qsl(urlsplit(self.path).query))
        sql = self.rfile.read(int(self.headers["content-length"])).decode()
        settings = {name: value for name, value in given.items() if name not in NOT_SETTINGS}
        try:
            status, body = 200, run(given["database"], settings, sql)
        except Exception as error:
            status, body = 500, str(error).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        # Clients that end before they are answered are part of the tests.
        pass


def wait_for_the_end():
    sys.stdin.buffer.read()
    os._exit(0)


engine = session.Session(sys.argv[2])
threading.Thread(target=wait_for_the_end, daemon=True).start()
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
