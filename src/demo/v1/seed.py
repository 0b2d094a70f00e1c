"""Fills an empty database of release 1.0 with orders. Says nothing when there is one already."""

import os
import sqlite3
import sys

ORDERS = 4000

path = sys.argv[1]
if os.path.exists(path):
    sys.exit(0)
fresh = path + ".new"
if os.path.exists(fresh):
    os.remove(fresh)
connection = sqlite3.connect(fresh)
with connection:
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, amount REAL NOT NULL)")
    connection.executemany(
        "INSERT INTO orders VALUES (?, ?, ?)",
        ((n, f"customer {n % 97}", (n * 37 % 50000) / 100) for n in range(1, ORDERS + 1)),
    )
    connection.execute("PRAGMA user_version = 1")
connection.close()
os.rename(fresh, path)
print(f"{ORDERS} orders")
