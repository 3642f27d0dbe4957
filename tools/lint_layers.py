#!/usr/bin/env python3
"""lint_layers.py - who may include, print and touch errno; see "Layers" in CONTRIBUTING.md.

Also holds what the three lint scripts share. Prints FILE:LINE: MESSAGE and exits 1 on a finding.
"""
import os
import re
import sys

LAYERS = ["base", "poll", "task", "sync", "net", "dns", "tls", "http", "observe"]
MAY_SEE_EPOLL = ("base", "poll", "task", "dns")
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*(#)[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
PRINTS = re.compile(r"\b(?:v?d?printf|puts|putchar|perror|psignal)\s*\(|\b(?:stdout|stderr)\b")


def files(folders, endings):
    """Paths below the folders, sorted; a folder that is not there yet has none."""
    found = []
    for folder in folders:
        for at, _, names in os.walk(folder):
            found += [os.path.join(at, n) for n in names if n.endswith(endings)]
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def code_of(text):
    """The text with comments and literals blanked out, every line and column where it was."""
    return TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def report(findings):
    """Prints (path, line, message) rows; the exit status."""
    for path, line, message in sorted(findings):
        print(f"{path}:{line}: {message}")
    return 1 if findings else 0


def wrong_include(path, layer, kind, name):
    """Why a file of this layer (None: cmd) may not include name; None when it may."""
    if name == "sys/epoll.h" and layer not in MAY_SEE_EPOLL:
        return "<sys/epoll.h> is for base, poll, task and dns"
    if name == "sys/sdt.h" and path != os.path.join("src", "base", "probe.h"):
        return '<sys/sdt.h> is for base/probe.h: use RN_PROBE'
    if kind == "<" or layer is None:
        return None
    folder, _, rest = name.partition("/")
    if not rest:
        here = os.path.join(os.path.dirname(path), name)
        return None if os.path.exists(here) else f'"{name}": write the folder, "layer/{name}"'
    if folder not in LAYERS:
        return f'"{name}" is in no layer ({" ".join(LAYERS)})'
    if LAYERS.index(folder) > LAYERS.index(layer):
        return f'upward include: {layer}/ must not know "{name}"'
    return None


def lint(path):
    text = read(path)
    code = code_of(text)
    parts = path.split(os.sep)
    layer = parts[1] if parts[0] == "src" else None
    found = []

    if layer is not None and layer not in LAYERS:
        return [(path, 1, f"src/{layer} is in no layer ({' '.join(LAYERS)})")]
    for m in INCLUDE.finditer(text):
        why = wrong_include(path, layer, m.group(2), m.group(3))
        if why and code[m.start(1)] == "#":     # else it stands in a comment
            found.append((path, line_of(text, m.start(1)), why))
    if layer is None:
        return found
    for m in PRINTS.finditer(code):
        found.append((path, line_of(code, m.start()),
                      f"{m.group().rstrip('( ')}: nothing below cmd/ prints; use rn__log"))
    if path != os.path.join("src", "base", "sys.c"):
        for m in re.finditer(r"^(?!\s*#\s*include).*?\b(errno|__errno_location)\b", code, re.M):
            found.append((path, line_of(code, m.start(1)), "errno: only src/base/sys.c touches it"))
    return found


def main():
    found = []
    for path in files(["src", "cmd"], (".c", ".h", ".S")):
        found += lint(path)
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
