#!/usr/bin/env python3
"""test_program.py BUILD_DIR [NAME...] - runnel as a user meets it: help, errors, files over HTTP."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from e2e import (GET, LIMIT, Program, RESET, RUNNEL, SANITIZED, Serve, Skip, main, need, read_all,
                 read_exactly, read_head, read_response, until)


ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
COMMANDS = {("serve",): ("serve.c", "site.h"), ("echo",): ("echo.c",), ("doctor",): ("doctor.c",),
            ("trace",): ("trace.c",), ("bench", "connections"): ("bench.c",)}


def run(*argv):
    p = subprocess.run([RUNNEL, *argv], capture_output=True, text=True, timeout=LIMIT / 2, check=False)
    return p.returncode, p.stdout, p.stderr


def test_help_and_version_go_to_standard_output():
    for argv in (["--help"], ["help"], ["serve", "--help"], ["echo", "-h"], ["doctor", "-h"], ["bench", "-h"]):
        code, out, err = run(*argv)
        assert code == 0 and "Usage: runnel" in out and err == "", argv
    code, out, _ = run("--version")
    assert code == 0 and re.fullmatch(r"runnel \d+\.\d+\.\d+\n", out)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def test_help_and_man_page_name_each_option():
    page = read("docs", "man", "runnel.1")
    for command, files in COMMANDS.items():
        told = run(*command, "--help")[1]
        source = "".join(read("cmd", f) for f in files)
        options = re.findall(r'\{"([\w-]+)",\s+(?:no|required|optional)_argument', source)
        assert len(options) > 4, command
        for option in options:
            assert re.search(rf"--{option}\b", told), f"{command} --help does not tell of --{option}"
            assert re.search(rf"(Fl|,) -{option}\b", page), f"the man page does not tell of --{option}"


def test_help_of_a_command_can_be_asked_for_in_two_ways():
    for command in COMMANDS:
        assert run("help", *command) == run(*command, "--help"), command
    assert run("help", "nonsense")[0] == 2


def test_unknown_options_are_told_with_where_help_is():
    for command in COMMANDS:
        name = " ".join(command)
        code, out, err = run(*command, "--nope", "1")
        assert code == 2 and out == "", (command, code, out)
        assert err == f"runnel: {name}: unrecognized option '--nope'\nrunnel: see runnel {name} --help\n", err


def test_wrong_calls_are_told_and_exit_with_2():
    for argv in ([], ["nonsense"], ["serve"], ["serve", "a", "b"], ["serve", "--nope", "."], ["echo"],
                 ["serve", "--procs", "many", "."], ["serve", "--procs", "0", "."],
                 ["serve", "--max-conns", "-1", "."], ["serve", "--backlog", "0", "."],
                 ["echo", "--backlog", "x", ":0"], ["echo", "--balance", "x", ":0"]):
        code, out, err = run(*argv)
        assert code == 2 and out == "" and err != "", (argv, code, err)


def run_in_time(*argv):
    """Again where it has not found, in the second that it looks, who has the address."""
    for _ in range(10):
        said = run(*argv)
        if "not found in time" not in said[2]:
            break
    return said


def test_what_cannot_be_served_is_told_and_exits_with_1():
    code, _, err = run("serve", "/no/such/dir")
    assert code == 1 and "/no/such/dir" in err and "No such file" in err
    code, _, err = run("serve", "--listen", "nonsense", ".")
    assert code == 1 and "nonsense" in err and "malformed address" in err
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = "127.0.0.1:%d" % s.getsockname()[1]
        code, _, err = run_in_time("serve", "--listen", address, ".")
        told = f"cannot listen on {address}: Address already in use by python3 (pid {os.getpid()})"
        told = told.replace("python3", open("/proc/self/comm", encoding="utf-8").read().strip())
        assert code == 1 and err.startswith(f"runnel: {told}\n"), err
        code, _, err = run_in_time("echo", address)
        assert code == 1 and err == f"runnel: {told}\n", err
    code, _, err = run("echo", "192.0.2.99:80")
    assert code == 1 and "no interface has it" in err, err


def test_sockets_of_the_service_manager_are_served():
    with socket.socket() as s, tempfile.TemporaryDirectory() as folder:
        s.bind(("127.0.0.1", 0))
        s.listen()

        def activate():     # in the child: what systemd does
            os.dup2(s.fileno(), 3)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")

        with socket.create_connection(s.getsockname()) as c:    # waits in the queue
            p = subprocess.Popen([RUNNEL, "serve", folder], preexec_fn=activate, pass_fds=[3],
                                 stderr=subprocess.PIPE, text=True)
            c.settimeout(20)
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert read_all(c).startswith(b"HTTP/1.1 404"), p.stderr.read()
            p.terminate()
            assert "on http://127.0.0.1:%d/" % s.getsockname()[1] in p.communicate(timeout=LIMIT / 2)[1]
            assert p.returncode == 0


def test_files_come_with_type_length_and_date():
    with Serve() as s:
        for name, kind in (("/", "text/html; charset=utf-8"), ("/style.css", "text/css"),
                           ("/data.json", "application/json"), ("/inside.css", "text/css"),
                           ("/empty.txt", "text/plain"), ("/sub/", "text/html"),
                           ("/sub/../style.css?x=1", "text/css"), ("/%73tyle.css", "text/css")):
            head = s.curl(name, "-i").decode()
            assert head.startswith("HTTP/1.1 200 OK\r\n"), (name, head)
            assert f"Content-Type: {kind}" in head, head
            assert re.search(r"Last-Modified: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n", head)
            assert re.search(r"\r\nDate: ", head)
        assert s.curl("/") == s.files["index.html"]
        assert s.curl("/big.bin") == s.files["big.bin"]
        head = s.curl("/big.bin", "-I").decode()
        assert f"Content-Length: {len(s.big)}\r\n" in head
        assert s.talk(b"HEAD /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") \
            .endswith(b"\r\n\r\n")


def test_what_may_not_be_had_is_not_had():
    with Serve() as s:
        for path, status in (("/none", 404), ("/.secret", 404), ("/outside", 404), ("/fifo", 404),
                             ("/noindex/", 404), ("/style.css/", 404), ("/../etc/passwd", 400),
                             ("/%2e%2e/%2e%2e/etc/passwd", 400), ("/a%2fb", 400), ("/%00", 400),
                             ("/%zz", 400), ("/" + "x" * 300, 404), ("/" + "x" * 2000, 414), ("/" + "x" * 9000, 414)):
            head = s.curl(path, "-i").decode()
            assert head.startswith(f"HTTP/1.1 {status} "), (path, head[:80])
            assert "root:" not in head
        head = s.curl("/sub?q=1", "-i").decode()
        assert head.startswith("HTTP/1.1 301 ") and "Location: /sub/?q=1\r\n" in head
        assert "Location: /sub/" in s.curl("//sub", "-i").decode()
        head = s.curl("/", "-i", "-d", "body").decode()
        assert head.startswith("HTTP/1.1 405 ") and "Allow: GET, HEAD\r\n" in head
        assert s.curl("/", "-i", "-X", "BREW").startswith(b"HTTP/1.1 501 ")


def test_requests_that_could_be_read_in_two_ways_are_refused():
    good = b"GET / HTTP/1.1\r\nHost: x\r\n"
    with Serve() as s:
        for data, status in ((b"GET / HTTP/1.1\nHost: x\n\n", 400), (good + b" folded\r\n\r\n", 400),
                             (good + b"X : y\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                             (good + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                             (good + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                             (good + b"X: a\0b\r\n\r\n", 400), (b"GET / HTTP/2.0\r\n\r\n", 505),
                             (good + b"X: " + b"y" * 20000, 431)):
            out = s.talk(data)
            assert out.startswith(b"HTTP/1.1 %d " % status), (data[:60], out[:60])
            assert b"Connection: close\r\n" in out


def test_a_pipelined_batch_is_answered_in_order():
    with Serve() as s, s.connect() as c:
        names = ["index.html", "style.css", "big.bin", "data.json", "empty.txt"] * 4
        c.sendall(b"".join(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % n.encode() for n in names))
        for name in names:
            head, body = read_response(c)
            assert head.startswith(b"HTTP/1.1 200") and body == s.files[name], name


def test_a_request_may_come_byte_by_byte():
    with Serve() as s, s.connect() as c:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n":
            c.sendall(bytes([byte]))
            time.sleep(0.001)
        assert read_response(c)[1] == s.files["style.css"]


def test_keep_alive_follows_version_and_connection():
    with Serve() as s:
        assert b"Connection: keep-alive" in s.curl("/", "-i", "-0", "-H", "Connection: keep-alive")
        assert s.talk(b"GET / HTTP/1.0\r\n\r\n").endswith(b"home</p>")
        assert s.talk(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(b"home</p>")
        with s.connect() as c:
            for _ in range(50):
                c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                # Head and body of a small file leave together: one segment, one recv.
                assert c.recv(65536).endswith(b"<p>home</p>")


def test_curl_uses_one_connection_for_several_files():
    if shutil.which("curl") is None:
        raise Skip("no curl")
    with Serve() as s:
        url = f"http://127.0.0.1:{s.port}/"
        out = subprocess.run(["curl", "-s", "--max-time", str(LIMIT / 2), "-w", "%{num_connects}\n", url, url, url,
                              "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null"],
                             capture_output=True, text=True, check=True).stdout
        assert out.split() == ["1", "0", "0"], out


def test_a_changed_file_is_seen_soon():
    with Serve() as s:
        assert s.curl("/style.css") == b"p{}"
        with open(os.path.join(s.folder, "style.css"), "wb") as f:
            f.write(b"body{}")
        time.sleep(1.2)
        assert s.curl("/style.css") == b"body{}"
        os.unlink(os.path.join(s.folder, "style.css"))
        time.sleep(1.2)
        assert s.curl("/style.css", "-i").startswith(b"HTTP/1.1 404")


def test_it_listens_in_several_places_and_on_each_poller():
    for poller in ("epoll", "poll"):
        path = tempfile.mktemp()
        with Serve("--listen", path, "--listen", "127.0.0.2:PORT", "--procs", "2", RN_POLLER=poller) as s:
            assert s.curl("/") == s.files["index.html"]
            with socket.create_connection(("127.0.0.2", s.port), LIMIT / 2) as c:
                c.sendall(GET % b"")
                assert read_response(c)[1] == s.files["index.html"]
            assert s.curl("/", "--unix-socket", path) == s.files["index.html"]
            assert s.end() == 0
        assert not os.path.exists(path)


def test_a_head_that_trickles_is_cut_off():
    if SANITIZED:
        raise Skip("takes 10 s")
    with Serve() as s, s.connect() as c:
        start, out = time.monotonic(), b""
        c.settimeout(0.5)
        for byte in b"GET / HTTP/1.1\r\nHost: and so on, for longer than anybody would wait":
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):    # cut off a while ago
                c.sendall(bytes([byte]))
            try:
                out = c.recv(4096)
                break
            except TimeoutError:
                pass
        assert out.startswith(b"HTTP/1.1 408 ") and b"Connection: close\r\n" in out, out
        assert time.monotonic() - start < 25     # of 10; and without an end it would be 33


def test_of_a_file_that_is_cut_no_wrong_bytes_come():
    with Serve() as s, s.connect(room=64 << 10) as c:
        c.sendall(GET % b"big.bin")
        read_head(c)
        out = read_exactly(c, 1 << 20)
        os.truncate(os.path.join(s.folder, "big.bin"), 2 << 20)
        try:
            out += read_all(c)
        except ConnectionResetError:
            pass
        assert len(out) < len(s.big) and s.big.startswith(out)
        with s.connect() as other:  # and it serves on
            other.sendall(GET % b"")
            assert read_head(other).startswith(b"HTTP/1.1 200")


def test_a_resting_connection_costs_at_most_300_bytes():
    n, spare = 15_000, 500
    if SANITIZED:
        raise Skip("a sanitizer's own memory is in it")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n + spare:
        raise Skip(f"RLIMIT_NOFILE is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + spare), hard))
    conns = []
    signal.alarm(3 * LIMIT)

    def rest(count):
        """So many connections more, each used once: it has had a coroutine and a stack."""
        for _ in range(count):
            conns.append(s.connect())
            conns[-1].sendall(b"x")
            assert conns[-1].recv(1) == b"x"

    try:
        with Program(RUNNEL, "echo", "--max-conns", str(n + 100), "127.0.0.1:PORT") as s:
            rest(100)  # what the first ones cost is the listener's
            before = s.rss_bytes()
            rest(n - 100)
            each = (s.rss_bytes() - before) / (n - 100)
            assert each <= 300, f"{each:.0f} bytes each"
            for c in (conns[0], conns[n // 2], conns[-1]):
                c.sendall(b"y")
                assert c.recv(1) == b"y"
            for c in conns:  # no TIME_WAIT, of which a machine has 28 000
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                c.close()
            until(lambda: len(os.listdir(f"/proc/{s.process.pid}/fd")) < 50, "resets close nothing")
            assert s.end() == 0
    finally:
        for c in conns:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_page_is_drawn_by_a_browser():
    need("chromium")
    with Serve() as s:
        dom = subprocess.run(["/usr/bin/chromium", "--headless", "--no-sandbox", "--dump-dom",
                              f"http://127.0.0.1:{s.port}/"], capture_output=True, text=True, timeout=LIMIT / 2,
                             check=True).stdout
        assert "<p>home</p>" in dom


main(globals())
