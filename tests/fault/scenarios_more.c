/*
 * scenarios_more.c - programs, signals, blocking calls, other people's descriptors, coroutines
 */
#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)64 << 10)

/* ---- programs ---- */

static int talk_to_cat(rn_conn *in, rn_conn *out)
{
    char buf[100];
    int r;

    fault_fill(buf, sizeof buf, 7);
    TRY(rn_write(in, buf, sizeof buf));
    r = fault_read_full(out, buf, sizeof buf);
    return r < 0 ? r : fault_check(buf, sizeof buf, 7);
}

static int wait_for(rn_process *p)
{
    int status;

    TRY(rn_process_wait(p, fault_limit(), &status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : FAULT_WRONG;
}

int fault_run_spawn(void)
{
    static const char *const cat[] = {"cat", NULL};
    rn_conn *in, *out;
    rn_spawn_options o = {.in_pipe = &in, .out_pipe = &out};
    rn_process *p;
    int r;

    TRY(rn_spawn(cat, &o, &p));
    rn_set_deadline(in, fault_limit());
    rn_set_deadline(out, fault_limit());
    r = (int)fault_note(rn_process_kill(p, 0));
    if (r == 0)
        r = talk_to_cat(in, out);
    rn_close(in);
    if (r == 0)
        r = fault_expect_end(out);
    rn_close(out);
    if (r == 0)
        r = wait_for(p);
    rn_process_free(p); /* where it was not waited for: cat ends with its input */
    return r;
}

/* Freed while it runs: reaped when it ends. */
int fault_run_spawn_and_leave(void)
{
    static const char *const true_[] = {"true", NULL};
    rn_process *p;

    TRY(rn_spawn(true_, NULL, &p));
    rn_process_free(p);
    return 0;
}

/* ---- signals ---- */

static int raise_and_receive(rn_chan *ch)
{
    int signo = 0;
    rn_select_case c = {.chan = ch, .op = RN_SELECT_RECV, .item = &signo};

    TRY(rn_signal_notify(ch, SIGUSR1));
    for (int i = 0; i < 2; i++) {
        if (raise(SIGUSR1) != 0)
            abort();
        TRY(rn_select(&c, 1, fault_limit()));
        if (c.result < 0 || signo != SIGUSR1)
            return FAULT_WRONG;
    }
    return 0;
}

int fault_run_signals(void)
{
    rn_chan *ch;
    int r;

    if (signal(SIGUSR1, SIG_IGN) == SIG_ERR) /* what comes late kills nobody */
        abort();
    TRY(rn_chan_new(sizeof(int), 4, &ch));
    r = raise_and_receive(ch);
    rn_signal_stop(ch);
    rn_chan_free(ch);
    return r;
}

/* ---- blocking calls ---- */

static int add_one(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static int read_cold(int fd)
{
    char buf[4096];

    for (off_t at = 0; at < (off_t)FILE_BYTES;) {
        ssize_t n = fault_note(rn_pread(fd, buf, sizeof buf, at));

        if (n <= 0)
            return n < 0 ? (int)n : FAULT_WRONG;
        if (fault_check(buf, (size_t)n, (unsigned)at) < 0)
            return FAULT_WRONG;
        at += n;
    }
    return 0;
}

int fault_run_offload(void)
{
    int count = 0, fd, r;

    for (int i = 0; i < 3; i++)
        TRY(rn_offload(add_one, &count, NULL));
    if (count != 3)
        return FAULT_WRONG;
    fd = fault_file(FILE_BYTES);
    r = read_cold(fd);
    close(fd);
    return r;
}

/* ---- other people's descriptors ---- */

struct ends {
    rn_group group;
    int fds[2];
    rn_conn *conn;
};

static int write_later(void *arg)
{
    struct ends *e = arg;

    TRY(rn_sleep(RN_MILLISECOND));
    return write(e->fds[1], "x", 1) == 1 ? 0 : FAULT_WRONG;
}

static int wait_readable(void *arg)
{
    struct ends *e = arg;
    int r = (int)fault_note(rn_wait_fd(e->fds[0], RN_READABLE, fault_limit()));

    return r < 0 ? r : r == RN_READABLE ? 0 : FAULT_WRONG;
}

static int wait_together(struct ends *e)
{
    int r = (int)fault_note(rn_group_go(&e->group, wait_readable, e)), waited;

    if (r == 0)
        r = (int)fault_note(rn_group_go(&e->group, wait_readable, e));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&e->group, write_later, e));
    if (r < 0)
        rn_group_cancel(&e->group);
    waited = (int)fault_note(rn_group_wait(&e->group, fault_limit()));
    return r < 0 ? r : waited;
}

int fault_run_wait_fd(void)
{
    struct ends e = {.conn = NULL};
    int r;

    if (pipe2(e.fds, O_NONBLOCK | O_CLOEXEC) < 0)
        abort();
    r = wait_together(&e);
    close(e.fds[0]);
    close(e.fds[1]);
    return r;
}

static int pass_through(rn_conn *in, rn_conn *out)
{
    char buf[300];
    int r;

    fault_fill(buf, sizeof buf, 3);
    TRY(rn_write(in, buf, sizeof buf));
    memset(buf, 0, sizeof buf);
    r = fault_read_full(out, buf, sizeof buf);
    return r < 0 ? r : fault_check(buf, sizeof buf, 3);
}

/* Descriptors that are refused stay the caller's. */
static int adopt(const int fds[2])
{
    rn_conn *a = NULL, *b = NULL;
    int r = (int)fault_note(rn_conn_from_fd(fds[0], &a));

    if (r == 0)
        r = (int)fault_note(rn_conn_from_fd(fds[1], &b));
    if (r == 0) {
        rn_set_deadline(a, fault_limit());
        rn_set_deadline(b, fault_limit());
        r = pass_through(b, a);
    }
    if (a != NULL)
        rn_close(a);
    else
        close(fds[0]);
    if (b != NULL)
        rn_close(b);
    else
        close(fds[1]);
    return r;
}

int fault_run_conn_from_fd(void)
{
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC) < 0)
        abort();
    r = adopt(fds);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    return adopt(fds);
}

