#!/usr/bin/env python3
"""Check an upledger/1 ledger with nothing but Python's standard library (3.6 or later).

    python3 -I verify.py ledger.db    [checkpoint-file ...]
    python3 -I verify.py events.jsonl [checkpoint-file ...]     (export: one body per line)

Exit 0: valid. 1: not valid; the first bad seq is named. 2: could not be checked. Nothing is ever written.
A chain alone is a checksum: only checkpoint files that were kept elsewhere prove anything. Their signatures:
    ssh-keygen -Y verify -f allowed_signers -I WHO -n upledger-checkpoint-v1 -s NAME.sig < NAME
"""
import base64, datetime, hashlib, json, os, pathlib, re, stat, sys, textwrap
try:
    import sqlite3
    UNREADABLE, BROKEN = (OSError, sqlite3.OperationalError), (ValueError, RecursionError, sqlite3.DatabaseError)
except ImportError:                                              # an export can be checked without it
    sqlite3, UNREADABLE, BROKEN = None, OSError, (ValueError, RecursionError)

DDL = """CREATE TABLE event(
  seq  INTEGER PRIMARY KEY CHECK(seq >= 0),
  hash BLOB NOT NULL UNIQUE CHECK(typeof(hash) = 'blob' AND length(hash) = 32),
  prev BLOB NOT NULL UNIQUE CHECK(typeof(prev) = 'blob' AND length(prev) = 32),
  run  TEXT, kind TEXT NOT NULL, ts TEXT NOT NULL,
  body TEXT NOT NULL CHECK(typeof(body) = 'text'));
CREATE TABLE checkpoint(size INTEGER NOT NULL, note TEXT NOT NULL, sig TEXT, UNIQUE(size, sig));
CREATE TABLE blob(sha256 BLOB PRIMARY KEY, salt BLOB, len INTEGER NOT NULL, data BLOB)"""
AUTO = (("event", "event_1"), ("event", "event_2"), ("checkpoint", "checkpoint_1"), ("blob", "blob_1"))
TRIGGERS = """CREATE TRIGGER event_append BEFORE INSERT ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: seq is not the next one')
    WHERE NEW.seq IS NOT (SELECT coalesce(max(seq) + 1, 0) FROM event);
  SELECT RAISE(ABORT, 'upledger: prev is not the hash of the head')
    WHERE NEW.prev IS NOT coalesce((SELECT hash FROM event ORDER BY seq DESC LIMIT 1), zeroblob(32));
  SELECT RAISE(ABORT, 'upledger: hash or prev exists already')
    WHERE EXISTS(SELECT 1 FROM event WHERE hash = NEW.hash OR prev = NEW.prev);
  SELECT RAISE(ABORT, 'upledger: a column differs from the body')
    WHERE json_extract(NEW.body, '$.seq') IS NOT NEW.seq
       OR json_extract(NEW.body, '$.prev') IS NOT lower(hex(NEW.prev))
       OR json_extract(NEW.body, '$.run') IS NOT NEW.run
       OR json_extract(NEW.body, '$.kind') IS NOT NEW.kind
       OR json_extract(NEW.body, '$.ts') IS NOT NEW.ts;
END
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: an event is never changed');
END
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN
  SELECT RAISE(ABORT, 'upledger: an event is never deleted');
END"""
TEXT, NULL, MAX = (str,), type(None), 2 ** 53 - 1
KEYS = {"v": TEXT, "ledger": TEXT, "seq": (int,), "prev": TEXT, "run": (str, NULL), "rseq": (int, NULL), "ts": TEXT,
        "mono": (int,), "boot": TEXT, "kind": TEXT, "actor": TEXT, "host": TEXT, "sess": (int, NULL), "data": (dict,)}
TS = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})[.]([0-9]{6})Z")
NOTE = re.compile("upledger[.]local/([0-9a-fA-F]{32})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")


def need(true, what, *values):
    if not true:
        raise ValueError(what % values)


def sha(data):
    return hashlib.sha256(data).digest()


def json_int(s):
    n = int(s) if len(s) <= 17 else MAX + 1
    need(abs(n) <= MAX, "body: integer beyond 2^53-1: %a", s[:40])
    return n


