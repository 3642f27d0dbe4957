/*
 * bench_print.c - the figures of `runnel bench connections`: a table for people, JSON for programs
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define UNKNOWN LONG_MIN
#define CACHES_SHOWN 8

static const char *const services[] = {
    [BENCH_ECHO] = "echo", [BENCH_COROUTINES] = "echo-coroutines", [BENCH_HTTP] = "http"};

/* What has been added, in bytes. The kernel's is slab and page tables without files: inodes and
 * names that others have looked up meanwhile, who list /proc/PID/fd, say. */
struct growth {
    long server, client, slab, page_tables, files, kernel, buffers, all;
    struct bench_cache caches[BENCH_CACHES]; /* the largest first */
    int n_caches;
};

/* ---- differences ---- */

static long subtract(long after, long before)
{
    return before < 0 || after < 0 ? UNKNOWN : after - before;
}

static int by_bytes(const void *a, const void *b)
{
    long x = ((const struct bench_cache *)a)->bytes, y = ((const struct bench_cache *)b)->bytes;

    return (x < y) - (x > y);
}

static bool is_of_files(const char *name)
{
    size_t len = strlen(name), end = strlen("inode_cache");

    return len >= end && strcmp(name + len - end, "inode_cache") == 0 &&
           strcmp(name, "sock_inode_cache") != 0;
}

/* A socket has one inode and one name. */
static void split_names(struct growth *g)
{
    struct bench_cache *names = NULL, *sockets = NULL;
    long bytes;

    for (int i = 0; i < g->n_caches; i++) {
        if (strcmp(g->caches[i].name, "dentry") == 0)
            names = &g->caches[i];
        else if (strcmp(g->caches[i].name, "sock_inode_cache") == 0)
            sockets = &g->caches[i];
    }
    if (names == NULL || names->objects <= 0)
        return;
    bytes = sockets == NULL || sockets->objects < 0 ? 0 : sockets->objects;
    bytes = (long)((double)names->bytes * (double)bytes / (double)names->objects);
    if (bytes >= names->bytes)
        return;
    g->files += names->bytes - bytes;
    names->bytes = bytes;
}

static void subtract_caches(struct growth *g, const struct bench_result *r)
{
    int n = 0;

    for (int i = 0; i < r->after.n_caches; i++) {
        struct bench_cache one = r->after.caches[i];

        for (int k = 0; k < r->before.n_caches; k++) {
            if (strcmp(one.name, r->before.caches[k].name) != 0)
                continue;
            one.bytes -= r->before.caches[k].bytes;
            one.objects -= r->before.caches[k].objects;
        }
        if (is_of_files(one.name))
            g->files += one.bytes;
        else
            g->caches[g->n_caches++] = one;
    }
    split_names(g);
    qsort(g->caches, (size_t)g->n_caches, sizeof g->caches[0], by_bytes);
    while (n < g->n_caches && n < CACHES_SHOWN && g->caches[n].bytes > 0)
        n++;
    g->n_caches = n;
}

static void find_growth(const struct bench *b, struct growth *g)
{
    const struct bench_sample *old = &b->result.before, *now = &b->result.after;

    *g = (struct growth){.server = subtract(now->server_user, old->server_user),
                         .client = subtract(now->client_user, old->client_user),
                         .slab = subtract(now->slab, old->slab),
                         .page_tables = subtract(now->page_tables, old->page_tables),
                         .buffers = subtract(now->buffers, old->buffers),
                         .all = subtract(old->free, now->free)};
    subtract_caches(g, &b->result);
    g->kernel = g->slab == UNKNOWN || g->page_tables == UNKNOWN
                    ? UNKNOWN
                    : g->slab + g->page_tables - g->files;
    g->all -= g->all == UNKNOWN ? 0 : g->files;
}

/* ---- for people ---- */

