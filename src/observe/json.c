/*
 * json.c - a snapshot as JSON
 *
 * Members have the names of the structs' (stats.h). Calls that were not made are left out.
 */
#include "observe/text.h"
#include <runnel/stats.h>

#define U(n) ((unsigned long long)(n))

/* "name":n, */
static void put_number(struct rn__text *t, const char *name, uint64_t n)
{
    rn__text_format(t, "\"%s\":%llu,", name, U(n));
}

static void put_signed(struct rn__text *t, const char *name, int64_t n)
{
    rn__text_format(t, "\"%s\":%lld,", name, (long long)n);
}

static void put_text(struct rn__text *t, const char *name, const char *text)
{
    rn__text_format(t, "\"%s\":", name);
    rn__text_string(t, text);
    rn__text_put(t, ",");
}

/* Closes what was opened, over the last comma where there is one. */
static void close_with(struct rn__text *t, const char *bracket)
{
    if (t->len > 0 && t->at[t->len - 1] == ',')
        t->at[--t->len] = '\0';
    rn__text_put(t, bracket);
}

static void put_list(struct rn__text *t, const char *name, const uint64_t *numbers, int n)
{
    rn__text_format(t, "\"%s\":[", name);
    for (int i = 0; i < n; i++)
        rn__text_format(t, "%llu,", U(numbers[i]));
    close_with(t, "],");
}

static void put_times(struct rn__text *t, const rn_stats_times *times)
{
    rn__text_put(t, "\"times\":{");
    put_number(t, "n", times->n);
    put_number(t, "sum_ns", times->sum_ns);
    put_signed(t, "p50_ns", times->p50_ns);
    put_signed(t, "p90_ns", times->p90_ns);
    put_signed(t, "p99_ns", times->p99_ns);
    put_signed(t, "max_ns", times->max_ns);
    put_list(t, "buckets", times->buckets, RN_STATS_BUCKETS);
    close_with(t, "},");
}

/* With its times only where they are everybody's. */
static void put_call(struct rn__text *t, const rn_stats_call *c, bool whole)
{
    rn__text_put(t, "{");
    put_text(t, "name", c->name);
    put_number(t, "calls", c->calls);
    put_number(t, "errors", c->errors);
    put_number(t, "again", c->again);
    put_number(t, "bytes", c->bytes);
    if (whole) {
        rn__text_put(t, "\"by_error\":{");
        for (int i = 0; i < RN_STATS_ERRORS && c->by_error[i].error != 0; i++)
            put_number(t, rn_error_name(-c->by_error[i].error), c->by_error[i].n);
        close_with(t, "},");
        put_times(t, &c->times);
    }
    close_with(t, "},");
}

static void put_closed(struct rn__text *t, const rn_stats_proc *p)
{
    static const char *const names[RN_CLOSED_REASONS] = {[RN_CLOSED_HERE] = "here",
                                                         [RN_CLOSED_EOF] = "eof",
                                                         [RN_CLOSED_ERROR] = "error",
                                                         [RN_CLOSED_DEADLINE] = "deadline",
                                                         [RN_CLOSED_CANCELLED] = "cancelled"};

    rn__text_put(t, "\"closed\":{");
    for (int i = 0; i < RN_CLOSED_REASONS; i++)
        put_number(t, names[i], p->closed[i]);
    close_with(t, "},");
}

static void put_proc(struct rn__text *t, const rn_stats_proc *p, int n_calls, bool whole)
{
    rn__text_put(t, "{");
    put_number(t, "coroutines_started", p->coroutines_started);
    put_number(t, "coroutines_ended", p->coroutines_ended);
    put_number(t, "switches", p->switches);
    put_number(t, "parks", p->parks);
    put_number(t, "steals", p->steals);
    put_number(t, "wakes", p->wakes);
    put_number(t, "polls", p->polls);
    put_number(t, "events", p->events);
    put_number(t, "stale_events", p->stale_events);
    put_list(t, "batches", p->batches, RN_STATS_BATCHES);
    put_number(t, "asleep_ns", p->asleep_ns);
    put_signed(t, "longest_turn_ns", p->longest_turn_ns);
    put_signed(t, "turn_ns", p->turn_ns);
    put_number(t, "connections", p->connections);
    put_number(t, "runnable", p->runnable);
    put_number(t, "parked", p->parked);
    put_number(t, "accepted", p->accepted);
    put_number(t, "dialled", p->dialled);
    put_number(t, "adopted", p->adopted);
    put_closed(t, p);
    rn__text_put(t, "\"calls\":[");
    for (int i = 0; i < n_calls; i++)
        if (p->calls[i].calls > 0)
            put_call(t, &p->calls[i], whole);
    close_with(t, "]");
    close_with(t, "},");
}

