/*
 * admin.c - the admin address: metrics, dashboard and health beside what a command serves
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd.h"
#include <runnel/admin.h>

#define MAX_CONNS 64

struct cmd_admin {
    rn_admin *pages;
    rn_http_server *server;
    rn_listener *ln;
    bool any_host; /* that a request may name */
    rn_waitgroup running;
};

static void serve_admin(void *arg)
{
    struct cmd_admin *a = arg;
    int r = rn_http_serve_listener(a->server, a->ln);

    if (r != -ECANCELED)
        cmd_error("admin: %s", rn_strerror(r));
    rn_waitgroup_done(&a->running);
}

/* As rn_listener_addr writes it: numbers, or the name of a unix socket. */
static bool is_of_this_machine(const char *address)
{
    return cmd_network(address)[0] == 'u' || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

/* A number, or localhost; "" is of HTTP/1.0, which no browser speaks. */
static bool means_this_machine(const char *host)
{
    size_t n = strcspn(host, ":");

    return *host == '[' || strspn(host, "0123456789.") == n ||
           (n == 9 && strncasecmp(host, "localhost", n) == 0);
}

/* A site can have its own name lead to 127.0.0.1, and then read in its visitor's browser what
 * listens there (DNS rebinding). But then the request has that name. */
static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    const struct cmd_admin *a = arg;

    if (!a->any_host && !means_this_machine(rn_http_get_host(r)))
        (void)rn_http_error(w, 403, "Ask for localhost, or for 127.0.0.1.");
    else
        rn_admin_handler(w, r, a->pages);
}

int cmd_admin_open(const char *address, bool is_public, int *fd)
{
    char text[128] = "";
    rn_listener *ln;
    int r = cmd_listen(address, NULL, &ln);

    if (r < 0)
        return r;
    (void)rn_listener_addr(ln, text, sizeof text);
    if (!is_public && !is_of_this_machine(text)) {
        cmd_error("--admin %s can be reached from other machines, and asks nobody who they are; "
                  "choose 127.0.0.1:PORT or a unix socket, or add --admin-public",
                  text);
        rn_listener_close(ln);
        return -EACCES;
    }
    r = rn_listener_file(ln);
    rn_listener_close(ln);
    if (r < 0) {
        cmd_error("cannot keep a socket: %s", rn_strerror(r));
        return r;
    }
    *fd = r;
    if (cmd_network(text)[0] == 'u')
        fprintf(stderr, "runnel: admin on %s, for who may open that socket\n", text);
    else
        fprintf(stderr, "runnel: admin on http://%s/, %s\n", text,
                is_of_this_machine(text) ? "for this machine only"
                                         : "FOR EVERYBODY WHO REACHES IT");
    return 0;
}

int cmd_admin_begin(int fd, bool is_public, struct cmd_admin **ret)
{
    rn_http_server_options o = {.serve = {.max_conns = MAX_CONNS, .drain_ns = RN_SECOND}};
    struct cmd_admin *a = calloc(1, sizeof *a);
    int r = a == NULL ? -ENOMEM : rn_admin_new(&a->pages);
    char text[128] = "";

    if (r == 0)
        r = rn_http_server_new(&o, answer, a, &a->server);
    if (r == 0)
        r = rn_listener_from_fd(fd, &a->ln);
    if (r == 0)
        r = rn_listener_addr(a->ln, text, sizeof text);
    if (r == 0) {
        a->any_host = is_public || cmd_network(text)[0] == 'u';
        rn_waitgroup_add(&a->running, 1);
        r = rn_go_with(&(rn_go_options){.name = "admin"}, serve_admin, a);
        if (r < 0)
            rn_waitgroup_done(&a->running);
    }
    if (r < 0) {
        cmd_error("admin: %s", rn_strerror(r));
        cmd_admin_end(a);
    } else {
        *ret = a;
    }
    return r;
}

void cmd_admin_draining(struct cmd_admin *a)
{
    if (a != NULL)
        rn_admin_set_ready(a->pages, false);
}

void cmd_admin_end(struct cmd_admin *a)
{
    if (a == NULL)
        return;
    if (a->ln != NULL)
        rn_listener_cancel(a->ln);
    while (rn_waitgroup_wait(&a->running) < 0)
        rn_yield();
    rn_listener_close(a->ln);
    rn_http_server_free(a->server);
    rn_admin_free(a->pages);
    free(a);
}
