/*
 * probe_target.c - each probe of base/probe.h fires, for test_probes.py to see
 *
 * Does the same round of things until its input ends; prints "ready" before the first.
 */
#include <runnel/runnel.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"

#define HELD (30 * RN_MILLISECOND)
#define CHECK(cond) (void)((cond) || (perror(#cond), _exit(1), 0))

static char address[64], by_name[80];

static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    rn_http_set_status(w, 202);
    (void)rn_http_write(w, "hello", 5);
}

static void serve(void *arg)
{
    rn_http_server *s;

    CHECK(rn_http_server_new(NULL, answer, NULL, &s) == 0);
    (void)rn_http_serve_listener(s, arg);
    rn_http_server_free(s);
    rn_listener_close(arg);
}

static int resolve(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    (void)arg;
    (void)family;
    (void)deadline;
    (void)n;
    if (strcmp(name, "name.test") != 0)
        return -RN_ENOHOST;
    ips[0] = (rn_ip){.family = 4, .bytes = {127, 0, 0, 1}};
    return 1;
}

int block(void *arg); /* with a name that a tracer finds */
int block(void *arg)
{
    (void)usleep(2000);
    return *(int *)arg;
}

static void ask(const char *where)
{
    static const char request[] = "POST /a/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                  "Content-Length: 0\r\n\r\n";
    char buf[1024];
    rn_conn *c;

    CHECK(rn_dial("tcp", where, NULL, &c) == 0);
    CHECK(rn_write(c, request, sizeof request - 1) > 0);
    while (rn_read(c, buf, sizeof buf) > 0)
        ;
    rn_close(c);
}

static void adopt(void)
{
    rn_conn *c;
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(rn_conn_from_fd(fds[0], &c) == 0);
    rn_close(c);
    close(fds[1]);
}

static void round_of_all(void)
{
    int seven = 7;
    rn_conn *c;
    rn_ip ip;

    CHECK(rn__sys_fail("accept4", EMFILE, 1, 1) == 0);
    ask(address);
    rn__sys_clear();
    ask(by_name);
    CHECK(rn_dial("tcp", "127.0.0.1:1", NULL, &c) < 0);
    CHECK(rn_lookup_host("nobody.test", NULL, &ip, 1) == -RN_ENOHOST);
    adopt();
    CHECK(rn_offload(block, &seven, NULL) == 7);
    (void)usleep(HELD / 1000); /* holds the P */
}

static bool input_ended(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&in, 1, 0) != 0;
}

static int run(void *arg)
{
    rn_listener *ln;

    (void)arg;
    CHECK(rn_resolver_set(&(rn_resolver){.lookup = resolve}) == 0);
    CHECK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln) == 0);
    CHECK(rn_listener_addr(ln, address, sizeof address) == 0);
    (void)snprintf(by_name, sizeof by_name, "name.test%s", strrchr(address, ':'));
    CHECK(rn_go_with(&(rn_go_options){.name = "the server"}, serve, ln) == 0);
    (void)puts("ready");
    (void)fflush(stdout);
    while (!input_ended()) {
        round_of_all();
        (void)rn_sleep(50 * RN_MILLISECOND);
    }
    rn_listener_cancel(ln);
    return 0;
}

static void no_log(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

int main(void)
{
    return rn_run(&(rn_run_options){.procs = 2, .log = no_log, .watchdog_ns = HELD / 3}, run,
                  NULL) < 0;
}
