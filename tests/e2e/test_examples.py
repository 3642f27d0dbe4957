#!/usr/bin/env python3
"""test_examples.py BUILD_DIR [NAME...] - runnel echo and the programs of examples/."""
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from e2e import (LIMIT, Program, RESET, RUNNEL, Serve, Skip, ends_in_reset, example, free_port, in_threads,
                 main, read_all, read_exactly, read_line, until)
from tracing import is_at_rest, n_sockets


def echo_at_once(server, n):
    together = threading.Barrier(n, timeout=LIMIT / 3)

    def one(i):
        with server.connect() as c:
            together.wait()
            for _ in range(10):
                c.sendall(b"%03d" % i * 100)
                assert read_exactly(c, 300) == b"%03d" % i * 100

    in_threads(n, one)


def test_echo_serves_many_clients():
    for options in ([], ["--coroutines"], ["--balance", "exclusive"], ["--balance", "one", "--procs", "3"]):
        with Program(RUNNEL, "echo", *options, "127.0.0.1:PORT") as s:
            echo_at_once(s, 100)
            assert s.end() == 0


def test_example_echo_serves_many_clients():
    with Program(example("echo"), "127.0.0.1:PORT") as s:
        echo_at_once(s, 200)


def test_example_echo_tells_why_it_cannot_listen():
    with socket.create_server(("127.0.0.1", 0)) as s:
        code, _, err = run_example("echo", "127.0.0.1:%d" % s.getsockname()[1])
    assert code == 1 and err == "echo: Address already in use\n", (code, err)


def await_rest(s, sockets):
    """Until it has taken all that has come: so many sockets, its listener's included."""
    until(lambda: n_sockets(s.process.pid) == sockets and is_at_rest(s.process.pid, sockets), "it does not rest")


def test_example_chat_hands_lines_to_the_others():
    with Program(example("chat"), "127.0.0.1:PORT") as s:
        a, b, c = s.connect(), s.connect(), s.connect()
        await_rest(s, 1 + 3)
        a.sendall(b"hel")
        a.sendall(b"lo\nagain\n")
        for other in (b, c):
            assert read_exactly(other, 12) == b"hello\nagain\n"
        b.close()
        c.sendall(b"bye\n")
        assert read_exactly(a, 4) == b"bye\n"


def read_what_comes(c, n):
    """Up to n bytes, fewer where the connection ends before."""
    out = bytearray()
    try:
        while len(out) < n and (chunk := c.recv(1 << 18)):
            out += chunk
    except OSError:
        pass
    return bytes(out)


def throw_out():
    """Who does not read; and has who reads all of it? On a busy machine he, too, may pause for a second."""
    with Program(example("chat"), "127.0.0.1:PORT") as s:
        with s.connect() as talker, s.connect() as reader, s.connect(room=4096) as dead:
            await_rest(s, 1 + 3)
            data = (b"x" * 999 + b"\n") * 12_000  # more than the buffers between two sockets hold
            got = []
            t = threading.Thread(target=lambda: got.append(read_what_comes(reader, len(data))))
            t.start()
            talker.sendall(data)
            t.join(LIMIT / 2)
            try:
                assert len(read_all(dead)) < len(data)  # and then the end
            except ConnectionResetError:
                pass
            return got == [data]


def test_example_chat_throws_out_who_does_not_read():
    assert any(throw_out() for _ in range(4))


