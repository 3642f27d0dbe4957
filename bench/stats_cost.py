#!/usr/bin/env python3
"""stats_cost.py NAME=BUILD[,OPTION...]... - what a build option costs: the same servers of several builds.

The options are given to `runnel serve`. Of each build `runnel` and examples/example_http are needed, of the first also the client (-Dbench=true).
64 connections, in the one-CPU layout of bench/run. CPU time for each request is measured in
interleaved rounds: printed are the median, the least, and the median and quartiles of the ratios, within a
round, to the first build. User instructions for each request are counted by callgrind, and exact; with --functions
also where they are made, and with --rounds 0 nothing else is done. See docs/design/observe.md.
"""
import argparse
import os
import statistics
import sys
import tempfile

sys.dont_write_bytecode = True      # beside the sources

from counting import count_with_callgrind
from servers import Failure, Server, Setup, WARMUP_S, Workload, run_client

COUNTED = (0, 0, 30000)
SERVERS = {
    "runnel echo": ("runnel", Workload("", "echo", 64, COUNTED)),
    "runnel serve": ("runnel", Workload("", "http", 64, COUNTED)),
    "examples/http": ("handler", Workload("", "http", 64, COUNTED, "/hello/world")),
}


class Build(Setup):
    """Its servers, with the client of another."""

    def __init__(self, build, options, scratch, client_of):
        super().__init__(client_of, scratch)
        self.servers, self.options = build, options
        os.mkdir(os.path.join(self.www, "hello"))
        with open(os.path.join(self.www, "hello", "world"), "w") as f:
            f.write("Hello, world!\n")

    def runnel(self):
        return os.path.join(self.servers, "runnel")

    def command(self, peer, workload, port, single=False):
        if peer == "handler":
            return [os.path.join(self.servers, "examples", "example_http"), f"127.0.0.1:{port}"]
        argv = super().command(peer, workload, port, single)
        return argv + self.options if workload.kind == "http" else argv


def cpu_us(setup, peer, workload, seconds):
    for _ in range(3):
        with Server(setup, peer, workload, layout="one") as server:
            r = run_client(setup, server, workload, "--warmup", WARMUP_S, "--seconds", seconds)
        if r["requests"] > 0:   # else others had the CPU for all that time
            return (r["server_cpu_ns"] + r["server_softirqd_ns"]) / r["requests"] / 1e3
    raise Failure(f"{peer} gets no CPU")


def time_rounds(setups, peer, workload, args):
    """{name: [CPU us for each request]}, one item for each round."""
    rows = {name: [] for name in setups}
    names = list(setups)
    for turn in range(args.rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            rows[name].append(cpu_us(setups[name], peer, workload, args.seconds))
    return rows


def print_functions(functions, most):
    """functions: {name of the build: {function: instructions}}"""
    of_all = {f for counts in functions.values() for f in counts}
    largest = sorted(of_all, key=lambda f: -max(c.get(f, 0) for c in functions.values()))
    for f in largest[:most]:
        print(f"    {f:<32}" + "".join(f"{c.get(f, 0):>9.0f}" for c in functions.values()))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("builds", nargs="+", metavar="NAME=BUILD[,OPTION...]")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--seconds", type=float, default=0.6)
    p.add_argument("--only", choices=SERVERS, help="this server")
    p.add_argument("--functions", type=int, metavar="N", default=0,
                   help="the N functions with the most instructions, in each build")
    args = p.parse_args()
    builds = {name: build.split(",") for name, build in (b.split("=", 1) for b in args.builds)}
    first = next(iter(builds))
    print(f"{'':<15}{'':<10}{'instructions':>13}{'CPU us':>8}{'least':>7}{'x first':>9}  (quartiles)")
    with tempfile.TemporaryDirectory(prefix="runnel-bench-") as scratch:
        setups = {}
        for name, (build, *options) in builds.items():
            os.mkdir(os.path.join(scratch, name))
            setups[name] = Build(os.path.abspath(build), options, os.path.join(scratch, name),
                                 os.path.abspath(builds[first][0]))
        for title in [args.only] if args.only else SERVERS:
            peer, workload = SERVERS[title]
            functions = {}
            for name, us in (rows := time_rounds(setups, peer, workload, args)).items():
                functions[name] = {}
                n = count_with_callgrind(setups[name], peer, workload, functions[name])
                print(f"{title:<15}{name:<10}{n:>13.0f}", end="", flush=True)
                if len(us) > 1:
                    low, middle, high = statistics.quantiles(
                        [a / b for a, b in zip(us, rows[first])], n=4)
                    print(f"{statistics.median(us):>8.2f}{min(us):>7.2f}{middle:>9.3f}"
                          f"  {low:.3f}..{high:.3f}", end="")
                print(flush=True)
            print_functions(functions, args.functions)


main()
