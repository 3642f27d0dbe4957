/*
 * trace_conns.c - `runnel trace --connections`: TCP connections, from their first call to their end
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define MAX_KEPT 10000 /* for the timeline */

enum { ESTABLISHED = 1, CLOSED = 7 };

static const char *const state_names[TRACE_STATES] = {
    "NONE",   "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
    "CLOSED", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "SYN_RECV",  "BOUND",
};

static const char *const kind_names[TRACE_KINDS] = {NULL,    "connect",  "accept", "read",
                                                    "write", "shutdown", "close",  "other"};
static const char *const how_names[] = {"found", "connected", "accepted"};
static const char *const closer_names[] = {"nobody", "here", "peer"};

static const char *state_name(uint32_t state)
{
    return state < TRACE_STATES ? state_names[state] : "?";
}

void trace_address(const struct trace_ends *ends, bool local, char text[static 64])
{
    char ip[INET6_ADDRSTRLEN] = "?";

    (void)inet_ntop(ends->family, local ? ends->local : ends->remote, ip, sizeof ip);
    snprintf(text, 64, ends->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
             local ? ends->local_port : ends->remote_port);
}

static uint32_t count_moves(const struct trace_conn *c)
{
    return c->n_moves < TRACE_MOVES ? c->n_moves : TRACE_MOVES;
}

static uint64_t end_of_move(const struct trace *t, const struct trace_conn *c, uint32_t i)
{
    return i + 1 < count_moves(c) ? c->moves[i + 1].at_ns
                                  : (uint64_t)(t->ended != 0 ? t->ended : rn_now());
}

static void copy_name(const struct trace_conn *c, char name[static 17])
{
    memcpy(name, c->comm, sizeof c->comm);
    name[sizeof c->comm] = '\0';
    trace_clean(name);
}

/* ---- text ---- */

static void print_how(const struct trace_conn *c)
{
    char local[64], remote[64], name[17];

    trace_address(&c->ends, true, local);
    trace_address(&c->ends, false, remote);
    copy_name(c, name);
    printf("%s %s %s, %s by %s[%u] as %d, ", local, c->how == TRACE_CONNECTED ? "->" : "<-", remote,
           how_names[c->how % 3], name, c->event.pid, c->fd);
    if (c->first_closer == TRACE_NOBODY)
        fputs(c->state == CLOSED ? "never established" : "open", stdout);
    else
        printf("%s %s first", c->is_reset ? "reset" : "closed",
               c->first_closer == TRACE_HERE ? "here" : "by the peer");
    if (c->error != 0)
        printf(" (%s)", rn_strerror(-c->error));
    putchar('\n');
}

static void print_text(const struct trace *t, const struct trace_conn *c)
{
    const char *comma = "";
    char span[16];

    print_how(c);
    printf(count_moves(c) == 0 ? "    states: none" : "    states:");
    for (uint32_t i = 0; i < count_moves(c); i++) {
        const struct trace_move *m = &c->moves[i];

        printf("%s %s", comma, state_name(m->to));
        comma = ",";
        if (m->to != CLOSED)
            printf(" %s", cmd_span(end_of_move(t, c, i) - m->at_ns, span));
        if (m->to == ESTABLISHED && c->calls[TRACE_ACCEPT].last_ns > m->at_ns)
            printf(" (%s until accepted)",
                   cmd_span(c->calls[TRACE_ACCEPT].last_ns - m->at_ns, span));
    }
    printf("\n    calls:");
    comma = "";
    for (int i = 1; i < TRACE_KINDS; i++) {
        const struct trace_kind_figures *f = &c->calls[i];

        if (f->count == 0)
            continue;
        printf("%s %s %u in %s", comma, kind_names[i], f->count, cmd_span(f->ns, span));
        comma = ",";
        if (i == TRACE_READ || i == TRACE_WRITE)
            printf(" %" PRIu64 " bytes", (uint64_t)f->bytes);
        if (f->again > 0)
            printf(" %u EAGAIN", f->again);
        if (f->errors > 0)
            printf(" %u errors", f->errors);
    }
    putchar('\n');
}

/* ---- JSON ---- */

static void print_calls(const struct trace *t, const struct trace_conn *c, FILE *out)
{
    const char *comma = "";

    fputs(", \"calls\": {", out);
    for (int i = 1; i < TRACE_KINDS; i++) {
        const struct trace_kind_figures *f = &c->calls[i];

        if (f->count == 0)
            continue;
        fprintf(out,
                "%s\"%s\": {\"count\": %u, \"errors\": %u, \"again\": %u, \"bytes\": %" PRIu64
                ", \"ns\": %" PRIu64 ", \"first_ns\": %" PRId64 ", \"last_ns\": %" PRId64 "}",
                comma, kind_names[i], f->count, f->errors, f->again, (uint64_t)f->bytes,
                (uint64_t)f->ns, (int64_t)f->first_ns - t->began, (int64_t)f->last_ns - t->began);
        comma = ", ";
    }
    fputc('}', out);
}

void trace_print_conn(const struct trace *t, const struct trace_conn *c, FILE *out)
{
    char local[64], remote[64], name[17];

    trace_address(&c->ends, true, local);
    trace_address(&c->ends, false, remote);
    copy_name(c, name);
    fprintf(out,
            "\"process\": %u, \"name\": \"%s\", \"fd\": %d, \"local\": \"%s\", \"remote\": \"%s\", "
            "\"how\": \"%s\", \"first_closer\": \"%s\", \"is_reset\": %s, \"error\": \"%s\", "
            "\"state\": \"%s\", "
            "\"states\": [",
            c->event.pid, name, c->fd, local, remote, how_names[c->how % 3],
            closer_names[c->first_closer % 3], c->is_reset ? "true" : "false",
            c->error == 0 ? "" : rn_strerror(-c->error), state_name(c->state));
    for (uint32_t i = 0; i < count_moves(c); i++)
        fprintf(out, "%s{\"state\": \"%s\", \"at_ns\": %" PRId64 ", \"ns\": %" PRIu64 "}",
                i == 0 ? "" : ", ", state_name(c->moves[i].to),
                (int64_t)c->moves[i].at_ns - t->began,
                c->moves[i].to == CLOSED ? 0 : end_of_move(t, c, i) - (uint64_t)c->moves[i].at_ns);
    fputc(']', out);
    print_calls(t, c, out);
}

/* ---- all ---- */

static void keep(struct trace *t, const struct trace_conn *c)
{
    struct trace_conn *more;

    if (t->n_conns == MAX_KEPT)
        return;
    more = realloc(t->conns, (t->n_conns + 1) * sizeof *more);
    if (more == NULL)
        return;
    t->conns = more;
    t->conns[t->n_conns++] = *c;
}

void trace_take_conn(struct trace *t, const struct trace_conn *c)
{
    if (t->html != NULL)
        keep(t, c);
    if (t->options.json) {
        fputc('{', stdout);
        trace_print_conn(t, c, stdout);
        puts("}");
    } else {
        print_text(t, c);
    }
    fflush(stdout);
}

int trace_show_conns(struct trace *t)
{
    struct trace_conn c;

    while (trace_next_conn(t->kernel, &c))
        trace_take_conn(t, &c);
    return t->html == NULL ? 0 : trace_write_html(t);
}
