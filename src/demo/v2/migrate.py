"""The schema migration of release 2.0: amounts become whole cents.

    migrate.py up DATABASE JOURNAL     migrates; a second start fails: the column exists (duplicate column name)
    migrate.py state DATABASE          exit 0: migrated; 1: nothing of it happened; 2: it stopped half-way
    migrate.py restore BACKUP DATABASE puts a backup back
    migrate.py same BACKUP DATABASE    exit 0: the database is the backup, byte for byte; 1: it is not

As in production it goes in small transactions with a pause between them, so that it can be killed half-way. Each start
adds a line to the journal, which lies outside the database and is never rolled back.
"""

import filecmp
import os
import shutil
import sqlite3
import sys
import time

BATCH = 100


def up(database, journal):
    with open(journal, "a", encoding="utf-8") as log:
        log.write(f"migration began, pid {os.getpid()}\n")
    connection = sqlite3.connect(database, timeout=10)
    with connection:
        connection.execute("ALTER TABLE orders ADD COLUMN cents INTEGER")
    rows = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    for first in range(1, rows + 1, BATCH):
        with connection:
            connection.execute(
                "UPDATE orders SET cents = CAST(round(amount * 100) AS INTEGER) WHERE id >= ? AND id < ?",
                (first, first + BATCH),
            )
        done = min(first + BATCH - 1, rows)
        if done % 1000 == 0 or done == rows:
            print(f"{done} of {rows} orders", flush=True)
        time.sleep(0.05)
    with connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with open(journal, "a", encoding="utf-8") as log:
        log.write("migration ended\n")


def state(database):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)")]
    connection.close()
    print(f"schema {version}, columns {', '.join(columns)}")
    if version == 2:
        return 0
    return 2 if "cents" in columns else 1


def restore(backup, database):
    fresh = database + ".restored"
    shutil.copyfile(backup, fresh)
    os.replace(fresh, database)
    print(f"{database} is {backup} again")


if __name__ == "__main__":
    command, files = sys.argv[1], sys.argv[2:]
    if command == "up":
        sys.exit(up(*files))
    if command == "state":
        try:
            sys.exit(state(*files))
        except sqlite3.Error as error:
            print(f"cannot tell: {error}")
            sys.exit(2)
    if command == "restore":
        sys.exit(restore(*files))
    if command == "same":
        sys.exit(0 if filecmp.cmp(*files, shallow=False) else 1)
    sys.exit(f"unknown command {command}")