/* "12.3 MB", "273 B": three digits, in buf. */
static const char *to_bytes(double n, char buf[static 16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    double size = n < 0 ? -n : n;
    int unit = 0;

    while (unit < 3 && size >= 999.5) {
        size /= 1000;
        unit++;
    }
    (void)snprintf(buf, 16, "%s%.*f %s", n <= -0.5 ? "-" : "",
                   unit == 0 || size >= 99.95 ? 0
                   : size >= 9.995            ? 1
                                              : 2,
                   size, units[unit]);
    return buf;
}

static void print_bytes(const struct bench *b, const char *name, long bytes, const char *note)
{
    char all[16], each[16];

    if (bytes == UNKNOWN)
        printf("%-26s %10s %10s  %s\n", name, "?", "?", note);
    else
        printf("%-26s %10s %10s  %s\n", name, to_bytes((double)bytes, all),
               to_bytes((double)bytes / (double)b->result.opened, each), note);
}

static void print_cpu(const char *name, rn_time cpu_ns, rn_time span_ns)
{
    char span[16], cpu[16];

    if (cpu_ns < 0)
        printf("%-26s %10s\n", name, "?");
    else
        printf("%-26s %10s %9.2f%%  of one CPU, in %s\n", name, cmd_span((uint64_t)cpu_ns, cpu),
               100 * (double)cpu_ns / (double)span_ns, cmd_span((uint64_t)span_ns, span));
}

/* "12%", or "?". */
static const char *to_share(long part, long whole, char buf[static 16])
{
    if (whole <= 0)
        return "?";
    (void)snprintf(buf, 16, "%.0f%%", 100 * (double)part / (double)whole);
    return buf;
}

static void print_times(const char *name, const struct bench_times *t)
{
    const struct bench_pace *p = &t->pace;
    char p50[16], p99[16], max[16], waited[16] = "?", busy[16], softirq[16], probes[24] = "?";

    if (p->waited_ns >= 0 && t->n > 0)
        (void)cmd_span((uint64_t)p->waited_ns / t->n, waited);
    if (p->probes >= 0)
        (void)snprintf(probes, sizeof probes, "%ld", p->probes);
    printf("%-26s %10s %10s %10s %8" PRIu64 " %10s %6s %8s %8s\n", name, cmd_span(t->p50_ns, p50),
           cmd_span(t->p99_ns, p99), cmd_span(t->max_ns, max), t->n, waited,
           to_share(p->ticks - p->idle, p->ticks, busy), to_share(p->softirq, p->ticks, softirq),
           probes);
}

static void print_title(const struct bench *b)
{
    const struct bench_options *o = b->options;
    const struct bench_plan *p = &b->plan;

    printf("%ld connections of %s to ", b->result.opened, services[o->service]);
    if (o->server != NULL)
        printf("%s", o->server);
    else
        printf("%d runnel server%s with %ld thread%s", p->pairs, p->pairs == 1 ? "" : "s",
               p->threads, p->threads == 1 ? "" : "s");
    printf(", from %d client process%s with %ld descriptors; load before %.2f\n\n", p->pairs,
           p->pairs == 1 ? "" : "es", p->limit, b->result.load);
}

static void print_memory(const struct bench *b)
{
    struct growth g;
    char name[64];

    find_growth(b, &g);
    print_bytes(b, "user memory, server", g.server,
                g.server == UNKNOWN ? "--pid, and the right to look at it, would tell" : "PSS");
    print_bytes(b, "user memory, clients", g.client, "PSS");
    print_bytes(b, "kernel memory", g.kernel, "both ends: slab and page tables");
    print_bytes(b, "  one end", g.kernel == UNKNOWN ? UNKNOWN : g.kernel / 2, "half of it");
    for (int i = 0; i < g.n_caches && g.caches[i].bytes > g.slab / 50; i++) {
        (void)snprintf(name, sizeof name, "  %s", g.caches[i].name);
        print_bytes(b, name, g.caches[i].bytes, "of the slab");
    }
    print_bytes(b, "  page tables", g.page_tables, "of these processes");
    print_bytes(b, "socket buffers", g.buffers, "data under way, TCP's own count");
    print_bytes(b, "free memory gone", g.all, "to compare with the sum, if nobody else took any");
}

void bench_print_table(const struct bench *b)
{
    const struct bench_result *r = &b->result;
    char all[16], each[16], name[64];

    print_title(b);
    printf("%-26s %10s %10s\n", "", "ALL", "EACH");
    printf("%-26s %10s %10s  %.0f a second, from %d address%s, one round trip on each\n", "to open",
           cmd_span((uint64_t)r->open_ns, all), cmd_span((uint64_t)(r->open_ns / r->opened), each),
           (double)r->opened * 1e9 / (double)r->open_ns, r->addresses,
           r->addresses == 1 ? "" : "es");
    print_memory(b);
    if (b->options->hold_s > 0) {
        print_cpu("CPU at rest, server", r->server_cpu_ns, r->rest_ns);
        print_cpu("CPU at rest, clients", r->client_cpu_ns, r->rest_ns);
    }
    if (b->options->active > 0) {
        printf("\n%-26s %10s %10s %10s %8s %10s %6s %8s %8s\n", "ROUND TRIPS", "P50", "P99", "MAX",
               "COUNT", "WAITED", "BUSY", "SOFTIRQ", "PROBES");
        (void)snprintf(name, sizeof name, "%ld active, alone", b->options->active);
        print_times(name, &r->alone);
        (void)snprintf(name, sizeof name, "%ld active among %ld", b->options->active, r->opened);
        print_times(name, &r->among);
    }
    if (r->overflows > 0 && b->options->server != NULL) /* ours are not asked for more */
        printf("\nAn accept queue of this network was full %ld times, which costs a second each: "
               "net.core.somaxconn, or the server's backlog, is short.\n",
               r->overflows);
    if (r->dropped > 0)
        printf("\n%ld packets were dropped: net.core.netdev_max_backlog is short.\n", r->dropped);
}

/* ---- JSON ---- */

static void print_long(const char *name, long n, const char *after)
{
    if (n == UNKNOWN)
        printf("\"%s\": null%s", name, after);
    else
        printf("\"%s\": %ld%s", name, n, after);
}

/* Of 1. */
static void print_share(const char *name, long part, long whole)
{
    if (whole > 0)
        printf("\"%s\": %.4f, ", name, (double)part / (double)whole);
    else
        printf("\"%s\": null, ", name);
}

static void print_json_memory(const struct bench *b)
{
    struct growth g;

    find_growth(b, &g);
    printf("  \"memory\": {");
    print_long("user_server_bytes", g.server, ", ");
    print_long("user_client_bytes", g.client, ", ");
    print_long("kernel_bytes", g.kernel, ", ");
    print_long("slab_bytes", g.slab, ", ");
    print_long("page_table_bytes", g.page_tables, ", ");
    print_long("socket_buffer_bytes", g.buffers, ", ");
    print_long("file_bytes", g.files, ", ");
    print_long("machine_bytes", g.all, ",\n    \"slab_caches\": [");
    for (int i = 0; i < g.n_caches; i++)
        printf("%s{\"name\": \"%s\", \"bytes\": %ld}", i == 0 ? "" : ", ", g.caches[i].name,
               g.caches[i].bytes);
    puts("]},");
}

static void print_json_times(const char *name, const struct bench_times *t, const char *after)
{
    const struct bench_pace *p = &t->pace;

    printf("\"%s\": {\"count\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
           ", \"max_ns\": %" PRIu64 ",\n      ",
           name, t->n, t->p50_ns, t->p99_ns, t->max_ns);
    print_long("waited_ns", p->waited_ns < 0 ? UNKNOWN : p->waited_ns, ", ");
    print_share("busy", p->ticks - p->idle, p->ticks);
    print_share("softirq", p->softirq, p->ticks);
    print_long("probes", p->probes < 0 ? UNKNOWN : p->probes, "}");
    fputs(after, stdout);
}

void bench_print_json(const struct bench *b)
{
    const struct bench_options *o = b->options;
    const struct bench_result *r = &b->result;

    printf("{\n  \"version\": \"%s\",\n  \"connections\": %ld,\n  \"opened\": %ld,\n  \"alive\": "
           "%ld,\n  \"service\": \"%s\",\n  \"server\": ",
           rn_version(), o->connections, r->opened, r->alive, services[o->service]);
    if (o->server != NULL)
        printf("\"%s\",\n  \"server_processes\": null,\n  \"server_threads\": null,\n", o->server);
    else
        printf("null,\n  \"server_processes\": %d,\n  \"server_threads\": %ld,\n", b->plan.pairs,
               b->plan.threads);
    printf("  \"client_processes\": %d,\n  \"descriptor_limit\": %ld,\n  \"addresses\": %d,\n"
           "  \"load_before\": %.2f,\n  \"open_seconds\": %.6f,\n  \"listen_overflows\": %ld,\n"
           "  \"packets_dropped\": %ld,\n",
           b->plan.pairs, b->plan.limit, r->addresses, r->load, (double)r->open_ns / 1e9,
           r->overflows, r->dropped);
    print_json_memory(b);
    printf("  \"rest\": {\"seconds\": %.6f, ", (double)r->rest_ns / 1e9);
    print_long("server_cpu_ns", r->server_cpu_ns < 0 ? UNKNOWN : r->server_cpu_ns, ", ");
    print_long("client_cpu_ns", r->client_cpu_ns < 0 ? UNKNOWN : r->client_cpu_ns, "},\n");
    if (o->active == 0) {
        puts("  \"active\": null\n}");
        return;
    }
    printf("  \"active\": {\"connections\": %ld, \"rate\": %ld, \"seconds\": %ld,\n    ", o->active,
           o->rate, o->seconds);
    print_json_times("alone", &r->alone, ",\n    ");
    print_json_times("among", &r->among, "}\n}\n");
}
