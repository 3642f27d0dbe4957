/*
 * bench_client.c - a client of `runnel bench connections`, in a process of its own
 *
 * It has one thread, so its coroutines share what they count without locks. The connections reset
 * when they are closed: a hundred thousand in TIME_WAIT would be in the way of the next run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define FIRST_ADDRESS 0x7f010001u /* 127.1.0.1: who is on 127.0.0.x is not disturbed */
#define MESSAGE_BYTES 64
#define NEWS_NS (100 * RN_MILLISECOND) /* between two words of how far it is */

struct client {
    const struct bench *bench;
    const struct bench_worker *worker;
    const char *address; /* of the server */
    rn_conn *control;
    struct bench_order order; /* under way; the parent sends the next one after the answer */
    rn_conn **conns;
    long n_conns, next, opened; /* in conns; to be dialled next; dialled and answered */
    rn_time news, until;        /* the last word to the parent; the end of the exchange */
    char request[256];          /* or message */
    size_t request_len;
    struct bench_answer answer;
};

/* One active connection. */
struct talk {
    struct client *client;
    rn_conn *conn;
    rn_time first; /* when it begins, so that they do not all talk at once */
};

/* ---- round trips ---- */

static int read_more(rn_conn *conn, char *buf, size_t room)
{
    ssize_t n = rn_read(conn, buf, room);

    return n == 0 ? -ENODATA : (int)n;
}

static int read_echo(rn_conn *conn)
{
    char buf[MESSAGE_BYTES];
    size_t left = sizeof buf;

    while (left > 0) {
        int n = read_more(conn, buf, left);

        if (n < 0)
            return n;
        left -= (size_t)n;
    }
    return 0;
}

/* By a head, NUL-terminated; -1 where it is not that of an answer we can take. */
static long body_length(const char *head)
{
    const char *field = strcasestr(head, "\r\nContent-Length:");

    if (strncmp(head, "HTTP/1.1 200", 12) != 0 || field == NULL)
        return -1;
    return strtol(field + sizeof "\r\nContent-Length:" - 1, NULL, 10);
}

static int read_http(rn_conn *conn)
{
    char buf[4096];
    size_t have = 0;
    char *end = NULL;
    long left; /* of the body */

    do {
        int n = have == sizeof buf - 1 ? -EPROTO
                                       : read_more(conn, buf + have, sizeof buf - 1 - have);

        if (n < 0)
            return n;
        have += (size_t)n;
        buf[have] = '\0';
        end = strstr(buf, "\r\n\r\n");
    } while (end == NULL);
    *end = '\0';
    left = body_length(buf) - (long)(have - (size_t)(end + 4 - buf));
    while (left > 0) {
        int n = read_more(conn, buf, left < (long)sizeof buf ? (size_t)left : sizeof buf);

        if (n < 0)
            return n;
        left -= n;
    }
    return left < 0 ? -EPROTO : 0; /* nobody has asked for more */
}

static int talk_once(const struct client *c, rn_conn *conn)
{
    ssize_t n = rn_write(conn, c->request, c->request_len);

    if (n < 0)
        return (int)n;
    return c->bench->options->service == BENCH_HTTP ? read_http(conn) : read_echo(conn);
}

/* ---- opening ---- */

static int addresses_of_client(const struct bench *b)
{
    long most = bench_share(b->options->connections, b->plan.pairs, 0), each = b->plan.per_address;

    return (int)((most + each - 1) / each);
}

int bench_addresses(const struct bench *b)
{
    return addresses_of_client(b) * b->plan.pairs;
}

static void source_address(const struct client *c, long i, char *text, size_t room)
{
    uint32_t first = FIRST_ADDRESS + (uint32_t)(c->worker->index * addresses_of_client(c->bench));
    struct in_addr a = {.s_addr = htonl(first + (uint32_t)(i / c->bench->plan.per_address))};
    char ip[INET_ADDRSTRLEN];

    (void)snprintf(text, room, "%s:0", inet_ntop(AF_INET, &a, ip, sizeof ip));
}

static int open_one(struct client *c, long i)
{
    char local[32];
    /* Probes would be the harness' work at rest, beside the server's. */
    rn_dial_options options = {.local = local, .socket.keep_alive_idle_s = -1};
    int r;

    source_address(c, i, local, sizeof local);
    r = rn_dial("tcp4", c->address, &options, &c->conns[i]);
    if (r < 0) {
        if (r != -ECANCELED) /* another one's failure has ended this */
            c->answer.step = BENCH_DIAL;
        return r;
    }
    r = rn_set_linger(c->conns[i], 0);
    return r < 0 ? r : talk_once(c, c->conns[i]);
}

static void tell_news(struct client *c)
{
    struct bench_answer news = {.n = c->opened};

    if (rn_now() - c->news < NEWS_NS)
        return;
    c->news = rn_now();
    (void)rn_write(c->control, &news, sizeof news);
}