/* ---- listeners handed on ---- */

static int accept_one(void *arg)
{
    rn_conn *c;

    TRY(rn_accept(arg, &c));
    rn_close(c);
    return 0;
}

static int dial_one(void *arg)
{
    rn_dial_options o = {.deadline = fault_limit()};
    rn_conn *c;
    int r;

    TRY(rn_dial("tcp", arg, &o, &c));
    r = fault_expect_end(c);
    rn_close(c);
    return r;
}

static int use_again(rn_listener *ln)
{
    rn_group g = RN_GROUP_INIT;
    char address[128];
    int r, waited;

    TRY(rn_listener_addr(ln, address, sizeof address));
    r = (int)fault_note(rn_group_go(&g, accept_one, ln));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&g, dial_one, address));
    if (r < 0)
        rn_group_cancel(&g);
    waited = (int)fault_note(rn_group_wait(&g, fault_limit()));
    return r < 0 ? r : waited;
}

int fault_run_hand_on(void)
{
    rn_listener *first, *second;
    int fd, r;

    TRY(rn_listen("tcp", "127.0.0.1:0", NULL, &first));
    fd = (int)fault_note(rn_listener_file(first));
    rn_listener_close(first);
    if (fd < 0)
        return fd;
    r = (int)fault_note(rn_listener_from_fd(fd, &second));
    if (r < 0) {
        close(fd);
        return r;
    }
    r = use_again(second);
    rn_listener_close(second);
    return r;
}

/* ---- what is in the way ---- */

/* A text comes in any case; what it cannot find out it leaves out. */
static int explain_use(const char *network, const char *address)
{
    char at[128], text[256] = "";
    rn_listener *ln, *other;
    int r;

    TRY(rn_listen(network, address, NULL, &ln));
    r = (int)fault_note(rn_listener_addr(ln, at, sizeof at));
    if (r == 0) {
        r = rn_listen(network, at, NULL, &other);
        if (r == 0)
            rn_listener_close(other);
        r = r == -EADDRINUSE ? 0 : (int)fault_note(r < 0 ? r : FAULT_WRONG);
    }
    if (r == 0) {
        rn_listen_explain(network, at, -EADDRINUSE, text, sizeof text);
        if (strstr(text, "Address already in use") == NULL)
            r = FAULT_WRONG;
    }
    rn_listener_close(ln);
    return r;
}

int fault_run_explain(void)
{
    char address[64];
    int r = explain_use("tcp", "127.0.0.1:0");

    snprintf(address, sizeof address, "@fault-%d-%lld", getpid(), (long long)rn_now());
    return r < 0 ? r : explain_use("unix", address);
}

/* ---- HTTP ---- */

#define PAGE 3000

