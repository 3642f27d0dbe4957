#!/usr/bin/env python3
"""test_client.py BUILD_DIR [NAME...] - http_client.h against servers of others: examples/fetch, and http_ask.c,
which sends bodies of all kinds, follows redirects, expects 100, and watches that its connection is kept."""
import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading

from e2e import BUILD, HERE, LIMIT, Program, Skip, built_by_go, example, free_port, main, need

NGINX = """daemon off; master_process off; pid DIR/pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    server {
        listen 127.0.0.1:LISTEN; root DIR/files; keepalive_requests 7;
        location /moved { return 301 /big; }
        location /empty { return 204; }
        location /short { return 200 "short"; keepalive_timeout 0; }
        location /chunks/ { alias DIR/files/; }
        location /via/ {
            keepalive_requests 1000; proxy_pass http://127.0.0.1:BEHIND/; proxy_redirect / /via/;
        }
        location /via/peer { keepalive_requests 1000; return 200 $remote_addr:$remote_port; }
        location /via/refuse { return 413; }
    }
}
"""


def fetch(*args, status=0):
    r = subprocess.run([example("fetch"), *args], capture_output=True, text=True, timeout=LIMIT,
                       check=False)
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    return r.stdout


def answers(*urls):
    """What each URL answered: (status, bytes)."""
    lines = [line.split() for line in fetch(*urls).splitlines()]
    found = {line[-1]: (int(line[0]), int(line[1])) for line in lines}
    return [found[u] for u in urls]


@contextlib.contextmanager
def nginx(behind=1):
    """With files of its own, and /via/, which is another server's, at that port."""
    path = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        raise Skip("no nginx")
    with tempfile.TemporaryDirectory() as d:
        write_files(d + "/files")
        os.chmod(d, 0o755)
        with open(d + "/template", "w", encoding="ascii") as f:
            f.write(NGINX.replace("DIR", d).replace("BEHIND", str(behind)))
        start = f"sed s/LISTEN/PORT/ {d}/template > {d}/conf && exec {path} -p {d} -c {d}/conf"
        with Program("sh", "-c", start) as s:
            yield f"http://127.0.0.1:{s.port}"


def write_files(folder):
    os.makedirs(folder)
    for name, size in (("small", 11), ("big", 3_000_000), ("none", 0)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(b"x" * size)


def test_fetch_from_python():
    with tempfile.TemporaryDirectory() as d:
        write_files(d + "/files")
        with Program(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory",
                     d + "/files", "PORT") as s:
            at = f"http://127.0.0.1:{s.port}"
            assert answers(f"{at}/small", f"{at}/big", f"{at}/none", f"{at}/missing")[:3] == [
                (200, 11), (200, 3_000_000), (200, 0)]
            assert fetch("-n", "50", f"{at}/small", f"{at}/none") == "100 requests, 0 failed\n"


def test_fetch_from_nginx():
    with nginx() as at:
        assert answers(f"{at}/small", f"{at}/big", f"{at}/none", f"{at}/moved", f"{at}/empty",
                       f"{at}/short", f"{at}/chunks/big") == [
                           (200, 11), (200, 3_000_000), (200, 0), (200, 3_000_000), (204, 0),
                           (200, 5), (200, 3_000_000)]
        # It closes each connection after seven requests; some of them have gone stale by then.
        assert fetch("-n", "200", f"{at}/small", f"{at}/moved") == "400 requests, 0 failed\n"


def test_fetch_from_the_example_server():
    with Program(example("http"), "127.0.0.1:PORT") as s:
        at = f"http://127.0.0.1:{s.port}"
        assert answers(f"{at}/hello/you", f"{at}/ticks?n=2", f"{at}/count")[:2] == [
            (200, 12), (200, 14)]
        assert fetch("-n", "1000", f"{at}/hello/you") == "1000 requests, 0 failed\n"


def test_fetch_says_what_is_wrong():
    port = free_port()
    assert "Connection refused" in fetch(f"http://127.0.0.1:{port}/", status=1)
    assert "URL scheme is not http" in fetch("https://127.0.0.1/", status=1)
    assert "malformed URL" in fetch("http://", status=1)
    fetch(status=2)


# ---- what http_ask.c asks ----

class PythonHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", **fields):
        self.send_response(status)
        for k, v in fields.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def handle_expect_100(self):
        return self.path == "/refuse" or super().handle_expect_100()

    def do_GET(self):
        if self.path == "/refuse":
            self.close_connection = True
            return self.say(413)
        body = self.read()
        if self.path == "/peer":
            return self.say(200, b"%s:%d" % (self.client_address[0].encode(), self.client_address[1]))
        if self.path in ("/moved", "/other"):
            return self.say(307 if self.path == "/moved" else 302, Location="/echo")
        return self.say(200, body, X_Method=self.command, X_Length=self.headers.get("Content-Length", "-1"))

    do_POST = do_HEAD = do_GET


def ask(at, *more):
    for _ in range(4):
        r = subprocess.run([os.path.join(BUILD, "tests", "http_ask"), at, *more], capture_output=True, text=True,
                           timeout=LIMIT, check=False)
        if "strcmp(first, got) == 0" not in r.stderr:   # a connection that paused, on either side, is not kept
            break
    assert r.returncode == 0 and r.stdout == "good\n", (r.returncode, r.stderr)


def test_it_asks_python():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), PythonHandler) as s:
        threading.Thread(target=s.serve_forever, args=(0.01,), daemon=True).start()
        ask(f"http://127.0.0.1:{s.server_address[1]}")
        s.shutdown()


def test_it_asks_node():
    need("node")
    with Program("node", os.path.join(HERE, "http_peers", "peer.mjs"), "serve", "PORT") as s:
        ask(f"http://127.0.0.1:{s.port}")


def test_it_asks_go_and_nginx_in_front_of_it():
    with Program(built_by_go("http_peers/peer.go"), "serve", "PORT") as s:
        ask(f"http://127.0.0.1:{s.port}")
        with nginx(s.port) as at:
            ask(at + "/via", "through")


main(globals())