/* One of several that open connections, each one after the other. */
static int dial(void *arg)
{
    struct client *c = arg;

    while (c->next < c->n_conns) {
        int r = open_one(c, c->next++);

        if (r < 0)
            return r;
        c->opened++;
        tell_news(c);
    }
    return 0;
}

static int open_all(struct client *c)
{
    rn_group group = {0};
    int r = 0, ended;

    c->n_conns = c->order.n;
    c->next = c->opened = 0;
    c->conns = calloc((size_t)c->n_conns + 1, sizeof(rn_conn *));
    if (c->conns == NULL)
        return -ENOMEM;
    for (long i = 0; i < c->bench->plan.dials && i < c->n_conns && r == 0; i++)
        r = rn_group_go(&group, dial, c);
    ended = rn_group_wait(&group, 0);
    return ended < 0 ? ended : r;
}

static void close_all(struct client *c)
{
    for (long i = 0; i < c->n_conns; i++)
        rn_close(c->conns[i]);
    free(c->conns);
    c->conns = NULL;
    c->n_conns = 0;
}

static long count_alive(const struct client *c)
{
    long alive = 0;
    char byte;

    for (long i = 0; i < c->n_conns; i++)
        alive += recv(rn_conn_fd(c->conns[i]), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
                 (errno == EAGAIN || errno == EINTR);
    return alive;
}

/* ---- the active ones ---- */

static int talk(void *arg)
{
    struct talk *t = arg;
    struct client *c = t->client;
    rn_time span = RN_SECOND / c->bench->options->rate, due = t->first;

    for (; due < c->until; due += span) {
        rn_time began;
        uint64_t took;
        int r = rn_sleep(due - rn_now());

        began = rn_now();
        if (r == 0)
            r = talk_once(c, t->conn);
        if (r < 0)
            return r;
        took = (uint64_t)(rn_now() - began);
        rn__hist_add(&c->answer.times, took);
        c->answer.max_ns = took > c->answer.max_ns ? took : c->answer.max_ns;
        if (rn_now() > due + span)
            due = rn_now() - span; /* it is late: the ones it has missed are not made up for */
    }
    return 0;
}

/* Spread over those held, and over the time between two round trips. */
static int exchange(struct client *c)
{
    rn_time begin = rn_now(), span = RN_SECOND / c->bench->options->rate;
    struct talk *talks = calloc((size_t)c->order.n + 1, sizeof *talks);
    rn_group group = {0};
    int r = 0, ended;

    if (talks == NULL)
        return -ENOMEM;
    c->until = begin + c->order.span_ns;
    for (long i = 0; i < c->order.n && r == 0; i++) {
        talks[i] = (struct talk){.client = c,
                                 .conn = c->conns[i * c->n_conns / c->order.n],
                                 .first = begin + span * i / c->order.n};
        r = rn_group_go(&group, talk, &talks[i]);
    }
    ended = rn_group_wait(&group, 0);
    free(talks);
    return ended < 0 ? ended : r;
}

/* ---- the parent ---- */

static void obey(void *arg)
{
    struct client *c = arg;

    c->answer = (struct bench_answer){.done = true, .step = BENCH_TALK};
    switch (c->order.kind) {
    case BENCH_OPEN:
        c->answer.error = open_all(c);
        c->answer.n = c->opened;
        break;
    case BENCH_EXCHANGE:
        c->answer.error = exchange(c);
        break;
    case BENCH_CLOSE:
        close_all(c);
        break;
    case BENCH_COUNT:
        c->answer.n = count_alive(c);
        break;
    }
    (void)rn_write(c->control, &c->answer, sizeof c->answer);
}

static void make_request(struct client *c)
{
    const struct bench_options *o = c->bench->options;

    if (o->service == BENCH_HTTP) {
        c->request_len = (size_t)snprintf(c->request, sizeof c->request,
                                          "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", o->path,
                                          c->address);
        return;
    }
    c->request_len = MESSAGE_BYTES;
    memset(c->request, 'x', MESSAGE_BYTES);
}

/* This coroutine only listens to the parent, so that its end is seen at once. */
static int run(void *arg)
{
    struct client *c = arg;
    struct bench_answer ready = {.done = true, .step = BENCH_START};

    make_request(c);
    if (rn_conn_from_fd(c->worker->fd, &c->control) < 0 ||
        rn_write(c->control, &ready, sizeof ready) < 0)
        _exit(1);
    while (rn_read(c->control, &c->order, sizeof c->order) == (ssize_t)sizeof c->order) {
        ready.error = rn_go_with(&(rn_go_options){.name = "obey"}, obey, c);
        if (ready.error < 0)
            (void)rn_write(c->control, &ready, sizeof ready);
    }
    _exit(0); /* what is open is reset */
}

void bench_hold(const struct bench *b, const struct bench_worker *w, const char *address)
{
    struct client c = {.bench = b, .worker = w, .address = address};
    struct bench_answer failed = {.done = true, .step = BENCH_START};

    failed.error = rn_run(&(rn_run_options){.procs = 1}, run, &c);
    (void)write(w->fd, &failed, sizeof failed);
    _exit(1);
}