static int answer_http(void *flow)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n";
    static char asked[64 << 10];
    static const char end[] = "\r\n0\r\nX: y\r\n\r\n";
    struct fault_flow *f = flow;
    char page[PAGE];
    size_t len = 0;
    rn_conn *c;
    int r = 0;

    fault_fill(page, sizeof page, 1);
    TRY(rn_accept(f->ln, &c));
    rn_set_deadline(c, fault_limit());
    while (r >= 0 && (len < 5 || memcmp(asked + len - 5, "0\r\n\r\n", 5) != 0)) {
        r = (int)fault_note(rn_read(c, asked + len, sizeof asked - len));
        r = r == 0 ? -RN_EPARTIAL : r; /* the client has failed, and says why */
        len += r > 0 ? (size_t)r : 0;
    }
    if (r >= 0)
        r = (int)fault_note(rn_write(c, head, sizeof head - 1));
    if (r >= 0)
        r = (int)fault_note(rn_write(c, page, sizeof page));
    if (r >= 0)
        r = (int)fault_note(rn_write(c, end, sizeof end - 1));
    rn_close(c);
    return r < 0 ? r : 0;
}

static ssize_t give_body(void *left, void *buf, size_t len)
{
    int *n = left;

    memset(buf, 'b', len);
    return --*n > 0 ? (ssize_t)len : 0;
}

static int read_page(rn_http_reply *reply)
{
    char page[PAGE + 1];
    size_t len = 0;
    ssize_t n;

    while ((n = rn_http_body_read(reply, page + len, sizeof page - len)) > 0)
        len += (size_t)n;
    TRY(n);
    return len == PAGE && rn_http_reply_trailer(reply, "x") != NULL ? fault_check(page, len, 1)
                                                                    : FAULT_WRONG;
}

static int ask_http(void *flow)
{
    struct fault_flow *f = flow;
    char url[160];
    int left = 3, r;
    rn_http_client_request q = {.method = "POST",
                                .url = url,
                                .read_body = give_body,
                                .body_arg = &left,
                                .body_length = -1,
                                .deadline = fault_limit()};
    rn_http_client *client;
    rn_http_reply *reply;

    snprintf(url, sizeof url, "http://%s/", f->address);
    TRY(rn_http_client_new(NULL, &client));
    r = (int)fault_note(rn_http_do(client, &q, &reply));
    if (r == 0) {
        r = read_page(reply);
        rn_http_reply_close(reply);
    }
    rn_http_client_free(client);
    return r;
}

int fault_run_http_client(void)
{
    return fault_flow("tcp", "127.0.0.1:0", answer_http, ask_http, NULL);
}

/* ---- coroutines among themselves ---- */

#define ITEMS 50

struct pipeline {
    rn_group group;
    rn_chan *ch;
    long sum;
};

static int produce(void *arg)
{
    struct pipeline *p = arg;

    for (int i = 0; i < ITEMS; i++) {
        TRY(rn_chan_send(p->ch, &i));
        if (i % 16 == 0)
            TRY(rn_sleep(100 * RN_MICROSECOND));
    }
    rn_chan_close(p->ch);
    return 0;
}

static int consume(void *arg)
{
    struct pipeline *p = arg;
    int item, r;

    while ((r = rn_chan_recv(p->ch, &item)) == 0)
        p->sum += item;
    return r == -EPIPE ? 0 : (int)fault_note(r);
}

static int run_pipeline(struct pipeline *p)
{
    int fd, r, waited;

    TRY(fd = rn_chan_fd(p->ch));
    r = (int)fault_note(rn_group_go(&p->group, produce, p));
    if (r == 0)
        r = (int)fault_note(rn_wait_fd(fd, RN_READABLE, fault_limit()));
    if (r >= 0)
        r = (int)fault_note(rn_group_go(&p->group, consume, p));
    if (r < 0)
        rn_group_cancel(&p->group);
    waited = (int)fault_note(rn_group_wait(&p->group, fault_limit()));
    r = r < 0 ? r : waited;
    return r < 0 ? r : p->sum == ITEMS * (ITEMS - 1) / 2 ? 0 : FAULT_WRONG;
}

int fault_run_groups_and_channels(void)
{
    struct pipeline p = {.sum = 0};
    int r;

    TRY(rn_chan_new(sizeof(int), 2, &p.ch));
    r = run_pipeline(&p);
    rn_chan_free(p.ch);
    return r;
}

/* Many at once, and what they are doing. */
static int hold_on(void *arg)
{
    (void)arg;
    return (int)fault_note(rn_sleep(5 * RN_MILLISECOND));
}

int fault_run_dump_many(void)
{
    rn_group g = RN_GROUP_INIT;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), r = 0, waited;

    for (int i = 0; i < 40 && r == 0; i++)
        r = (int)fault_note(rn_group_go(&g, hold_on, NULL));
    if (r == 0)
        r = (int)fault_note(rn_dump(null));
    if (r < 0)
        rn_group_cancel(&g);
    waited = (int)fault_note(rn_group_wait(&g, fault_limit()));
    close(null);
    return r < 0 ? r : waited;
}
