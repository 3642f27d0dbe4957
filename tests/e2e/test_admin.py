#!/usr/bin/env python3
"""test_admin.py BUILD_DIR [NAME...] - `runnel serve --admin`: curl, promtool, Prometheus, a browser.

Each tool is left out with a reason where it is missing. Prometheus and Chromium are started here, on
loopback, and ended by pid."""
import contextlib
import html
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

from browser import Browser
from e2e import (GET, LIMIT, RUNNEL, SANITIZED, Admin, Serve, Skip, free_port, main, need, read_head, read_response,
                 until)


def sample(text, name):
    """The value of a sample, labels included; None where there is none."""
    found = re.search("^" + re.escape(name) + r" (\S+)$", text, re.M)
    return found and float(found[1])


def test_curl_gets_each_page():
    need("curl")
    with Admin() as s:
        assert "admin on http://127.0.0.1:" in s.stderr() and "for this machine only" in s.stderr()
        for path, what in (("/", "<!doctype html>"), ("/metrics", "# HELP"), ("/debug/stats.json", '{"version"'),
                           ("/debug/coroutines", "runnel: "),
                           ("/debug/coroutines?grouped", "runnel: "), ("/healthz", "ok"), ("/readyz", "ready")):
            out = subprocess.run(["curl", "-sSf", "--max-time", str(LIMIT / 2), s.url(path)], capture_output=True,
                                 text=True, check=True).stdout
            assert out.startswith(what), (path, out[:200])
        assert s.end() == 0


def test_requests_connections_and_calls_are_told():
    with Admin() as s:
        s.ask(20)
        s.ask(5, b"none")
        text = s.get("/metrics")
        assert sample(text, 'runnel_http_requests_total{server="files",code="200"}') == 20
        assert sample(text, 'runnel_http_requests_total{server="files",code="404"}') == 5
        assert sample(text, 'runnel_http_request_duration_seconds_count{server="files"}') == 25
        assert sample(text, 'runnel_http_response_bytes_total{server="files"}') >= 20 * 11
        assert sample(text, 'runnel_connections_opened_total{how="accepted"}') >= 2
        assert sample(text, 'runnel_syscalls_total{call="accept4"}') >= 2
        assert sample(text, f'runnel_listener_queue_limit{{address="127.0.0.1:{s.port}"}}') > 0
        stats = s.stats()
        assert stats["http"][0]["requests"] == 25
        assert sum(c["calls"] for c in stats["total"]["calls"]) > 100
        assert stats["waits"]["accept"] >= 2 and len(stats["http"][0]["slow"]) == 8, stats["waits"]
        before = sample(text, 'runnel_syscalls_total{call="accept4"}')
        s.ask(3)
        assert sample(s.get("/metrics"), 'runnel_syscalls_total{call="accept4"}') > before


def test_promtool_finds_nothing_to_complain_of():
    need("promtool")
    with Admin() as s:
        s.ask(70)
        s.ask(2, b"none")
        r = subprocess.run(["promtool", "check", "metrics"], input=s.get("/metrics"), capture_output=True, text=True,
                           check=False)
        assert r.returncode == 0 and not r.stdout + r.stderr, r.stdout + r.stderr


def test_prometheus_scrapes_and_answers_queries():
    need("prometheus")
    if SANITIZED:
        raise Skip("the text is the same")
    port = free_port()
    with Admin() as s, tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.yml"), "w", encoding="ascii") as f:
            f.write("scrape_configs:\n- job_name: runnel\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n"
                    f"  static_configs: [{{targets: ['127.0.0.1:{s.admin}']}}]\n")
        with open(os.path.join(folder, "log"), "w+", encoding="utf-8") as log:
            p = subprocess.Popen(["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/db",
                                  f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

            def query(expression):
                try:
                    with urllib.request.urlopen(
                            f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression}),
                            timeout=LIMIT / 2) as answer:
                        result = json.load(answer)["data"]["result"]
                except OSError:
                    return None
                return float(result[0]["value"][1]) if result else None

            def await_more(expression, than):
                """A scrape that was too late for its 200 ms has no samples: one of the next will be in time."""
                until(lambda: (query(expression) or 0) > than, expression)

            try:
                until(lambda: query('up{job="runnel"}') == 1, "not scraped")
                s.ask(30)
                until(lambda: query('sum(runnel_http_requests_total{code="200"})') == 30, "not all counted")
                await_more('sum(rate(runnel_syscalls_total[1m]))', 0)
                await_more('histogram_quantile(0.99, sum by (le) (runnel_http_request_duration_seconds_bucket))', 0)
                await_more('scrape_samples_scraped{job="runnel"}', 100)
            finally:
                p.terminate()
                p.wait()
            log.seek(0)
            assert "append failed" not in log.read().lower()


