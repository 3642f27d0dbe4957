#!/usr/bin/env python3
"""test_doctor.py BUILD_DIR [NAME...] - `runnel doctor`: each limit set wrong is found, and the command told mends it.

What can be set in a network namespace is set there; the rest is a folder with a proc and a sys."""
import contextlib
import ctypes
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

from e2e import LIMIT, Program, RUNNEL, Skip, libc, main, until

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
BUSY = ("-n", "100000", "-r", "20000")


def run(*argv, before=(), **more):
    return subprocess.run([*before, RUNNEL, "doctor", *argv], capture_output=True, text=True, check=False,
                          timeout=LIMIT, **more)


def examine(*argv, **more):
    """The findings by check, the last one of each; the exit status is what they say."""
    p = run("--json", *argv, **more)
    assert p.stderr == "", p.stderr
    found = json.loads(p.stdout)["checks"]
    assert p.returncode == any(f["state"] == "fail" for f in found), p
    return {f["check"]: f for f in found}


def states(found):
    return {name: f["state"] for name, f in found.items()}


# ---- a folder with a proc and a sys ----

LIMITS = """Limit                     Soft Limit           Hard Limit           Units     
Max open files            200000               200000               files     
Max locked memory         8388608              unlimited            bytes     
"""
TREE = {
    "proc/sys/net/core/somaxconn": "8192\n",
    "proc/sys/net/core/rmem_max": "212992\n",
    "proc/sys/net/core/wmem_max": "212992\n",
    "proc/sys/net/core/netdev_max_backlog": "5000\n",
    "proc/sys/net/core/rps_sock_flow_entries": "32768\n",
    "proc/sys/net/ipv4/tcp_max_syn_backlog": "8192\n",
    "proc/sys/net/ipv4/tcp_syncookies": "1\n",
    "proc/sys/net/ipv4/tcp_abort_on_overflow": "0\n",
    "proc/sys/net/ipv4/tcp_migrate_req": "1\n",
    "proc/sys/net/ipv4/ip_local_port_range": "1024\t65535\n",
    "proc/sys/net/ipv4/tcp_tw_reuse": "1\n",
    "proc/sys/net/ipv4/tcp_fin_timeout": "30\n",
    "proc/sys/net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
    "proc/sys/net/ipv4/tcp_wmem": "4096\t16384\t4194304\n",
    "proc/sys/net/ipv4/tcp_mem": "200000\t400000\t600000\n",
    "proc/sys/net/netfilter/nf_conntrack_max": "4000000\n",
    "proc/sys/net/netfilter/nf_conntrack_count": "100\n",
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/fs/file-max": "9223372036854775807\n",
    "proc/sys/fs/epoll/max_user_watches": "5000000\n",
    "proc/sys/vm/max_map_count": "262144\n",
    "proc/sys/kernel/osrelease": "5.10.0-1-amd64\n",
    "proc/sys/kernel/io_uring_disabled": "0\n",
    "proc/meminfo": "MemTotal:       32000000 kB\n",
    "proc/self/limits": LIMITS,
    "proc/self/status": "Name:\tx\nCapEff:\t000001ffffffffff\nSeccomp:\t2\nSeccomp_filters:\t1\n"
                        "Cpus_allowed_list:\t0-3\n",
    "proc/self/cgroup": "0::/system.slice/site.service\n",
    "proc/self/net/netstat": "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPReqQFullDrop\n"
                             "TcpExt: 0 3 3 0\nIpExt: InOctets\nIpExt: 5\n",
    "proc/self/net/snmp": "Ip: Forwarding\nIp: 1\nTcp: PassiveOpens OutSegs RetransSegs\n"
                          "Tcp: 900000 1000000 5000\n",
    "sys/class/net/eth0/device/vendor": "0x1af4\n",
    "sys/class/net/eth0/queues/rx-0/rps_cpus": "f\n",
    "sys/class/net/eth0/queues/rx-0/rps_flow_cnt": "0\n",
    "sys/class/net/eth0/queues/tx-0/x": "",
    "sys/class/net/lo/queues/rx-0/rps_cpus": "0\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/btf/vmlinux": "",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm \n",
    "sys/fs/cgroup/system.slice/memory.max": "max\n",
    "sys/fs/cgroup/system.slice/site.service/memory.max": "8589934592\n",
    "sys/fs/cgroup/system.slice/site.service/memory.events": "low 0\noom 0\noom_kill 0\n",
    "sys/fs/cgroup/system.slice/site.service/cpu.max": "200000 100000\n",
    "sys/fs/cgroup/system.slice/site.service/cpu.stat": "usage_usec 5\nnr_periods 1000\nnr_throttled 20\n",
}


