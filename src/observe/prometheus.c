/*
 * prometheus.c - a snapshot in Prometheus' text format, version 0.0.4
 *
 * Names by its conventions: base units, counters that end in _total. What is counted for each P has
 * the label proc; to add up is the query's work. Calls without such a count are left out. The list
 * is in docs/observability.md.
 */
#include "observe/text.h"

#include <string.h>

#include <runnel/stats.h>

#define U(n) ((unsigned long long)(n))

static void head(struct rn__text *t, const char *name, const char *type, const char *help)
{
    rn__text_format(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct rn__text *t, const char *name, const char *type, const char *help,
                uint64_t value)
{
    head(t, name, type, help);
    rn__text_format(t, "%s %llu\n", name, U(value));
}

static void one_seconds(struct rn__text *t, const char *name, const char *type, const char *help,
                        uint64_t ns)
{
    head(t, name, type, help);
    rn__text_format(t, "%s ", name);
    rn__text_seconds(t, ns);
    rn__text_put(t, "\n");
}

/* name{label="value"} number */
static void labelled(struct rn__text *t, const char *name, const char *label, const char *value,
                     uint64_t number)
{
    rn__text_format(t, "%s{%s=\"%s\"} %llu\n", name, label, value, U(number));
}

/* Text from outside within a label: what would need an escape, or is no ASCII, becomes '?'. */
static void to_label(const char *text, char *ret, size_t room)
{
    size_t i = 0;

    for (; i < room - 1 && text[i] != '\0'; i++) {
        bool plain = text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';

        ret[i] = plain ? text[i] : '?';
    }
    ret[i] = '\0';
}

/* Each `step`th bound is told: 1 for bounds 2 times apart, 2 for 4 times. */
static void put_histogram(struct rn__text *t, const char *name, const char *label,
                          const char *value, const rn_stats_times *times, int step)
{
    uint64_t sum = 0;

    for (int i = 0; i < RN_STATS_BUCKETS - 1; i++) {
        sum += times->buckets[i];
        if (i % step != 0)
            continue;
        rn__text_format(t, "%s_bucket{%s=\"%s\",le=\"", name, label, value);
        rn__text_seconds(t, UINT64_C(1) << (i + 8));
        rn__text_format(t, "\"} %llu\n", U(sum));
    }
    rn__text_format(t, "%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n", name, label, value, U(times->n));
    rn__text_format(t, "%s_sum{%s=\"%s\"} ", name, label, value);
    rn__text_seconds(t, times->sum_ns);
    rn__text_format(t, "\n%s_count{%s=\"%s\"} %llu\n", name, label, value, U(times->n));
}

/* ---- system calls ---- */

static void put_counts(struct rn__text *t, const rn_stats *s, const char *name, const char *help,
                       size_t member)
{
    head(t, name, "counter", help);
    for (int i = 0; i < s->n_calls; i++) {
        const rn_stats_call *c = &s->total.calls[i];

        uint64_t n = *(const uint64_t *)(const void *)((const char *)c + member);

        if (n > 0)
            labelled(t, name, "call", c->name, n);
    }
}

static void put_errors(struct rn__text *t, const rn_stats *s)
{
    static const char name[] = "runnel_syscall_errors_total";

    head(t, name, "counter",
         "Failed system calls by errno; \"other\" is what came after the first six kinds.");
    for (int i = 0; i < s->n_calls; i++) {
        const rn_stats_call *c = &s->total.calls[i];
        uint64_t named = 0;

        for (int k = 0; k < RN_STATS_ERRORS && c->by_error[k].error != 0; k++) {
            rn__text_format(t, "%s{call=\"%s\",errno=\"%s\"} %llu\n", name, c->name,
                            rn_error_name(-c->by_error[k].error), U(c->by_error[k].n));
            named += c->by_error[k].n;
        }
        if (c->errors > named)
            rn__text_format(t, "%s{call=\"%s\",errno=\"other\"} %llu\n", name, c->name,
                            U(c->errors - named));
    }
}

static void put_calls(struct rn__text *t, const rn_stats *s)
{
    static const char name[] = "runnel_syscall_duration_seconds";

    put_counts(t, s, "runnel_syscalls_total", "System calls.", offsetof(rn_stats_call, calls));
    put_errors(t, s);
    put_counts(t, s, "runnel_syscall_again_total", "System calls that said EAGAIN.",
               offsetof(rn_stats_call, again));
    put_counts(t, s, "runnel_syscall_bytes_total", "Bytes moved by system calls.",
               offsetof(rn_stats_call, bytes));
    head(t, name, "histogram",
         "Time in system calls, waiting included, of one call in 64 for each P.");
    for (int i = 0; i < s->n_calls; i++)
        if (s->total.calls[i].times.n > 0)
            put_histogram(t, name, "call", s->total.calls[i].name, &s->total.calls[i].times, 2);
}

/* ---- Ps ---- */

struct proc_metric {
    const char *name, *type, *help;
    size_t member;
    enum { COUNT, UNSIGNED, NANOSECONDS } kind;
};

#define METRIC(n, t, h, m, k)                                                                      \
    {                                                                                              \
        .name = n, .type = t, .help = h, .member = offsetof(rn_stats_proc, m), .kind = k           \
    }

static const struct proc_metric proc_metrics[] = {
    METRIC("runnel_coroutines_started_total", "counter", "Coroutines started by each P.",
           coroutines_started, COUNT),
    METRIC("runnel_coroutines_ended_total", "counter", "Coroutines that ended on each P.",
           coroutines_ended, COUNT),
    METRIC("runnel_coroutines_runnable", "gauge", "Coroutines that run or wait for their P.",
           runnable, UNSIGNED),
    METRIC("runnel_coroutines_parked", "gauge", "Coroutines that wait for something.", parked,
           UNSIGNED),
    METRIC("runnel_scheduler_switches_total", "counter", "Switches between coroutines.", switches,
           COUNT),
    METRIC("runnel_scheduler_parks_total", "counter", "Waits begun by coroutines.", parks, COUNT),
    METRIC("runnel_scheduler_steals_total", "counter",
           "New coroutines that this P took from another.", steals, COUNT),
    METRIC("runnel_scheduler_wakes_total", "counter", "Sleeping Ps that this P woke.", wakes,
           COUNT),
    METRIC("runnel_scheduler_stale_events_total", "counter",
           "Events for descriptors that were closed meanwhile.", stale_events, COUNT),
    METRIC("runnel_scheduler_asleep_seconds_total", "counter",
           "Time in which this P had nothing to run.", asleep_ns, NANOSECONDS),
    METRIC("runnel_scheduler_longest_turn_seconds", "gauge",
           "Longest time between two looks at the poller: coroutines that hold the P.",
           longest_turn_ns, NANOSECONDS),
    METRIC("runnel_scheduler_turn_seconds", "gauge",
           "Time since this P last looked at the poller; 0 when it sleeps.", turn_ns, NANOSECONDS),
    METRIC("runnel_proc_connections", "gauge", "Connections at home on this P.", connections,
           UNSIGNED),
};

static void put_proc_metric(struct rn__text *t, const rn_stats *s, const struct proc_metric *m)
{
    head(t, m->name, m->type, m->help);
    for (int i = 0; i < s->n_procs; i++) {
        const void *at = (const char *)&s->procs[i] + m->member;
        uint64_t n = m->kind == UNSIGNED ? *(const unsigned *)at : *(const uint64_t *)at;

        rn__text_format(t, "%s{proc=\"%d\"} ", m->name, i + 1);
        if (m->kind == NANOSECONDS)
            rn__text_seconds(t, n);
        else
            rn__text_format(t, "%llu", U(n));
        rn__text_put(t, "\n");
    }
}

/* How many events each poll brought: a histogram whose count is the polls, its sum the events. */
static void put_polls(struct rn__text *t, const rn_stats *s)
{
    static const char name[] = "runnel_poll_events";
    uint64_t sum = 0;

    head(t, name, "histogram", "Events brought by one call of the poller.");
    for (int i = 0; i < RN_STATS_BATCHES - 1; i++) {
        sum += s->total.batches[i];
        rn__text_format(t, "%s_bucket{le=\"%d\"} %llu\n", name, (1 << i) - 1, U(sum));
    }
    sum += s->total.batches[RN_STATS_BATCHES - 1];
    rn__text_format(t, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %llu\n%s_count %llu\n", name, U(sum),
                    name, U(s->total.events), name, U(sum));
}

static void put_scheduler(struct rn__text *t, const rn_stats *s)
{
    static const char waiting[] = "runnel_coroutines_waiting";

    for (size_t i = 0; i < sizeof proc_metrics / sizeof *proc_metrics; i++)
        put_proc_metric(t, s, &proc_metrics[i]);
    put_polls(t, s);
    head(t, waiting, "gauge", "Parked coroutines by what they wait in.");
    for (int i = 0; i < s->n_waits; i++)
        labelled(t, waiting, "in", s->waits[i].name, s->waits[i].n);
}

static void put_sites(struct rn__text *t, const rn_stats *s)
{
    static const char name[] = "runnel_stack_deepest_bytes";

    head(t, name, "gauge", "Deepest stacks seen, by where their coroutines were started.");
    for (int i = 0; i < s->n_sites; i++) {
        char where[sizeof s->sites->where];
        int same = 0;

        /* Of a file that is mapped twice the deeper one stands for both: a series is unique. */
        while (same < i && strcmp(s->sites[same].where, s->sites[i].where) != 0)
            same++;
        to_label(s->sites[i].where, where, sizeof where);
        if (same == i)
            labelled(t, name, "site", where, s->sites[i].deepest_bytes);
    }
}

/* ---- connections and listeners ---- */

static void put_connections(struct rn__text *t, const rn_stats *s)
{
    static const char state[] = "runnel_connections", opened[] = "runnel_connections_opened_total",
                      closed[] = "runnel_connections_closed_total";
    int64_t busy = s->connections - s->at_rest - s->lingering;

    head(t, state, "gauge", "Open connections: busy, without a coroutine, closed but lingering.");
    labelled(t, state, "state", "busy", busy < 0 ? 0 : (uint64_t)busy);
    labelled(t, state, "state", "at_rest", (uint64_t)s->at_rest);
    labelled(t, state, "state", "lingering", (uint64_t)s->lingering);
    head(t, opened, "counter", "Connections by how they came to be.");
    labelled(t, opened, "how", "accepted", s->total.accepted);
    labelled(t, opened, "how", "dialled", s->total.dialled);
    labelled(t, opened, "how", "adopted", s->total.adopted);
    head(t, closed, "counter", "Connections by why they were closed.");
    labelled(t, closed, "why", "here", s->total.closed[RN_CLOSED_HERE]);
    labelled(t, closed, "why", "eof", s->total.closed[RN_CLOSED_EOF]);
    labelled(t, closed, "why", "error", s->total.closed[RN_CLOSED_ERROR]);
    labelled(t, closed, "why", "deadline", s->total.closed[RN_CLOSED_DEADLINE]);
    labelled(t, closed, "why", "cancelled", s->total.closed[RN_CLOSED_CANCELLED]);
}

static void put_queues(struct rn__text *t, const rn_stats *s, const char *name, const char *help,
                       size_t member)
{
    head(t, name, "gauge", help);
    for (int i = 0; i < s->n_listeners; i++) {
        const rn_stats_listener *l = &s->listeners[i];
        int n = *(const int *)(const void *)((const char *)l + member);
        char address[sizeof l->address];
        int same = 0;

        /* Of a group on one port the first stands for all: a series is unique. */
        while (same < i && strcmp(s->listeners[same].address, l->address) != 0)
            same++;
        to_label(l->address, address, sizeof address);
        if (n >= 0 && same == i)
            labelled(t, name, "address", address, (uint64_t)n);
    }
}

static void put_listeners(struct rn__text *t, const rn_stats *s)
{
    put_queues(t, s, "runnel_listener_queued", "Connections that wait to be accepted.",
               offsetof(rn_stats_listener, queued));
    put_queues(t, s, "runnel_listener_queue_limit", "Most connections that may wait.",
               offsetof(rn_stats_listener, queue_limit));
    if (s->listen_overflows >= 0)
        one(t, "runnel_system_listen_overflows_total", "counter",
            "Connections refused for a full accept queue, in this network namespace.",
            (uint64_t)s->listen_overflows);
    if (s->listen_drops >= 0)
        one(t, "runnel_system_listen_drops_total", "counter",
            "Connections refused for any reason, in this network namespace.",
            (uint64_t)s->listen_drops);
}

/* ---- requests ---- */

static void put_http_totals(struct rn__text *t, const rn_stats *s)
{
    static const char requests[] = "runnel_http_requests_total",
                      failed[] = "runnel_http_responses_failed_total",
                      bytes[] = "runnel_http_response_bytes_total";
    char name[sizeof s->http->name];

    head(t, requests, "counter", "Requests by the status of their answer; 0: none was sent.");
    for (int i = 0; i < s->n_http; i++)
        for (int k = 0; k < 600; k++)
            if (s->http[i].status[k] > 0) {
                to_label(s->http[i].name, name, sizeof name);
                rn__text_format(t, "%s{server=\"%s\",code=\"%d\"} %llu\n", requests, name, k,
                                U(s->http[i].status[k]));
            }
    head(t, failed, "counter", "Answers that could not be sent whole.");
    for (int i = 0; i < s->n_http; i++) {
        to_label(s->http[i].name, name, sizeof name);
        labelled(t, failed, "server", name, s->http[i].failed);
    }
    head(t, bytes, "counter", "Bytes of the bodies of answers.");
    for (int i = 0; i < s->n_http; i++) {
        to_label(s->http[i].name, name, sizeof name);
        labelled(t, bytes, "server", name, s->http[i].bytes);
    }
}

static void put_http(struct rn__text *t, const rn_stats *s)
{
    static const char took[] = "runnel_http_request_duration_seconds";

    if (s->n_http == 0)
        return;
    put_http_totals(t, s);
    head(t, took, "histogram", "From a request's first byte to the end of its answer.");
    for (int i = 0; i < s->n_http; i++) {
        char name[sizeof s->http->name];

        to_label(s->http[i].name, name, sizeof name);
        put_histogram(t, took, "server", name, &s->http[i].times, 1);
    }
}

/* ---- the whole ---- */

static void put_process(struct rn__text *t, const rn_stats *s)
{
    head(t, "runnel_build_info", "gauge", "1, with the version, and the poller in use.");
    rn__text_format(t, "runnel_build_info{version=\"%s\",poller=\"%s\",counting=\"%s\"} 1\n",
                    rn_version(), s->poller, s->counting ? "true" : "false");
    one_seconds(t, "runnel_uptime_seconds", "gauge", "Age of the runtime.", (uint64_t)s->uptime_ns);
    one(t, "runnel_procs", "gauge", "Ps: threads that run coroutines.", (uint64_t)s->n_procs);
    head(t, "runnel_stacks", "gauge", "Stacks made, by whether a coroutine has them.");
    labelled(t, "runnel_stacks", "state", "in_use", s->stacks_in_use);
    labelled(t, "runnel_stacks", "state", "free", s->stacks_free);
    one(t, "runnel_stack_address_space_bytes", "gauge", "Address space of all stacks.",
        s->stack_bytes);
    one(t, "runnel_connection_memory_bytes", "gauge",
        "Memory for connections and listeners, free ones included.", s->connection_bytes);
    one_seconds(t, "process_cpu_seconds_total", "counter", "User and system CPU time.", s->cpu_ns);
    one(t, "process_resident_memory_bytes", "gauge", "Resident memory.", s->resident_bytes);
    if (s->started_ms > 0)
        one_seconds(t, "process_start_time_seconds", "gauge", "Start of the process, since 1970.",
                    (uint64_t)s->started_ms * 1000000);
    if (s->open_files >= 0)
        one(t, "process_open_fds", "gauge", "Descriptors open.", (uint64_t)s->open_files);
    one(t, "process_max_fds", "gauge", "Descriptors this process may have open.",
        s->open_files_most);
    if (s->open_files_before > 0)
        one(t, "runnel_max_fds_before", "gauge", "process_max_fds before the runtime raised it.",
            s->open_files_before);
}

int rn_stats_prometheus(const rn_stats *stats, char **ret)
{
    struct rn__text t = {0};

    put_process(&t, stats);
    put_calls(&t, stats);
    put_scheduler(&t, stats);
    put_sites(&t, stats);
    put_connections(&t, stats);
    put_listeners(&t, stats);
    put_http(&t, stats);
    return rn__text_take(&t, ret);
}
