#!/usr/bin/env python3
"""test_client.py BUILD_DIR [NAME...] - examples/fetch against servers of others."""
import os
import shutil
import subprocess
import sys
import tempfile

from e2e import LIMIT, Program, Skip, example, free_port, main

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
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        raise Skip("no nginx")
    with tempfile.TemporaryDirectory() as d:
        write_files(d + "/files")
        os.chmod(d, 0o755)
        with open(d + "/template", "w", encoding="ascii") as f:
            f.write(NGINX.replace("DIR", d))
        start = f"sed s/LISTEN/PORT/ {d}/template > {d}/conf && exec {nginx} -p {d} -c {d}/conf"
        with Program("sh", "-c", start) as s:
            at = f"http://127.0.0.1:{s.port}"
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


main(globals())
