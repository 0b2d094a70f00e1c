#!/usr/bin/env python3
"""Renders a chart as Mermaid does it in a browser: usage: mermaid.py MERMAID.JS CHART.mmd [PICTURE.png]

Prints the texts of the drawing, one a line; the exit code is 1 if Mermaid refuses the chart.
"""

import json
import pathlib
import sys
import tempfile

from devtools import Browser, Page

DRAW = """mermaid.initialize({startOnLoad: false, securityLevel: 'strict'});
mermaid.render('chart', text).then(done => { document.body.innerHTML = done.svg;
  return Array.from(document.querySelectorAll('text')).map(t => t.textContent).join('\\n') })"""


def main():
    library, chart, *picture = map(pathlib.Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as place, Browser() as browser, Page(browser, 1280) as page:
        blank = pathlib.Path(place, "blank.html")
        blank.write_text("<!doctype html><meta charset=utf-8><title>chart</title><body>")
        page.open(blank)
        page.ask(library.read_text(encoding="utf-8") + ";0")
        page.ask(f"window.text = {json.dumps(chart.read_text(encoding='utf-8'))}; 0")
        try:
            print(page.ask(DRAW))
        except RuntimeError as refused:
            sys.exit(str(refused))
        if picture:
            page.screenshot(picture[0])


main()
