#!/usr/bin/env python3
"""make_dashboard.py OUT HTML CSS JS - the dashboard as one page, in a C array.

The page refers to nothing outside: style and script stand in it, in place of the two elements that
name the files. It must stay below 100 KB."""
import sys

out, html, css, js = sys.argv[1:]
MOST = 100_000


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


page = read(html)
for element, text in (('<link rel="stylesheet" href="style.css">', f"<style>\n{read(css)}</style>"),
                      ('<script src="app.js"></script>', f"<script>\n{read(js)}</script>")):
    if page.count(element) != 1:
        sys.exit(f"{html}: no {element}")
    page = page.replace(element, text)
data = page.encode()
if len(data) >= MOST:
    sys.exit(f"the dashboard has {len(data)} bytes, at most {MOST}")
with open(out, "w", encoding="ascii") as f:
    f.write('#include "observe/page.h"\n\nconst unsigned char rn__page[] = {\n')
    for i in range(0, len(data), 20):
        f.write("".join(f"{b}," for b in data[i:i + 20]) + "\n")
    f.write(f"}};\nconst size_t rn__page_len = {len(data)};\n")