@contextlib.contextmanager
def tree(changes=None, **more):
    """A machine that is fine for BUSY, but for the changes; None: no such file."""
    folder = tempfile.mkdtemp()
    try:
        for path, text in {**TREE, **(changes or {}), **more}.items():
            if text is not None:
                write(os.path.join(folder, path), text)
        yield folder
    finally:
        shutil.rmtree(folder)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="latin-1") as f:
        f.write(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def found_in_tree(check, state, changes):
    with tree(changes) as root:
        f = examine("--root", root, *BUSY, check)[check]
        assert f["state"] == state, f
        return f


def test_a_machine_that_is_fine_has_no_findings():
    with tree() as root:
        found = examine("--root", root, *BUSY)
        assert {n: s for n, s in states(found).items() if s != "ok"} == {"io_uring": "unknown"}, found
        p = run("--root", root, *BUSY)
        assert p.returncode == 0 and "0 warn, 0 fail, 1 unknown" in p.stdout, p


def test_each_limit_that_is_wrong_is_found_and_no_other():
    sysctl = "proc/sys/"
    group = "sys/fs/cgroup/system.slice/"
    cases = (
            (sysctl + "net/core/somaxconn", "128\n", "somaxconn", "warn"),
            (sysctl + "net/core/rmem_max", "4096\n", "rmem_max", "warn"),
            (sysctl + "net/core/wmem_max", "4096\n", "wmem_max", "warn"),
            (sysctl + "net/core/netdev_max_backlog", "1000\n", "netdev_max_backlog", "warn"),
            (sysctl + "net/core/rps_sock_flow_entries", "0\n", "rps_sock_flow_entries", "warn"),
            (sysctl + "net/ipv4/tcp_syncookies", "2\n", "tcp_syncookies", "warn"),
            (sysctl + "net/ipv4/tcp_abort_on_overflow", "1\n", "tcp_abort_on_overflow", "warn"),
            (sysctl + "net/ipv4/tcp_migrate_req", "0\n", "tcp_migrate_req", "warn"),
            (sysctl + "net/ipv4/ip_local_port_range", "50000 59999\n", "ip_local_port_range", "warn"),
            (sysctl + "net/ipv4/tcp_tw_reuse", "2\n", "tcp_tw_reuse", "warn"),
            (sysctl + "net/ipv4/tcp_fin_timeout", "60\n", "tcp_fin_timeout", "warn"),
            (sysctl + "net/ipv4/tcp_rmem", "4096 131072 262144\n", "tcp_rmem", "warn"),
            (sysctl + "net/ipv4/tcp_wmem", "4096 16384 65536\n", "tcp_wmem", "warn"),
            (sysctl + "net/ipv4/tcp_mem", "10000 20000 30000\n", "tcp_mem", "warn"),
            (sysctl + "net/netfilter/nf_conntrack_max", "262144\n", "nf_conntrack_max", "fail"),
            (sysctl + "fs/nr_open", "65536\n", "nr_open", "fail"),
            (sysctl + "fs/file-max", "100000\n", "file_max", "fail"),
            (sysctl + "fs/epoll/max_user_watches", "100000\n", "max_user_watches", "fail"),
            (sysctl + "vm/max_map_count", "65530\n", "max_map_count", "fail"),
            (sysctl + "kernel/io_uring_disabled", "2\n", "io_uring_disabled", "warn"),
            ("proc/self/limits", LIMITS.replace("200000", "1024  "), "nofile", "fail"),
            ("proc/self/limits", LIMITS.replace("8388608", "65536  "), "memlock", "warn"),
            ("proc/self/net/netstat", TREE["proc/self/net/netstat"].replace(" 3 3 ", " 300 300 "),
             "listen_overflows", "warn"),
            ("proc/self/net/snmp", TREE["proc/self/net/snmp"].replace(" 5000", " 50000"),
             "retransmits", "warn"),
            ("proc/self/status", TREE["proc/self/status"].replace("Seccomp:\t2", "Seccomp:\t1"), "seccomp",
             "fail"),
            ("proc/self/status", TREE["proc/self/status"].replace("000001ffffffffff", "0"), "cap_bpf",
             "warn"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n",
             "transparent_hugepage", "warn"),
            ("sys/kernel/btf/vmlinux", None, "btf", "warn"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", "clocksource",
             "warn"),
            (group + "memory.max", "104857600\n", "cgroup_memory", "fail"),
            (group + "site.service/memory.max", "104857600\n", "cgroup_memory", "fail"),
            (group + "site.service/memory.events", "oom_kill 2\n", "cgroup_memory", "warn"),
            (group + "site.service/cpu.stat", "nr_periods 1000\nnr_throttled 400\n", "cgroup_cpu", "warn"))
    with tree() as root:
        for path, text, check, state in cases:
            if text is None:
                os.unlink(os.path.join(root, path))
            else:
                write(os.path.join(root, path), text)
            bad = {n: s for n, s in states(examine("--root", root, *BUSY)).items()
                   if s not in ("ok", "unknown")}
            assert bad == {check: state}, (path, bad)
            write(os.path.join(root, path), TREE[path])


def test_what_the_target_needs_decides():
    with tree({"proc/sys/net/core/somaxconn": "4096\n"}) as root:
        for rate, state in (("1000", "ok"), ("16384", "ok"), ("16388", "warn")):
            f = examine("--root", root, "-r", rate, "somaxconn")["somaxconn"]
            assert f["state"] == state, (rate, f)
        assert f["wanted"] == "at least 4097" and f["temporary"] == "sysctl -w net.core.somaxconn=4097", f
    with tree() as root:
        assert examine("--root", root, "-n", "199936", "nofile")["nofile"]["state"] == "ok"
        assert examine("--root", root, "-n", "199937", "nofile")["nofile"]["state"] == "fail"


def test_what_matters_only_with_something_else_is_ok_without():
    syn = "proc/sys/net/ipv4/tcp_max_syn_backlog"
    found_in_tree("tcp_max_syn_backlog", "ok", {syn: "64\n"})
    found_in_tree("tcp_max_syn_backlog", "warn", {syn: "64\n", "proc/sys/net/ipv4/tcp_syncookies": "0\n"})
    maps = "proc/sys/vm/max_map_count"
    for release, state in (("6.12.9", "fail"), ("6.13.0-rc1", "ok"), ("7.0", "ok"), ("x", "fail")):
        found_in_tree("max_map_count", state, {maps: "65530\n", "proc/sys/kernel/osrelease": release})
    most, count = (f"proc/sys/net/netfilter/nf_conntrack_{n}" for n in ("max", "count"))
    found_in_tree("nf_conntrack_max", "ok", {most: "100\n", count: "0\n"})
    found_in_tree("nf_conntrack_max", "ok", {most: None, count: None})
    tcp_mem = "proc/sys/net/ipv4/tcp_mem"
    f = found_in_tree("tcp_mem", "fail", {tcp_mem: "1 2 3\n", "proc/meminfo": "MemTotal: 1000000 kB\n"})
    assert f["temporary"] == "" and "more memory" in f["note"], f
    with tree({"proc/self/limits": LIMITS.replace("200000 ", "1024   ", 1)}) as root:
        assert "rn_run raises" in examine("--root", root, *BUSY, "nofile")["nofile"]["found"]


def test_few_queues_of_a_card_want_rps_which_its_command_sets():
    mask = "sys/class/net/eth0/queues/rx-0/rps_cpus"
    status = "proc/self/status"
    with tree({mask: "00000000,00000000\n", status: "Cpus_allowed_list:\t0-31,64-65\n"}) as root:
        found = examine("--root", root, *BUSY, "rps_cpus", "nic_queues")
        assert states(found) == {"rps_cpus": "warn", "nic_queues": "warn"}, found
        assert "each of 34 CPUs" in found["rps_cpus"]["wanted"], found
        subprocess.run(found["rps_cpus"]["temporary"], shell=True, check=True)
        assert read(os.path.join(root, mask)) == "3,ffffffff\n"
        found = examine("--root", root, *BUSY, "rps_cpus", "nic_queues")
        assert states(found) == {"rps_cpus": "ok", "nic_queues": "ok"}, found
    found_in_tree("nic_queues", "ok", {mask: "0\n", status: "Cpus_allowed_list:\t0\n"})
    found_in_tree("rps_cpus", "unknown", {mask: None, "sys/class/net/eth0/queues/rx-0/x": ""})
    found_in_tree("nic_queues", "ok", {"sys/class/net/eth0/device/vendor": None})


def test_commands_that_write_to_sys_mend_what_they_are_told_for():
    clock = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    group = "sys/fs/cgroup/system.slice/memory.max"
    with tree({clock: "acpi_pm\n", group: "1000000\n",
               "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"}) as root:
        names = ("clocksource", "cgroup_memory", "transparent_hugepage")
        for f in examine("--root", root, *BUSY, *names).values():
            assert f["state"] in ("warn", "fail"), f
            subprocess.run(f["temporary"], shell=True, check=True)
        assert set(states(examine("--root", root, *BUSY, *names)).values()) == {"ok"}


def test_old_control_groups_are_read_too():
    old = {"proc/self/cgroup": "4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/\n",
           "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "104857600\n",
           "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
           "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "50000\n",
           "sys/fs/cgroup/cpu/c/cpu.stat": "nr_periods 10\nnr_throttled 9\nthrottled_time 4\n"}
    f = found_in_tree("cgroup_memory", "fail", old)
    assert f["found"] == "100 MiB" and f["source"].endswith("/memory/a/memory.limit_in_bytes"), f
    found_in_tree("cgroup_cpu", "warn", old)
    old["sys/fs/cgroup/cpu/c/cpu.cfs_quota_us"] = "-1\n"
    assert found_in_tree("cgroup_cpu", "ok", old)["found"] == "no quota"


def test_nothing_to_read_is_unknown_with_the_reason():
    with tempfile.TemporaryDirectory() as root:
        found = examine("--root", root)
        known = {n for n, s in states(found).items() if s != "unknown"}
        assert known == {"listeners", "nf_conntrack_max", "transparent_hugepage", "btf"}, known
        f = found["somaxconn"]
        assert f["found"].startswith("cannot read /proc/sys/net/core/somaxconn: an older kernel"), f


def test_garbage_in_any_file_breaks_nothing():
    long = "9" * 5000
    texts = ("", "\n", "x", "-", ":", "::", long, "TcpExt:\n", "TcpExt: ListenOverflows", "0-", "[", "\xff\0",
             "Max open files", "Seccomp:", "1 2", "TcpExt: ListenOverflows\nTcpExt:", "0::/" + long,
             "-1 " + long, "Cpus_allowed_list:\t-5-" + long, "Cpus_allowed_list:\t0-" + long,
             f"TcpExt: ListenOverflows ListenDrops\nTcpExt: {long} {long}\n"
             f"Tcp: OutSegs RetransSegs\nTcp: -{long} {long}\n", f"[{long}]", long + " " + long + " " + long,
             f"Max open files  {long} -{long}", f"MemTotal: {long} kB")
    with tree() as root:
        for text in texts:
            for path in TREE:
                write(os.path.join(root, path), text)
            p = run("--root", root, "--json")
            assert p.returncode in (0, 1) and p.stderr == "", (text, p)
            json.loads(p.stdout)


# ---- another process, in a folder ----

def process_tree(inodes, tcp):
    """TREE and process 7: its sockets, and lines of its /proc/PID/net/tcp: address, state, queue, inode."""
    lines = "".join(f"   {i}: {a} 00000000:0000 {st} 00000000:{q:08X} 00:00000000 00000000     0        0 {n} 1\n"
                    for i, (a, st, q, n) in enumerate(tcp))
    files = {f"proc/7/{name[10:]}": text for name, text in TREE.items() if name.startswith("proc/self/")}
    context = tree({**files, "proc/7/net/tcp": "  sl  local_address\n" + lines})
    return context, {str(3 + i): f"socket:[{n}]" for i, n in enumerate(inodes)}


def test_a_process_is_looked_at_by_its_own_files():
    context, links = process_tree((11, 12), (("0100007F:1F90", "0A", 5, 11), ("0100007F:1F90", "01", 9, 12),
                                             ("00000000:0050", "0A", 7, 99)))
    with context as root:
        os.mkdir(f"{root}/proc/7/fd")
        for name, target in links.items():
            os.symlink(target, f"{root}/proc/7/fd/{name}")
        os.symlink("/dev/null", f"{root}/proc/7/fd/0")
        write(f"{root}/proc/7/limits", LIMITS.replace("200000 ", "1024   ", 1))
        found = examine("--root", root, *BUSY, "--pid", "7")
        assert found["listeners"]["found"] == "127.0.0.1:8080: 5 wait, limit unknown", found["listeners"]
        assert found["nofile"]["state"] == "warn", found["nofile"]
        assert found["nofile"]["temporary"] == "prlimit --pid 7 --nofile=100064:200000"
        assert "LimitNOFILE=100064" in found["nofile"]["permanent"]
        assert "/etc/systemd/system/site.service.d/" in found["nofile"]["permanent"]
    p = run("--pid", "999999999")
    assert p.returncode == 2 and p.stderr == "runnel: there is no process 999999999\n", p


# ---- network namespaces ----

class Network:
    """A network of its own; what runs in it is started through nsenter."""

    def __enter__(self):
        for tool in ("unshare", "nsenter", "ip", "sysctl"):
            if shutil.which(tool) is None:
                raise Skip(f"no {tool}")
        self.keeper = subprocess.Popen(["unshare", "-n", "sleep", "600"], stderr=subprocess.DEVNULL,
                                       preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))
        ours = os.readlink("/proc/self/ns/net")

        def has_own():
            try:
                return os.readlink(f"/proc/{self.keeper.pid}/ns/net") != ours
            except OSError:     # it has just ended
                return False

        until(lambda: self.keeper.poll() is not None or has_own(), "no network")
        if self.keeper.poll() is not None:
            raise Skip("not permitted to make a network namespace")
        self.before = ["nsenter", "-t", str(self.keeper.pid), "-n"]
        self.sh("ip link set lo up")
        return self

    def __exit__(self, *_):
        self.keeper.kill()
        self.keeper.wait()

    def sh(self, command):
        p = subprocess.run([*self.before, "sh", "-c", command], capture_output=True, text=True, check=False)
        assert p.returncode == 0, (command, p)
        return p.stdout

    def examine(self, *argv):
        return examine(*argv, before=self.before)

    def can_set(self, key):
        path = "/proc/sys/" + key.replace(".", "/")
        return subprocess.run([*self.before, "sh", "-c", f"[ -e {path} ] && cat {path} > {path}"],
                              capture_output=True, check=False).returncode == 0

    def python(self, code):
        return subprocess.Popen([*self.before, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))


