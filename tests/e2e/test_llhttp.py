#!/usr/bin/env python3
"""test_llhttp.py BUILD_DIR [NAME...] - our framing of requests beside that of the llhttp in Node.

framing.c and llhttp.js are given the same bytes and say where the first message ends. Where they disagree, that
must be a class of docs/design/http-disagreements.md, which is read here; and each class must still occur."""
import glob
import os
import random
import re
import shutil
import subprocess

from e2e import BUILD, LIMIT, Skip, main

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = [os.path.join(BUILD, "tests", "framing")]
THEIRS = ["node", os.path.join(HERE, "llhttp.js")]
NEXT = b"GET /next HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
CODED = b"POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
MUTATIONS = 10000
BYTES = b"\0\t\n\r \"#%(),:;=?@[]_+-09AaXx\x7f\x80\xff"
WORDS = (b"\r\n", b"\r\n\r\n", b"\n\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: i\r\n",
         b"Connection: upgrade\r\nUpgrade: x\r\n", b"chunked", b"0\r\n", b", ", b"HTTP/1.0", b"CONNECT ")
KNOWN = rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|TRACE|PATCH) "


def is_other_method(data, why):
    return why.startswith(("HPE_INVALID_METHOD", "HPE_INVALID_VERSION Expected HTTP/2")) \
        and not re.match(KNOWN, data.lstrip(b"\r\n"))


def is_about_a_trailer(data, why):
    names = rb"transfer-encoding|content-length" if "_TRANSFER_ENCODING" in why else rb"content-length"
    return re.search("_(CONTENT_LENGTH|TRANSFER_ENCODING)", why) is not None and \
        re.search(rb"(?is)\r\ntransfer-encoding:.*\r\n\r\n.*\r\n(%s):" % names, data) is not None


def is_tab_behind_a_value(data, why):
    return re.match("HPE_INVALID_(CONTENT_LENGTH|TRANSFER_ENCODING)", why) is not None \
        and re.search(rb"(?i)\r\n(content-length|transfer-encoding):[^\r]*\t *\r\n", data) is not None


# The rows of the list's first table that are about llhttp, by number.
WE_TAKE = {1: is_other_method, 3: is_about_a_trailer, 4: is_tab_behind_a_value}


def documented():
    """Numbers of what only we take; reasons of what only we refuse, by major version of llhttp."""
    with open(os.path.join(HERE, "..", "..", "docs", "design", "http-disagreements.md"), encoding="utf-8") as f:
        rows = [[c.strip() for c in line.strip().strip("|").split("|")] for line in f if line.startswith("|")]
    take = {int(r[0]) for r in rows if r[0].isdigit() and r[3] == "yes"}
    refuse = {r[0]: dict(zip((6, 9), r[2:4])) for r in rows if len(r) == 5 and r[2] in ("takes", "refuses")}
    return take, refuse


def expected(refuse, version):
    """Reasons that must occur, and that may. Between 6 and 9 it became stricter, step by step."""
    must = {reason for reason, says in refuse.items() if says.get(version, says[9]) == "takes"}
    return must, set(refuse) if version < 9 else must


def fixed_inputs():
    """The rows of the strict tests, and the fuzzers' corpora; each with a request behind it."""
    out = subprocess.run(OURS + ["rows"], capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    inputs = [bytes.fromhex(line) for line in out.split()]
    for name, head in (("http_parse", b""), ("http_peer", b""), ("http_chunked", CODED)):
        for path in sorted(glob.glob(os.path.join(HERE, "..", "fuzz", "corpus", name, "*"))):
            with open(path, "rb") as f:
                inputs.append(head + f.read() + NEXT)
    return inputs


def mutate(rng, inputs):
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, how = rng.randrange(len(data) + 1), rng.randrange(5)
        if how == 0:
            data[at:at + 1] = bytes([rng.choice(BYTES)])
        elif how == 1:
            data[at:at] = bytes([rng.choice(BYTES)])
        elif how == 2:
            del data[at:at + rng.choice((1, 1, 2, 8))]
        elif how == 3:
            data[at:at] = rng.choice(WORDS)
        else:
            other = rng.choice(inputs)
            data[at:] = other[rng.randrange(len(other)):]
    return bytes(data)


def judge(argv, inputs):
    text = "".join(data.hex() + "\n" for data in inputs)
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=LIMIT,
                          check=True).stdout.splitlines()


def classify(data, ours, theirs):
    """None where they agree; what is to be found in the list; or "unexplained"."""
    if "ended" not in (ours.split()[0], theirs.split()[0]) or ours == theirs:
        return None     # neither took it, or not all of it is there
    if ours.startswith("refused "):
        return ours[8:]
    if theirs.startswith("refused "):
        if ours == "more":
            return None     # it may yet be refused
        return next((n for n, fits in WE_TAKE.items() if fits(data, theirs[8:])), "unexplained")
    return "unexplained"    # both took it, and it ends elsewhere or is another; or one waits for more


def disagreements(inputs):
    """By class: the inputs, shortest first, and both verdicts; and llhttp's major version."""
    if shutil.which("node") is None:
        raise Skip("no node")
    ours, theirs = judge(OURS, inputs), judge(THEIRS, inputs)
    version = int(re.match(r"llhttp (\d+)\.", theirs.pop(0))[1])
    assert len(ours) == len(theirs) == len(inputs)
    found = {}
    for row in sorted(zip(inputs, ours, theirs), key=lambda row: len(row[0])):
        found.setdefault(classify(*row), []).append(row)
    found.pop(None, None)
    return found, version


def check_all_are_listed(found, version):
    take, refuse = documented()
    assert take == set(WE_TAKE), take
    must, may = expected(refuse, version)
    unlisted = {k: rows[:3] for k, rows in found.items() if k not in take | may}
    assert not unlisted, (version, unlisted)
    return take | must


def test_llhttp_and_we_disagree_only_as_listed():
    found, version = disagreements(fixed_inputs())
    must = check_all_are_listed(found, version)
    assert must <= set(found), f"no longer with llhttp {version}: {must - set(found)}"


def test_so_they_do_on_mutations():
    rng, inputs = random.Random(9112), fixed_inputs()
    check_all_are_listed(*disagreements([mutate(rng, inputs) for _ in range(MUTATIONS)]))


main(globals())
