#!/usr/bin/env python3
"""test_serve.py BUILD_DIR [NAME...] - `runnel serve` as one runs it: files, log, rights, slow peers."""
import contextlib
import glob
import gzip
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from e2e import (Admin, GET, HERE, LIMIT, Program, RUNNEL, SANITIZED, Serve, Skip, libc, main, read_all,
                 read_exactly, read_head, read_response, until)

POLLERS = ("epoll", "poll", "select", "io_uring")


def ask(s, path, *fields, method=b"GET"):
    """Head and body of one answer on a connection of its own; the head's names in lower case."""
    lines = b"".join(f.encode() + b"\r\n" for f in fields)
    out = s.talk(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines
                 + b"\r\n")
    head, body = out.split(b"\r\n\r\n", 1)
    first, *rest = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}, body


def put(s, name, data):
    path = os.path.join(s.folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def statuses(s):
    """What the kernel says of each thread, as a dictionary; one of the pool may end meanwhile."""
    for path in glob.glob(f"/proc/{s.process.pid}/task/*/status"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="ascii") as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def test_wrong_options_are_told_and_exit_with_2():
    for option in ("--index=a/b", "--index=", "--cache-control=x", "--cache-control=x=a\nb",
                   "--error-page=404", "--error-page=200=x", "--error-page=404=/etc/passwd",
                   "--fallback=", "--fallback=/etc/passwd", "--max-head=1", "--max-head=9999999",
                   "--header=x", "--header=: x", "--header=a b: c", "--header=X:", "--header=X: a\rb",
                   "--header=Content-Length: 1", "--header=etag: 1", "--header=X: " + "x" * 9000,
                   "--log-format=xml", "--idle=-1", "--head=soon", "--drain=1s", "--seccomp=maybe"):
        p = subprocess.run([RUNNEL, "serve", option, "."], capture_output=True, text=True, timeout=LIMIT / 2,
                           check=False)
        assert p.returncode == 2 and p.stderr, (option, p.returncode, p.stderr)
    for options in (("--user", "nobody-of-this-name"), ("--user", "root:nobody-of-this-name"),
                    ("--user", "54321"), ("--user", "54321x:54322"), ("--user", "54321:"),
                    ("--access-log", "/none/log"), ("--mime", "/none")):
        p = subprocess.run([RUNNEL, "serve", "--listen", "127.0.0.1:0", *options, "."], timeout=LIMIT / 2,
                           capture_output=True, text=True, check=False)
        assert p.returncode == 1 and p.stderr.startswith("runnel: "), (options, p.stderr)
        assert options[0] != "--mime" or p.stderr == "runnel: cannot read /none: No such file or directory\n"


def test_curl_goes_on_where_it_was_and_asks_only_for_what_is_new():
    with Serve() as s, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "big.bin")
        with open(path, "wb") as f:
            f.write(s.big[:1_000_000])
        s.curl("/big.bin", "-C", "-", "-o", path)
        with open(path, "rb") as f:
            assert f.read() == s.big
        assert s.curl("/big.bin", "-r", "10-19") == s.big[10:20]
        assert s.curl("/big.bin", "-r", "-10") == s.big[-10:]
        tags = os.path.join(folder, "tags")
        time.sleep(0.05)  # a file of this very moment has a weak tag, and a new one in a second
        put(s, "style.css", b"p{}")
        until(lambda: not ask(s, "/style.css")[1]["etag"].startswith("W/"), "the tag stays weak")
        assert s.curl("/style.css", "--etag-save", tags) == b"p{}"
        assert b" 304 " in s.curl("/style.css", "--etag-compare", tags, "-i")
        date = ask(s, "/style.css")[1]["last-modified"]
        assert b" 304 " in s.curl("/style.css", "-i", "-z", date)


def test_parts_are_what_pythons_mail_parser_reads():
    import email  # as good a reader of multipart as any
    with Serve() as s:
        status, head, body = ask(s, "/big.bin", "Range: bytes=0-9, 300000-1000000, -5")
        assert status == 206
        text = b"Content-Type: " + head["content-type"].encode("latin-1") + b"\r\n\r\n" + body
        parts = email.message_from_bytes(text).get_payload()
        assert [p["Content-Range"] for p in parts] == [
            f"bytes 0-9/{len(s.big)}", f"bytes 300000-1000000/{len(s.big)}",
            f"bytes {len(s.big) - 5}-{len(s.big) - 1}/{len(s.big)}"]
        boundary = re.search("boundary=(.*)", head["content-type"])[1].encode()
        raw = [p.split(b"\r\n\r\n", 1)[1][:-2] for p in body.split(b"--" + boundary)[1:-1]]
        assert raw == [s.big[:10], s.big[300000:1000001], s.big[-5:]]


