#!/usr/bin/env python3
"""test_interop.py BUILD_DIR [NAME...] - runnel talks with Go, Python and socat, as server and as client.

The same on each network: a MiB of a stream, written and read at once, with its end; messages of several
sizes. Our end is interop.c, and `runnel echo` where it fits; Go's is interop/peer.go, Python's is here."""
import contextlib
import os
import socket
import subprocess
import tempfile
import threading

from e2e import BUILD, LIMIT, RUNNEL, Program, built_by_go, die_with_us, free_port, main, need, until

OURS = os.path.join(BUILD, "tests", "interop")
STREAMS, RECORDS, PACKETS = ["tcp", "tcp6", "unix"], ["unixpacket"], ["udp", "udp6", "unixgram"]
NETWORKS = STREAMS + RECORDS + PACKETS
KINDS = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
         "unix": (socket.AF_UNIX, socket.SOCK_STREAM), "unixpacket": (socket.AF_UNIX, socket.SOCK_SEQPACKET),
         "udp": (socket.AF_INET, socket.SOCK_DGRAM), "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
         "unixgram": (socket.AF_UNIX, socket.SOCK_DGRAM)}
BULK = bytes((i * 7 + i // 4096) % 256 for i in range(1 << 20))
folder = tempfile.TemporaryDirectory()
serial = iter(range(1000))


def new_path():
    return os.path.join(folder.name, str(next(serial)))


def any_address(network):
    """Where to listen: the kernel or we choose."""
    return new_path() if network.startswith("unix") else "[::1]:0" if network.endswith("6") else "127.0.0.1:0"


def peer_of_go():
    return built_by_go("interop/peer.go")


@contextlib.contextmanager
def serving(program, network):
    """A program that prints where it listens: that address."""
    p = subprocess.Popen([program, "serve", network, any_address(network)], stdout=subprocess.PIPE, text=True,
                         preexec_fn=die_with_us)
    try:
        address = p.stdout.readline().strip()
        assert address, "it does not listen"
        yield address
        assert p.poll() is None, p.returncode
    finally:
        p.kill()
        p.wait()
        p.stdout.close()


def dial(program, network, address):
    local = [new_path()] if network == "unixgram" else []
    out = subprocess.run([program, "dial", network, address, *local], stdout=subprocess.PIPE, text=True,
                         timeout=LIMIT, check=False)
    assert out.returncode == 0 and out.stdout == "good\n", f"{network}: {out}"


# ---- Python ----

def parse(network, address):
    if network.startswith("unix"):
        return address
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def talk_stream(c):
    def write():
        c.sendall(BULK)
        c.shutdown(socket.SHUT_WR)

    t = threading.Thread(target=write)
    t.start()
    out = bytearray()
    while chunk := c.recv(1 << 16):
        out += chunk
    t.join()
    assert out == BULK, len(out)


def talk_messages(c):
    for i, size in enumerate((1, 100, 8000, 3)):
        message = bytes([97 + i]) * size
        c.send(message)
        assert c.recv(1 << 16) == message, size


def python_dials(network, address):
    with socket.socket(*KINDS[network]) as c:
        c.settimeout(LIMIT)
        if network == "unixgram":
            c.bind(new_path())
        c.connect(parse(network, address))
        (talk_stream if network in STREAMS else talk_messages)(c)


def python_echo(c, is_packet):
    while True:
        data, peer = c.recvfrom(1 << 16)
        if is_packet:
            c.sendto(data, peer)
        elif data:
            c.sendall(data)
        else:
            return


@contextlib.contextmanager
def python_serving(network):
    """One connection, or all datagrams."""
    is_packet = network in PACKETS
    with socket.socket(*KINDS[network]) as s:
        s.bind(parse(network, any_address(network)))
        name = s.getsockname()

        def serve():
            if is_packet:
                python_echo(s, True)
            with s.accept()[0] as c:
                python_echo(c, False)

        if not is_packet:
            s.listen()
        threading.Thread(target=serve, daemon=True).start()
        if network.startswith("unix"):
            yield name
        else:
            yield f"[{name[0]}]:{name[1]}" if network.endswith("6") else f"{name[0]}:{name[1]}"


# ---- socat ----

def socat_dials(network, address):
    """A stream to its end; of messages one, since socat cuts as it likes."""
    kind = {"tcp": "TCP4:", "tcp6": "TCP6:", "unix": "UNIX-CONNECT:", "udp": "UDP4:", "udp6": "UDP6:",
            "unixgram": f"UNIX-SENDTO:{{}},bind={new_path()}", "unixpacket": "UNIX-CONNECT:{},type=5"}[network]
    where = kind.format(address) if "{}" in kind else kind + address
    p = subprocess.Popen(["socat", "-t", "30", "-", where], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         preexec_fn=die_with_us)
    try:
        if network in STREAMS:
            assert p.communicate(BULK, timeout=LIMIT)[0] == BULK
        else:
            os.write(p.stdin.fileno(), b"one")
            assert os.read(p.stdout.fileno(), 100) == b"one"
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


@contextlib.contextmanager
def socat_serving(network):
    port = free_port()
    address = any_address(network)
    if not network.startswith("unix"):
        address = address[:-1] + str(port)
    where = {"tcp": f"TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
             "tcp6": f"TCP6-LISTEN:{port},bind=[::1],reuseaddr,fork",
             "unix": f"UNIX-LISTEN:{address},fork", "unixpacket": f"UNIX-LISTEN:{address},type=5,fork",
             "udp": f"UDP4-RECVFROM:{port},bind=127.0.0.1,fork", "udp6": f"UDP6-RECVFROM:{port},bind=[::1],fork",
             "unixgram": f"UNIX-RECVFROM:{address},fork"}[network]
    p = subprocess.Popen(["socat", "-b", "65536", "-t", "30", where, "EXEC:cat"], preexec_fn=die_with_us,
                         start_new_session=True)
    try:
        until(lambda: p.poll() is not None or is_there(network, address), "socat is not there")
        assert p.poll() is None, "socat ended"
        yield address
    finally:
        os.killpg(p.pid, 9)  # and its children, which is a group of its own
        p.wait()


def is_there(network, address):
    """Does it listen, or has it the address of a packet socket?"""
    if network == "unixgram":
        return os.path.exists(address)
    with socket.socket(*KINDS[network]) as s:
        try:
            (s.bind if network in PACKETS else s.connect)(parse(network, address))
        except OSError:
            return network in PACKETS
    return network not in PACKETS


# ---- the tests ----

def test_go_dials_runnel():
    go = peer_of_go()
    for network in NETWORKS:
        with serving(OURS, network) as address:
            dial(go, network, address)


def test_runnel_dials_go():
    go = peer_of_go()
    for network in NETWORKS:
        with serving(go, network) as address:
            dial(OURS, network, address)


def test_python_dials_runnel():
    for network in NETWORKS:
        with serving(OURS, network) as address:
            python_dials(network, address)


def test_runnel_dials_python():
    for network in NETWORKS:
        with python_serving(network) as address:
            dial(OURS, network, address)


def test_socat_dials_runnel():
    need("socat")
    for network in NETWORKS:
        with serving(OURS, network) as address:
            socat_dials(network, address)


def test_runnel_dials_socat():
    need("socat")
    for network in NETWORKS:
        with socat_serving(network) as address:
            dial(OURS, network, address)


def test_all_of_them_dial_runnel_echo():
    need("socat")
    with Program(RUNNEL, "echo", "127.0.0.1:PORT") as s:
        address = f"127.0.0.1:{s.port}"
        python_dials("tcp", address)
        dial(OURS, "tcp", address)
        dial(peer_of_go(), "tcp", address)
        socat_dials("tcp", address)
        assert s.end() == 0


main(globals())
