# Changes assignments of a Python module by the places that its own grammar gives. The request comes on standard input, and
# the answer is one marked line. Nothing of the module is executed here.
import ast
import json
import sys

MARKER = sys.argv[1]
request = json.loads(sys.stdin.buffer.read().decode("utf-8"))


class Refused(Exception):
    pass


class Old(Exception):
    """Before 3.8 a node does not say where it ends, and a constant is of another class."""


def kind(node):
    if not isinstance(node, ast.Constant):
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
        return "number" if negative else "expression"
    value = node.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "expression"


def statements(body):
    """Those that run when the module is imported, in order, with the list that each is in."""
    for statement in body:
        yield statement, body
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                for inner in statements(getattr(statement, name, [])):
                    yield inner
        for handler in getattr(statement, "handlers", []):
            for inner in statements(handler.body):
                yield inner


def target_path(node):
    """NAME, or NAME["a"]["b"]."""
    path = []
    while isinstance(node, ast.Subscript):
        index = getattr(node.slice, "value", node.slice) if node.slice.__class__.__name__ == "Index" else node.slice
        if not isinstance(index, ast.Constant):
            return None
        path.insert(0, str(index.value))
        node = node.value
    return [node.id] + path if isinstance(node, ast.Name) else None


def within(node, rest):
    for key in rest:
        if not isinstance(node, ast.Dict):
            return None
        found = [v for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant) and str(k.value) == key]
        if not found:
            return None
        node = found[-1]
    return node


def places(tree, path):
    """The values that are assigned to the key, with the statement and the list that it is in."""
    found = []
    for statement, body in statements(tree.body):
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        else:
            continue
        for target in targets:
            at = target_path(target)
            if at is None and isinstance(target, (ast.Tuple, ast.List)):
                if any(isinstance(e, ast.Name) and e.id == path[0] for e in target.elts) and len(path) == 1:
                    raise Refused("line %d assigns %s together with others" % (statement.lineno, path[0]))
            if at is not None and at == path[: len(at)]:
                value = within(statement.value, path[len(at) :])
                if value is not None:
                    found.append((value, statement, body, len(at) == len(path)))
    return found


def offset(lines, line, column):
    return sum(len(text) for text in lines[: line - 1]) + column


def span(lines, node):
    if not hasattr(node, "end_lineno"):
        raise Old()
    return offset(lines, node.lineno, node.col_offset), offset(lines, node.end_lineno, node.end_col_offset)


def literal(change):
    if change["kind"] == "null":
        return "None"
    if change["kind"] == "bool":
        return "True" if change["text"] == "true" else "False"
    if change["kind"] == "number":
        return change["text"]
    text = repr(change["text"])
    if change.get("quote") == '"' and '"' not in change["text"] and "'" not in change["text"]:
        text = '"' + text[1:-1] + '"'
    return text


def edited(source, change):
    raw = source.encode("utf-8")
    tree = ast.parse(source)
    lines = raw.splitlines(True)
    path = change["path"]
    shown = ".".join(path)
    found = places(tree, path)
    numbers = ", ".join(str(v.lineno) for v, _, _, _ in found)
    if not found:
        if change["remove"]:
            return source
        if not change["create"]:
            raise Refused("the module assigns no %s; say `absent: create` to add it" % shown)
        if len(path) > 1:
            raise Refused("%s is in no dictionary that is written out in the module; only a name can be added" % shown)
        neighbour = change.get("after") or change.get("before")
        if neighbour:
            known = places(tree, [neighbour])
            if not known:
                raise Refused("the module assigns no %s" % neighbour)
            _, statement, body, _ = known[-1] if change.get("after") else known[0]
            line = statement.end_lineno + 1 if change.get("after") else statement.lineno
            at = offset(lines, line, 0)
            indent = b" " * statement.col_offset
            if raw[offset(lines, statement.lineno, 0) :][: statement.col_offset] != indent:
                raise Refused("line %d does not begin with blanks alone" % statement.lineno)
            before = raw[:at] if not raw[:at] or raw[:at].endswith(b"\n") else raw[:at] + b"\n"
            made = ("%s = %s\n" % (path[0], literal(change))).encode("utf-8")
            if b"\r\n" in raw:
                made = made.replace(b"\n", b"\r\n")
            return (before + indent + made + raw[at:]).decode("utf-8")
        end = "\r\n" if source.endswith("\r\n") or "\r\n" in source else "\n"
        gap = "" if not source or source.endswith("\n") else end
        return source + gap + "%s = %s" % (path[0], literal(change)) + ("" if gap else end)
    if len(found) > 1 and change["duplicates"] is None:
        raise Refused("%s is assigned %d times, in lines %s; say `duplicates: all` or `duplicates: last`" % (shown, len(found), numbers))
    if change["duplicates"] != "all":
        found = found[-1:]
    for value, statement, body, whole in reversed(found):
        if change["remove"]:
            if not whole or len(body) == 1 or (isinstance(statement, ast.Assign) and len(statement.targets) > 1):
                raise Refused("line %d: the assignment of %s cannot be removed alone" % (statement.lineno, shown))
            start, end = offset(lines, statement.lineno, 0), offset(lines, statement.end_lineno + 1, 0)
            begin, close = span(lines, statement)
            if raw[start:begin].strip() or raw[close:end].split(b"#")[0].strip():
                raise Refused("line %d holds more than the assignment of %s" % (statement.lineno, shown))
            raw = raw[:start] + raw[end:]
            continue
        now = kind(value)
        if change["typed"] is False and now not in (change["kind"], "null"):
            what = "an expression" if now == "expression" else "a " + now
            raise Refused("line %d: %s is %s now and would become a %s; say it with `type`" % (value.lineno, shown, what, change["kind"]))
        start, end = span(lines, value)
        quote = raw[start : start + 1].decode("utf-8", "replace")
        raw = raw[:start] + literal(dict(change, quote=quote)).encode("utf-8") + raw[end:]
    return raw.decode("utf-8")


def later(source, path):
    """Lines that may change the key again."""
    tree = ast.parse(source)
    last = max([s.lineno for _, s, _, _ in places(tree, path)] or [0])
    lines = []
    for statement, _ in statements(tree.body):
        if statement.lineno <= last:
            continue
        stars = isinstance(statement, ast.ImportFrom) and any(a.name == "*" for a in statement.names)
        again = isinstance(statement, ast.AugAssign) and (target_path(statement.target) or [None])[0] == path[0]
        if stars or again:
            lines.append(statement.lineno)
    return lines


try:
    if sys.version_info < (3, 8):
        raise Old()
    text = request["text"]
    for change in request["changes"]:
        text = edited(text, change)
        compile(text, request["path"], "exec")
        if not change["remove"]:
            values = places(ast.parse(text), change["path"])
            if not values or ast.dump(values[-1][0]) != ast.dump(ast.parse(literal(change), mode="eval").body):
                raise Refused("%s cannot be written there" % ".".join(change["path"]))
    answer = {"text": text, "later": [later(text, c["path"]) for c in request["changes"]]}
except Old:
    answer = {"error": "this Python is older than 3.8, and cannot say where a value ends", "old": True}
except Refused as why:
    answer = {"error": str(why)}
except SyntaxError as why:
    answer = {"error": "the module cannot be compiled: line %s: %s" % (why.lineno, why.msg)}
sys.stdout.buffer.write(("\n" + MARKER + json.dumps(answer) + "\n").encode("utf-8"))