def json_other(s):                                               # fraction, exponent, NaN, Infinity
    raise ValueError("body: not an integer: %a" % s[:40])


def json_object(pairs):
    found = dict(pairs)
    need(len(found) == len(pairs), "body: duplicate key")
    need(re.fullmatch("[ -~]*", "".join(found)), "body: a key is not printable ASCII")
    return found


decode = json.JSONDecoder(object_pairs_hook=json_object, parse_int=json_int,
                          parse_float=json_other, parse_constant=json_other).decode
encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def tree_head(stack):
    """RFC 6962 root from the roots of the full subtrees, largest first."""
    root = stack[-1] if stack else sha(b"")
    for left in reversed(stack[:-1]):
        root = sha(b"\1" + left + root)
    return root


def check_event(s, n, text, columns):
    """Check event n against the state s and advance it; returns the leaf hash."""
    need(type(text) is str, "body: not text")
    leaf = sha(b"\0" + text.encode("utf-8"))                     # strict: bytes that are not UTF-8 raise ValueError
    b = decode(text)
    need(type(b) is dict and b.keys() == KEYS.keys(), "body: not exactly the keys of the format")
    need(encode(b) == text, "body: not in canonical form")       # also: an escaped lone surrogate is never equal
    for key, types in KEYS.items():
        need(type(b[key]) in types, "%s: wrong type", key)       # exact: true is not an integer
    if n == 0:
        s["ledger"] = b["ledger"]
    need(b["v"] == "upledger/1", "v: not upledger/1")
    need(b["seq"] == n, "seq: the body says %d", b["seq"])
    need(b["prev"] == s["head"].hex(), "prev: not the hash of the event before")
    need(re.fullmatch("[0-9a-fA-F]{32}", b["ledger"]), "ledger: not 32 hex digits")
    need(b["ledger"] == s["ledger"], "ledger: another id than at seq 0")
    need((b["kind"] == "ledger.created") == (n == 0), "kind: ledger.created belongs at seq 0 and only there")
    need((b["run"] is None) == (b["rseq"] is None), "run, rseq: one is null, the other is not")
    if b["run"] is not None:
        dense = s["runs"].get(b["run"], 0)
        need(b["rseq"] == dense, "rseq: %d where %d is due", b["rseq"], dense)
        s["runs"][b["run"]] = dense + 1
    if b["kind"] == "session.opened":
        s["sess"] = n
    need(b["sess"] == s["sess"], "sess: not the session in force (%s)", s["sess"])
    stamp, mono = TS.fullmatch(b["ts"]), b["mono"]
    need(stamp, "ts: wrong form")
    ts = datetime.datetime(*map(int, stamp.groups()))            # ValueError: no such day or hour
    before, was = s["clocks"].get(b["boot"], (0, None))
    need(mono >= before, "mono: %d is less than %d in the same boot", mono, before)
    if was and abs((ts - was) / datetime.timedelta(microseconds=1) - (mono - before)) > 2000000:
        s["jumps"].append(n)
    s["clocks"][b["boot"]] = mono, ts
    due = n, leaf, s["head"], b["run"], b["kind"], b["ts"]
    for name, is_, be in zip(("seq", "hash", "prev", "run", "kind", "ts"), columns or due, due):
        need(type(is_) is type(be) and is_ == be, "column %s: differs from the body", name)
    return leaf


def walk(rows, wanted):
    """Check all events in order; keep the root of every size in `wanted`."""
    s = {"n": 0, "head": bytes(32), "sess": None, "runs": {}, "clocks": {}, "jumps": [], "roots": {0: sha(b"")}}
    stack = []
    try:
        for text, columns in rows:
            s["head"] = check_event(s, s["n"], text, columns)
            stack.append(s["head"])
            n = s["n"]
            while n & 1:                                         # merge full subtrees of equal size
                right = stack.pop()
                stack[-1] = sha(b"\1" + stack[-1] + right)
                n >>= 1
            s["n"] += 1
            if s["n"] in wanted:
                s["roots"][s["n"]] = tree_head(stack)
        need(stack, "missing; there is no event at all")
    except UNREADABLE:
        raise
    except BROKEN as e:
        raise ValueError("seq %d: %s" % (s["n"], e))
    s["root"] = tree_head(stack)
    return s


