#!/usr/bin/env python3
"""Checks HTML files as a browser shows them: usage: check.py [--every-window] [--pictures DIR] FILE...

Each file is opened at 1280 pixels in light colours and at 390 in dark ones, or at both widths in both, and printed. It must not say anything to the console, request
anything but itself, run a script, or be wider than the window; axe-core must find no violation; each detail that is folded
is opened for it. Says what is wrong, a line each; the exit code is 1 then. The pictures are for people.
tests/prepare brings what this needs.
"""

import argparse
import os
import pathlib
import re
import sys

from devtools import Browser, Page

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "browser"
WINDOWS = [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
MOST_PAGES = 40
"""Of paper, for a page of a few dozen steps."""

SCRIPTS = """Array.from(document.scripts).filter(s => !s.type.startsWith('application/gzip')).length
  + document.querySelectorAll('img, iframe, object, embed, link, form, [onerror], [onload], [onclick]').length"""
AXE = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(v =>
  v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.any.concat(n.all, n.none).map(c => c.message).join(' ')).join(' | ')))"""
HIDDEN = r"/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.textContent)"


def axe():
    found = list(TOOLS.glob("python/*/axe.min.js"))
    if not found:
        sys.exit(f"axe-core is missing in {TOOLS}; tests/prepare installs it")
    return found[0].read_text(encoding="utf-8")


def wrong(browser, file, width, scheme, pictures):
    """What is wrong with a file in one kind of window."""
    with Page(browser, width, scheme=scheme) as page:
        page.open(file)
        for method, params in page.told():
            url = params.get("request", {}).get("url")
            if method != "Network.requestWillBeSent" or url != page.url:
                yield f"{method}: {url or params}"
        if scripts := page.ask(SCRIPTS):
            yield f"{scripts} elements that run or load something"
        if page.ask(HIDDEN):
            yield "a control character or a mark of direction is in the text"
        if not page.ask("document.title && document.documentElement.lang"):
            yield "no title or no language"
        if pictures:
            page.screenshot(pictures / f"{file.stem}-{width}-{scheme}.png")
        page.ask("document.querySelectorAll('details').forEach(d => { d.open = true })")
        wide = page.ask("document.documentElement.scrollWidth")
        if wide > width:
            yield f"it is {wide} pixels wide"
        page.ask(axe() + ";0")
        yield from page.ask(AXE)
        if pictures:
            page.screenshot(pictures / f"{file.stem}-{width}-{scheme}-open.png")


def printed(browser, file, pictures):
    """What is wrong with a file on paper."""
    with Page(browser, 1280) as page:
        page.open(file)
        paper = page.pdf()
        if pictures:
            (pictures / f"{file.stem}.pdf").write_bytes(paper)
        pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", paper))
        if not 1 <= pages <= MOST_PAGES:
            yield f"{pages} pages of paper"


def main():
    parser = argparse.ArgumentParser(description="Checks HTML files as a browser shows them.")
    parser.add_argument("--every-window", action="store_true")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    bad = 0
    with Browser() as browser:
        for file in args.files:
            for width, scheme in WINDOWS[: None if args.every_window else 2]:
                for what in wrong(browser, file, width, scheme, args.pictures):
                    print(f"{file.name}, {width} pixels, {scheme}: {what}")
                    bad += 1
            for what in printed(browser, file, args.pictures):
                print(f"{file.name}, printed: {what}")
                bad += 1
        print(f"{len(args.files)} files, {bad} findings, {browser.version()}", file=sys.stderr)
    sys.exit(1 if bad else 0)


main()
