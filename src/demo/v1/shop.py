"""The shop, release 1.0: amounts are decimal numbers. Standard library only."""

import http.server
import json
import os
import sqlite3
import sys

RELEASE = "1.0"
SCHEMA = 1
DATABASE = os.environ["SHOP_DATABASE"]


def query(sql, *values):
    connection = sqlite3.connect(DATABASE, timeout=5)
    try:
        return connection.execute(sql, values).fetchone()
    finally:
        connection.close()


def order(number):
    row = query("SELECT id, customer, amount FROM orders WHERE id = ?", number)
    return row and {"id": row[0], "customer": row[1], "amount": row[2]}


def health():
    count, total = query("SELECT count(*), sum(amount) FROM orders")
    schema = query("PRAGMA user_version")[0]
    state = "ok" if schema == SCHEMA else f"the schema is {schema}, expected {SCHEMA}"
    return {"release": RELEASE, "health": state, "orders": count, "total": round(total, 2)}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path == "/health":
                answer = health()
            elif self.path.startswith("/orders/"):
                answer = order(int(self.path[len("/orders/"):]))
            else:
                answer = None
            status = 200 if answer else 404
        except (sqlite3.Error, ValueError) as error:
            status, answer = 500, {"release": RELEASE, "health": str(error)}
        body = (json.dumps(answer) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    print(f"shop {RELEASE} on port {sys.argv[1]}", flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