def export_rows(path):
    with open(path, "rb") as f:                                  # binary: only \n ends a line, U+2028 does not
        for line in f:
            yield (line[:-1] if line.endswith(b"\n") else line).decode("utf-8", "surrogateescape"), None


def event_rows(db):
    for row in db.execute("SELECT body, seq, hash, prev, run, kind, ts FROM event NOT INDEXED ORDER BY seq"):
        yield row[0], row[1:]


def regular(path):                                               # a pipe would be waited for
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("%a is not a regular file" % path)


def opened(path):                                                # also <(...), but no pipe without a writer
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(fd, True)
    return os.fdopen(fd, "rb")


def open_ledger(path, header):
    """Open read-only, in one snapshot, and compare the schema."""
    if not sqlite3:
        raise OSError("this Python has no sqlite3: check an export (events.jsonl) instead")
    need(header[18:20] == b"\1\1", "file: in WAL mode, which the format does not use")
    path = os.path.realpath(path)                                # as SQLite does to find the journal
    for other in path, path + "-journal", path + "-wal":
        regular(other)
    for other in path + "-journal", path + "-wal":
        if os.path.exists(other) and (os.path.getsize(other) or other.endswith("-wal")):
            raise OSError("%a exists beside the ledger: a writer is active, or a crash left it there and it\n"
                          "is part of the ledger until upledger opens it. Open the ledger with upledger, then check again."
                          % os.path.basename(other))
    db = sqlite3.connect(pathlib.Path(path).as_uri() + "?mode=ro", uri=True, isolation_level=None)
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("BEGIN")
    for name, value in ("application_id", 0x55504C47), ("user_version", 1), ("encoding", "UTF-8"), ("auto_vacuum", 0):
        found = db.execute("PRAGMA " + name).fetchone()[0]
        need(found == value, "file: %s is %a, not %a", name, found, value)
    due = {("index", "sqlite_autoindex_" + name, table): None for table, name in AUTO}
    due.update((("table", sql.split("(")[0].split()[2], sql.split("(")[0].split()[2]), sql) for sql in DDL.split(";\n"))
    due.update((("trigger", sql.split()[2], "event"), sql) for sql in re.split("\n(?=CREATE)", TRIGGERS))
    for kind, name, table, sql in db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        need((kind, name, table) in due, "schema: unexpected %a %a on %a", kind, name, table)
        need(sql == due.pop((kind, name, table)), "schema: the text of %a differs", name)
    need(not due, "schema: missing: %s", ", ".join(sorted(name for _, name, _ in due)))
    return db


def check_blobs(db):
    count = [0, 0, 0]
    for digest, salt, size, data in db.execute("SELECT sha256, salt, len, data FROM blob NOT INDEXED"):
        need(type(digest) is bytes and len(digest) == 32, "blob: key is not a digest: %a", digest)
        label = digest.hex()
        need(type(size) is int and size >= 0, "blob %s: len is not a length", label)
        need(salt is None or type(salt) is bytes and len(salt) == 16, "blob %s: salt is not 16 bytes", label)
        if data is not None:
            need(type(data) is bytes and salt is not None, "blob %s: no salt, or content not a blob", label)
            need(len(data) == size, "blob %s: %d bytes where len says %d", label, len(data), size)
            need(sha(salt + data) == digest, "blob %s: content differs from its digest", label)
        count[0 if data is not None else 1 if salt is None else 2] += 1
    return "%d checked, %d purged, %d in blobs/ not checked (zstd)" % tuple(count)


def parse_note(text, where):
    m = NOTE.fullmatch(text) if type(text) is str else None
    need(m, "%s: not a checkpoint of three lines", where)
    return int(m.group(2)), m.group(1), m.group(3), where