class Peer:
    """The target of a forwarder: accept() gives its end of the flow."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LIMIT / 3)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        c, _ = self.listener.accept()
        c.settimeout(LIMIT / 3)
        return c


def forwarder(peer, name="forward"):
    f = Program(example(name), "127.0.0.1:PORT", peer.address)
    peer.accept().close()  # of the connection that waited for it to listen
    return f


def check_each_end_is_passed_on_by_itself(name):
    data = os.urandom(1 << 20)
    with Peer() as peer, forwarder(peer, name) as f:
        for client_first in (True, False):
            with f.connect() as c, peer.accept() as p:
                first, second = (c, p) if client_first else (p, c)
                first.sendall(b"question")
                first.shutdown(socket.SHUT_WR)
                assert read_all(second) == b"question"
                t = threading.Thread(target=lambda s=second: (s.sendall(data),
                                                              s.shutdown(socket.SHUT_WR)))
                t.start()
                assert read_all(first) == data
                t.join()


def test_example_forward_passes_each_end_on_by_itself():
    check_each_end_is_passed_on_by_itself("forward")


def test_example_proxy_passes_each_end_on_by_itself():
    check_each_end_is_passed_on_by_itself("proxy")


def test_example_proxy_ends_both_ways_at_an_error_and_tells():
    with Peer() as peer, forwarder(peer, "proxy") as f:
        for client_first in (True, False):
            with f.connect() as c, peer.accept() as p:
                first, second = (c, p) if client_first else (p, c)
                first.sendall(b"x")
                assert second.recv(1) == b"x"
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                first.close()
                assert ends_in_reset(second), "an abort looks like an end"
            until(lambda n=1 if client_first else 2: f.stderr().count("reset") >= n, "not told")


def test_example_proxy_splices_bulk():
    data = os.urandom(16 << 20)
    with Peer() as peer, forwarder(peer, "proxy") as f:
        with f.connect() as c, peer.accept() as p:
            t = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
            t.start()
            until(lambda: not select.select([], [c], [], 0)[1], "not every buffer on the way is full")
            await_rest(f, 1 + 2)
            assert read_all(p) == data
            t.join()
        until(lambda: f"up {len(data)} bytes" in f.stderr(), "not told")
        told = re.search(f"up {len(data)} bytes, spliced ([0-9]+), lost 0: ended", f.stderr())
        assert told and int(told[1]) > 0, f.stderr()


def test_example_forward_passes_resets_on():
    with Peer() as peer, forwarder(peer) as f:
        for client_first in (True, False):
            with f.connect() as c, peer.accept() as p:
                first, second = (c, p) if client_first else (p, c)
                first.sendall(b"x")
                assert second.recv(1) == b"x"
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                first.close()
                assert ends_in_reset(second), "an abort looks like an end"


def test_example_forward_closes_where_nobody_answers():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        address = "127.0.0.1:%d" % deaf.getsockname()[1]
        with Program(example("forward"), "127.0.0.1:PORT", address) as f, f.connect() as c:
            assert read_all(c) == b""
            until(lambda: "refused" in f.stderr(), "not a word")


def test_example_graceful_waits_for_nobody_who_is_silent():
    for signo in (signal.SIGINT, signal.SIGTERM):
        with Program(example("graceful"), "127.0.0.1:PORT") as s, s.connect() as c, s.connect() as silent:
            c.sendall(b"work\n")
            await_rest(s, 1 + 2)    # at work, or done with it; and silent is known
            s.send(signo)
            assert read_all(c) == b"work\n" and silent.recv(1) == b""
            assert s.process.wait(LIMIT / 3) == 0, s.stderr()


def run_example(name, *argv):
    p = subprocess.run([example(name), *argv], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert not re.search("Sanitizer|runtime error|panic", p.stderr), p.stderr
    return p.returncode, p.stdout, p.stderr


def test_examples_that_are_called_wrongly_say_how_to_call_them():
    for name in ("chat", "graceful", "http", "crawler", "forward", "proxy", "fetch", "library", "lookup",
                 "pool", "pipeline", "ratelimit"):
        try:
            argvs = [("--help",), ("-x", "y", "z", "1", "2", "3", "4")]
            for argv in argvs:
                code, out, err = run_example(name, *argv)
                assert code == 2 and out == "" and re.match(r"Usage: \S+ \S", err), (name, argv, code, err)
        except Skip:
            pass        # its library is missing


def test_example_pipeline_sums_and_ends_at_the_first_error():
    for n in (0, 1, 1000, 20000):
        assert run_example("pipeline", str(n))[:2] == (0, f"{sum(i * i for i in range(n + 1))}\n")
    code, out, err = run_example("pipeline", "-5")
    assert code == 1 and out == "" and "out of domain" in err


def test_example_pool_looks_names_up():
    code, out, _ = run_example("pool", "127.0.0.1", "::1", *["127.0.0.2"] * 20, "no.such.host.invalid")
    assert code == 0
    lines = sorted(out.splitlines())
    assert lines.count("127.0.0.2 127.0.0.2") == 20 and "::1 ::1" in lines
    assert any(line.startswith("no.such.host.invalid ") for line in lines), out
    assert run_example("pool")[0] == 2


def test_example_lookup_asks_dnsmasq():
    if not os.path.exists(example("lookup")) or not shutil.which("dnsmasq", path="/usr/sbin"):
        raise Skip("no c-ares, or no dnsmasq")
    port = free_port()
    names = [f"host{i}.test" for i in range(30)]
    with subprocess.Popen(
            ["/usr/sbin/dnsmasq", "--keep-in-foreground", f"--port={port}", "--listen-address=127.0.0.1",
             "--bind-interfaces", "--conf-file=/dev/null", "--pid-file=", "--user=", "--group=",
             "--no-resolv", "--no-hosts", "--log-facility=/dev/null", "--local=/test/",
             "--srv-host=_echo._tcp.test,host7.test,7",
             *[f"--host-record={n},127.0.0.{i}" for i, n in enumerate(names)]]) as server:
        try:
            argv = ["-s", f"127.0.0.1:{port}", *names, "none.test", "_echo._tcp.test", "::1"]
            until(lambda: "127.0.0.29" in run_example("lookup", *argv)[1], "no answer")
            code, out, _ = run_example("lookup", *argv)
        finally:
            server.kill()
    lines = out.splitlines()
    assert code == 0 and len(lines) == 33, out
    for i, n in enumerate(names):
        assert f"{n} 127.0.0.{i}" in lines, out
    assert "_echo._tcp.test host7.test:7" in lines and "::1 ::1" in lines, out
    assert any(line.startswith("none.test: ") for line in lines), out
    assert run_example("lookup")[0] == 2
    assert run_example("lookup", "-s", "nonsense", "a.test")[0] == 2


PAGES = {"index.html": '<a href="/a.html">a</a> <a href="sub/b.html?q#part">b</a> <a href="#top">',
         "a.html": '<a href="index.html">round</a> <a href="none.html">broken</a> <a href="mailto:x@y">',
         "sub/b.html": '<a href="c.html">c</a> <a href="/a.html">again</a> <a href="../a.html">',
         "sub/c.html": "no links here"}


def crawl(*count):
    """What the crawler says of PAGES, and of each page it fetched how many bytes came."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        os.mkdir(os.path.join(folder, "sub"))
        host = "127.0.0.1:%d" % elsewhere.getsockname()[1]
        outside = f'<a href="http://{host}/x"></a><a href="//{host}/x"></a>'
        for name, text in PAGES.items():
            with open(os.path.join(folder, name), "w", encoding="ascii") as f:
                f.write(text + outside)
        with Program(RUNNEL, "serve", "--listen", "127.0.0.1:PORT", folder) as s:
            home = f"http://127.0.0.1:{s.port}/"
            code, out, _ = run_example("crawler", home, *count)
        elsewhere.setblocking(False)
        try:
            elsewhere.accept()
            raise AssertionError("it went to another host")
        except BlockingIOError:
            pass
        *lines, summary = out.replace(home, "/").splitlines()
        return code, sorted(lines), summary, {n: len(t + outside) for n, t in PAGES.items()}


