/*
 * http.c - a small HTTP service: routes, a body as it comes, and an answer as it grows
 *
 *     ./http :8080
 *     curl localhost:8080/hello/world
 *     curl --data-binary @file localhost:8080/count
 *     curl -N localhost:8080/ticks?n=5
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>

static void hello(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)arg;
    rn_http_set_header(w, "Content-Type", "text/plain");
    rn_http_printf(w, "Hello, %s!\n", rn_http_get_path_value(r, "name"));
}

/* Reads whatever is sent, and says how much it was. */
static void count(rn_http_response *w, rn_http_request *r, void *arg)
{
    char buf[4096];
    ssize_t n;
    unsigned long long sum = 0;

    (void)arg;
    rn_http_set_max_body(r, UINT64_MAX);
    while ((n = rn_http_read(r, buf, sizeof buf)) > 0)
        sum += (unsigned long long)n;
    if (n < 0)
        rn_http_error(w, 400, rn_strerror((int)n));
    else
        rn_http_printf(w, "%llu bytes\n", sum);
}

/* Each line goes out when it is written. Ends when the client does: the flush then fails. */
static void ticks(rn_http_response *w, rn_http_request *r, void *arg)
{
    const char *n = rn_http_get_query(r, "n");
    int left = n == NULL ? 3 : atoi(n);

    (void)arg;
    rn_http_set_header(w, "Content-Type", "text/plain");
    for (int i = 1; i <= left; i++) {
        rn_http_printf(w, "tick %d\n", i);
        if (rn_http_flush(w) < 0 || rn_sleep(100 * RN_MILLISECOND) < 0)
            return;
    }
}

static int serve(void *address)
{
    rn_http_mux *mux;
    int r = rn_http_mux_new(&mux);

    if (r == 0)
        r = rn_http_handle(mux, "GET /hello/{name}", hello, NULL);
    if (r == 0)
        r = rn_http_handle(mux, "POST /count", count, NULL);
    if (r == 0)
        r = rn_http_handle(mux, "GET /ticks", ticks, NULL);
    if (r == 0)
        r = rn_http_serve("tcp", address, NULL, rn_http_mux_handler, mux);
    fprintf(stderr, "http: %s\n", rn_strerror(r));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return fprintf(stderr, "Usage: %s [ADDRESS]\n", argv[0]), 2;
    return rn_run(NULL, serve, argc > 1 ? argv[1] : ":8080");
}
