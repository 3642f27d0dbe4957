#!/usr/bin/env python3
"""test_examples.py BUILD_DIR [NAME...] - runnel echo and the programs of examples/."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

from e2e import (LIMIT, Program, RESET, RUNNEL, Serve, ends_in_reset, example, in_threads,
                 main, read_all, read_exactly, until)


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


def test_example_chat_hands_lines_to_the_others():
    with Program(example("chat"), "127.0.0.1:PORT") as s:
        a, b, c = s.connect(), s.connect(), s.connect()
        time.sleep(0.2)
        a.sendall(b"hel")
        a.sendall(b"lo\nagain\n")
        for other in (b, c):
            assert read_exactly(other, 12) == b"hello\nagain\n"
        b.close()
        c.sendall(b"bye\n")
        assert read_exactly(a, 4) == b"bye\n"


def test_example_chat_throws_out_who_does_not_read():
    with Program(example("chat"), "127.0.0.1:PORT") as s:
        with s.connect() as talker, s.connect() as reader, s.connect(room=4096) as dead:
            time.sleep(0.2)  # until all three are members
            line, n = b"x" * 999 + b"\n", 12_000  # more than the buffers between two sockets hold
            got = []
            t = threading.Thread(target=lambda: got.append(read_exactly(reader, n * len(line))))
            t.start()
            talker.sendall(line * n)
            t.join(LIMIT / 2)
            assert got and got[0] == line * n
            try:
                assert len(read_all(dead)) < n * len(line)  # and then the end
            except ConnectionResetError:
                pass


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


def forwarder(peer):
    f = Program(example("forward"), "127.0.0.1:PORT", peer.address)
    peer.accept().close()  # of the connection that waited for it to listen
    return f


def test_example_forward_passes_each_end_on_by_itself():
    data = os.urandom(1 << 20)
    with Peer() as peer, forwarder(peer) as f:
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
            time.sleep(0.1)
            s.send(signo)
            assert read_all(c) == b"work\n" and silent.recv(1) == b""
            assert s.process.wait(LIMIT / 3) == 0, s.stderr()


def run_example(name, *argv):
    p = subprocess.run([example(name), *argv], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert not re.search("Sanitizer|runtime error|panic", p.stderr), p.stderr
    return p.returncode, p.stdout, p.stderr


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
    assert run_example("pool")[0] == 1


def test_example_library_fetches_with_libcurl():
    program = example("library")
    with Serve() as s:
        url = f"http://127.0.0.1:{s.port}/"
        out = subprocess.run([program, url, url + "big.bin", url + "none"], capture_output=True,
                             text=True, timeout=20, check=False).stdout
        assert sorted(line.split()[0] for line in out.splitlines()) == ["200", "200", "404"], out
        assert f"200 {len(s.files['big.bin'])} {url}big.bin" in out


main(globals())
