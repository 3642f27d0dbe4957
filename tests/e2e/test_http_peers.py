#!/usr/bin/env python3
"""test_http_peers.py BUILD_DIR [NAME...] - the clients that people use fetch from `runnel serve`.

Each client fetches a page with all that it names, parts, a large file, one that stands there compressed, what it
has already (304), and errors; and keeps its connection, which the server counts. Chromium also plays and seeks."""
import contextlib
import gzip
import hashlib
import http.client
import json
import os
import re
import struct
import subprocess
import tempfile
import urllib.error
import urllib.request
import zlib

import mp4
from browser import Browser
from e2e import HERE, LIMIT, Admin, built_by_go, main, need, until

TEXT = b"".join(b"line %d\n" % i for i in range(25))    # fits what brotli() and zstd() make
folder = tempfile.TemporaryDirectory()


def brotli(data):
    """Not compressed, only framed (RFC 7932 9.2): a block of its length, and an empty one that is the last."""
    return ((len(data) - 1) << 4 | 1 << 20).to_bytes(3, "little") + data + b"\3"


def zstd(data):
    """The same (RFC 8878 3.1.1): one segment of a length of one byte, one raw block."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + (len(data) << 3 | 1).to_bytes(3, "little") + data


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\1\2\3")) + chunk(b"IEND", b""))


PAGE = {
    "": b"<!doctype html><link rel=icon href=image.png><link rel=stylesheet href=style.css><script src=script.js>"
        b"</script><p id=box>box</p><img src=image.png><a href=more/>more</a>",
    "style.css": b"#box { width: 321px }", "script.js": b"window.ran = 42", "image.png": png(),
    "more/": b"<!doctype html><a href=../>back</a><a href=../../text.txt>text</a><a href=none>gone</a>"}


class Peers(Admin):
    """The server with the page, and with text.txt as it is and in three codings; it writes a log."""

    def __init__(self):
        self.log = tempfile.NamedTemporaryFile()
        super().__init__("--access-log", self.log.name, "--log-format", "json", "--precompressed", "--no-sandbox")
        self.at = f"http://127.0.0.1:{self.port}"
        self.asked = 0
        until(lambda: self.accepted() == 1, "whether it listens was asked once")
        for name, data in PAGE.items():
            self.put("page/" + (name + "index.html" if name.endswith("/") or not name else name), data)
        self.put("text.txt", TEXT)
        for coding, data in (("br", brotli(TEXT)), ("gz", gzip.compress(TEXT)), ("zst", zstd(TEXT))):
            self.put("text.txt." + coding, data)

    def put(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def accepted(self):
        """Connections so far, without those by which this is asked."""
        self.asked += 1
        return self.stats()["total"]["accepted"] - self.asked

    @contextlib.contextmanager
    def connections(self, n, most=None):
        """How many are made meanwhile: n, or up to most."""
        before = self.accepted()
        yield
        made = self.accepted() - before
        assert n <= made <= (most or n), f"{made} connections"

    def rows(self):
        """Ends it; what was asked and answered, oldest first."""
        assert self.end() == 0
        with open(self.log.name, encoding="ascii") as f:
            return [(r["method"], r["target"], r["status"]) for r in map(json.loads, f)]


def run(*argv, status=0, **more):
    r = subprocess.run(argv, capture_output=True, timeout=LIMIT, check=False, **more)
    assert r.returncode == status, (argv, r.returncode, r.stdout[-500:], r.stderr[-1500:])
    return r.stdout


def content(path):
    with open(path, "rb") as f:
        return f.read()


# ---- curl ----

def curl(s, *options, paths=("/text.txt",)):
    """For each path (status, bytes received, bytes sent, connections made), and all bodies in one."""
    r = subprocess.run(["curl", "-sS", "--max-time", str(LIMIT / 2), "--path-as-is", *options, "-w",
                        "%{stderr}= %{http_code} %{size_download} %{size_upload} %{num_connects}\n",
                        *[s.at + p for p in paths]], capture_output=True, timeout=LIMIT, check=False)
    assert r.returncode == 0, (options, r.returncode, r.stderr)
    lines = re.findall(rb"= (\d+) (\d+) (\d+) (\d+)\n", r.stderr)
    return [tuple(map(int, line)) for line in lines], r.stdout


def test_curl_keeps_a_connection_for_all():
    need("curl")
    with Peers() as s:
        with s.connections(1):
            told, out = curl(s, paths=["/page/" + n for n in PAGE] + ["/none", "/big.bin"])
            assert [t[0] for t in told] == [200] * len(PAGE) + [404, 200], told
            assert out.startswith(b"".join(PAGE.values())) and out.endswith(s.big)
        with s.connections(1):      # the body of a refused method is passed over
            told, _ = curl(s, "-d", "x" * 1000, paths=["/text.txt", "/text.txt"])
            assert [t[0::2] for t in told] == [(405, 1000)] * 2, told
        with s.connections(1, 5):
            told, out = curl(s, "--parallel", "--parallel-max", "5", paths=["/text.txt?[1-60]"])
            assert len(told) == 60 and all(t[0] == 200 for t in told), told
            assert len(out) == 60 * len(TEXT)


def test_curl_by_its_options():
    need("curl")
    with Peers() as s:
        small, large = s.put("small", b"x"), s.put("large", b"y" * 4_000_000)
        rows = (
            (("-I",), 200, 0), (("-0",), 200, len(TEXT)), (("--http2",), 200, len(TEXT)),     # no h2c: stays 1.1
            (("--tr-encoding",), 200, len(TEXT)), (("-r", "5-9"), 206, 5), (("-r", "-5"), 206, 5),
            (("-r", "9999-"), 416, None), (("-r", "0-0,5-9"), 206, None), (("-X", "BREW"), 501, None),
            (("-T", small), 405, None), (("-X", "DELETE"), 405, None), (("-H", "Host:"), 400, None),
            (("-H", "Host: a b"), 400, None), (("-H", "X: " + "y" * 20_000), 431, None),
            (("-H", "Transfer-Encoding: gzip", "-d", "x"), 501, None),
            (("--haproxy-protocol",), 400, None), (("-G", "-d", "a=b"), 200, len(TEXT)),
            (("--request-target", "/../../etc/passwd"), 400, None), (("--request-target", "*"), 400, None),
            (("--request-target", s.at + "/text.txt"), 200, len(TEXT)), (("--max-filesize", "9999"), 200, len(TEXT)))
        for options, status, size in rows:
            told, out = curl(s, *options)
            assert told[0][0] == status and size in (None, told[0][1]), (options, told, out)
        # Asked whether to send (curl's default for more than 1 MB): no byte of it goes.
        assert curl(s, "-T", large, "-H", "Expect: 100-continue")[0][0][0::2] == (405, 0)
        # Not asked: it sends on, and reads the answer all the same.
        assert curl(s, "-T", large, "-H", "Expect:")[0][0][0] == 405
        assert curl(s, "-T", large, "-H", "Transfer-Encoding: chunked", "-H", "Expect:")[0][0][0] == 405
        version = run("curl", "--version").decode()
        for coding, by in (("br", "brotli"), ("gzip", "libz"), ("zstd", "zstd")):
            if by in version:
                told, out = curl(s, "--compressed", "-H", "Accept-Encoding: " + coding, "-D", "-")
                assert b"\r\nContent-Encoding: " + coding.encode() in out and out.endswith(b"\r\n\r\n" + TEXT), out


# ---- wget ----

def wget(*argv, status=0):
    return run("wget", "-nv", "-T", "20", "-t", "1", *argv, status=status, cwd=folder.name)


def test_wget():
    need("wget")
    with Peers() as s:
        site = os.path.join(folder.name, f"127.0.0.1:{s.port}")
        with s.connections(1, 2):   # robots.txt may have one of its own
            wget("-p", s.at + "/page/")
        for name in ("", "style.css", "script.js", "image.png"):
            assert content(f"{site}/page/{name or 'index.html'}") == PAGE[name], name
        wget("-r", s.at + "/page/", status=8)       # one link is to nothing
        assert content(site + "/page/more/index.html") == PAGE["more/"] and content(site + "/text.txt") == TEXT
        wget("-N", "-x", s.at + "/text.txt")        # has it, of the same time
        part = os.path.join(folder.name, "big.bin")
        with open(part, "wb") as f:
            f.write(s.big[:1_000_000])
        wget("-c", s.at + "/big.bin")
        assert content(part) == s.big
        wget("-c", s.at + "/big.bin")               # there is no more: 416
        wget("--spider", s.at + "/text.txt")
        wget("--spider", s.at + "/none", status=8)
        wget("--method=PUT", "--body-data=x", s.at + "/text.txt", status=8)
        wget("--start-pos=10", "-O", "tail", s.at + "/text.txt")
        assert content(os.path.join(folder.name, "tail")) == TEXT[10:]
        wget("--compression=auto", "-O", "text", s.at + "/text.txt")
        assert content(os.path.join(folder.name, "text")) == TEXT
        rows = s.rows()
        for row in (("GET", "/robots.txt", 404), ("GET", "/page/more/none", 404), ("GET", "/text.txt", 304),
                    ("GET", "/big.bin", 206), ("GET", "/big.bin", 416), ("HEAD", "/text.txt", 200),
                    ("HEAD", "/none", 404), ("PUT", "/text.txt", 405), ("GET", "/text.txt", 206)):
            assert row in rows, (row, rows)


# ---- Python ----

def test_pythons_http_client():
    with Peers() as s:
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=LIMIT / 3)

        def ask(path, status, method="GET", body=None, **fields):
            c.request(method, path, body, {k.replace("_", "-"): v for k, v in fields.items()},
                      encode_chunked="Transfer_Encoding" in fields)
            r = c.getresponse()
            data = r.read()
            assert r.status == status, (path, r.status)
            return r, data

        with s.connections(1):
            for name, data in PAGE.items():
                assert ask("/page/" + name, 200)[1] == data
            r, data = ask("/text.txt", 200, Accept_Encoding="gzip")
            assert r.getheader("Content-Encoding") == "gzip" and gzip.decompress(data) == TEXT
            tag = ask("/text.txt", 200, method="HEAD")[0].getheader("ETag")
            assert ask("/text.txt", 304, If_None_Match=tag)[1] == b""
            assert ask("/text.txt", 206, Range="bytes=5-9")[1] == TEXT[5:10]
            assert ask("/text.txt", 416, Range="bytes=9999-")[0].getheader("Content-Range") == f"bytes */{len(TEXT)}"
            ask("/none", 404)
            assert ask("/text.txt", 405, method="PUT", body=b"small")[0].getheader("Allow")
            ask("/text.txt", 405, method="POST", body=[b"in", b"chunks"], Transfer_Encoding="chunked")
            assert ask("/big.bin", 200)[1] == s.big
        c.close()


def test_pythons_urllib():
    with Peers() as s:
        def ask(path, method="GET", **fields):
            q = urllib.request.Request(s.at + path, headers=fields, method=method)
            with urllib.request.urlopen(q, timeout=LIMIT / 3) as r:
                return r.status, r.read()

        def refused(*a, **k):
            try:
                return ask(*a, **k)
            except urllib.error.HTTPError as e:
                with e:
                    return e.code

        with s.connections(4):      # one each
            assert ask("/text.txt") == (200, TEXT) and ask("/text.txt", Range="bytes=-5") == (206, TEXT[-5:])
            assert ask("/big.bin")[1] == s.big and ask("/big.bin", method="HEAD") == (200, b"")
        assert [refused("/none"), refused("/", method="PUT"), refused("/text.txt", Range="bytes=9999-")] == [
            404, 405, 416]
        assert refused("/", **{"If-None-Match": "*"}) == 304


# ---- Go and Node ----

def arguments(s):
    return "client", s.at, TEXT.decode(), hashlib.sha256(s.big).hexdigest()


def test_go():
    peer = built_by_go("http_peers/peer.go")
    with Peers() as s, s.connections(1):
        assert run(peer, *arguments(s)) == b"good\n"


def test_node():
    need("node")
    with Peers() as s:
        for _ in range(4):
            before = s.accepted()
            assert run("node", os.path.join(HERE, "http_peers", "peer.mjs"), *arguments(s)) == b"good\n"
            made = s.accepted() - before
            if made in (2, 3):      # undici's and that of http; more where a busy machine lets one rest for 4 s
                return
    raise AssertionError(f"{made} connections")


# ---- Chromium ----

FETCH = """(async () => {
    const ask = async (path, options) => {
        const r = await fetch(path, {cache: 'no-store', ...options});
        return [r.status, (await r.arrayBuffer()).byteLength, r.headers.get('content-length')];
    };
    const range = (value) => ({headers: {Range: 'bytes=' + value}});
    const coded = await fetch('/text.txt');
    return [[await ask('/big.bin', {method: 'HEAD'}), await ask('/none'),
             await ask('/text.txt', {method: 'PUT', body: 'x'}), await ask('/text.txt', range('5-9')),
             await ask('/text.txt', range('9999-')), await ask('/big.bin')],
            await coded.text(), coded.headers.get('content-encoding')];
})()"""
# Where it stands after a seek, how long it is, and how grey what it shows.
SEEK = """(async () => {
    const media = document.createElement('%s');
    const until = (name) => new Promise((good, bad) => {
        media.addEventListener(name, good, {once: true});
        media.onerror = () => bad(new Error(media.error.message));
    });
    let ready = until('loadeddata');
    media.preload = 'metadata';
    media.src = '%s';
    await ready;
    ready = until('seeked');
    media.currentTime = media.duration - 2;
    await ready;
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    if (media.videoWidth) canvas.drawImage(media, 0, 0);
    return [media.currentTime, media.duration, media.videoWidth, canvas.getImageData(0, 0, 1, 1).data[0]];
})()"""


def wav(path, seconds):
    """Silence, which takes no place on the disk."""
    size = seconds * 88200
    with open(path, "wb") as f:
        f.write(struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, 44100, 88200, 2, 16,
                            b"data", size))
        f.truncate(44 + size)


def statuses(b):
    """By path: what the server answered, not the cache."""
    urls = {p["requestId"]: p["request"]["url"] for p in b.told("Network.requestWillBeSent")}
    return {re.sub("^https?://[^/]*", "", urls[p["requestId"]]): p["statusCode"]
            for p in b.told("Network.responseReceivedExtraInfo") if p["requestId"] in urls}


def parts(b):
    """First byte of each 206 that the browser was sent, and the length of the whole."""
    heads = [{k.lower(): v for k, v in p["response"]["headers"].items()} for p in b.told("Network.responseReceived")
             if p["response"]["status"] == 206]
    return [tuple(map(int, re.fullmatch(r"bytes (\d+)-\d+/(\d+)", h["content-range"]).groups())) for h in heads]


def check_page(b, s):
    b.load("Page.navigate", url=s.at + "/page/")
    b.wait(lambda: {"/page/" + name: 200 for name in PAGE if name != "more/"}.items() <= statuses(b).items())
    assert b.evaluate("[ran, getComputedStyle(box).width, document.images[0].naturalWidth]") == [42, "321px", 3]
    assert not b.told("Log.entryAdded") + b.told("Runtime.exceptionThrown"), b.events
    b.load("Page.reload")
    b.wait(lambda: statuses(b).get("/page/") == 304)


def check_seek(b, kind, path, size, colour):
    b.events.clear()
    time, duration, width, seen = b.evaluate(SEEK % (kind, path))
    assert abs(duration - 2 - time) < 0.2 and bool(width) == (kind == "video"), (time, duration, width)
    assert abs(seen - colour(time)) < 8, (seen, colour(time))
    b.wait(lambda: any(first > size // 2 and whole == size for first, whole in parts(b)))


def test_chromium():
    need("chromium")
    need("bash")
    with Peers() as s:
        wav(os.path.join(s.folder, "silence.wav"), 300)
        movie = mp4.movie(60)
        s.put("grey.mp4", movie)
        with Browser() as b:
            check_page(b, s)
            with s.connections(0, 2):       # one after the other
                asked, text, coding = b.evaluate(FETCH)
            assert [a[0] for a in asked] == [200, 404, 405, 206, 416, 200], asked
            big = str(len(s.big))
            assert asked[0][1:] == [0, big] and asked[3][1:] == [5, "5"] and asked[5][1:] == [len(s.big), big], asked
            assert text == TEXT.decode() and coding in ("br", "gzip", "zstd"), (text, coding)
            check_seek(b, "audio", "/silence.wav", 44 + 300 * 88200, lambda _: 0)
            if b.evaluate("""document.createElement('video').canPlayType('video/mp4; codecs="avc1.42c01e"')"""):
                # Y of 16..235 is what the screen shows as 0..255 (BT.601).
                check_seek(b, "video", "/grey.mp4", len(movie), lambda t: (mp4.grey(t) - 16) * 255 / 219)
            b.load("Page.navigate", url=s.at + "/none")
            assert "404" in b.evaluate("document.body.innerText")
        rows = s.rows()
        assert ("GET", "/page/", 304) in rows and rows.count(("GET", "/silence.wav", 206)) > 1, rows


main(globals())
