/*
 * test_stats.c - snapshots, and their texts
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/hist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "http_test.h"
#include "observe/text.h"
#include "observe/times.h"

static rn_stats *take(void)
{
    rn_stats *s = NULL;

    CHECK_OK(rn_stats_get(&s));
    if (!s->counting)
        RN_TEST_SKIP("built with stats=false");
    return s;
}

static const rn_stats_call *call_of(const rn_stats *s, const char *name)
{
    for (int i = 0; i < s->n_calls; i++)
        if (strcmp(s->total.calls[i].name, name) == 0)
            return &s->total.calls[i];
    rntest_fail_at(__FILE__, __LINE__, "no call %s", name);
}

static unsigned waiting_in(const rn_stats *s, const char *name)
{
    for (int i = 0; i < s->n_waits; i++)
        if (strcmp(s->waits[i].name, name) == 0)
            return s->waits[i].n;
    return 0;
}

static uint64_t closed_by(enum rn_stats_closed why)
{
    rn_stats *s = take();
    uint64_t n = s->total.closed[why];

    rn_stats_free(s);
    return n;
}

/* ---- system calls ---- */

RN_CORO_TEST(calls_are_counted_with_their_errors_by_errno)
{
    rn_stats *before = take(), *after;
    char byte = 'x';
    int fds[2];

    CHECK_OK(rn__sys_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    CHECK_EQ(rn__sys_read(fds[0], &byte, 1), -EAGAIN);
    CHECK_EQ(rn__sys_write(fds[1], &byte, 1), 1);
    CHECK_EQ(rn__sys_read(fds[0], &byte, 1), 1);
    CHECK_EQ(rn__sys_write(-1, &byte, 1), -EBADF);
    CHECK_EQ(rn__sys_write(-1, &byte, 1), -EBADF);
    rn__sys_close(fds[0]);
    CHECK_EQ(rn__sys_write(fds[1], &byte, 1), -EPIPE);
    rn__sys_close(fds[1]);
    after = take();
    CHECK_EQ(call_of(after, "read")->again - call_of(before, "read")->again, 1);
    CHECK(call_of(after, "read")->bytes > call_of(before, "read")->bytes);
    CHECK(call_of(after, "read")->times.n > 0);
    CHECK_EQ(call_of(after, "write")->errors, 3);
    CHECK_EQ(call_of(after, "write")->by_error[0].error, EBADF);
    CHECK_EQ(call_of(after, "write")->by_error[0].n, 2);
    CHECK_EQ(call_of(after, "write")->by_error[1].error, EPIPE);
    CHECK_EQ(call_of(after, "write")->by_error[1].n, 1);
    CHECK_EQ(call_of(after, "write")->by_error[2].error, 0);
    rn_stats_free(before);
    rn_stats_free(after);
}

/* A row has names for six kinds; what comes after them is counted, without its name. */
RN_CORO_TEST_ON(a_seventh_kind_of_error_has_no_name, 1)
{
    static const int errors[] = {EIO, ENOMEM, EPERM, EACCES, ENOBUFS, ENOTSUP, EPROTO, EPROTO};
    rn_stats *s;
    char *text;

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        CHECK_OK(rn__sys_fail("listen", errors[i], 1, 1));
        CHECK_EQ(rn__sys_listen(-1, 1), -errors[i]);
    }
    rn__sys_clear();
    s = take();
    CHECK_EQ(call_of(s, "listen")->errors, 8);
    for (int i = 0; i < RN_STATS_ERRORS; i++)
        CHECK_EQ(call_of(s, "listen")->by_error[i].error, errors[i]);
    CHECK_OK(rn_stats_prometheus(s, &text));
    CHECK_HAS(text, "runnel_syscall_errors_total{call=\"listen\",errno=\"EOPNOTSUPP\"} 1\n");
    CHECK_HAS(text, "runnel_syscall_errors_total{call=\"listen\",errno=\"other\"} 2\n");
    CHECK_HAS_NO(text, "EPROTO");
    rn_stats_text_free(text);
    rn_stats_free(s);
}