def test_a_file_that_is_written_over_is_not_sent_to_its_end():
    with Serve() as s, s.connect(room=64 << 10) as c:
        c.sendall(GET % b"big.bin")
        read_head(c)
        read_exactly(c, 1 << 20)
        with open(os.path.join(s.folder, "big.bin"), "r+b") as f:
            f.write(b"\0" * 100)
        try:
            rest = len(read_all(c))
        except ConnectionResetError:
            rest = 0
        assert rest + (1 << 20) < len(s.big)


def test_options_reach_the_files():
    with Serve("--index", "none.html", "--index", "style.css", "--list", "--precompressed",
               "--cache-control", "*.css=max-age=60", "--cache-control", "/sub/*=no-store",
               "--error-page", "404=data.json", "--error-page", "*=style.css", "--dotfiles",
               "--no-links") as s:
        put(s, "index.html.gz", gzip.compress(s.files["index.html"]))
        assert ask(s, "/")[2] == b"p{}"
        _, head, body = ask(s, "/index.html", "Accept-Encoding: gzip;q=0.5, br;q=0")
        assert gzip.decompress(body) == s.files["index.html"]
        assert head["vary"] == "Accept-Encoding" and head["content-encoding"] == "gzip"
        assert ask(s, "/style.css")[1]["cache-control"] == "max-age=60"
        assert ask(s, "/sub/index.html")[1]["cache-control"] == "no-store"
        assert ask(s, "/none")[0::2] == (404, b"{}")
        assert ask(s, "/", method=b"POST")[0::2] == (405, b"p{}")
        assert ask(s, "/.secret")[2] == b"no"
        assert ask(s, "/inside.css")[0] == 404
        names = json.loads(ask(s, "/noindex/", "Accept: application/json")[2])
        assert [(n["name"], n["type"], n["size"]) for n in names] == [("x.txt", "file", 1)]
        assert b'<a href="./x.txt">x.txt</a>' in ask(s, "/noindex/")[2]
    with Serve("--fallback", "index.html", "--shared-etags") as s:
        assert ask(s, "/users/7")[0::2] == (200, s.files["index.html"])
        for name in ("one", "other"):
            os.utime(put(s, name, b"alike"), (1000, 1000))
        time.sleep(2.1)     # until then they are weak, and each its own
        assert ask(s, "/one")[1]["etag"] == ask(s, "/other")[1]["etag"]


def test_answers_have_the_header_fields_that_are_asked_for():
    policy = "default-src 'self'; " + "img-src https://images.example.org; " * 50  # longer than most
    with Serve("--header", "Access-Control-Allow-Origin: *", "--header", "Server:none", "--header", "Link: </a>",
               "--header", "Link: </b>", "--header", f"Content-Security-Policy: {policy}") as s:
        for path, status, fields in (("/", 200, ()), ("/", 304, ("If-None-Match: *",)), ("/none", 404, ()),
                                     ("/big.bin", 206, ("Range: bytes=0-1",)), ("/sub", 301, ()),
                                     ("/big.bin", 206, ("Range: bytes=0-1, 3-4",))):
            head = s.talk(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (
                path.encode(), b"".join(f.encode() + b"\r\n" for f in fields))).split(b"\r\n\r\n")[0].decode()
            assert head.startswith(f"HTTP/1.1 {status} "), head
            for line in ("Access-Control-Allow-Origin: *", "Server: none", "Link: </a>", "Link: </b>",
                         f"Content-Security-Policy: {policy}".rstrip()):
                assert head.count(f"\r\n{line}") == 1, (line, head)
            assert head.count("\r\nServer: ") == 1 and head.count("\r\nContent-Type: ") <= 1, head


# ---- the log ----

COMBINED = re.compile(r'^(\S+) - - \[([^\]]+)\] "([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"$')


def lines_of(path, n):
    """The log's lines, once there are n: it is written at least once a second. Whole ones: the last may be half
    there."""
    def read():
        with open(path, encoding="ascii") as f:
            return [line for line in f.read().splitlines(keepends=True) if line.endswith("\n")]
    until(lambda: len(read()) >= n, f"fewer than {n} lines in {path}")
    return read()