def test_while_it_drains_it_is_healthy_and_not_ready():
    with Admin() as s, s.connect(room=64 << 10) as busy:
        busy.sendall(GET % b"big.bin")
        read_head(busy)
        s.send(signal.SIGTERM)
        until(lambda: status_for(s.url("/readyz"), "localhost") == 503, "ready")
        try:
            s.get("/readyz")
            raise AssertionError("ready again")
        except urllib.error.HTTPError as e:
            assert e.code == 503 and e.read() == b"draining\n"
        assert "draining" in s.stderr()
        assert s.get("/healthz") == "ok\n"
        busy.close()
        assert s.process.wait(LIMIT / 3) == 0, s.stderr()


def test_a_public_admin_address_must_be_asked_for():
    with tempfile.TemporaryDirectory() as folder:
        port, admin = free_port(), free_port()
        argv = [RUNNEL, "serve", "--listen", f"127.0.0.1:{port}", "--admin"]
        for address in (f"0.0.0.0:{admin}", f":{admin}"):
            r = subprocess.run(argv + [address, folder], capture_output=True, text=True, timeout=LIMIT / 2, check=False)
            assert r.returncode == 1 and "--admin-public" in r.stderr, r
        r = subprocess.run(argv + ["nonsense", folder], capture_output=True, text=True, timeout=LIMIT / 2, check=False)
        assert r.returncode == 1 and "cannot listen on nonsense" in r.stderr, r
    with Serve("--admin", f"0.0.0.0:{admin}", "--admin-public") as s:
        assert "FOR EVERYBODY" in s.stderr()
        assert urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=LIMIT / 2).read() == b"ok\n"
        assert status_for(f"http://127.0.0.1:{admin}/healthz", "proxy.example") == 200


def status_for(url, host):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=LIMIT / 2) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code


def test_a_name_that_leads_here_does_not_get_the_admin_pages():
    with Admin() as s:
        for host in ("127.0.0.1", f"127.0.0.1:{s.admin}", "localhost", "LocalHost:1", "[::1]:80", "10.0.0.1"):
            assert status_for(s.url("/metrics"), host) == 200, host
        for host in ("evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example",
                     "localhos", "1a"):
            assert status_for(s.url("/metrics"), host) == 403, host


def test_admin_on_a_unix_socket():
    with tempfile.TemporaryDirectory() as folder, Serve("--admin", f"{folder}/admin.sock") as s:
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(LIMIT / 3)
            c.connect(f"{folder}/admin.sock")
            c.sendall(GET % b"healthz")
            assert read_response(c)[1] == b"ok\n"
        assert s.end() == 0 and not os.path.exists(f"{folder}/admin.sock")


def load(s, stop):
    while not stop.is_set():
        s.ask(20)
        s.ask(1, b"none")


def browse(s, *options):
    """Chromium's console, and the page as it is after 20 s of its own time."""
    with tempfile.TemporaryDirectory() as folder:
        p = subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
                            "--enable-logging=stderr", "--virtual-time-budget=20000", *options, "--dump-dom",
                            s.url("/")], capture_output=True, text=True, timeout=LIMIT, check=True)
    return [x for x in p.stderr.splitlines() if "CONSOLE" in x], html.unescape(p.stdout)


