#!/usr/bin/env python3
"""test_docs.py BUILD_DIR [NAME...] - the tests that documents name exist."""
import glob
import os
import re

from e2e import main

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def tests_of(path):
    """The names of the tests in a file."""
    if path.endswith(".py"):
        return set(re.findall(r"^def test_(\w+)\(", read(path), re.M))
    return set(re.findall(r"^RN_(?:CORO_)?TEST(?:_ON|_TIMEOUT)?\((\w+)", read(path), re.M))


def references(text):
    """(file, test) for each `test_x.c: one, another`."""
    for file, names in re.findall(r"`(test_\w+\.(?:c|py)): ([\w, ]+)`", text):
        for name in names.split(", "):
            yield file, name


def test_tests_that_documents_name_exist():
    known = {}
    for path in glob.glob(os.path.join(ROOT, "tests", "*", "test_*")):
        known[os.path.basename(path)] = tests_of(path)
    named = wrong = 0
    for path in glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True):
        for file, name in references(read(path)):
            named += 1
            if name not in known.get(file, ()):
                print(f"{os.path.relpath(path, ROOT)}: {file} has no {name}")
                wrong += 1
    assert named > 80, named
    assert wrong == 0, wrong


def headings(text):
    """The anchors that a page of GitHub has for them."""
    return [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)]


def test_links_between_documents_lead_somewhere():
    links = 0
    for path in glob.glob(os.path.join(ROOT, "**", "*.md"), recursive=True):
        text = read(path)
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            file, _, anchor = link.partition("#")
            there = os.path.join(os.path.dirname(path), file) if file else path
            assert os.path.exists(there), f"{path}: {link}"
            assert not anchor or anchor in headings(read(there)), f"{path}: {link}"
            links += 1
    assert links > 60, links


def test_the_first_page_leads_to_each_guide_and_example():
    first = read(os.path.join(ROOT, "README.md"))
    for pattern in ("docs/*.md", "docs/design/*.md", "examples/*.c"):
        for path in glob.glob(os.path.join(ROOT, pattern)):
            assert f"]({os.path.relpath(path, ROOT)})" in first, path


def test_the_program_of_the_first_page_is_the_example():
    program = re.search(r"```c\n(.*?)```", read(os.path.join(ROOT, "README.md")), re.S)[1]
    example = read(os.path.join(ROOT, "examples", "echo.c"))
    assert program == example.replace("int argc, char **argv", "void").replace(
        'argc > 1 ? argv[1] : ":7000"', '":7000"')


def test_each_corner_of_go_has_a_test_or_a_reason():
    rows = 0
    for line in read(os.path.join(ROOT, "docs", "go-net-corners.md")).splitlines():
        if not line.startswith("| ") or line.startswith("| Go's test"):
            continue
        rows += 1
        ours = line.split(" | ")[2]
        assert list(references(ours)) or "Differs: " in ours, line
        assert ours.count("`") % 2 == 0, line
    assert rows > 70, rows


main(globals())