RN_TEST(times_fall_into_the_bucket_below_their_bound)
{
    static struct rn__hist h;
    rn_stats_times t = {0};

    rn__times_fill(&t, &h, 0);
    CHECK_EQ(t.n + (uint64_t)t.max_ns, 0);
    rn__hist_add(&h, 0);
    rn__hist_add(&h, 255);
    rn__hist_add(&h, 256);
    rn__hist_add(&h, 1000);
    rn__hist_add(&h, 1024);
    rn__hist_add(&h, (uint64_t)1 << 36);
    rn__times_fill(&t, &h, 77);
    CHECK_EQ(t.n, 6);
    CHECK_EQ(t.sum_ns, 77);
    CHECK_EQ(t.buckets[0], 2); /* below 256 ns */
    CHECK_EQ(t.buckets[1], 1); /* below 512 */
    CHECK_EQ(t.buckets[2], 1); /* below 1024 */
    CHECK_EQ(t.buckets[3], 1);
    CHECK_EQ(t.buckets[RN_STATS_BUCKETS - 1], 1);
    CHECK(t.p50_ns >= 256 && t.p50_ns < 256 + 32);
    CHECK(t.max_ns >= (rn_time)1 << 36);
}

/* ---- connections ---- */

static void echo_once(rn_conn *conn, void *arg)
{
    char buf[16];

    (void)arg;
    (void)rn_read(conn, buf, sizeof buf);
    rn_close(conn);
}

static int64_t at_rest(void)
{
    rn_stats *s = take();
    int64_t n = s->at_rest;

    rn_stats_free(s);
    return n;
}

RN_CORO_TEST(connections_are_counted_open_and_at_rest)
{
    rn_conn *a, *b;
    rn_stats *s;

    rntest_pair(&a, &b);
    s = take();
    CHECK_EQ(s->connections, 2);
    CHECK_EQ(s->at_rest, 0);
    CHECK_EQ(s->total.accepted, 1);
    CHECK_EQ(s->total.dialled, 1);
    rn_stats_free(s);
    CHECK_OK(rn_go_when_readable(b, echo_once, NULL));
    CHECK_EQ(at_rest(), 1);
    CHECK_OK(rn_write(a, "x", 1));
    while (at_rest() != 0)
        rn_yield();
    rn_close(a);
    do {
        rn_yield();
        s = take();
        if (s->connections > 0) {
            rn_stats_free(s);
            s = NULL;
        }
    } while (s == NULL);
    rn_stats_free(s);
}

RN_CORO_TEST(closes_are_counted_by_their_reason)
{
    rn_conn *a, *b;
    char byte;

    rntest_pair(&a, &b);
    rn_close(a);
    CHECK_EQ(rn_read(b, &byte, 1), 0);
    CHECK_EQ(closed_by(RN_CLOSED_HERE), 1);
    rn_close(b);
    CHECK_EQ(closed_by(RN_CLOSED_EOF), 1);

    rntest_pair(&a, &b);
    CHECK_OK(rn_set_linger(a, 0));
    rn_close(a);
    CHECK_EQ(rn_read(b, &byte, 1), -ECONNRESET);
    rn_close(b);
    CHECK_EQ(closed_by(RN_CLOSED_ERROR), 1);

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(1));
    CHECK_EQ(rn_read(a, &byte, 1), -ETIME);
    rn_close(a);
    CHECK_EQ(closed_by(RN_CLOSED_DEADLINE), 1);
    rn_cancel(b);
    rn_close(b);
    CHECK_EQ(closed_by(RN_CLOSED_CANCELLED), 1);
}

/* It is closed here, whatever its peer does then. */
RN_CORO_TEST_ON(a_close_that_lingers_is_counted_when_it_ends, 1)
{
    rn_conn *a, *b;
    rn_stats *s;
    int fds[2];

    rntest_pair(&a, &b);
    CHECK_OK(rn_write(a, "unread", 6));
    while (rn_input_queued(b) < 6)
        rn_yield();
    rn_close(b);
    s = take();
    CHECK_EQ(s->lingering, 1);
    CHECK_EQ(s->connections, 2);
    CHECK_EQ(s->total.closed[RN_CLOSED_HERE], 0);
    rn_stats_free(s);
    rn_close(a);
    while (closed_by(RN_CLOSED_HERE) + closed_by(RN_CLOSED_EOF) < 2)
        rn_sleep(MS);
    CHECK(closed_by(RN_CLOSED_HERE) >= 1);

    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_OK(rn_conn_from_fd(fds[0], &a));
    close(fds[1]);
    s = take();
    CHECK_EQ(s->total.adopted, 1);
    CHECK_EQ(s->connections, 1);
    rn_stats_free(s);
    rn_close(a);
}