WRONG = {
    "net.core.somaxconn": ("128", "somaxconn"),
    "net.core.rmem_max": ("4096", "rmem_max"),
    "net.core.wmem_max": ("4608", "wmem_max"),
    "net.ipv4.tcp_syncookies": ("0", "tcp_syncookies"),
    "net.ipv4.tcp_max_syn_backlog": ("64", "tcp_max_syn_backlog"),
    "net.ipv4.tcp_abort_on_overflow": ("1", "tcp_abort_on_overflow"),
    "net.ipv4.tcp_migrate_req": ("0", "tcp_migrate_req"),
    "net.ipv4.ip_local_port_range": ("50000 50999", "ip_local_port_range"),
    "net.ipv4.tcp_tw_reuse": ("0", "tcp_tw_reuse"),
    "net.ipv4.tcp_fin_timeout": ("120", "tcp_fin_timeout"),
    "net.ipv4.tcp_rmem": ("4096 65536 65536", "tcp_rmem"),
    "net.ipv4.tcp_wmem": ("4096 16384 16384", "tcp_wmem"),
}


def test_the_command_that_is_told_mends_what_was_found():
    with Network() as net:
        keys = [k for k in WRONG if net.can_set(k)]
        assert len(keys) >= 8 or not net.can_set("net.core.somaxconn"), keys
        if not keys:
            raise Skip("not permitted to write to /proc/sys")
        for key in keys:    # all at once: tcp_max_syn_backlog needs tcp_syncookies off
            net.sh(f'sysctl -w {key}="{WRONG[key][0]}"')
        checks = [WRONG[k][1] for k in keys]
        found = net.examine(*BUSY, *checks)
        assert set(states(found).values()) == {"warn"}, states(found)
        for name, f in reversed(found.items()):
            assert f["temporary"].startswith("sysctl -w " + f["sysctl"]), f
            net.sh(f["temporary"])
            assert net.examine(*BUSY, name)[name]["state"] == "ok", f
        assert set(states(net.examine(*BUSY, *checks)).values()) == {"ok"}


