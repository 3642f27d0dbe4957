/*
 * doctor_host.c - checks of descriptors, memory, what the kernel permits, and the clock
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define CAP_PERFMON_BIT 38
#define CAP_BPF_BIT 39

static bool is_live(const struct doctor *d)
{
    return d->root[0] == '\0';
}

static long want_file_max(const struct doctor *d)
{
    return doc_want_files(d) + 65536; /* and all else on the machine */
}

/* Of one user's processes together; each thread of runnel watches a few of its own. */
static long want_watches(const struct doctor *d)
{
    return d->connections + 1024;
}

static long want_zero(const struct doctor *d)
{
    (void)d;
    return 0;
}

/* ---- limits of the process ---- */

/* The commands that raise a limit, of this shell or of the process. */
static void advise_limit(const struct doctor *d, struct doc_finding *f, const char *option,
                         const char *systemd, long n, long hard)
{
    char unit[128], most[32] = "unlimited"; /* the hard limit is not lowered */

    if (hard != LONG_MAX)
        DOC_SET(most, "%ld", hard > n ? hard : n);
    doc_unit(d, unit, sizeof unit);
    if (d->pid != 0) {
        DOC_SET(f->temporary, "prlimit --pid %ld --%s=%ld:%s", d->pid, option, n, most);
    } else {
        DOC_SET(f->temporary, "prlimit --pid $$ --%s=%ld:%s", option, n, most);
        DOC_SET(f->note, "$$ is the shell that then starts the server");
    }
    DOC_SET(
        f->permanent,
        "mkdir -p /etc/systemd/system/%s.d && printf '[Service]\\n%s=%ld\\n' > "
        "/etc/systemd/system/%s.d/60-%s.conf && systemctl daemon-reload && systemctl restart %s",
        unit, systemd, n, unit, option, unit);
}

/* A finding, and the limit; false, and unknown, if it is not there. */
static bool take_limit(struct doctor *d, const struct doc_check *c, const char *name,
                       struct doc_finding **ret, long *soft, long *hard)
{
    struct doc_finding *f = doc_add(d, c);
    int r = doc_read_limit(d, name, soft, hard);

    *ret = f;
    DOC_SET(f->source, "%s/limits", d->proc);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return false;
    }
    if (*soft == LONG_MAX)
        DOC_SET(f->read, "soft unlimited");
    else
        DOC_SET(f->read, "soft %ld", *soft);
    if (*hard == LONG_MAX)
        DOC_APPEND(f->read, ", hard unlimited");
    else
        DOC_APPEND(f->read, ", hard %ld", *hard);
    return true;
}

/* rn_run raises the soft limit to the hard one; of a process that runs it counts as it is. */
static void check_nofile(struct doctor *d, const struct doc_check *c)
{
    long soft, hard, want = doc_want_files(d);
    struct doc_finding *f;

    if (!take_limit(d, c, "Max open files", &f, &soft, &hard))
        return;
    DOC_SET(f->wanted, "at least %ld: one for each connection, and 64", want);
    if (soft >= want)
        return;
    if (hard >= want && d->pid == 0) {
        DOC_APPEND(f->read, " (rn_run raises the soft one)");
        return;
    }
    f->state = hard < want ? DOC_FAIL : c->bad;
    advise_limit(d, f, "nofile", "LimitNOFILE", want, hard);
}

static void check_memlock(struct doctor *d, const struct doc_check *c)
{
    const long want = 8 << 20;
    struct doc_finding *f;
    long soft, hard;

    if (!take_limit(d, c, "Max locked memory", &f, &soft, &hard))
        return;
    DOC_SET(f->wanted, "at least %ld", want);
    if (soft >= want)
        return;
    f->state = c->bad;
    advise_limit(d, f, "memlock", "LimitMEMLOCK", want, hard);
}

/* ---- memory ---- */

/* Whether guards of stacks need no mapping of their own: tried, or by the version, 6.13. */
static bool has_guard_markers(const struct doctor *d)
{
    char text[64];
    int major = 0, minor = 0;

    if (is_live(d)) {
        size_t len = (size_t)sysconf(_SC_PAGESIZE);
        void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bool has = page != MAP_FAILED && madvise(page, len, MADV_GUARD_INSTALL) == 0;

        if (page != MAP_FAILED)
            (void)munmap(page, len);
        return has;
    }
    return doc_read(d, "/proc/sys/kernel/osrelease", text, sizeof text) > 0 &&
           sscanf(text, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 13));
}

static void check_maps(struct doctor *d, const struct doc_check *c)
{
    long n, want = d->connections * 2 + 1024;
    struct doc_finding *f;

    if (!doc_take_sysctl(d, c, &f, &n, 1))
        return;
    DOC_SET(f->read, "%ld", n);
    DOC_SET(f->wanted, "at least %ld: two for each stack", want);
    if (has_guard_markers(d))
        DOC_SET(f->wanted, "any: the kernel has guard markers, which take no mapping");
    else if (n < want)
        doc_advise_number(d, f, want);
}