RN_CORO_TEST_ON(listeners_are_listed_with_their_queues, 1)
{
    rn_listener *ln, *un;
    char address[64];
    rn_conn *conn;
    rn_stats *s;
    char *text;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.backlog = 7}, &ln));
    snprintf(address, sizeof address, "@\"stats\\%d", getpid());
    CHECK_OK(rn_listen("unix", address, NULL, &un));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &conn));
    s = take();
    CHECK_EQ(s->n_listeners, 2);
    CHECK(strcmp(s->listeners[0].address, address) == 0);
    if (s->listeners[0].queued == 1) /* qemu tells none */
        CHECK_EQ(s->listeners[0].queue_limit, 7);
    CHECK_EQ(s->listeners[1].queued, -1);
    CHECK_OK(rn_stats_prometheus(s, &text));
    CHECK_HAS(text, "runnel_listener_queue_limit{address=\"@?stats?");
    rn_stats_text_free(text);
    rn_stats_free(s);
    rn_close(conn);
    rn_listener_close(ln);
    rn_listener_close(un);
    s = take();
    CHECK_EQ(s->n_listeners, 0);
    rn_stats_free(s);
}

/* ---- scheduling ---- */

static void sleep_long(void *arg)
{
    (void)arg;
    (void)rn_sleep(3600 * RN_SECOND);
}

RN_CORO_TEST(coroutines_are_counted_by_what_they_wait_in)
{
    rn_stats *s = take();
    unsigned sleeping = waiting_in(s, "sleep");

    rn_stats_free(s);
    for (int i = 0; i < 5; i++)
        CHECK_OK(rn_go(sleep_long, NULL));
    for (;;) {
        s = take();
        if (waiting_in(s, "sleep") - sleeping == 5)
            break;
        rn_stats_free(s);
        rn_yield();
    }
    CHECK_EQ(s->total.runnable, 1);
    CHECK_EQ(s->procs[0].parked + s->procs[1].parked, s->total.parked);
    CHECK(s->total.parked >= 5);
    CHECK_EQ(s->total.coroutines_started - s->total.coroutines_ended, 6);
    CHECK(s->stacks_in_use >= 6);
    CHECK(s->stack_bytes >= 6 * (256 << 10));
    rn_stats_free(s);
}

RN_CORO_TEST_ON(sleep_and_long_turns_are_measured, 1)
{
    rn_time from;
    rn_stats *s = NULL;

    do { /* a busy machine may wake it late, and so leave it less to sleep */
        rn_stats_free(s);
        rn_sleep(30 * MS);
        s = take();
    } while (s->total.asleep_ns < 29 * 1000 * 1000);
    CHECK(s->total.asleep_ns <= (uint64_t)s->uptime_ns);
    CHECK(s->total.polls > 0);
    rn_stats_free(s);
    for (from = rn_now(); rn_now() - from < 40 * MS;)
        continue;
    rn_sleep(MS);
    s = take();
    CHECK(s->total.longest_turn_ns >= 40 * MS);
    rn_stats_free(s);
}

/* The other P sleeps all the time, without an end. */
RN_CORO_TEST(a_sleep_counts_while_it_lasts)
{
    uint64_t slept = 0;

    for (int i = 0; i < 50 || slept < 20 * 1000 * 1000; i++) {
        rn_stats *s = take();
        uint64_t now = s->procs[2 - rn_proc_id()].asleep_ns;

        CHECK(now >= slept);
        slept = now;
        rn_stats_free(s);
        rn_sleep(MS);
    }
}

/* ---- snapshots ---- */

static void *take_outside(void *arg)
{
    rn_stats *s = NULL;

    (void)arg;
    CHECK_OK(rn_stats_get(&s));
    return s;
}

static rn_stats *by_thread(void)
{
    pthread_t t;
    void *s;

    CHECK_OK(pthread_create(&t, NULL, take_outside, NULL));
    CHECK_OK(pthread_join(t, &s));
    return s;
}

static rn_stats *kept;

static int keep_one(void *arg)
{
    rn_stats *s = by_thread();

    (void)arg;
    CHECK_EQ(s->n_procs, 2);
    CHECK(s->uptime_ns > 0);
    CHECK(strlen(s->poller) > 0);
    rn_stats_free(s);
    return rn_stats_get(&kept);
}

RN_TEST(a_snapshot_needs_no_runtime_and_outlives_it)
{
    rn_stats *s = by_thread();
    char *text;

    CHECK_EQ(s->n_procs, 0);
    CHECK_EQ(s->uptime_ns, 0);
    CHECK(s->resident_bytes > 0);
    CHECK(s->open_files_most > 0);
    CHECK_OK(rn_stats_json(s, &text));
    CHECK_HAS(text, "\"procs\":[],");
    rn_stats_text_free(text);
    rn_stats_free(s);
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, keep_one, NULL));
    CHECK_OK(rn_stats_json(kept, &text));
    CHECK_HAS(text, "\"version\":");
    rn_stats_text_free(text);
    rn_stats_free(kept);
    rn_stats_free(NULL);
    rn_stats_text_free(NULL);
}