def test_the_network_of_a_process_is_entered_and_mended_from_outside():
    with Network() as net:
        if not net.can_set("net.core.somaxconn"):
            raise Skip("not permitted to write to /proc/sys")
        net.sh("sysctl -w net.core.somaxconn=77")
        pid = str(net.keeper.pid)
        f = examine("--pid", pid, "somaxconn")["somaxconn"]
        assert f["state"] == "warn" and f["found"] == "77", f
        assert f["temporary"] == f"nsenter -t {pid} -n sysctl -w net.core.somaxconn=1024", f
        assert "docker run --sysctl net.core.somaxconn=1024" in f["permanent"], f
        p = run("--pid", pid, "--fix", "--sysctl-dir", "/nonexistent", "somaxconn")
        assert p.returncode == 2 and "one of its own" in p.stderr, p
        subprocess.run(f["temporary"], shell=True, check=True, capture_output=True)
        assert examine("--pid", pid, "somaxconn")["somaxconn"]["state"] == "ok"
        assert examine("--pid", pid, "rps_cpus")["rps_cpus"]["state"] == "unknown"


FULL = """
import socket, sys, time
ln = socket.create_server(("127.0.0.1", 0), backlog=4)
six = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=2000)
conns = []
for i in range(12):
    c = socket.socket()
    c.setblocking(False)
    c.connect_ex(ln.getsockname())
    conns.append(c)
time.sleep(0.1)
print(ln.getsockname()[1], six.getsockname()[1], flush=True)
time.sleep(600)
"""


