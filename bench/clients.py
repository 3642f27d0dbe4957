"""bench/clients.py - the same servers, loaded by the clients that others measure with: wrk, h2load, hey."""
import re
import shutil
import subprocess

from servers import Failure, Server, WORKLOADS, cpu_ns, say, spawn, stop

CLIENT_CONNS = 64
# How each is called for so many connections and seconds, and what it prints: requests, requests/s.
CLIENTS = {
    "wrk": (["wrk", "-t1", "-c{conns}", "-d{seconds}s", "{url}"],
            r"(\d+) requests in ", r"Requests/sec:\s+([\d.]+)"),
    "h2load": (["h2load", "--h1", "-t1", "-c{conns}", "-D{seconds}", "{url}"],
               r"(\d+) succeeded", r", ([\d.]+) req/s"),
    "hey": (["hey", "-c", "{conns}", "-z", "{seconds}s", "{url}"],
            r"\[200\]\s+(\d+) responses", r"Requests/sec:\s+([\d.]+)"),
}
WRONG = r"Socket errors:|Non-2xx|Error distribution|[1-9]\d* (?:failed|errored|timeout)"


def load_by(client, server, seconds):
    argv, n_pattern, rate_pattern = CLIENTS[client]
    words = {"conns": CLIENT_CONNS, "seconds": max(1, round(seconds)),
             "url": f"http://127.0.0.1:{server.port}{server.path}"}
    before = cpu_ns(server.pids())
    proc = spawn(["taskset", "-c", str(server.cpus["client"]), *(a.format(**words) for a in argv)],
                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                 text=True)
    try:
        out, _ = proc.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Failure(f"{client} did not end") from None
    finally:
        stop(proc)
    n, rate = re.search(n_pattern, out), re.search(rate_pattern, out)
    wrong = re.search(WRONG, out)
    if not n or not rate or wrong:
        raise Failure(f"{client}: {wrong[0] if wrong else out[-500:]}")
    return {"rps": float(rate[1]), "cpu": (cpu_ns(server.pids()) - before) / int(n[1]) / 1e3}


def measure_clients(setup, peers, args, rows):
    clients = [c for c in CLIENTS if shutil.which(c)]
    for missing in sorted(set(CLIENTS) - set(clients)):
        say(f"clients: without {missing}, which is not installed")
    for turn in range(args.rounds):
        say(f"clients: round {turn + 1} of {args.rounds}")
        shift = turn % len(peers)
        for peer in peers[shift:] + peers[:shift]:
            for client in clients:
                try:
                    with Server(setup, peer, WORKLOADS["hello64"]) as server:
                        rows.append({"kind": "clients", "workload": "clients", "server": peer,
                                     "client": client, "round": turn + 1,
                                     **load_by(client, server, args.seconds)})
                except Failure as e:
                    say(f"  {peer}: {e}")
