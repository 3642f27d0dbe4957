/*
 * bench_limits.c - how `runnel bench connections` spreads its connections, and which limits are in
 * the way
 *
 * The limits are the doctor's: its checks, with a target of our own, and its advice. What has to be
 * larger for more connections is refused before one is opened; what only slows them down (a short
 * accept queue, few ports to an address) is worked around.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define OWN_FILES 16          /* of the parent, beside the sockets to its children */
#define SPARE_FILES 64        /* doc_want_files adds them */
#define FILES_PER_THREAD 4    /* pollers and what wakes them */
#define ADDRESS_MOST 4096     /* connections from one source address: the kernel searches less */
#define DIALS_MOST 256        /* under way at once, of all clients of a listener */
#define CONNECTION_BYTES 7168 /* both ends, at the very least; docs/many-connections.md */
#define STACK_BYTES 4096      /* of a coroutine, at the very least */

long bench_share(long n, int of, int i)
{
    return n / of + (i < n % of);
}

/* ---- the plan ---- */

static long read_sysctl(const struct bench *b, const char *key, long otherwise)
{
    long n;

    return doc_read_sysctl(&b->limits, key, NULL, &n, 1) == 1 ? n : otherwise;
}

static long ports(const struct bench *b)
{
    long range[2];

    if (doc_read_sysctl(&b->limits, "net.ipv4.ip_local_port_range", NULL, range, 2) != 2)
        return 28232;
    return range[1] - range[0] + 1;
}

static long clamp(long n, long least, long most)
{
    return n < least ? least : n > most ? most : n;
}

/* Descriptors that a child needs beside its connections. */
static long extra_files(const struct bench *b)
{
    return FILES_PER_THREAD * b->plan.threads;
}

void bench_make_plan(struct bench *b)
{
    const struct bench_options *o = b->options;
    struct bench_plan *p = &b->plan;
    long soft, cpus = 1, pairs, most;

    if (doc_read_limit(&b->limits, "Max open files", &soft, &p->limit) < 0)
        p->limit = 1024;
    (void)doc_read_cpus(&b->limits, &cpus);
    p->threads = o->threads > 0 ? o->threads : cpus;
    most = clamp((p->limit - OWN_FILES) / 2, 1, BENCH_PAIRS);
    pairs = o->processes;
    if (pairs == 0) {
        long each = clamp(p->limit - SPARE_FILES - extra_files(b), 1, INT32_MAX);

        pairs = clamp((o->connections + each - 1) / each, 1, most);
    }
    p->pairs = (int)clamp(pairs, 1, o->connections);
    if (o->threads == 0)
        p->threads = clamp(cpus / p->pairs, 1, cpus);
    p->per_address = clamp(ports(b) / 4, 1, ADDRESS_MOST);
    p->dials = clamp(read_sysctl(b, "net.core.somaxconn", 128), 1, DIALS_MOST);
    p->dials = clamp(o->server != NULL ? p->dials / p->pairs : p->dials, 1, 64);
}

/* ---- limits ---- */

/* Sockets at both ends, and what is open already. */
static long want_files(const struct doctor *d)
{
    long in_use = 0;

    (void)doc_read_longs(d, "/proc/sys/fs/file-nr", &in_use, 1);
    return d->connections * 2 + in_use + 1024;
}

static const struct doc_check file_max = {
    .name = "file_max",
    .reads = "fs.file-max",
    .why = "Files and sockets open on the whole machine; both ends of each connection are here.",
    .run = doc_check_sysctl,
    .key = "fs.file-max",
    .want = want_files,
    .bad = DOC_FAIL};

static const struct doc_check memory = {
    .name = "memory",
    .reads = "/proc/meminfo, MemAvailable",
    .why = "Both ends of each connection, in the kernel and in two processes, take it from here.",
    .bad = DOC_FAIL};

static void check_memory(struct bench *b)
{
    const struct bench_options *o = b->options;
    long each = CONNECTION_BYTES + (o->service == BENCH_COROUTINES ? STACK_BYTES : 0);
    long available = bench_available(&b->limits);
    struct doc_finding *f = doc_add(&b->limits, &memory);

    DOC_SET(f->source, "/proc/meminfo");
    if (available < 0) {
        doc_unknown(f, f->source, 0);
        return;
    }
    DOC_SET(f->read, "%ld MiB available", available >> 20);
    DOC_SET(f->wanted, "at least %ld MiB: %ld bytes for each connection",
            o->connections * each >> 20, each);
    DOC_SET(f->note, "no setting helps: fewer connections, or more memory");
    f->state = available / each < o->connections ? memory.bad : DOC_OK;
}

static void check(struct bench *b, const char *name, long connections)
{
    const struct doc_check *c = doc_find_check(name);

    b->limits.connections = connections;
    c->run(&b->limits, c);
}