static int tell_the_limit(void *arg)
{
    char *text;

    (void)arg;
    CHECK_OK(rn_stats_get(&kept));
    CHECK_OK(rn_stats_prometheus(kept, &text));
    CHECK_HAS(text, "\nrunnel_max_fds_before 100\n");
    rn_stats_text_free(text);
    return 0;
}

RN_TEST(a_raised_descriptor_limit_is_told_with_what_it_was)
{
    struct rlimit lim;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = 100;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &lim), 0);
    CHECK_OK(rn_run(&(rn_run_options){.keep_nofile = true, .procs = 2}, keep_one, NULL));
    CHECK_EQ(kept->open_files_most, 100);
    CHECK_EQ(kept->open_files_before, 0);
    rn_stats_free(kept);
    CHECK_OK(rn_run(NULL, tell_the_limit, NULL));
    CHECK_EQ(kept->open_files_most, lim.rlim_max);
    CHECK_EQ(kept->open_files_before, 100);
    rn_stats_free(kept);
}

/* Of a test in a process of its own. */
RN_TEST(descriptors_and_the_start_of_the_process_are_told)
{
    rn_stats *s = by_thread(), *more;
    int64_t now = (int64_t)time(NULL) * 1000;
    int fd = dup(0);

    more = by_thread();
    CHECK(fd >= 0);
    if (s->open_files >= 0) /* Linux 6.2 */
        CHECK_EQ(more->open_files, s->open_files + 1);
    /* Of whole seconds, and of a coarse clock. */
    CHECK(s->started_ms > now - 3600 * 1000 && s->started_ms < now + 60 * 1000);
    CHECK_EQ(more->started_ms, s->started_ms);
    close(fd);
    rn_stats_free(s);
    rn_stats_free(more);
}

static void use_a_lot(void *arg)
{
    volatile char page[100 << 10];

    for (size_t i = 0; i < sizeof page; i += 1024)
        page[i] = 1;
    (void)arg;
}

static void use_little(void *arg)
{
    (void)arg;
}

/* What the text says of the first site, which is the deepest. */
static uint64_t first_site(const char *text)
{
    const char *at = strstr(text, "\nrunnel_stack_deepest_bytes{site=\"");

    CHECK(at != NULL);
    return strtoull(strstr(at, "\"} ") + 3, NULL, 10);
}

/* The first coroutine on a stack is looked at when it ends. */
RN_CORO_TEST_ON(the_deepest_stacks_are_told_with_where_they_began, 1)
{
    rn_stats *s;
    char *text;

    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_go(use_little, NULL));
    CHECK_OK(rn_go(use_a_lot, NULL));
    rn_yield();
    s = take();
    CHECK_EQ(s->n_sites, 2);
    CHECK_EQ(s->sites[0].looks, 1);
    CHECK_EQ(s->sites[1].looks, 3);
    CHECK(s->sites[0].deepest_bytes >= 100 << 10 && s->sites[0].deepest_bytes < 200 << 10);
    CHECK(s->sites[1].deepest_bytes < s->sites[0].deepest_bytes);
    CHECK_HAS(s->sites[0].where, "test_stats+0x");
    CHECK_OK(rn_stats_prometheus(s, &text));
    CHECK_EQ(first_site(text), s->sites[0].deepest_bytes);
    rn_stats_text_free(text);
    CHECK_OK(rn_stats_json(s, &text));
    CHECK_HAS(text, "\"sites\":[{\"where\":\"test_stats+0x");
    rn_stats_text_free(text);
    rn_stats_free(s);
}

#define GO CHECK_OK(rn_go(use_little, NULL));
#define GO_10 GO GO GO GO GO GO GO GO GO GO

/* However many there are, a snapshot has the deepest. */
RN_CORO_TEST_ON(a_snapshot_has_the_deepest_of_many_sites, 1)
{
    rn_stats *s;

    GO_10 GO_10 GO_10 GO_10 CHECK_OK(rn_go(use_a_lot, NULL));
    rn_yield();
    s = take();
    CHECK_EQ(s->n_sites, RN_STATS_SITES);
    CHECK(s->sites[0].deepest_bytes >= 100 << 10);
    rn_stats_free(s);
}