def test_example_crawler_fetches_each_page_of_the_host_once():
    code, lines, summary, size = crawl()
    assert code == 0 and summary == "6 pages, 0 failed", (lines, summary)
    missing = [line for line in lines if line.startswith("404 ")]
    assert len(missing) == 1 and missing[0].endswith(" /none.html"), lines
    assert [line for line in lines if line not in missing] == sorted(
        [f"200 {size['index.html']} /", f"200 {size['index.html']} /index.html",
         *(f"200 {size[n]} /{n}" for n in ("a.html", "sub/b.html", "sub/c.html"))])


def test_example_crawler_stops_at_its_limit():
    code, lines, summary, _ = crawl("2")
    assert code == 0 and len(lines) == 2 and summary == "2 pages, 0 failed", (lines, summary)


def test_example_crawler_tells_of_what_cannot_be_fetched():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        url = "http://127.0.0.1:%d/" % deaf.getsockname()[1]
        code, out, _ = run_example("crawler", url)
        assert code == 0 and out == f"--- 0 {url}\n1 pages, 1 failed\n", out
    for bad in ([], ["ftp://x/"], ["http:///"], ["http://x/", "-1"]):
        assert run_example("crawler", *bad)[0] == 2


def ask(c, line):
    c.sendall(line)
    return read_line(c)


