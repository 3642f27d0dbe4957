"""Failures from outside: strace -e inject makes system calls of `runnel echo` fail, as tests/fault does from
within, but below libc and liburing too, and in the program as it ships."""
import subprocess
import tempfile

from e2e import LIMIT, RUNNEL, Program, Skip, main, read_exactly, until


class Injected(Program):
    """runnel echo with failures, "accept4:error=EMFILE:when=2". The probe of Program is a connection too."""

    def __init__(self, *rules, poller="epoll"):
        if subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode:
            raise Skip("ptrace is not permitted")
        self.trace = tempfile.NamedTemporaryFile("r")
        names = ",".join(rule.split(":")[0] for rule in rules)
        # -D: the program is our child, and strace its grandchild, which ends with it.
        super().__init__("strace", "-D", "-f", "-qq", "-o", self.trace.name, "-e", "signal=none",
                         "-e", "trace=" + names, *(a for rule in rules for a in ("-e", "inject=" + rule)),
                         RUNNEL, "echo", "-p", "1", "127.0.0.1:PORT", RN_POLLER=poller)

    def hits(self):
        with open(self.trace.name, encoding="utf-8", errors="replace") as f:
            return f.read().count("(INJECTED)")


def echo(c, data):
    c.sendall(data)
    assert read_exactly(c, len(data)) == data


def echoes(s, rounds=5):
    with s.connect() as c:
        for i in range(rounds):
            echo(c, bytes([65 + i]) * (1 + i * 1000))


def is_dropped(c, data):
    """The server ends the connection in place of answering."""
    try:
        c.sendall(data)
        return c.recv(len(data)) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def ends(*rules, status=1):
    """What it says when it cannot begin."""
    with tempfile.NamedTemporaryFile() as trace:
        p = subprocess.run(["strace", "-D", "-f", "-qq", "-o", trace.name, "-e", "signal=none",
                            *(a for rule in rules for a in ("-e", "inject=" + rule)), RUNNEL, "echo", "127.0.0.1:0"],
                           capture_output=True, text=True, timeout=LIMIT / 2, check=False)
    assert p.returncode == status, (p.returncode, p.stderr)
    return p.stderr


def test_out_of_descriptors_it_accepts_again_by_itself():
    with Injected("accept4:error=EMFILE:when=2..4") as s:
        echoes(s)
        echoes(s)
        assert s.hits() == 3
        assert s.end() == 0
        assert "Too many open files" in s.stderr()


def test_connections_that_died_in_the_queue_are_passed_over():
    with Injected("accept4:error=ECONNABORTED:when=2..9") as s:
        echoes(s)
        assert s.hits() == 8
        assert s.end() == 0


def test_interrupted_calls_are_made_again():
    with Injected("recvfrom:error=EINTR:when=1+2", "sendto:error=EINTR:when=1+2", "accept4:error=EINTR:when=1+2") as s:
        for _ in range(3):
            echoes(s)
        assert s.hits() > 15
        assert s.end() == 0


def test_a_reset_ends_one_connection_only():
    for rule in ("recvfrom:error=ECONNRESET:when=6", "sendto:error=EPIPE:when=4", "sendto:error=ENOBUFS:when=4"):
        with Injected(rule) as s, s.connect() as first, s.connect() as second:
            for c in (first, second, first):
                echo(c, b"before")
            while s.hits() == 0:  # which of the two it is depends on how often each has looked
                if is_dropped(first, b"x"):
                    first, second = second, first
                    break
            until(lambda: s.hits() == 1, "nothing was injected")
            echo(first, b"after")
            echoes(s)
            assert s.end() == 0


def test_without_memory_in_the_poller_it_serves_the_next():
    with Injected("epoll_ctl:error=ENOMEM:when=6+2") as s:
        served = 0
        for _ in range(40):
            try:
                echoes(s, 1)
                served += 1
            except (AssertionError, ConnectionResetError, BrokenPipeError):
                pass
        assert served >= 10 and s.hits() >= 10, (served, s.hits())
        assert s.end() == 0


def test_old_kernels_and_filters_have_other_ways():
    with Injected("epoll_pwait2:error=ENOSYS") as s:
        echoes(s)
        assert s.end() == 0
    with Injected("io_uring_setup:error=EPERM", poller="io_uring") as s:
        echoes(s)
        assert s.end() == 0
        assert "io_uring: EPERM" in s.stderr() and "poller epoll" in s.stderr(), s.stderr()


def test_what_keeps_it_from_beginning_is_told():
    assert "Address already in use" in ends("bind:error=EADDRINUSE")
    assert "Too many open files" in ends("eventfd2:error=EMFILE")
    assert "Cannot allocate memory" in ends("epoll_create1:error=ENOMEM")
    assert "No buffer space available" in ends("listen:error=ENOBUFS")


main(globals())