/* Each allocation in turn. */
RN_CORO_TEST_ON(without_memory_there_is_no_snapshot_and_no_text, 1)
{
    rn_stats *s = NULL;
    char *text = NULL;
    int failed = 0, r;

    for (unsigned nth = 1; s == NULL; nth++) {
        rn__mem_fail(nth, 1);
        r = rn_stats_get(&s);
        rn__mem_fail(0, 0);
        CHECK(r == 0 ? s != NULL : r == -ENOMEM && s == NULL);
        failed += r < 0;
    }
    CHECK(failed >= 7);
    for (int json = 0; json < 2; json++) {
        rn__mem_fail(1, 1);
        CHECK_EQ(json ? rn_stats_json(s, &text) : rn_stats_prometheus(s, &text), -ENOMEM);
        rn__mem_fail(0, 0);
        CHECK(text == NULL);
    }
    rn_stats_free(s);
}

RN_TEST(text_grows_and_escapes)
{
    struct rn__text t = {0};
    char *text;

    rn__text_string(&t, "a\"b\\<\n\xff");
    rn__text_put(&t, " ");
    rn__text_seconds(&t, 256);
    rn__text_put(&t, " ");
    rn__text_seconds(&t, 1500000000);
    rn__text_put(&t, " ");
    rn__text_seconds(&t, 0);
    CHECK_OK(rn__text_take(&t, &text));
    CHECK(strcmp(text, "\"a\\u0022b\\u005c\\u003c\\u000a\\u00ff\" 0.000000256 1.5 0.0") == 0);
    rn_stats_text_free(text);
    t = (struct rn__text){0};
    for (int i = 0; i < 10000; i++)
        rn__text_format(&t, "%04d", i);
    CHECK_OK(rn__text_take(&t, &text));
    CHECK_EQ(strlen(text), 40000);
    CHECK(memcmp(text + 39996, "9999", 5) == 0);
    rn_stats_text_free(text);
}

static void *take_long(void *fd)
{
    char byte;

    CHECK_EQ(rn__sys_recv(*(int *)fd, &byte, 1, 0), -EAGAIN);
    return NULL;
}