def test_example_ratelimit_refuses_above_the_burst():
    hour = "3600000"  # no tick comes during the test
    with Program(example("ratelimit"), "127.0.0.1:PORT", hour, "3", "50") as s:
        with s.connect() as a, s.connect() as b:
            assert [ask(c, b"x\n") for c in (a, b, a, b, a)] == [b"ok x\n"] * 3 + [b"busy\n"] * 2
            a.sendall(b"1\n2\n")  # two lines in one piece
            assert read_line(a) + read_line(a) == b"busy\nbusy\n"
            b.sendall(b"x" * 5000)  # a line without an end
            try:
                assert read_all(b) == b""
            except ConnectionResetError:
                pass


def test_example_ratelimit_waits_for_tokens_and_gives_no_more_than_its_rate():
    every_ms, burst, n, clients = 5, 4, 30, 3
    patience_ms = str(1000 * LIMIT)  # however slow the machine is, nobody is refused
    with Program(example("ratelimit"), "127.0.0.1:PORT", str(every_ms), str(burst), patience_ms) as s:
        def one(i):
            with s.connect() as c:
                for k in range(n):
                    assert ask(c, b"%d %d\n" % (i, k)) == b"ok %d %d\n" % (i, k)

        start = time.monotonic()
        in_threads(clients, one)
        # At least: a bucket full, and then one at each tick. The first may have been on its way.
        assert (time.monotonic() - start) * 1000 >= (n * clients - burst - 1) * every_ms


def curl(*args, **more):
    return subprocess.run(["curl", "-s", "--max-time", str(LIMIT), *args], check=True,
                          capture_output=True, **more).stdout


def test_example_http_routes_reads_bodies_and_streams():
    with Program(example("http"), "127.0.0.1:PORT") as s:
        at = f"http://127.0.0.1:{s.port}"
        assert curl(f"{at}/hello/a%20b") == b"Hello, a b!\n"
        body = b"x" * 3_000_000
        assert curl("--data-binary", "@-", f"{at}/count", input=body) == b"3000000 bytes\n"
        assert curl("--data-binary", "@-", "-H", "Transfer-Encoding: chunked", f"{at}/count",
                    input=body) == b"3000000 bytes\n"
        assert curl("-N", f"{at}/ticks?n=2") == b"tick 1\ntick 2\n"
        assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{at}/count") == b"405"
        assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{at}/none") == b"404"


def test_example_library_fetches_with_libcurl():
    program = example("library")
    with Serve() as s:
        url = f"http://127.0.0.1:{s.port}/"
        out = subprocess.run([program, url, url + "big.bin", url + "none"], capture_output=True,
                             text=True, timeout=LIMIT / 2, check=False).stdout
        assert sorted(line.split()[0] for line in out.splitlines()) == ["200", "200", "404"], out
        assert f"200 {len(s.files['big.bin'])} {url}big.bin" in out
    assert subprocess.run([program], capture_output=True, timeout=LIMIT / 2, check=False).returncode == 2


main(globals())