def test_the_dashboard_moves_in_a_browser():
    need("chromium")
    if SANITIZED:
        raise Skip("the page is the same")
    stop = threading.Event()
    with Admin() as s:
        loader = threading.Thread(target=load, args=(s, stop))
        loader.start()
        try:
            for _ in range(3):      # on a busy machine the page's last second may have been ours alone
                console, dom = browse(s)
                now = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", dom))
                rate = re.fullmatch(r"([\d.]+)( k)?/s", now["Requests"])
                if not rate or float(rate[1]) > 0:
                    break
        finally:
            stop.set()
            loader.join()
        assert not console, console
        assert rate and float(rate[1]) > 0, now
        assert float(now["Calls a request"]) > 0.5, now
        labels = re.findall(r'<svg [^>]*role="img"[^>]*aria-label="([^"]*)"|'
                            r'<svg [^>]*aria-label="([^"]*)"[^>]*role="img"', dom)
        labels = [a or b for a, b in labels]
        assert len(labels) == 12 and not any("no values" in x for x in labels), labels
        assert any(re.match(r"Requests per second, by status\. 2xx [\d.]+", x) for x in labels), labels
        assert any(re.match(r"Coroutines by what they wait in\. .*\baccept [1-9]", x) for x in labels), labels
        assert any(re.match(r"Accept queues\. 127.0.0.1:\d+ \d", x) for x in labels), labels
        assert len(re.findall(r'<path d="M[^"]+L', dom)) > 10, "no lines are drawn"
        assert re.search(r'<th scope="row">recv</th><td>[1-9]', dom), "no calls in the table"
        slow = re.search(r'<table id="slow-calls".*?</table>', dom, re.S)[0]
        assert len(re.findall(r'<th scope="row">\w+</th><td>[\d.]+ [nµm]?s</td>', slow)) == 8, slow
        assert "GET /" in dom and re.search(r'<th scope="row">accept</th>', dom)


def test_a_full_accept_queue_and_a_held_proc_are_marked_in_a_browser():
    need("chromium")
    if SANITIZED:
        raise Skip("the page is the same")
    with Admin("--max-conns", "1", "--backlog", "4") as s, Browser() as browser:
        browser.load("Page.navigate", url=s.url("/"))
        with contextlib.ExitStack() as stack:
            for _ in range(6):      # one or two are accepted, the others wait
                stack.enter_context(socket.create_connection(("127.0.0.1", s.port), 10))
            until(lambda: browser.evaluate("document.querySelectorAll('#listeners .bad').length") == 2, "not marked")
        until(lambda: browser.evaluate("document.querySelectorAll('#listeners .bad').length") == 0, "still marked")
        assert browser.evaluate("marked('x', true).outerHTML") == '<strong class="bad">x</strong>'
        assert browser.evaluate("$('procs').textContent").count("turn now") == 1


SERIES = """
(() => {
  const chart = new Chart("test", short, { stacked: true, most: 2 }), seen = [];
  for (const values of [{ a: 3, b: 2 }, { a: 3, b: 2, c: 1 }, { a: 3, c: 20, d: 4 }]) {
    chart.add(seen.length * 1e9, values);
    chart.draw();
    seen.push([chart.text(chart.rows[chart.rows.length - 1]), chart.key.textContent.replace(/\\s+/g, " ")]);
  }
  return [seen, ofEachProc([1, 2]), ofEachProc([1, 2, 3, 4, 5, 6, 7, 8])];
})()"""


def test_a_plot_of_many_series_shows_the_largest_each_in_its_place():
    need("chromium")
    if SANITIZED:
        raise Skip("the page is the same")
    with Admin() as s, Browser() as browser:
        browser.load("Page.navigate", url=s.url("/"))
        seen, few, many = browser.evaluate(SERIES)
    assert [x[0] for x in seen] == ["a 3, b 2", "a 3, b 2, other 1", "a 3, c 20, other 4"], seen
    assert [x[1].strip() for x in seen] == ["a 3b 2", "a 3b 2other 1", "a 3c 20other 4"], seen
    assert few == {"P 1": 1, "P 2": 2} and many == {"most": 8, "mean": 4.5, "least": 1}, (few, many)


main(globals())