def test_each_request_is_logged():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        with Serve("--access-log", path) as s:
            ask(s, "/style.css?q=1", "Referer: http://x/", "User-Agent: me")
            s.talk(b"nonsense\r\n\r\n")
            ask(s, "/none", method=b"HEAD")
            rows = [COMBINED.match(line).groups() for line in lines_of(path, 3)]
            assert rows[0][0] == "127.0.0.1" and rows[0][2:] == (
                "GET /style.css?q=1 HTTP/1.1", "200", "3", "http://x/", "me")
            assert abs(time.mktime(time.strptime(rows[0][1], "%d/%b/%Y:%H:%M:%S +0000"))
                       - time.timezone - time.time()) < 60 + LIMIT
            assert rows[1][2:4] == ("-", "400"), rows[1]
            assert rows[2][2:] == ("HEAD /none HTTP/1.1", "404", "0", "-", "-")
            assert s.curl("/big.bin") == s.big
            s.end()
        assert lines_of(path, 4)[3].split()[8:10] == ["200", str(len(s.big))]   # at the end, at once
        with Serve("--access-log", path, "--log-format", "json") as s:
            ask(s, "/style.css", "User-Agent: me")
            row = json.loads(lines_of(path, 5)[4])
            assert row["peer"] == "127.0.0.1" and row["method"] == "GET" and row["target"] == "/style.css"
            assert row["status"] == 200 and row["body_bytes"] == 3 and row["user_agent"] == "me"
            assert row["host"] == "x" and row["version"] == "1.1" and row["us"] >= 0


def test_addresses_are_logged_as_others_log_them():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        with Serve("--access-log", path, "--listen", "[::1]:PORT") as s:
            with socket.create_connection(("::1", s.port), 10) as c:
                c.sendall(GET % b"style.css")
                read_response(c)
            assert COMBINED.match(lines_of(path, 1)[0])[1] == "::1"
        with Serve("--access-log", path, "--log-peer", "x-forwarded-for", "--procs", "1") as s:
            for fields in (("X-Forwarded-For: 10.9.9.9, 192.0.2.7",), ("X-Forwarded-For: 2001:db8::1",),
                                        (), ("X-Forwarded-For: a - - \"",), ("X-Forwarded-For:",)):
                ask(s, "/", *fields)
            assert [line.split(" - - ")[0] for line in lines_of(path, 6)[1:]] == [
                "192.0.2.7", "2001:db8::1", "127.0.0.1", "a", "-"]


def test_what_a_peer_sends_cannot_forge_a_line():
    bad = b'x" 200 1 "-" "-"\\\t\xc3\xa4\xff' + b"y" * 3000
    for how in ("combined", "json"):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log")
            with Serve("--access-log", path, "--log-format", how) as s:
                s.talk(b"GET /a%0ab?'{}\\x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: " + bad
                       + b"\r\nReferer: " + bad + b"\r\n\r\n")
                ask(s, "/")
                lines = lines_of(path, 2)
                assert len(lines) == 2, lines
                if how == "combined":
                    row = COMBINED.match(lines[0]).groups()
                    assert row[2] == "GET /a%0ab?'{}\\x5cx HTTP/1.1"
                    assert row[6].startswith("x\\x22 200 1 \\x22-\\x22 \\x22-\\x22\\x5c\\x09\\xc3\\xa4\\xff")
                else:
                    row = json.loads(lines[0])
                    assert row["target"] == "/a%0ab?'{}\\x"
                    assert row["user_agent"].encode("latin-1").startswith(bad[:20])


def test_a_log_that_was_moved_is_opened_anew():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        with Serve("--access-log", path) as s:
            ask(s, "/style.css")
            lines_of(path, 1)
            os.rename(path, path + ".1")
            ask(s, "/data.json")        # into either
            s.send(signal.SIGUSR1)
            until(lambda: os.path.exists(path), "no new log")
            ask(s, "/empty.txt")
            until(lambda: "/empty.txt" in open(path, encoding="ascii").read(), "not in the new one")
            both = open(path, encoding="ascii").read() + open(path + ".1", encoding="ascii").read()
            assert all(n in both for n in ("/style.css", "/data.json", "/empty.txt"))
            assert s.end() == 0