def test_a_queue_that_is_full_is_found_with_its_limit_and_the_overflows():
    with Network() as net:
        p = net.python(FULL)
        try:
            port, six = p.stdout.readline().split()
            out = json.loads(run("--json", "--pid", str(p.pid), "listeners", "listen_overflows").stdout)
        finally:
            p.kill()
            p.communicate()
    queues = {f["found"].split(": ")[0]: f for f in out["checks"] if f["check"] == "listeners"}
    assert set(queues) == {f"127.0.0.1:{port}", f"[::1]:{six}"}, queues
    f = queues[f"127.0.0.1:{port}"]
    assert f["state"] == "fail" and f["found"].endswith(": 5 wait, at most 4"), f
    assert "listen(2)" in f["note"], f
    assert queues[f"[::1]:{six}"]["state"] == "ok", queues
    f = out["checks"][-1]
    assert f["check"] == "listen_overflows" and f["state"] == "warn", f
    assert int(re.match(r"ListenOverflows (\d+)", f["found"])[1]) > 0, f


def test_a_listener_of_runnel_has_the_backlog_it_was_told_and_advice_names_the_option():
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as f:
        most = int(f.read())
    for asked, limit in (["--backlog", "77"], 77), ([], 4096):
        for argv in ["echo", *asked, "127.0.0.1:PORT"], ["serve", *asked, "--listen", "127.0.0.1:PORT", "/"]:
            with Program(RUNNEL, *argv) as s:
                for _ in range(10):     # who has asked whether it listens may still wait
                    out = run("--json", "--rate", "20000", "--pid", str(s.process.pid), "listeners").stdout
                    f, = json.loads(out)["checks"]
                    if ": 0 wait" in f["found"]:
                        break
            assert f["found"] == f"127.0.0.1:{s.port}: 0 wait, at most {min(limit, most)}", f
            assert f["state"] == "warn" and "runnel's --backlog 5000" in f["note"], f


