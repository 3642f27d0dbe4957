#!/usr/bin/env python3
"""lint_public.py - each public function is described, defined where it says, and called by a test.

Public is what include/runnel/*.h declares with RN_API. See "A public function" in CONTRIBUTING.md.
"""
import re
import sys

from lint_layers import code_of, files, line_of, read, report

DECLARATION = re.compile(r"^[ \t]*RN_API\s+([^;(]*?)\b(\w+)\s*\(", re.MULTILINE)


def comment_above(text, position):
    """The comment that ends on the line above, or ''."""
    before = text[:position].rstrip(" \t")
    if not before.endswith("*/\n"):
        return ""
    return before[before.rindex("/*"):]


def is_void(returned):
    return re.search(r"\bvoid\b", returned) is not None and "*" not in returned


def places_of(name, pattern, codes):
    looks = re.compile(pattern.format(re.escape(name)), re.MULTILINE)
    return [path for path, code in codes.items() if looks.search(code)]


def check(name, returned, comment, defined, called):
    """The complaints about one function."""
    if not comment:
        yield f"{name}: no comment directly above"
    elif not comment.startswith(f"/*\n * {name} - "):
        yield f'{name}: its comment must begin "/*\\n * {name} - what it does"'
    if comment and not is_void(returned) and not re.search(r"\bReturns\b", comment):
        yield f'{name}: its comment does not say what it "Returns"'
    source = re.search(r"\bSource: (\S+)", comment)
    if not defined:
        yield f"{name}: defined nowhere in src/"
    elif source and source.group(1) not in defined:
        yield f"{name}: Source: says {source.group(1)}, but it is in {defined[0]}"
    if not called:
        yield f"{name}: called nowhere in tests/ or examples/"


def main():
    sources = {p: code_of(read(p)) for p in files(["src"], (".c", ".S"))}
    users = {p: code_of(read(p)) for p in files(["tests", "examples"], (".c", ".h", ".cpp", ".cc"))}
    found = []

    for header in files(["include/runnel"], (".h",)):
        text = read(header)
        for m in DECLARATION.finditer(code_of(text)):
            returned, name = m.group(1), m.group(2)
            # At the start of a line, with a body: a definition in this tree's layout.
            defined = places_of(name, r"^\w[\w \t\n*]*\b{}\s*\([^;{{}}]*\)\s*\{{", sources)
            called = places_of(name, r"(?<![\w.>])\b{}\s*[(,)]", users)  # or handed on
            for message in check(name, returned, comment_above(text, m.start()), defined, called):
                found.append((header, line_of(text, m.start(2)), message))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