static void check_thp(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[128], *chosen;
    int r = doc_read(d, path, text, sizeof text);

    DOC_SET(f->source, "%s", path);
    if (r == -ENOENT)
        (void)snprintf(text, sizeof text, "[none: the kernel has no huge pages]");
    else if (r < 0) {
        doc_unknown(f, path, r);
        return;
    }
    chosen = strchr(text, '[');
    chosen = chosen == NULL ? text : chosen + 1;
    chosen[strcspn(chosen, "]\n")] = '\0';
    DOC_SET(f->read, "%s", chosen);
    DOC_SET(f->wanted, "madvise or never");
    if (strcmp(chosen, "always") != 0)
        return;
    f->state = c->bad;
    DOC_SET(f->temporary, "echo madvise > %s%s", d->root, path);
    DOC_SET(f->permanent, "echo 'w %s - - - - madvise' > /etc/tmpfiles.d/60-thp.conf", path);
}

/* ---- what is permitted ---- */

/* A ring of two, set up and closed. */
static int try_io_uring(void)
{
    struct io_uring_params p = {0};
    long fd = syscall(SYS_io_uring_setup, 2, &p);

    if (fd < 0)
        return -errno;
    (void)close((int)fd);
    return 0;
}

static void check_io_uring(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    int r;

    DOC_SET(f->source, "io_uring_setup(2)");
    DOC_SET(f->wanted, "that it can be set up");
    if (!is_live(d)) {
        f->state = DOC_UNKNOWN;
        DOC_SET(f->read, "not tried with --root");
        return;
    }
    r = try_io_uring();
    DOC_SET(f->read, "%s", r < 0 ? rn_strerror(r) : "works");
    if (r == 0)
        return;
    f->state = c->bad;
    DOC_SET(f->note, "%s",
            r == -ENOSYS ? "the kernel has none, or a sandbox hides it"
                         : "io_uring_disabled, or the container's seccomp profile, "
                           "forbids it");
    DOC_SET(f->permanent, "docker run --security-opt seccomp=PROFILE.json");
}

static void check_seccomp(struct doctor *d, const struct doc_check *c)
{
    static const char *const modes[] = {"none", "strict", "filter"};
    struct doc_finding *f = doc_add(d, c);
    unsigned long mode, filters = 0;
    int r = doc_read_status(d, "Seccomp", 10, &mode);

    DOC_SET(f->source, "%s/status", d->proc);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return;
    }
    (void)doc_read_status(d, "Seccomp_filters", 10, &filters);
    DOC_SET(f->read, "%s", mode < 3 ? modes[mode] : "?");
    DOC_SET(f->wanted, "none, or a filter that permits sockets");
    if (mode == 2)
        DOC_APPEND(f->read, ", %lu of them", filters);
    if (mode != 1)
        return;
    f->state = c->bad;
    DOC_SET(f->note, "the process may read, write and exit, for good");
}

static void check_capabilities(struct doctor *d, const struct doc_check *c)
{
    struct doctor self = *d; /* `runnel trace` runs as we do, not as the checked process */
    struct doc_finding *f = doc_add(d, c);
    unsigned long caps;
    bool bpf, perf;
    int r;

    DOC_SET(self.proc, "/proc/self");
    DOC_SET(f->source, "%s/status", self.proc);
    r = doc_read_status(&self, "CapEff", 16, &caps);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return;
    }
    bpf = (caps & (1UL << CAP_BPF_BIT | 1UL << CAP_SYS_ADMIN)) != 0;
    perf = (caps & (1UL << CAP_PERFMON_BIT | 1UL << CAP_SYS_ADMIN)) != 0;
    DOC_SET(f->read, "CAP_BPF %s, CAP_PERFMON %s", bpf ? "yes" : "no", perf ? "yes" : "no");
    DOC_SET(f->wanted, "both, for `runnel trace` without ptrace");
    if (bpf && perf)
        return;
    f->state = c->bad;
    DOC_SET(f->temporary, "sudo runnel trace");
    DOC_SET(f->permanent, "setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep $(command -v runnel)");
}

static void check_btf(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    const char *path = "/sys/kernel/btf/vmlinux";

    DOC_SET(f->source, "%s", path);
    DOC_SET(f->wanted, "there, for `runnel trace` without ptrace");
    DOC_SET(f->read, "there");
    if (doc_exists(d, path))
        return;
    f->state = c->bad;
    DOC_SET(f->read, "missing");
    DOC_SET(f->note, "it takes a kernel built with CONFIG_DEBUG_INFO_BTF=y");
}

/* ---- the clock ---- */

/* Read by a system call each time, and some by a slow device. */
static bool is_slow_clock(const char *name)
{
    static const char *const slow[] = {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"};

    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++)
        if (strcmp(name, slow[i]) == 0)
            return true;
    return false;
}

