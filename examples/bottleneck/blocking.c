/*
 * blocking.c - an HTTP service with one slow page; the bottleneck is in where it waits
 *
 *     ./blocking here ADDRESS       the call that blocks is made in the handler
 *     ./blocking offload ADDRESS    it is made by rn_offload
 *
 *     GET /quick answers at once, GET /slow after a call that blocks its thread for 20 ms.
 *     GET /metrics, /debug/stats.json... are the pages of <runnel/admin.h>.
 *
 * See docs/find-the-bottleneck.md. One P, so that it is plain who waits for whom.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct service {
    bool elsewhere;
    const char *address;
};

/* Stands for a query of a database's own library, a name looked up, a file on a slow disk. */
static int ask_database(void *arg)
{
    struct timespec span = {.tv_nsec = 20 * RN_MILLISECOND};

    (void)arg;
    while (nanosleep(&span, &span) < 0) /* a signal */
        ;
    return 0;
}

static void answer_slow(rn_http_response *w, rn_http_request *r, void *arg)
{
    struct service *s = arg;
    int n;

    (void)r;
    if (s->elsewhere)
        n = rn_offload(ask_database, NULL, NULL);
    else
        n = ask_database(NULL);
    if (n < 0)
        rn_http_error(w, 503, rn_strerror(n));
    else
        rn_http_printf(w, "slow\n");
}

static void answer_quick(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r, (void)arg;
    rn_http_printf(w, "quick\n");
}

static int serve(void *arg)
{
    struct service *s = arg;
    rn_http_mux *mux = NULL;
    rn_admin *admin = NULL;
    int r = rn_http_mux_new(&mux);

    if (r == 0)
        r = rn_http_handle(mux, "GET /slow", answer_slow, s);
    if (r == 0)
        r = rn_http_handle(mux, "GET /quick", answer_quick, s);
    if (r == 0)
        r = rn_admin_new(&admin);
    if (r == 0)
        r = rn_admin_mount(admin, mux, true);
    if (r == 0)
        r = rn_http_serve("tcp", s->address, NULL, rn_http_mux_handler, mux);
    return r;
}

int main(int argc, char **argv)
{
    struct service s = {argc == 3 && strcmp(argv[1], "offload") == 0, argc == 3 ? argv[2] : ""};

    if (argc != 3 || (!s.elsewhere && strcmp(argv[1], "here") != 0)) {
        fputs("usage: blocking here|offload ADDRESS\n", stderr);
        return 2;
    }
    fprintf(stderr, "blocking: %s\n",
            rn_strerror(rn_run(&(rn_run_options){.procs = 1}, serve, &s)));
    return 1;
}
