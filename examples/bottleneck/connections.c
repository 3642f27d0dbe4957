/*
 * connections.c - an HTTP service; the bottleneck is in how it is connected to
 *
 *     ./connections one ADDRESS           one P accepts; a connection for each request
 *     ./connections reuse-port ADDRESS    a listening socket for each P; likewise
 *     ./connections keep-alive ADDRESS    and connections stay open
 *
 *     GET /hello; /debug/stats.json and such are the pages of <runnel/admin.h>.
 *
 * See docs/find-the-bottleneck.md. The server keeps connections open by itself: what closes them in
 * practice is a client or a balancer, or a line like the one below.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>

struct service {
    const char *how, *address;
};

static void hello(rn_http_response *w, rn_http_request *r, void *arg)
{
    struct service *s = arg;

    (void)r;
    if (strcmp(s->how, "keep-alive") != 0)
        rn_http_set_header(w, "Connection", "close");
    rn_http_set_header(w, "Content-Type", "text/plain");
    rn_http_printf(w, "hello\n");
}

static int serve(void *arg)
{
    struct service *s = arg;
    rn_http_server_options options = RN_HTTP_SERVER_OPTIONS_INIT;
    rn_http_mux *mux = NULL;
    rn_admin *admin = NULL;
    int r = rn_http_mux_new(&mux);

    options.serve.balance = strcmp(s->how, "one") == 0 ? RN_BALANCE_ONE : RN_BALANCE_REUSE_PORT;
    if (r == 0)
        r = rn_http_handle(mux, "GET /hello", hello, s);
    if (r == 0)
        r = rn_admin_new(&admin);
    if (r == 0)
        r = rn_admin_mount(admin, mux, false);
    if (r == 0)
        r = rn_http_serve("tcp", s->address, &options, rn_http_mux_handler, mux);
    return r;
}

int main(int argc, char **argv)
{
    static const char *const hows[] = {"one", "reuse-port", "keep-alive"};

    for (size_t i = 0; argc == 3 && i < sizeof hows / sizeof hows[0]; i++) {
        struct service s = {hows[i], argv[2]};

        if (strcmp(argv[1], s.how) == 0) {
            int r = rn_run(NULL, serve, &s);

            fprintf(stderr, "connections: %s\n", rn_strerror(r));
            return 1;
        }
    }
    fputs("usage: connections one|reuse-port|keep-alive ADDRESS\n", stderr);
    return 2;
}