def test_signals_that_tell_other_servers_something_end_nothing():
    with Serve() as s:
        for signo in (signal.SIGUSR1, signal.SIGHUP):
            s.send(signo)
        until(lambda: "anew" in s.stderr(), "no word of it")
        assert ask(s, "/")[0] == 200 and s.end() == 0
    with Serve("--demo") as s:      # whose terminal was closed
        assert ask(s, "/")[0] == 200 and s.end(signal.SIGHUP) == -signal.SIGHUP


def test_a_hangup_looks_the_directory_up_anew():
    """As deployments exchange a link; where there is a sandbox, it lets what stands beside the old one in."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        current, log = os.path.join(folder, "current"), os.path.join(folder, "log")

        def exchange(to):
            os.symlink(to, current + ".new")
            os.rename(current + ".new", current)

        for n in ("1", "2"):
            os.makedirs(os.path.join(folder, "releases", n))
            with open(os.path.join(folder, "releases", n, "version"), "w", encoding="ascii") as f:
                f.write(n)
        big = b"0123456789" * 3_000_000
        with open(os.path.join(folder, "releases", "1", "big"), "wb") as f:
            f.write(big)
        exchange("releases/1")
        more = () if SANITIZED else ("--seccomp=kill",)
        with Program(RUNNEL, "serve", "--listen", "127.0.0.1:PORT", "--access-log", log, *more, current + "/") as s:
            assert ask(s, "/version")[2] == b"1"
            with s.connect(room=64 << 10) as busy:
                busy.sendall(GET % b"big")
                head = read_head(busy)
                exchange("releases/2")
                os.rename(log, log + ".1")
                s.send(signal.SIGHUP)
                until(lambda: ask(s, "/version")[2] == b"2", "still the old one")
                assert b" 200 " in head and read_exactly(busy, len(big)) == big
            until(lambda: os.path.exists(log), "no new log")
            until(lambda: ask(s, "/big")[0] == 404, "still the old one")
            exchange("nowhere")
            s.send(signal.SIGHUP)
            until(lambda: "cannot serve " in s.stderr(), "no word of it")
            until(lambda: ask(s, "/version")[2] == b"2", "neither")     # each thread remembers for a second
            code = s.end()
            assert code == 0, (code, s.stderr())


def test_a_log_goes_to_standard_output():
    with tempfile.TemporaryFile() as out:
        with Serve("--access-log", "-", stdout=out) as s:
            ask(s, "/style.css")
            s.send(signal.SIGUSR1)
            until(lambda: os.fstat(out.fileno()).st_size > 0, "nothing")
            ask(s, "/data.json")
            assert s.end() == 0 and "cannot" not in s.stderr(), s.stderr()
        out.seek(0)
        lines = out.read().splitlines()
        assert [b"/style.css" in lines[0], b"/data.json" in lines[1]] == [True] * 2, lines


def test_a_log_that_cannot_be_written_is_told_and_serving_goes_on():
    with Serve("--access-log", "/dev/full", "--no-sandbox") as s:
        ask(s, "/")
        until(lambda: "cannot write to /dev/full: No space left" in s.stderr(), "no word of it")
        assert ask(s, "/")[0] == 200 and s.end() == 0


# ---- time ----

def test_a_head_may_be_as_long_as_asked():
    for option, long, status in (((), 20_000, 431), (("--max-head", "40000"), 20_000, 200),
                                 (("--max-head", "1024"), 2000, 431)):
        with Serve(*option) as s:
            assert ask(s, "/", "Cookie: " + "x" * long)[0] == status


def test_limits_of_time_are_as_asked():
    with Serve("--idle", "1", "--head", "1") as s:
        with s.connect() as idle, s.connect() as slow:
            slow.sendall(b"GET / HT")
            assert read_all(idle) == b""
            assert read_all(slow).startswith(b"HTTP/1.1 408 ")


def test_a_drain_ends_in_time():
    with Serve("--drain", "1") as s, s.connect(room=64 << 10) as c:
        c.sendall(GET % b"big.bin")
        read_head(c)
        start = time.monotonic()
        assert s.end(signal.SIGTERM) == 0
        assert 0.9 < time.monotonic() - start


def test_peers_that_trickle_stop_nobody():
    n = 5000
    if SANITIZED:
        raise Skip("its memory is the sanitizer's")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n + 500:
        raise Skip(f"RLIMIT_NOFILE is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 500), hard))
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000
    conns = []
    try:
        with Serve("--head", "4") as s:
            before = s.rss_bytes()
            for _ in range(n):
                conns.append(s.connect())
            sent = 0
            while sent < 3:         # a byte each, and then others, who are answered meanwhile
                for c in conns:
                    c.setblocking(False)
                    try:
                        c.send(head[sent:sent + 1])
                    except OSError:
                        pass        # cut off already
                sent += 1
                with s.connect() as other:
                    for _ in range(20):
                        other.sendall(GET % b"style.css")
                        assert read_response(other)[1] == b"p{}"
            assert (s.rss_bytes() - before) / n < 64 << 10, s.rss_bytes()
            for c in conns[:50]:    # and they are cut off
                c.settimeout(LIMIT)
                try:
                    assert read_all(c).startswith(b"HTTP/1.1 408 ")
                except ConnectionResetError:
                    pass
            assert ask(s, "/")[0] == 200
    finally:
        for c in conns:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- rights ----

def test_it_becomes_another_user_with_all_its_threads():
    if os.getuid() != 0:
        raise Skip("not root")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")      # which nobody could not make
        sock = os.path.join(folder, "socket")
        with Serve("--user", "nobody:nogroup", "--access-log", path, "--procs", "3", "--listen", sock) as s:
            assert ask(s, "/")[0] == 200
            ids = " ".join([str(nobody.pw_uid)] * 4)
            for one in statuses(s):
                assert one["Uid"].split() == ids.split() and one["Gid"].split() == ids.split(), one
                assert one["Groups"].split() == [str(nobody.pw_gid)], one["Groups"]
                assert int(one["CapEff"], 16) == 0 and int(one["CapPrm"], 16) == 0
            lines_of(path, 1)
            secret = put(s, "secret.txt", b"root's")
            os.chmod(secret, 0o600)
            assert ask(s, "/secret.txt")[0] == 403
            assert s.end() == 0
    with Serve("--user", "54321:54322", "--procs", "1") as s:   # as in a container, nobody's name
        assert ask(s, "/")[0] == 200
        for one in statuses(s):
            assert one["Uid"].split() == ["54321"] * 4 and one["Gid"].split() == ["54322"] * 4, one
            assert one["Groups"].split() == ["54322"]


def test_a_socket_that_was_left_behind_is_replaced():
    def refused(path):
        p = subprocess.run([RUNNEL, "serve", "--listen", path, "."], capture_output=True, text=True, timeout=20,
                           check=False)
        return p.returncode == 1 and "Address already in use" in p.stderr

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        with socket.socket(socket.AF_UNIX) as s:    # as if killed: the name stays
            s.bind(path)
            s.listen()
        for _ in range(2):
            with Serve("--listen", path) as s:
                with socket.socket(socket.AF_UNIX) as c:
                    c.connect(path)
                    c.sendall(GET % b"style.css")
                    assert read_response(c)[1] == b"p{}"
                assert refused(path)    # by one that lives
                s.send(signal.SIGKILL)
                s.process.wait(LIMIT / 3)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            os.unlink(path)
            other.bind(path)
            assert refused(path)
        os.unlink(path)
        with open(path, "wb"):
            pass
        assert refused(path) and os.path.exists(path)


def test_what_fails_once_its_sockets_are_open_leaves_none_behind():
    with tempfile.TemporaryDirectory() as folder:
        sock = os.path.join(folder, "socket")
        rows = [("--listen", "127.0.0.1:0", "--listen", "nonsense")]
        if os.getuid() == 0:    # the folder is 0700: its new self cannot read it
            rows.append(("--user", "nobody"))
        for options in rows:
            p = subprocess.run([RUNNEL, "serve", "--listen", sock, *options, folder], timeout=LIMIT / 2,
                               capture_output=True, text=True, check=False)
            assert p.returncode == 1 and "runnel: cannot " in p.stderr, (p.returncode, p.stderr)
            if "--user" not in options:     # who may not write to a folder leaves what is in it
                assert not os.path.exists(sock)


def reopened_elsewhere(*options):
    """Can it make its log anew in a folder that it was not told of?"""
    with tempfile.TemporaryDirectory() as folder:
        here, there = os.path.join(folder, "here"), os.path.join(folder, "there")
        os.mkdir(here)
        os.mkdir(there)
        path = os.path.join(here, "log")
        with Serve("--access-log", path, *options) as s:
            assert ask(s, "/")[0] == 200    # it serves: its sockets were there before the sandbox
            os.rename(here, here + ".old")
            os.symlink(there, here)
            s.send(signal.SIGUSR1)
            until(lambda: os.path.exists(os.path.join(there, "log")) or "anew" in s.stderr(), "neither")
            assert ask(s, "/")[0] == 200
            assert s.end() == 0
            return os.path.exists(os.path.join(there, "log")), s.stderr()


def test_the_sandbox_keeps_it_in_its_folder():
    if libc.syscall(444, None, 0, 1) < 1:  # landlock_create_ruleset: its version
        raise Skip("no landlock in this kernel")
    made, err = reopened_elsewhere()
    assert not made and "Permission denied" in err, err
    made, err = reopened_elsewhere("--no-sandbox")
    assert made, err
    with Serve("--procs", "2", "--list") as s:
        assert ask(s, "/noindex/")[0] == 200
        # TSan has a thread of its own, from before.
        assert SANITIZED or all(one["NoNewPrivs"] == "1" for one in statuses(s))


def test_each_row_of_the_table_passes_the_filter_or_is_known_not_to():
    """A call that is added to the library is added to the filter, or to what serving does without."""
    def read(*path):
        with open(os.path.join(HERE, "..", "..", *path), encoding="ascii") as f:
            return f.read()

    without = {"socket", "socketpair", "bind", "listen", "connect",     # what is open is open
               "recvmmsg", "sendmmsg",                                  # datagrams
               "posix_spawn", "pidfd_open", "pidfd_send_signal", "kill", "waitid"}  # other programs
    names = {"recv": "recvfrom", "send": "sendto", "pread": "pread64", "eventfd_write": "write",
             "fstatat": "newfstatat", "unlink": "unlinkat", "prlimit": "prlimit64"}
    rows = set(re.findall(r"^    X\((\w+),", read("src", "base", "sys.h"), re.M))
    passes = set(re.findall(r"\bSYS_(\w+)", read("cmd", "seccomp.c")))
    assert len(rows) > 60
    assert {r for r in rows if names.get(r, r) not in passes} == without


def test_all_that_serving_needs_passes_the_filter():
    if SANITIZED:
        raise Skip("a sanitizer has needs of its own")
    for poller in POLLERS:
        with tempfile.TemporaryDirectory() as folder:
            path, sock = os.path.join(folder, "log"), os.path.join(folder, "socket")
            with Serve("--seccomp=kill", "--access-log", path, "--list", "--procs", "2", "--listen", sock,
                       "--precompressed", "--drain", "30", RN_POLLER=poller) as s:
                assert ask(s, "/big.bin")[2] == s.big
                assert all(one["Seccomp"] == "2" for one in statuses(s)), poller
                assert ask(s, "/big.bin", "Range: bytes=0-1, 5-6")[0] == 206
                assert ask(s, "/noindex/")[0] == 200 and ask(s, "/none")[0] == 404
                with socket.socket(socket.AF_UNIX) as c:
                    c.connect(sock)
                    c.sendall(GET % b"style.css")
                    assert read_response(c)[1] == b"p{}"
                lines_of(path, 4)
                os.rename(path, path + ".1")
                s.send(signal.SIGUSR1)
                until(lambda: os.path.exists(path), "no new log")
                s.send(signal.SIGQUIT)
                until(lambda: "signals" in s.stderr(), "no dump")
                with s.connect(room=64 << 10) as busy:
                    busy.sendall(GET % b"big.bin")
                    read_head(busy)
                    s.send(signal.SIGTERM)
                    assert read_exactly(busy, len(s.big)) == s.big
                assert s.process.wait(LIMIT / 3) == 0, (poller, s.stderr())


def test_all_that_the_admin_address_needs_passes_the_filter():
    if SANITIZED:
        raise Skip("a sanitizer has needs of its own")
    with Admin("--seccomp=kill") as s:
        for path in ("/", "/metrics", "/debug/stats.json", "/debug/coroutines", "/healthz", "/readyz"):
            assert s.get(path), path
        assert s.end() == 0, s.stderr()


def test_the_filter_lets_nothing_else_through():
    if shutil.which("gdb") is None or SANITIZED:
        raise Skip("no gdb, or a program that it cannot look into")
    with Serve("--seccomp") as s:
        out = subprocess.run(["gdb", "-p", str(s.process.pid), "-batch", "-ex",
                              "print (int)socket(2, 1, 0)", "-ex", "print (int)chdir(\"/\")"],
                             capture_output=True, text=True, timeout=LIMIT, check=False).stdout
        assert "$1 = -1" in out and "$2 = -1" in out, out
        assert ask(s, "/")[0] == 200


main(globals())
