#!/usr/bin/env python3
"""Takes a picture of the beginning of a page, as the README shows it: usage: picture.py FILE.html PICTURE.png HEIGHT"""

import sys

from devtools import Browser, Page

file, picture, height = sys.argv[1:]
with Browser() as browser, Page(browser, 1100) as page:
    page.open(file)
    page.screenshot(picture, int(height))