/* Of Ps, and of threads that are none. */
RN_CORO_TEST_ON(the_slowest_calls_are_told, 1)
{
    struct timeval limit = {.tv_usec = 50000};
    pthread_t thread;
    rn_stats *s;
    char *text;
    int fds[2], n = 0;

    CHECK_OK(rn__sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_OK(rn__sys_setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    take_long(fds);
    CHECK_EQ(pthread_create(&thread, NULL, take_long, fds), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    s = take();
    CHECK(s->n_slow_calls >= 2 && s->n_slow_calls <= RN_STATS_SLOW);
    for (int i = 0; i < s->n_slow_calls; i++) {
        const rn_stats_slow_call *c = &s->slow_calls[i];

        CHECK(c->ago_ns >= 0 && c->ago_ns < 60 * RN_SECOND);
        CHECK(i == 0 || c->took_ns <= s->slow_calls[i - 1].took_ns);
        if (strcmp(c->name, "recv") == 0 && c->took_ns >= 49 * MS)
            n += c->proc == 1 ? 1 : c->proc == 0 ? 10 : 100;
    }
    CHECK_EQ(n, 11);
    CHECK_OK(rn_stats_json(s, &text));
    CHECK_HAS(text, "\"slow_calls\":[{\"name\":\"");
    rn_stats_text_free(text);
    rn_stats_free(s);
    CHECK_OK(rn__sys_close(fds[0]));
    CHECK_OK(rn__sys_close(fds[1]));
}

/* ---- requests ---- */

static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)arg;
    if (strcmp(rn_http_get_path(r), "/slow") == 0)
        rn_sleep(20 * MS);
    else if (strcmp(rn_http_get_path(r), "/none") == 0)
        rn_http_set_status(w, 404);
    rn_http_printf(w, "12345");
}

static void check_http(const rn_stats_http *h)
{
    const rn_stats_slow *slow = NULL;

    CHECK(strcmp(h->name, "site \"1\"") == 0);
    CHECK_EQ(h->requests, 15);
    CHECK_EQ(h->status[200], 12);
    CHECK_EQ(h->status[404], 1);
    CHECK_EQ(h->status[400], 1);
    CHECK_EQ(h->status[505], 1);
    CHECK(h->bytes >= 65);
    CHECK_EQ(h->failed, 0);
    CHECK_EQ(h->times.n, 15);
    CHECK(h->times.max_ns >= 19 * MS); /* by the P's cached clock */
    CHECK(h->times.sum_ns >= 19 * 1000 * 1000);
    CHECK_EQ(h->n_slow, RN_STATS_SLOW);
    for (int i = 0; i < h->n_slow; i++) {
        CHECK(i == 0 || h->slow[i].took_ns <= h->slow[i - 1].took_ns);
        if (strcmp(h->slow[i].what, "GET /slow") == 0)
            slow = &h->slow[i];
    }
    /* The first, unless the machine had no time for another one in the middle of it. */
    CHECK(slow == &h->slow[0] || (slow != NULL && h->slow[0].took_ns >= 19 * MS));
    CHECK_EQ(slow->status, 200);
}

RN_CORO_TEST_ON(requests_are_counted_and_the_slowest_remembered, 1)
{
    rn_http_stats *counters, *other;
    rn_http_server_options o = {.done = rn_http_stats_done};
    struct site *site = calloc(1, sizeof *site);
    rn_stats *s;
    char *text;

    CHECK_OK(rn_http_stats_new("site \"1\"", &counters));
    CHECK_OK(rn_http_stats_new("other", &other));
    o.done_arg = counters;
    open_site(site, &o, answer, NULL);
    for (int i = 0; i < 11; i++)
        CHECK_HAS(ask(site, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "12345");
    CHECK_HAS(ask(site, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), "12345");
    CHECK_HAS(ask(site, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"), " 404 ");
    CHECK_HAS(ask(site, "GET / HTTP/7.0\r\n\r\n"), "HTTP/1.1 ");
    CHECK_HAS(ask(site, "GET\r\n\r\n"), " 400 ");
    s = take();
    CHECK_EQ(s->n_http, 2);
    check_http(&s->http[0]);
    CHECK_EQ(s->http[1].requests, 0);
    CHECK_OK(rn_stats_prometheus(s, &text));
    CHECK_HAS(text, "runnel_http_requests_total{server=\"site ?1?\",code=\"200\"} 12\n");
    CHECK_HAS(text, "runnel_http_request_duration_seconds_count{server=\"site ?1?\"} 15\n");
    CHECK_HAS(text, "runnel_http_request_duration_seconds_count{server=\"other\"} 0\n");
    rn_stats_text_free(text);
    CHECK_OK(rn_stats_json(s, &text));
    CHECK_HAS(text, "\"name\":\"site \\u00221\\u0022\"");
    CHECK_HAS(text, "\"what\":\"GET /slow\"");
    rn_stats_text_free(text);
    rn_stats_free(s);
    close_site(site);
    free(site);
    rn_http_stats_free(counters);
    rn_http_stats_free(other);
    rn_http_stats_free(NULL);
    s = take();
    CHECK_EQ(s->n_http, 0);
    rn_stats_free(s);
}

/* What was never answered, or not whole, or by a number that is none, counts too. */
RN_CORO_TEST_ON(requests_without_an_answer_are_counted, 1)
{
    rn_http_stats *counters;
    rn_stats *s;

    CHECK_OK(rn_http_stats_new("x", &counters));
    rn_http_stats_done(&(rn_http_done){.began = rn_now()}, counters);
    rn_http_stats_done(&(rn_http_done){.began = rn_now() + RN_SECOND, .status = 777}, counters);
    rn_http_stats_done(&(rn_http_done){.began = rn_now(), .status = 200, .error = -EPIPE},
                       counters);
    s = take();
    CHECK_EQ(s->http[0].status[0], 2);
    CHECK_EQ(s->http[0].status[200], 1);
    CHECK_EQ(s->http[0].failed, 1);
    CHECK_EQ(s->http[0].n_slow, 3);
    rn_stats_free(s);
    rn_http_stats_free(counters);
}

RN_CORO_TEST_ON(counters_of_requests_need_memory_and_a_coroutine, 1)
{
    rn_http_stats *counters = NULL;

    for (unsigned nth = 1; nth < 3; nth++) {
        rn__mem_fail(nth, 1);
        CHECK_EQ(rn_http_stats_new("x", &counters), -ENOMEM);
        rn__mem_fail(0, 0);
    }
    CHECK(counters == NULL);
}

RN_TEST(counters_of_requests_are_made_in_a_coroutine)
{
    rn_http_stats *counters;

    CHECK_EQ(rn_http_stats_new("x", &counters), -EDEADLK);
}
