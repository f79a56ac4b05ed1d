"""ClickHouse's engine behind its HTTP interface, as far as the collector's exporter uses that.

The engine is ClickHouse itself, in this process (chDB); only the HTTP in front of it is ours. In: a port,
a folder, and requests with SQL in the body, or an INSERT in `query` and its rows in the body. Out: answers as
blocks of ClickHouse's protocol, or as JSON lines when a test asks by `default_format`.

The days of most tests are made up and long past, so tables are made without the clause by which old rows go, unless a
test asks for it by `with_ttl`.
"""

import json
import re
import struct
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb import session

ENGINE = session.Session(sys.argv[2])


def number(value):
    """A number as the protocol has it: seven bits a byte."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(value):
    return number(len(value.encode())) + value.encode()


def block(table):
    """One block of the protocol: texts, but for what is declared as a 32-bit number."""
    # Neither totals nor a bucket.
    out = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00"
    out += number(len(table["meta"])) + number(len(table["data"]))
    for at, column in enumerate(table["meta"]):
        is_number = column["type"] == "UInt32"
        # The byte before the values: nothing special about how they are written.
        out += text(column["name"]) + text("UInt32" if is_number else "String") + b"\x00"
        for row in table["data"]:
            out += struct.pack("<I", row[at]) if is_number else text(str(row[at]))
    return out


class Handler(BaseHTTPRequestHandler):
    # A connection a request: there is one thread, as the engine wants it.
    protocol_version = "HTTP/1.0"

    def do_POST(self):
        given = parse_qs(urlsplit(self.path).query)
        body = self.body()
        sql = given.get("query", [""])[0]
        try:
            if sql:
                # The rows are in ClickHouse's own format, which its engine reads.
                native = False
                with tempfile.NamedTemporaryFile(suffix=".native") as rows:
                    rows.write(body)
                    rows.flush()
                    answer = ENGINE.query(f"{sql.rsplit('FORMAT', 1)[0]} FROM INFILE '{rows.name}' FORMAT Native")
            else:
                sql, form = body.decode(), given.get("default_format", [""])[0]
                native = form == "Native"
                if "CREATE TABLE" in sql and "with_ttl" not in given:
                    sql = re.sub(r"\nTTL [^\n]*", "", sql)
                answer = ENGINE.query(sql, "JSONCompact" if native else form)
            answer = answer.bytes() if answer else b""
            self.answer(200, block(json.loads(answer)) if answer and native else answer)
        except Exception as error:
            print(sql, error, file=sys.stderr, flush=True)
            self.answer(500, str(error).encode())

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
