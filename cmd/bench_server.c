/*
 * bench_server.c - a server of `runnel bench connections`, in a process of its own
 *
 * What is measured is what users get: the handlers of `runnel echo`, which let a conn rest or keep
 * a coroutine for each, and the HTTP server.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

struct server {
    const struct bench *bench;
    const struct bench_worker *worker;
    rn_listener *listener;
    rn_conn *control;
};

static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    rn_http_set_header(w, "Content-Type", "text/plain");
    rn_http_printf(w, "%099d\n", 0);
}

static int serve_http(const struct server *s, const rn_serve_options *options)
{
    rn_http_server *http;
    int r = rn_http_server_new(&(rn_http_server_options){.serve = *options, .idle_ns = -1}, answer,
                               NULL, &http);

    return r < 0 ? r : rn_http_serve_listener(http, s->listener);
}

/* Nobody cancels the listener: it returns only where it cannot serve. */
static void serve(void *arg)
{
    const struct server *s = arg;
    enum bench_service service = s->bench->options->service;
    rn_serve_options options = {.max_conns = (int)s->worker->share + 1,
                                .when_readable = service == BENCH_ECHO};
    struct bench_answer failed = {.done = true, .step = BENCH_START};

    failed.error = service == BENCH_HTTP
                       ? serve_http(s, &options)
                       : rn_serve_listener(s->listener, &options,
                                           service == BENCH_ECHO ? cmd_echo_once : cmd_echo_conn,
                                           NULL);
    (void)rn_write(s->control, &failed, sizeof failed);
}

static int begin(struct server *s)
{
    struct bench_answer ready = {.done = true, .step = BENCH_START, .threads = rn_procs()};
    char text[128];
    int r = rn_listen("tcp4", "127.0.0.1:0", NULL, &s->listener);

    if (r == 0)
        r = rn_listener_addr(s->listener, text, sizeof text);
    if (r == 0)
        r = rn_go_with(&(rn_go_options){.name = "serve"}, serve, s);
    if (r == 0)
        ready.n = strtol(strrchr(text, ':') + 1, NULL, 10);
    ready.error = r;
    return rn_write(s->control, &ready, sizeof ready) < 0 ? -EPIPE : r;
}

static int run(void *arg)
{
    struct server *s = arg;
    char none;

    if (rn_conn_from_fd(s->worker->fd, &s->control) == 0 && begin(s) == 0)
        (void)rn_read(s->control, &none, 1); /* the parent says nothing, and closes it */
    _exit(0);                                /* all that is held is this process's */
}

void bench_serve(const struct bench *b, const struct bench_worker *w)
{
    struct server s = {.bench = b, .worker = w};
    struct bench_answer failed = {.done = true, .step = BENCH_START};

    failed.error = rn_run(&(rn_run_options){.procs = (int)b->plan.threads}, run, &s);
    (void)write(w->fd, &failed, sizeof failed);
    _exit(1);
}