static void put_slow(struct rn__text *t, const rn_stats_slow *s)
{
    rn__text_put(t, "{");
    put_signed(t, "ago_ns", s->ago_ns);
    put_signed(t, "took_ns", s->took_ns);
    put_signed(t, "status", s->status);
    put_text(t, "what", s->what);
    close_with(t, "},");
}

static void put_site(struct rn__text *t, const rn_stats_site *s)
{
    rn__text_put(t, "{");
    put_text(t, "where", s->where);
    put_number(t, "looks", s->looks);
    put_number(t, "deepest_bytes", s->deepest_bytes);
    close_with(t, "},");
}

static void put_slow_call(struct rn__text *t, const rn_stats_slow_call *c)
{
    rn__text_put(t, "{");
    put_text(t, "name", c->name);
    put_signed(t, "proc", c->proc);
    put_signed(t, "ago_ns", c->ago_ns);
    put_signed(t, "took_ns", c->took_ns);
    close_with(t, "},");
}

static void put_http(struct rn__text *t, const rn_stats_http *h)
{
    rn__text_put(t, "{");
    put_text(t, "name", h->name);
    put_number(t, "requests", h->requests);
    put_number(t, "failed", h->failed);
    put_number(t, "bytes", h->bytes);
    rn__text_put(t, "\"status\":{");
    for (int i = 0; i < 600; i++)
        if (h->status[i] > 0)
            rn__text_format(t, "\"%d\":%llu,", i, U(h->status[i]));
    close_with(t, "},");
    put_times(t, &h->times);
    rn__text_put(t, "\"slow\":[");
    for (int i = 0; i < h->n_slow; i++)
        put_slow(t, &h->slow[i]);
    close_with(t, "],");
    close_with(t, "},");
}

static void put_listener(struct rn__text *t, const rn_stats_listener *l)
{
    rn__text_put(t, "{");
    put_text(t, "address", l->address);
    put_signed(t, "queued", l->queued);
    put_signed(t, "queue_limit", l->queue_limit);
    close_with(t, "},");
}

static void put_facts(struct rn__text *t, const rn_stats *s)
{
    put_text(t, "version", rn_version());
    put_text(t, "poller", s->poller);
    rn__text_format(t, "\"counting\":%s,", s->counting ? "true" : "false");
    put_signed(t, "at_ns", s->at);
    put_signed(t, "uptime_ns", s->uptime_ns);
    put_signed(t, "connections", s->connections);
    put_signed(t, "at_rest", s->at_rest);
    put_signed(t, "lingering", s->lingering);
    put_number(t, "stacks_in_use", s->stacks_in_use);
    put_number(t, "stacks_free", s->stacks_free);
    put_number(t, "stack_bytes", s->stack_bytes);
    put_number(t, "connection_bytes", s->connection_bytes);
    put_number(t, "resident_bytes", s->resident_bytes);
    put_number(t, "cpu_ns", s->cpu_ns);
    put_signed(t, "started_ms", s->started_ms);
    put_signed(t, "open_files", s->open_files);
    put_number(t, "open_files_most", s->open_files_most);
    put_number(t, "open_files_before", s->open_files_before);
    put_signed(t, "listen_overflows", s->listen_overflows);
    put_signed(t, "listen_drops", s->listen_drops);
}

int rn_stats_json(const rn_stats *stats, char **ret)
{
    struct rn__text t = {0};

    rn__text_put(&t, "{");
    put_facts(&t, stats);
    rn__text_put(&t, "\"waits\":{");
    for (int i = 0; i < stats->n_waits; i++)
        put_number(&t, stats->waits[i].name, stats->waits[i].n);
    close_with(&t, "},\"listeners\":[");
    for (int i = 0; i < stats->n_listeners; i++)
        put_listener(&t, &stats->listeners[i]);
    close_with(&t, "],\"total\":");
    put_proc(&t, &stats->total, stats->n_calls, true);
    rn__text_put(&t, "\"procs\":[");
    for (int i = 0; i < stats->n_procs; i++)
        put_proc(&t, &stats->procs[i], stats->n_calls, false);
    close_with(&t, "],\"slow_calls\":[");
    for (int i = 0; i < stats->n_slow_calls; i++)
        put_slow_call(&t, &stats->slow_calls[i]);
    close_with(&t, "],\"sites\":[");
    for (int i = 0; i < stats->n_sites; i++)
        put_site(&t, &stats->sites[i]);
    close_with(&t, "],\"http\":[");
    for (int i = 0; i < stats->n_http; i++)
        put_http(&t, &stats->http[i]);
    close_with(&t, "]}\n");
    return rn__text_take(&t, ret);
}
