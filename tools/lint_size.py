#!/usr/bin/env python3
"""lint_size.py - functions of at most 70 lines, files of at most 800, lines of at most 100 columns."""
import re
import sys

from lint_layers import code_of, files, read, report

FUNCTION_LINES = 70
FILE_LINES = 800
COLUMNS = 100
FOLDERS = ["src", "include", "cmd", "tests", "examples", "bench", "bpf"]


def head_of(lines, brace):
    """Where the declaration begins whose body opens in column 1 of line `brace`."""
    first = brace
    while first > 0 and re.match(r"[\w \t(]", lines[first - 1]) and lines[first - 1].strip():
        if lines[first - 1].rstrip().endswith((";", "}")):
            break
        first -= 1
    return first


def functions(lines):
    """(first line, last line, name) of each function laid out as .clang-format does."""
    brace = None
    for i, line in enumerate(lines):
        if line.startswith("{"):
            brace = i
        elif line.startswith("}") and brace is not None:
            first = head_of(lines, brace)
            head = " ".join(lines[first:brace])
            names = re.findall(r"(\w+)\s*\(\s*(\w*)", head) or [("?", "")]
            name, inner = names[0]
            yield first, i, f"{name}({inner})" if name.isupper() else name
            brace = None


def main():
    found = []

    for path in files(FOLDERS, (".c", ".h", ".S")):
        text = read(path)
        lines = text.splitlines()
        if len(lines) > FILE_LINES:
            found.append((path, FILE_LINES + 1, f"{len(lines)} lines, at most {FILE_LINES}"))
        for i, line in enumerate(lines):
            if len(line) > COLUMNS:
                found.append((path, i + 1, f"{len(line)} columns, at most {COLUMNS}"))
        for first, last, name in functions(code_of(text).splitlines()):
            if last - first + 1 > FUNCTION_LINES:
                found.append((path, first + 1,
                              f"{name}: {last - first + 1} lines, at most {FUNCTION_LINES}"))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