static void check_clock(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    const char *folder = "/sys/devices/system/clocksource/clocksource0";
    char name[64], path[128], all[256];
    int r;

    DOC_SET(f->source, "%s/current_clocksource", folder);
    DOC_SET(f->wanted, "tsc, or another one that needs no system call");
    r = doc_read(d, f->source, name, sizeof name);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return;
    }
    name[strcspn(name, "\n")] = '\0';
    DOC_SET(f->read, "%s", name);
    if (!is_slow_clock(name))
        return;
    f->state = c->bad;
    DOC_SET(path, "%s/available_clocksource", folder);
    if (doc_read(d, path, all, sizeof all) > 0 && strstr(all, "tsc") != NULL)
        DOC_SET(f->temporary, "echo tsc > %s%s", d->root, f->source);
    DOC_SET(f->note,
            "for good: clocksource=tsc on the kernel's command line; dmesg tells why it was "
            "not taken");
}

const struct doc_check doc_host_checks[] = {
    {.name = "nr_open",
     .reads = "fs.nr_open",
     .why = "No process's descriptor limit can be raised above it.",
     .run = doc_check_sysctl,
     .key = "fs.nr_open",
     .want = doc_want_files,
     .bad = DOC_FAIL},
    {.name = "file_max",
     .reads = "fs.file-max",
     .why = "Files and sockets open on the whole machine; at that number open and accept fail with "
            "ENFILE.",
     .run = doc_check_sysctl,
     .key = "fs.file-max",
     .want = want_file_max,
     .bad = DOC_FAIL},
    {.name = "max_user_watches",
     .reads = "fs.epoll.max_user_watches",
     .why = "Descriptors that one user's processes watch by epoll, all together; at that number "
            "epoll_ctl fails with ENOSPC.",
     .run = doc_check_sysctl,
     .key = "fs.epoll.max_user_watches",
     .want = want_watches,
     .bad = DOC_FAIL},
    {.name = "nofile",
     .reads = "/proc/PID/limits, Max open files",
     .why =
         "Each connection is a descriptor; at the soft limit accept and connect fail with EMFILE.",
     .run = check_nofile,
     .bad = DOC_WARN},
    {.name = "memlock",
     .reads = "/proc/PID/limits, Max locked memory",
     .why = "io_uring's rings before Linux 5.12, its registered buffers, and MSG_ZEROCOPY count "
            "against it.",
     .run = check_memlock,
     .bad = DOC_WARN},
    {.name = "max_map_count",
     .reads = "vm.max_map_count",
     .why =
         "Without guard markers (Linux 6.13) each coroutine's stack takes two mappings, and rn_go "
         "fails at this number.",
     .run = check_maps,
     .key = "vm.max_map_count",
     .bad = DOC_FAIL},
    {.name = "transparent_hugepage",
     .reads = "/sys/kernel/mm/transparent_hugepage/enabled",
     .why = "With \"always\" a page touched may become 2 MiB, so that memory for each connection "
            "grows, and compaction stalls.",
     .run = check_thp,
     .bad = DOC_WARN},
    {.name = "cgroup_memory",
     .reads = "memory.max, or memory.limit_in_bytes",
     .why = "Socket buffers and stacks count against the group's memory; above it a process is "
            "killed.",
     .run = doc_check_cgroup_memory,
     .bad = DOC_FAIL},
    {.name = "cgroup_cpu",
     .reads = "cpu.max, or cpu.cfs_quota_us; cpu.stat",
     .why =
         "A group that has used up its quota stands still until the period ends: latency of tens "
         "of milliseconds.",
     .run = doc_check_cgroup_cpu,
     .bad = DOC_WARN},
    {.name = "io_uring_disabled",
     .reads = "kernel.io_uring_disabled",
     .why =
         "1 keeps io_uring from unprivileged processes, 2 from all; runnel then uses epoll, as it "
         "does by default.",
     .run = doc_check_sysctl,
     .key = "kernel.io_uring_disabled",
     .want = want_zero,
     .bound = DOC_EXACTLY,
     .bad = DOC_WARN,
     .ask_first = true},
    {.name = "io_uring",
     .reads = "io_uring_setup(2)",
     .why =
         "RN_POLLER=io_uring needs it; containers often forbid it by seccomp, whatever the sysctl "
         "says.",
     .run = check_io_uring,
     .bad = DOC_WARN},
    {.name = "seccomp",
     .reads = "/proc/PID/status, Seccomp",
     .why = "A filter costs some time at each system call, and those it denies fail with EPERM.",
     .run = check_seccomp,
     .bad = DOC_FAIL},
    {.name = "clocksource",
     .reads = "/sys/devices/system/clocksource/clocksource0",
     .why = "runnel reads the clock at each turn of its loop: tsc in user space, hpet by a system "
            "call and a slow device.",
     .run = check_clock,
     .bad = DOC_WARN},
    {.name = "btf",
     .reads = "/sys/kernel/btf/vmlinux",
     .why = "`runnel trace` finds the kernel's structures by it.",
     .run = check_btf,
     .bad = DOC_WARN},
    {.name = "cap_bpf",
     .reads = "/proc/self/status, CapEff",
     .why = "`runnel trace` counts in the kernel with both; else by ptrace, slowly, and not all "
            "that it can.",
     .run = check_capabilities,
     .bad = DOC_WARN},
};

const int doc_n_host_checks = sizeof doc_host_checks / sizeof doc_host_checks[0];