def test_migration_matters_where_listeners_share_an_address():
    code = """
import socket, time
a = socket.create_server(("127.0.0.1", 0), reuse_port=True)
b = socket.create_server(("127.0.0.1", a.getsockname()[1] if {} else 0), reuse_port=True)
print(flush=True)
time.sleep(600)
"""
    with Network() as net:
        if not net.can_set("net.ipv4.tcp_migrate_req"):
            raise Skip("no tcp_migrate_req")
        for shared, state in ((True, "warn"), (False, "ok")):
            p = net.python(code.format(shared))
            try:
                p.stdout.readline()
                f = examine("--pid", str(p.pid), "tcp_migrate_req")["tcp_migrate_req"]
                assert f["state"] == state, f
            finally:
                p.kill()
                p.communicate()


# ---- limits of processes, and what is permitted ----

def test_limits_of_a_process_are_raised_by_the_command():
    def lower():    # the soft ones: to raise a hard one takes CAP_SYS_RESOURCE
        libc.prctl(1, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))

    p = subprocess.Popen(["sleep", "600"], preexec_fn=lower)
    try:
        for check in ("nofile", "memlock"):
            pid = ("-n", "1000", "--pid", str(p.pid), check)
            f = examine(*pid)[check]
            assert f["state"] == "warn", f
            subprocess.run(f["temporary"], shell=True, check=True)
            assert examine(*pid)[check]["state"] == "ok"
    finally:
        p.kill()
        p.wait()
    f = examine("memlock", preexec_fn=lower)["memlock"]
    assert f["state"] == "warn" and "--pid $$" in f["temporary"], f
    shell = subprocess.run(["sh", "-c", f["temporary"] + ' && exec "$0" doctor memlock', RUNNEL],
                           preexec_fn=lower, capture_output=True, text=True, check=False)
    assert shell.returncode == 0, shell


def deny_io_uring():
    """seccomp: io_uring_setup (425) fails with EPERM, all else goes on."""
    code = b"".join(struct.pack("HBBI", *i) for i in ((0x20, 0, 0, 0), (0x15, 0, 1, 425), (6, 0, 0, 0x50001),
                                                      (6, 0, 0, 0x7FFF0000)))
    filters = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(filters))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    libc.prctl(22, 2, program)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def test_io_uring_is_tried():
    if examine("io_uring")["io_uring"]["state"] != "ok":
        raise Skip("no io_uring here")
    found = examine("io_uring", "seccomp", preexec_fn=deny_io_uring)
    assert states(found) == {"io_uring": "warn", "seccomp": "ok"}, found
    assert found["io_uring"]["found"] == "Operation not permitted" and "seccomp" in found["io_uring"]["note"]
    assert found["seccomp"]["found"].startswith("filter, "), found