def main(path, *files):
    outside, stored, signed, db, blobs = [], [], 0, None, "not in an export"
    for name in files:
        with opened(name) as f:                                  # as it came out of a terminal or a mail
            lines = [line.strip() for line in f.read(1000).decode("utf-8", "replace").splitlines()]
        text = "".join(line + "\n" for line in lines if line)
        if not NOTE.fullmatch(text):
            raise OSError("%a is not a checkpoint of three lines" % name)
        outside.append(parse_note(text, "checkpoint file %a" % name))
    regular(path)
    with open(path, "rb") as f:
        header = f.read(100)
        while f.read(1 << 20):                                   # a disk that cannot be read is no damage
            pass
    if header[:16] == b"SQLite format 3\0":
        db = open_ledger(path, header)
        for size, text, sig in db.execute("SELECT size, note, sig FROM checkpoint NOT INDEXED"):
            stored.append(parse_note(text, "stored checkpoint of size %a" % size))
            need(size == stored[-1][0], "stored checkpoint of size %a: its text has another size", size)
            need(sig is None or type(sig) is str, "stored checkpoint of size %a: sig is not text", size)
            signed += sig is not None
    s = walk(event_rows(db) if db else export_rows(path), {c[0] for c in outside + stored})
    n, best = s["n"], 0
    for size, ledger, root, where in sorted(outside) + sorted(stored):
        last = max(size - 1, 0)
        need(ledger == s["ledger"], "%s: of another ledger, %s", where, ledger)
        need(size <= n, "seq %d: missing; %s covers %d events", n, where, size)
        need(root == base64.b64encode(s["roots"][size]).decode(),
             "seq %d to %d: do not match %s", min(best, last), last, where)
        best = max([best] + [size for c in outside if c[3] == where])      # a stored one anchors nothing
    if db:
        blobs = check_blobs(db)
        found = [row[0] for row in db.execute("PRAGMA integrity_check")]
        need(found == ["ok"], "file: integrity_check: %a", found[:3])
    for line in (("ledger", s["ledger"]), ("events", n), ("runs", len(s["runs"])),
                 ("head", "seq %d" % (n - 1)), ("", s["head"].hex()), ("root", s["root"].hex()),
                 ("", base64.b64encode(s["root"]).decode() + "  as in a checkpoint"),
                 ("checkpoints", "%d outside, %d stored, all match" % (len(outside), len(stored))),
                 ("blobs", blobs),
                 ("clocks", "%d jumps over 2 s, first at seq %d" % (len(s["jumps"]), s["jumps"][0])
                  if s["jumps"] else "no finding"),
                 ("not checked", "signatures (%d stored)" % signed if db else "signatures"),
                 ("level", "matches checkpoint of size %d" % best if best else "L0 chain only"),
                 ("unanchored", "%d events, seq %d to %d" % (n - best, best, n - 1) if n > best else "none")):
        print("%-12s %s" % line)
    verdict(n, best, db, s["ledger"], s["root"])


def verdict(n, best, db, ledger, root):
    """Print what is proven, what is not, and what to do next."""
    print()
    print(column("VERDICT", "SOUND: all %d events are chained correctly; none was changed, removed, moved or inserted." % n))
    if best:
        print(column("", "Seq 0 to %d match a checkpoint that was kept elsewhere." % (best - 1)))
    if n > best:
        print(column("", "NOT proven: that seq %d to %d were not rewritten as a whole; no given checkpoint covers them, "
                     "and whoever can write the file could have done that." % (best, n - 1)))
        print(column("", "Next: keep these three lines as a file elsewhere and give it to this script next time:"))
        for line in ("upledger.local/" + ledger, n, base64.b64encode(root).decode()):
            print("               %s" % line)
    print(column("", "Not checked: signatures."))


def column(title, text):
    return textwrap.fill(text, 80, initial_indent="%-13s" % title, subsequent_indent=" " * 13, break_on_hyphens=False)


def quiet(e):                                                    # nothing from the file may steer a terminal
    return "".join(c if c == "\n" or " " <= c <= "~" else ascii(c)[1:-1] for c in str(e))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except UNREADABLE as e:
        print(column("NOT CHECKED", quiet(e)) + "\n\n"
              + column("VERDICT", "NONE: nothing was proven."), file=sys.stderr)
        sys.exit(2)
    except BROKEN as e:
        sys.exit("\n".join((
            column("FAILED", quiet(e)), "",
            column("VERDICT", "NOT SOUND: the first failed check is named above; from there on nothing is proven."),
            column("", "Next: write nothing to it, keep this copy for the investigation, and compare with the newest good copy."))))
