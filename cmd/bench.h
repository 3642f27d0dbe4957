/*
 * bench.h - what the files of `runnel bench` share
 *
 * The parent measures and has no runtime. Each server and client is a child, forked before there is
 * any runtime, and a runnel program of its own. A child does what messages on a socket pair tell
 * it, and exits when the parent closes its end, or dies.
 */
#ifndef RN_CMD_BENCH_H
#define RN_CMD_BENCH_H

#include <sys/types.h>

#include "base/hist.h"
#include "cmd.h"
#include "doctor.h"

#define BENCH_PIDS 16
#define BENCH_FAMILY 64
#define BENCH_CACHES 512
#define BENCH_PAIRS 256 /* of a server and a client process, at most */

enum bench_service { BENCH_ECHO, BENCH_COROUTINES, BENCH_HTTP };

struct bench_options {
    long connections, active;
    long processes, threads; /* 0: as many as it takes; the CPUs divided by the servers */
    long rate;               /* round trips a second, of each active connection */
    long hold_s, seconds, timeout_s;
    enum bench_service service;
    const char *path;   /* HTTP: what is asked for */
    const char *server; /* "127.x.y.z:port" of somebody else's; NULL: ours */
    long pids[BENCH_PIDS];
    int n_pids;
    bool json, force;
    const char *root; /* as doctor's */
};

/* How the connections are spread. */
struct bench_plan {
    int pairs;        /* client processes; as many servers, where they are ours */
    long limit;       /* descriptors of each process */
    long per_address; /* connections from one source address */
    long dials;       /* of one client under way at once */
    long threads;     /* of each server */
};

/* ---- messages ---- */

enum bench_kind {
    BENCH_OPEN,     /* n connections, one round trip on each */
    BENCH_EXCHANGE, /* round trips on n of those, for span_ns */
    BENCH_CLOSE,    /* all of them */
    BENCH_COUNT     /* those that are still alive */
};

struct bench_order {
    enum bench_kind kind;
    long n;
    rn_time span_ns;
};

/* Where an error comes from. */
enum bench_step { BENCH_START, BENCH_DIAL, BENCH_TALK };

struct bench_answer {
    bool done; /* else: how far it is */
    int error; /* 0, or negative */
    enum bench_step step;
    long n; /* connections opened, or alive; of a server that is ready its port */
    int threads;
    uint64_t max_ns;
    struct rn__hist times; /* of round trips */
};

struct bench_worker {
    pid_t pid;
    int fd; /* the parent's end */
    bool is_server, busy;
    int index;  /* of its kind, from 0 */
    long share; /* of the connections */
    int port;   /* of a server */
    struct bench_answer last;
};

/* ---- figures ---- */

struct bench_cache {
    char name[40];
    long bytes, objects;
};

/* At one moment, in bytes; -1: not to be read. */
struct bench_sample {
    long server_user, client_user; /* PSS */
    long slab, page_tables, buffers, free;
    struct bench_cache caches[BENCH_CACHES]; /* the slab's, where they may be read */
    int n_caches;
};

/* Where time goes that is no work of these processes; -1: not told. Then, or meanwhile. */
struct bench_pace {
    rn_time waited_ns;         /* their threads, ready to run, for a CPU */
    long ticks, idle, softirq; /* of all CPUs */
    long probes;               /* keep-alive probes sent, in this network */
};

struct bench_times {
    uint64_t n, p50_ns, p99_ns, max_ns;
    struct bench_pace pace; /* meanwhile */
};

struct bench_result {
    long opened, alive;
    int addresses;
    rn_time open_ns;
    struct bench_sample before, after;
    rn_time rest_ns, server_cpu_ns, client_cpu_ns; /* CPU at rest; -1: not to be had */
    struct bench_times alone, among;
    long overflows; /* of accept queues, in this network */
    long dropped;   /* packets that found no room before a CPU */
    double load;    /* of the machine, before */
};

struct bench {
    const struct bench_options *options;
    struct bench_plan plan;
    struct bench_worker *servers, *clients;
    int n_servers, n_clients, signal_fd;
    struct doctor limits; /* below options->root, which tests set */
    struct doctor files;  /* the machine's own, for figures */
    struct bench_result result;
    int status; /* not CMD_OK: it is over, and why has been told */
};

/* A part of n, the i-th of `of`. */
long bench_share(long n, int of, int i);

/* ---- bench.c ---- */

int bench_connections(int argc, char **argv);

/* ---- bench_limits.c ---- */

/* How many processes it takes. */
void bench_make_plan(struct bench *b);

/* Tells each limit that is in the way, and what to do; false where there is one. */
bool bench_check_limits(struct bench *b);

/* What an error of a worker means, and what to do, in a line or two. */
void bench_explain(const struct bench *b, const struct bench_worker *w,
                   const struct bench_answer *a);

/* ---- bench_run.c ---- */

/* All of it; what b->result then has is whole where b->status is CMD_OK. */
void bench_run(struct bench *b);

/* ---- bench_server.c, bench_client.c: what a child does; they do not return ---- */

_Noreturn void bench_serve(const struct bench *b, const struct bench_worker *w);
_Noreturn void bench_hold(const struct bench *b, const struct bench_worker *w, const char *address);

/* The number of source addresses for all clients, each with a range of its own. */
int bench_addresses(const struct bench *b);

/* ---- bench_memory.c ---- */

/* A process and those it has started, with theirs; how many, at most room. */
int bench_family(const struct doctor *files, long pid, long *ret, int room);
void bench_take_sample(struct bench *b, struct bench_sample *ret);
/* ListenOverflows so far; and packets dropped for netdev_max_backlog. 0 where it is not told. */
long bench_overflows(const struct doctor *files);
long bench_dropped(const struct doctor *files);
/* CPU time of the servers, or of the clients, so far; -1 where one is gone. */
rn_time bench_cpu(struct bench *b, bool servers);
void bench_take_pace(struct bench *b, struct bench_pace *ret);
/* Bytes of the machine, and those that programs could still have; -1: not to be read. */
long bench_total(const struct doctor *files);
long bench_available(const struct doctor *files);

/* ---- bench_print.c ---- */

void bench_print_table(const struct bench *b);
void bench_print_json(const struct bench *b);

#endif