# ---- --fix ----

def fix(root, folder, *argv):
    return run("--fix", "--root", root, "--sysctl-dir", folder, *argv)


def test_fix_sets_what_is_advised_keeps_it_and_tells_the_way_back():
    somaxconn, ports = "proc/sys/net/core/somaxconn", "proc/sys/net/ipv4/ip_local_port_range"
    uring, maps = "proc/sys/kernel/io_uring_disabled", "proc/sys/vm/max_map_count"
    with tree({somaxconn: "128\n", ports: "50000\t59999\n", uring: "2\n", maps: "65530\n"}) as root:
        folder = os.path.join(root, "etc")
        p = fix(root, folder, "-r", "1000", "somaxconn", "ip_local_port_range", "io_uring_disabled")
        assert p.returncode == 0 and p.stderr == "", p
        assert re.search("warn +io_uring_disabled +2 ", p.stdout), p    # is told, not set
        assert "set: net.core.somaxconn = 1024, was 128\n" in p.stdout, p
        assert read(os.path.join(root, somaxconn)) == "1024" and read(os.path.join(root, uring)) == "2\n"
        assert read(os.path.join(root, ports)) == "50000\t59999\n"   # enough, with tcp_tw_reuse at 1
        p = fix(root, folder, *BUSY, "somaxconn", "ip_local_port_range", "max_map_count")
        assert p.returncode == 0, p
        kept = read(os.path.join(folder, "60-runnel.conf"))
        assert kept.splitlines()[1:] == [
            "# net.core.somaxconn was 128", "net.core.somaxconn = 5000",
            "# net.ipv4.ip_local_port_range was 50000 59999", "net.ipv4.ip_local_port_range = 45536 65535",
            "# vm.max_map_count was 65530", "vm.max_map_count = 201024"], kept
        assert f'undo: rm {folder}/60-runnel.conf && sysctl -w net.core.somaxconn="128" ' \
               'net.ipv4.ip_local_port_range="50000 59999" vm.max_map_count="65530"\n' in p.stdout, p
        p = fix(root, folder, *BUSY, "somaxconn")
        assert p.returncode == 0 and p.stdout.startswith("nothing was set\n"), p
        assert read(os.path.join(folder, "60-runnel.conf")) == kept
        assert os.listdir(folder) == ["60-runnel.conf"]
        changes = json.loads(fix(root, folder, "--json", *BUSY, "somaxconn").stdout)["changes"]
        assert changes == ["nothing was set"], changes


def test_fix_leaves_files_of_others_alone():
    somaxconn = "proc/sys/net/core/somaxconn"
    with tree({somaxconn: "128\n"}) as root:
        folder, ours = os.path.join(root, "etc"), os.path.join(root, "etc", "60-runnel.conf")
        assert fix(root, folder, "somaxconn").returncode == 0
        good = read(ours)
        for text in ("", "net.core.somaxconn = 1\n", good + "kernel.x = $(y)\nmine\n", good[:-1]):
            write(ours, text)
            write(os.path.join(root, somaxconn), "128\n")
            p = fix(root, folder, "somaxconn")
            assert p.returncode == 2 and f"leaves {ours} alone" in p.stderr and p.stdout == "", p
            assert read(ours) == text and read(os.path.join(root, somaxconn)) == "128\n"
        os.unlink(ours)
        os.symlink("/etc/passwd", ours)
        p = fix(root, folder, "somaxconn")
        assert p.returncode == 2 and "alone" in p.stderr and os.path.islink(ours), p
        p = fix(root, "/proc/nonexistent", "somaxconn")
        assert p.returncode == 2 and "cannot write to /proc/nonexistent" in p.stderr, p
        assert read(os.path.join(root, somaxconn)) == "128\n", "what cannot be kept is not set"


def test_what_the_kernel_refuses_is_told_and_not_kept():
    with tree({"proc/sys/net/core/somaxconn": "128\n", "proc/sys/fs/nr_open": "1024\n"}) as root:
        path = os.path.join(root, "proc/sys/fs/nr_open")
        with tempfile.TemporaryDirectory() as folder:
            if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
                raise Skip("no immutable files here")
            try:
                p = fix(root, folder, "somaxconn", "nr_open")
            finally:
                subprocess.run(["chattr", "-i", path], check=True)
            assert p.returncode == 1 and "not set: fs.nr_open = 10064: Operation not permitted" in p.stdout, p
            kept = read(os.path.join(folder, "60-runnel.conf"))
            assert "nr_open" not in kept and "net.core.somaxconn = 1024" in kept, kept


