/*
 * bench.c - `runnel bench WHAT`: measurements that users can repeat on their machines
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} benches[] = {
    {"connections", "hold many connections, and tell what each costs", bench_connections},
};

static const char help[] =
    "Usage: runnel bench connections [OPTION]... N\n"
    "\n"
    "Holds N connections between processes of this machine, over source addresses from 127.1.0.1\n"
    "on, and tells what they cost: memory in user space and in the kernel, the time to open them,\n"
    "CPU time at rest, and how long round trips take on some of them.\n"
    "\n"
    "  -a, --active N      connections that talk, among those at rest (default: 100)\n"
    "  -r, --rate N        round trips a second on each of these (default: 10)\n"
    "  -t, --seconds N     for so long, once before the others are opened, once after (default: "
    "5)\n"
    "  -H, --hold N        seconds at rest, to measure CPU time (default: 10)\n"
    "  -c, --coroutines    the server keeps a coroutine for each connection\n"
    "      --http[=PATH]   GET PATH (default: /) rather than 64 bytes of echo\n"
    "      --server ADDR   another server, 127.x.y.z:port, instead of runnel's\n"
    "      --pid PID       its process, and those it has started, to be measured; again for more\n"
    "      --processes N   client processes, and as many servers (default: what the descriptor\n"
    "                      limit asks for)\n"
    "  -p, --procs N       threads of each server (default: the CPUs divided by the servers)\n"
    "      --timeout N     seconds without any progress that end it (default: 10)\n"
    "      --force         go on though a limit is known to be in the way\n"
    "  -j, --json          for programs\n"
    "      --root DIR      read limits below DIR/proc and DIR/sys\n"
    "  -h, --help          this text\n"
    "\n"
    "Memory is what has been added since before they were opened. The kernel's is that of the "
    "whole\n"
    "machine, and of both ends: others who use it meanwhile are in it.\n";

/* Only this machine: nobody else is to get a hundred thousand connections by a typing error. */
static bool is_local(const char *address)
{
    char ip[INET_ADDRSTRLEN];
    const char *colon = strchr(address, ':');
    struct in_addr a;
    long port;

    if (colon == NULL || (size_t)(colon - address) >= sizeof ip)
        return false;
    (void)snprintf(ip, sizeof ip, "%.*s", (int)(colon - address), address);
    port = strtol(colon + 1, NULL, 10);
    return inet_pton(AF_INET, ip, &a) == 1 && ntohl(a.s_addr) >> 24 == 127 && port >= 1 &&
           port <= 65535 && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static bool parse_server(struct bench_options *o)
{
    o->server = optarg;
    if (is_local(optarg))
        return true;
    cmd_error("--server wants an address of 127.0.0.0/8 with a port, not \"%s\"", optarg);
    return false;
}

static bool parse_http(struct bench_options *o)
{
    o->service = BENCH_HTTP;
    o->path = optarg == NULL ? "/" : optarg;
    if (o->path[0] == '/' && strlen(o->path) < 128 && strpbrk(o->path, " \r\n") == NULL)
        return true;
    cmd_error("--http wants a path from / on, of at most 127 bytes, not \"%s\"", o->path);
    return false;
}

static bool parse_pid(struct bench_options *o)
{
    char path[64];

    if (o->n_pids == BENCH_PIDS) {
        cmd_error("--pid: at most %d", BENCH_PIDS);
        return false;
    }
    if (!cmd_number("--pid", optarg, 1, INT32_MAX, &o->pids[o->n_pids]))
        return false;
    (void)snprintf(path, sizeof path, "/proc/%ld", o->pids[o->n_pids]);
    if (access(path, F_OK) < 0) {
        cmd_error("there is no process %ld", o->pids[o->n_pids]);
        return false;
    }
    o->n_pids++;
    return true;
}

static bool parse_option(int c, struct bench_options *o)
{
    switch (c) {
    case 'a':
        return cmd_number("--active", optarg, 0, 100000, &o->active);
    case 'r':
        return cmd_number("--rate", optarg, 1, 1000, &o->rate);
    case 't':
        return cmd_number("--seconds", optarg, 1, 3600, &o->seconds);
    case 'H':
        return cmd_number("--hold", optarg, 0, 86400, &o->hold_s);
    case 'c':
        o->service = BENCH_COROUTINES;
        return true;
    case 'w':
        return parse_http(o);
    case 's':
        return parse_server(o);
    case 'P':
        return parse_pid(o);
    case 'n':
        return cmd_number("--processes", optarg, 1, BENCH_PAIRS, &o->processes);
    case 'p':
        return cmd_number("--procs", optarg, 1, 256, &o->threads);
    case 'T':
        return cmd_number("--timeout", optarg, 1, 3600, &o->timeout_s);
    case 'f':
        o->force = true;
        return true;
    case 'j':
        o->json = true;
        return true;
    case 'R':
        o->root = optarg;
        return true;
    default:
        return false;
    }
}

/* The number of connections, and what fits only some options. */
static bool parse_rest(int argc, char **argv, struct bench_options *o)
{
    if (optind != argc - 1) {
        cmd_error("bench connections wants one number; see runnel bench connections --help");
        return false;
    }
    if (!cmd_number("bench connections", argv[optind], 1, 10000000, &o->connections))
        return false;
    if (o->active < 0)
        o->active = o->connections < 100 ? o->connections : 100;
    if (o->active > o->connections) {
        cmd_error("--active: there are only %ld connections", o->connections);
        return false;
    }
    if (o->server == NULL && o->n_pids > 0) {
        cmd_error("--pid tells whose memory --server's is");
        return false;
    }
    if (o->server != NULL && (o->threads > 0 || o->service == BENCH_COROUTINES)) {
        cmd_error("--procs and --coroutines are for runnel's own server, not for --server");
        return false;
    }
    return true;
}

/* A kernel lets the timers of a second or two go off together: probes of many connections come in
 * bursts, and on loopback those that netdev_max_backlog has no room for are lost. */
static void tell_lost(const struct bench *b)
{
    long lost = b->options->connections - b->result.alive;

    cmd_error("%ld connections were closed meanwhile, by the server or for want of an answer to "
              "its keep-alive probes: the figures are not those of %ld",
              lost, b->options->connections);
    if (b->result.dropped > 0)
        cmd_error("%ld packets were dropped: sysctl -w net.core.netdev_max_backlog=%ld",
                  b->result.dropped, b->options->connections);
}

static int run(const struct bench_options *o)
{
    struct bench *b = calloc(1, sizeof *b);
    int status;

    if (b == NULL) {
        cmd_error("bench: %s", rn_strerror(-ENOMEM));
        return CMD_FAILED;
    }
    b->options = o;
    b->signal_fd = -1;
    b->limits = (struct doctor){.root = o->root, .proc = "/proc/self"};
    b->files = (struct doctor){.root = "", .proc = "/proc/self"};
    bench_make_plan(b);
    b->status = bench_check_limits(b) ? CMD_OK : CMD_FAILED;
    if (b->status == CMD_OK)
        bench_run(b);
    if (b->status == CMD_OK && o->json)
        bench_print_json(b);
    else if (b->status == CMD_OK)
        bench_print_table(b);
    if (b->status == CMD_OK && b->result.alive < o->connections) {
        tell_lost(b);
        b->status = CMD_FAILED;
    }
    status = b->status;
    free(b->limits.findings);
    free(b);
    return status;
}

int bench_connections(int argc, char **argv)
{
    static const struct option longs[] = {{"active", required_argument, NULL, 'a'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"hold", required_argument, NULL, 'H'},
                                          {"coroutines", no_argument, NULL, 'c'},
                                          {"http", optional_argument, NULL, 'w'},
                                          {"server", required_argument, NULL, 's'},
                                          {"pid", required_argument, NULL, 'P'},
                                          {"processes", required_argument, NULL, 'n'},
                                          {"procs", required_argument, NULL, 'p'},
                                          {"timeout", required_argument, NULL, 'T'},
                                          {"force", no_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"root", required_argument, NULL, 'R'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct bench_options o = {
        .active = -1, .rate = 10, .hold_s = 10, .seconds = 5, .timeout_s = 10, .root = ""};
    int c;

    while ((c = cmd_option("bench connections", argc, argv, "a:r:t:H:cp:jh", longs)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return CMD_OK;
        }
        if (!parse_option(c, &o))
            return CMD_USAGE;
    }
    return parse_rest(argc, argv, &o) ? run(&o) : CMD_USAGE;
}

static void usage(FILE *out)
{
    fputs("Usage: runnel bench WHAT [OPTION]...\n\n", out);
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
        fprintf(out, "  %-12s %s\n", benches[i].name, benches[i].what);
    fputs("\n`runnel bench WHAT --help` tells more.\n", out);
}

int cmd_bench(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        usage(stdout);
        return CMD_OK;
    }
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
        if (strcmp(name, benches[i].name) == 0)
            return benches[i].run(argc - 1, argv + 1);
    if (*name != '\0')
        cmd_error("there is no bench \"%s\"", name);
    usage(stderr);
    return CMD_USAGE;
}