/* Descriptors of a server that is not ours: of all its processes together. */
static void check_server(struct bench *b)
{
    long pids[BENCH_FAMILY], soft, hard, sum = 0, pid = 0;
    struct doctor *d = &b->limits;

    for (int i = 0; i < b->options->n_pids; i++) {
        int n = bench_family(d, b->options->pids[i], pids, BENCH_FAMILY);

        for (int k = 0; k < n; k++) {
            pid = pids[k];
            DOC_SET(d->proc, "/proc/%ld", pid);
            if (doc_read_limit(d, "Max open files", &soft, &hard) == 0)
                sum = soft > LONG_MAX - sum ? LONG_MAX : sum + soft;
        }
    }
    d->pid = pid; /* the last one: of a master and its workers a worker */
    if (pid != 0 && sum < b->options->connections)
        check(b, "nofile", b->options->connections);
    d->pid = 0;
    DOC_SET(d->proc, "/proc/self");
}

/* Who may administrate the system is not held to it. */
static bool is_held_to_file_max(const struct bench *b)
{
    unsigned long caps;

    return doc_read_status(&b->limits, "CapEff", 16, &caps) < 0 ||
           (caps & 1UL << CAP_SYS_ADMIN) == 0;
}

static void check_all(struct bench *b)
{
    const struct bench_options *o = b->options;
    long each = bench_share(o->connections, b->plan.pairs, 0) + extra_files(b);
    long stacks = o->service == BENCH_COROUTINES ? each : b->plan.dials + o->active;

    check(b, "nofile", each);
    if (b->limits.findings != NULL && b->limits.findings[0].state == DOC_FAIL)
        check(b, "nr_open", each); /* it is in the way of a higher limit, then */
    check_server(b);
    check(b, "max_user_watches", o->connections * 2);
    check(b, "max_map_count", stacks);
    check(b, "cgroup_memory", o->connections);
    check(b, "nf_conntrack_max", o->connections);
    b->limits.connections = o->connections;
    if (is_held_to_file_max(b))
        file_max.run(&b->limits, &file_max);
    check_memory(b);
}

bool bench_check_limits(struct bench *b)
{
    bool colour = isatty(STDERR_FILENO) != 0, good = true;

    check_all(b);
    if (b->limits.out_of_memory) {
        cmd_error("bench: %s", rn_strerror(-ENOMEM));
        return false;
    }
    for (int i = 0; i < b->limits.n; i++) {
        if (b->limits.findings[i].state != DOC_FAIL)
            continue;
        doc_print_advice(stderr, &b->limits.findings[i], colour);
        good = false;
    }
    if (!good)
        cmd_error("%ld connections are more than this machine is set up for%s",
                  b->options->connections,
                  b->options->force ? "; going on all the same" : " (--force tries all the same)");
    return good || b->options->force;
}

/* ---- what went wrong ---- */

static const struct {
    int error;
    const char *what; /* it means, and what helps */
} causes[] = {
    {EMFILE, "a process has no descriptor left; raise the limit (prlimit --pid $$ --nofile=N:N), "
             "or take more --processes"},
    {ENFILE, "the machine has no descriptor left: sysctl -w fs.file-max=N"},
    {ENOSPC, "epoll may watch no more: sysctl -w fs.epoll.max_user_watches=N"},
    {EADDRNOTAVAIL, "no address or port is left: is lo up (ip link set lo up), and wide enough "
                    "net.ipv4.ip_local_port_range?"},
    {ENETUNREACH, "127.0.0.0/8 is not there: ip link set lo up"},
    {ECONNREFUSED, "nobody listens there, or not any more"},
    {ECONNRESET, "the server has closed it: by its limit of connections, descriptors or idle time"},
    {ENODATA, "the server has closed it: by its limit of connections, descriptors or idle time"},
    {EPIPE, "the server has closed it: by its limit of connections, descriptors or idle time"},
    {EPROTO, "it is not an answer with status 200 and Content-Length; --http=PATH asks for another "
             "path"},
    {ENOMEM, "no memory is left, for this process or its control group"},
    {ENOBUFS, "no memory is left for sockets: sysctl net.ipv4.tcp_mem"},
    {ETIMEDOUT, "the server does not accept; runnel doctor --pid PID listeners shows its queue"},
};

void bench_explain(const struct bench *b, const struct bench_worker *w,
                   const struct bench_answer *a)
{
    static const char *const steps[] = {"start", "connect", "round trip"};

    cmd_error("%s process %d, %s%s: %s", w->is_server ? "server" : "client", w->index + 1,
              steps[a->step], a->step == BENCH_START ? "" : " of a connection",
              a->error == -ENODATA ? "end of stream" : rn_strerror(a->error));
    if (a->n > 0 && !w->is_server)
        cmd_error("by then it had opened %ld of %ld", a->n, w->share);
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].error == -a->error)
            cmd_error("%s", causes[i].what);
    if (b->options->server != NULL && b->options->n_pids > 0 && !w->is_server)
        cmd_error("runnel doctor --connections %ld --pid %ld looks at the server's limits",
                  b->options->connections, b->options->pids[0]);
}