def test_fix_and_its_undo_work_in_a_real_network():
    with Network() as net, tempfile.TemporaryDirectory() as folder:
        if not net.can_set("net.core.somaxconn"):
            raise Skip("not permitted to write to /proc/sys")
        net.sh('sysctl -w net.core.somaxconn=128 net.ipv4.tcp_rmem="4096 65536 65536"')
        p = run("--fix", "--sysctl-dir", folder, "somaxconn", "tcp_rmem", before=net.before)
        assert p.returncode == 0, p
        show = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/tcp_rmem"
        assert net.sh(show).split() == ["1024", "4096", "65536", "4194304"]
        net.sh("sysctl -w net.core.somaxconn=128")
        net.sh(f"sysctl -p {folder}/60-runnel.conf")    # what happens at the start of the machine
        assert net.sh(show).split() == ["1024", "4096", "65536", "4194304"]
        net.sh(re.search("undo: (.*)", p.stdout)[1])
        assert net.sh(show).split() == ["128", "4096", "65536", "65536"]
        assert os.listdir(folder) == []


def test_fix_without_root_says_so():
    if os.geteuid() != 0:
        raise Skip("not root")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(RUNNEL, folder)
        p = subprocess.run([copy, "doctor", "--fix", "--sysctl-dir", folder], capture_output=True, text=True,
                           preexec_fn=lambda: os.setuid(65534), check=False)
        assert p.returncode == 2 and "must run as root" in p.stderr and p.stdout == "", p
        p = subprocess.run([copy, "doctor", "--json", "--pid", str(os.getpid())], capture_output=True, text=True,
                           preexec_fn=lambda: os.setuid(65534), check=False)
        found = {f["check"]: f for f in json.loads(p.stdout)["checks"]}
        assert found["listeners"]["state"] == found["somaxconn"]["state"] == "unknown", found
        assert "Permission denied" in found["somaxconn"]["found"], found["somaxconn"]
        # Without the rights to trace there is a warning, and no failure of what a server needs.
        p = subprocess.run([copy, "doctor", "cap_bpf"], capture_output=True, text=True,
                           preexec_fn=lambda: os.setuid(65534), check=False)
        assert p.returncode == 0 and "0 ok, 1 warn, 0 fail" in p.stdout, p
        assert p.stdout.endswith("sudo runnel doctor --fix sets the sysctls.\n"), p


# ---- how it is told ----

def test_people_get_a_table_and_colour_only_on_a_terminal():
    with tree({"proc/sys/net/core/somaxconn": "128\n"}) as root:
        p = run("--root", root, *BUSY)
        assert p.returncode == 0 and "\033" not in p.stdout, p  # warnings only
        lines = p.stdout.splitlines()
        assert lines[0].split() == ["STATE", "CHECK", "FOUND", "WANTED"]
        assert all(line.index(line.split()[1]) == 9 for line in lines[1:30]), lines
        for text in ("warn     somaxconn  ", "in         /proc/sys/net/core/somaxconn", "wanted     at least 5000",
                     "why        It caps", "now        sysctl -w net.core.somaxconn=5000",
                     "for good   echo 'net.core.somaxconn = 5000' >> /etc/sysctl.d/60-local.conf",
                     "For 100000 connections, 20000 new ones a second: "):
            assert text in p.stdout, (text, p.stdout)
        ours, theirs = pty.openpty()
        try:
            subprocess.run([RUNNEL, "doctor", "--root", root, "somaxconn"], stdout=theirs, check=False)
            said = b""
            while b"\033[33mwarn" not in said:  # what is written to a terminal comes in pieces
                said += os.read(ours, 65536)
        finally:
            os.close(ours)
            os.close(theirs)


def test_wrong_calls_are_told_and_exit_with_2():
    for argv in (["--nope"], ["--rate", "0"], ["--connections", "x"], ["--pid", "0"], ["nonsense"]):
        p = run(*argv)
        assert p.returncode == 2 and p.stdout == "" and p.stderr != "", p


def test_the_guide_and_the_list_say_the_same():
    p = run("--list")
    assert p.returncode == 0, p
    listed = [re.split(r"\s{2,}", line.strip()) for line in p.stdout.splitlines()]
    assert len(listed) > 30 and all(len(row) == 3 for row in listed), listed
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", read(os.path.join(DOCS, "tuning.md")), re.M)
    plain = [tuple(re.sub("`", "", cell) for cell in row) for row in rows]
    assert plain == [tuple(re.sub("`", "", cell) for cell in row) for row in listed], \
        set(plain) ^ {tuple(r) for r in listed}
    with tree() as root:
        assert list(examine("--root", root)) == [row[0] for row in listed]


main(globals())
