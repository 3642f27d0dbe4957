/*
 * test_sendfile.c - files to connections: cold, refused, growing and shrinking ones
 *
 * What is sent and what a file that is too short brings is in test_fd.c.
 */
#include <fcntl.h>
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/sys.h"
#include "calls.h"
#include "rntest_coro.h"
#include "task/proc.h"

#define MIB ((size_t)1 << 20)

static char byte_at(size_t i)
{
    return (char)(i * 3 + i / 4096);
}

static int make_file(size_t len)
{
    char name[] = "/tmp/rntest-XXXXXX", *buf = malloc(len);
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(i);
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, buf + at, len - at);

        CHECK(n > 0);
        at += (size_t)n;
    }
    free(buf);
    return fd;
}

struct sender {
    rn_conn *dst, *far;
    int fd;
    off_t at;
    size_t len;
    ssize_t result;
    rn_copy_report report;
    rn_waitgroup done;
};

static void send_it(void *arg)
{
    struct sender *s = arg;

    s->result = rn_copy_file(s->dst, s->fd, s->at, s->len, &s->report);
    rn_waitgroup_done(&s->done);
}

static void start(struct sender *s)
{
    rn_waitgroup_add(&s->done, 1);
    CHECK_OK(rn_go(send_it, s));
}

static void expect(struct sender *s, size_t at, size_t len)
{
    static _Thread_local char buf[65536];

    for (size_t end = at + len; at < end;) {
        ssize_t n = rn_read(s->far, buf, end - at < sizeof buf ? end - at : sizeof buf);

        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            if (buf[i] != byte_at(at))
                rntest_fail_at(__FILE__, __LINE__, "byte %zu is wrong", at);
    }
}

static void wait_sent(struct sender *s)
{
    CHECK_OK(rn_waitgroup_wait(&s->done));
    CHECK_EQ(s->report.bytes, s->report.by_sendfile + s->report.by_read_write);
}

static void finish(struct sender *s)
{
    rn_close(s->dst);
    rn_close(s->far);
    if (s->fd >= 0)
        close(s->fd);
}

RN_CORO_TEST(a_warm_file_pays_one_probe_a_mebibyte)
{
    struct sender s = {.fd = make_file(5 * MIB), .len = 5 * MIB};
    uint64_t probes = calls_on_procs(RN__SYS_preadv2), reads = calls_elsewhere(RN__SYS_pread);

    rntest_pair(&s.dst, &s.far);
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK_EQ(s.result, (ssize_t)s.len);
    CHECK_EQ(s.report.by_sendfile, (int64_t)s.len);
    CHECK_EQ(calls_on_procs(RN__SYS_preadv2) - probes, 5);
    CHECK_EQ(calls_elsewhere(RN__SYS_pread), reads);
    finish(&s);
}

static void yield_until(void *arg)
{
    const bool *stop = arg;

    while (!*stop)
        rn_yield();
}

static int send_in_a_crowd(void *arg)
{
    struct sender s = {.fd = make_file(8 * MIB), .len = 8 * MIB};
    uint64_t calls = calls_on_procs(RN__SYS_sendfile);
    static bool stop; /* is looked at after the return */

    (void)arg;
    rntest_pair(&s.dst, &s.far);
    CHECK_OK(rn_go(yield_until, &stop));
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK(calls_on_procs(RN__SYS_sendfile) - calls >= 8 * 4);
    stop = true;
    finish(&s);
    return 0;
}

/* A call that sends much keeps others waiting, and costs more where the far end reads meanwhile. */
RN_TEST(a_large_file_takes_turns_with_those_that_are_ready)
{
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, send_in_a_crowd, NULL), 0);
}

RN_CORO_TEST(a_cold_chunk_is_read_by_another_thread)
{
    struct sender s = {.fd = make_file(4 * MIB), .at = 100, .len = 4 * MIB - 100};
    uint64_t here = calls_on_procs(RN__SYS_pread), elsewhere = calls_elsewhere(RN__SYS_pread);

    rntest_pair(&s.dst, &s.far);
    CHECK_OK(rn__sys_fail("preadv2", EAGAIN, 2, 1)); /* the second MiB */
    start(&s);
    expect(&s, 100, s.len);
    wait_sent(&s);
    rn__sys_clear();
    CHECK_EQ(s.result, (ssize_t)s.len);
    CHECK_EQ(calls_on_procs(RN__SYS_pread), here);
    CHECK_EQ(calls_elsewhere(RN__SYS_pread) - elsewhere, 16); /* of 64 KiB */
    finish(&s);
}

RN_CORO_TEST(a_file_dropped_from_the_cache_arrives)
{
    struct sender s = {.fd = make_file(8 * MIB), .len = 8 * MIB};
    struct rn__runtime *rt = atomic_load(&rn__runtime);
    uint64_t again = 0;

    rntest_pair(&s.dst, &s.far);
    CHECK_EQ(fsync(s.fd), 0);
    CHECK_EQ(posix_fadvise(s.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK_EQ(s.result, (ssize_t)s.len);
    for (int i = 0; i < rt->n_procs; i++)
        again += atomic_load(&rt->procs[i]->counters.rows[RN__SYS_preadv2].again);
    finish(&s);
    if (again == 0)
        RN_TEST_SKIP("this file system keeps it, or cannot tell");
}

/* No thread can be started, or the probe means nothing: then sendfile waits, and all arrives. */
RN_CORO_TEST(where_the_cold_cannot_be_told_or_helped_it_is_sent_all_the_same)
{
    static const int errors[] = {EOPNOTSUPP, ENOSYS, EAGAIN};

    for (int i = 0; i < 3; i++) {
        struct sender s = {.fd = make_file(3 * MIB), .len = 3 * MIB};

        rntest_pair(&s.dst, &s.far);
        CHECK_OK(rn__sys_fail("preadv2", errors[i], 1, 100));
        CHECK_OK(rn__sys_fail("clone", EAGAIN, 1, 100));
        start(&s);
        expect(&s, 0, s.len);
        wait_sent(&s);
        rn__sys_clear();
        CHECK_EQ(s.report.by_sendfile, (int64_t)s.len);
        finish(&s);
    }
}

RN_CORO_TEST(a_small_file_is_read_and_written)
{
    struct sender s = {.fd = make_file(16 << 10), .len = 16 << 10};

    rntest_pair(&s.dst, &s.far);
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK_EQ(s.report.by_read_write, (int64_t)s.len);
    CHECK_EQ(calls_on_procs(RN__SYS_sendfile), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_preadv2), 1);
    CHECK_OK(rn__sys_fail("preadv2", EAGAIN, 1, 1)); /* cold */
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    rn__sys_clear();
    CHECK_EQ(s.result, (ssize_t)s.len);
    CHECK_EQ(calls_on_procs(RN__SYS_pread), 0);
    finish(&s);
}

RN_CORO_TEST(what_sendfile_refuses_is_read_and_written)
{
    static const int errors[] = {EINVAL, ENOSYS};

    for (int e = 0; e < 2; e++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            struct sender s = {.fd = make_file(4 * MIB + 5), .at = 1, .len = 4 * MIB + 4};

            rntest_pair(&s.dst, &s.far);
            CHECK_OK(rn__sys_fail("sendfile", errors[e], nth, 1000));
            start(&s);
            expect(&s, 1, s.len);
            wait_sent(&s);
            rn__sys_clear();
            CHECK_EQ(s.result, (ssize_t)s.len);
            CHECK(s.report.by_read_write > 0);
            CHECK(nth == 1 ? s.report.by_sendfile == 0 : s.report.by_sendfile > 0);
            finish(&s);
        }
}

RN_CORO_TEST(a_file_goes_into_a_pipe_or_a_unix_socket)
{
    for (int i = 0; i < 2; i++) {
        struct sender s = {.fd = make_file(2 * MIB), .len = 2 * MIB};
        int fds[2];

        if (i == 0) {
            CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
            CHECK_OK(rn_conn_from_fd(fds[0], &s.far));
            CHECK_OK(rn_conn_from_fd(fds[1], &s.dst));
        } else {
            rntest_pair_on("unix", &s.far, &s.dst);
        }
        start(&s);
        expect(&s, 0, s.len);
        wait_sent(&s);
        CHECK_EQ(s.result, (ssize_t)s.len);
        CHECK_EQ(s.report.by_sendfile, (int64_t)s.len);
        finish(&s);
    }
}

RN_CORO_TEST(a_file_goes_to_a_terminal_one_way_or_another)
{
    struct sender s = {.fd = make_file(300000), .len = 300000};
    struct termios raw;
    int master, slave;

    CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
    CHECK_EQ(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
    CHECK_OK(rn_conn_from_fd(master, &s.far));
    CHECK_OK(rn_conn_from_fd(slave, &s.dst));
    start(&s);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK_EQ(s.result, (ssize_t)s.len);
    finish(&s);
}

/* Before Linux 6.5, asking for more than there is makes TCP hold the last segment back for 200 ms,
 * each time; a busy machine is as slow now and then. Each file waits for the one before, as on a
 * kept connection. */
RN_CORO_TEST(files_of_any_size_arrive_without_waiting_for_more)
{
    struct sender s = {0};
    int late = 0;

    rntest_pair(&s.dst, &s.far);
    for (int i = 0; i < 64; i++) {
        rn_time start_at;

        s.len = 1 + (size_t)i * 1117;
        s.fd = make_file(s.len);
        start_at = rn_now();
        start(&s);
        expect(&s, 0, s.len);
        wait_sent(&s);
        late += rn_now() - start_at >= 150 * RN_MILLISECOND;
        CHECK_EQ(s.result, (ssize_t)s.len);
        close(s.fd);
    }
    CHECK(late < 32);
    s.fd = -1;
    finish(&s);
}

/* Until the socket between is full: by then all but the end was decided. */
static void wait_until_full(struct sender *s)
{
    int64_t before = -1;
    uint64_t calls = 0;

    do {
        before = (int64_t)calls;
        CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
        calls = calls_on_procs(RN__SYS_sendfile);
    } while (calls == 0 || (int64_t)calls != before);
    CHECK_EQ(s->result, 1);
}

RN_CORO_TEST(a_file_that_grows_meanwhile_is_sent_as_far_as_was_asked)
{
    struct sender s = {.fd = make_file(64 * MIB), .len = 64 * MIB, .result = 1};
    char byte;

    rntest_pair(&s.dst, &s.far);
    start(&s);
    wait_until_full(&s);
    CHECK_EQ(pwrite(s.fd, "more", 4, (off_t)s.len), 4);
    expect(&s, 0, s.len);
    wait_sent(&s);
    CHECK_EQ(s.result, (ssize_t)s.len);
    CHECK_OK(rn_close_write(s.dst));
    CHECK_EQ(rn_read(s.far, &byte, 1), 0);
    finish(&s);
}

RN_CORO_TEST(the_report_tells_whose_error_it_was_and_what_had_gone)
{
    struct sender s = {.fd = make_file(64 * MIB), .len = 64 * MIB, .result = 1};
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    rntest_pair(&s.dst, &s.far);
    CHECK_EQ(rn_copy_file(s.dst, -1, 0, 1, &s.report), -EBADF);
    CHECK_EQ(s.report.failed, RN_COPY_SRC);
    CHECK_EQ(rn_copy_file(s.dst, s.fd, (off_t)s.len, 1, &s.report), -RN_ETRUNCATED);
    CHECK_EQ(s.report.failed, RN_COPY_SRC);
    CHECK_EQ(s.report.bytes, 0);
    start(&s);
    wait_until_full(&s);
    CHECK_EQ(setsockopt(rn_conn_fd(s.far), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    rn_close(s.far);
    s.far = NULL;
    wait_sent(&s);
    CHECK(s.result == -ECONNRESET || s.result == -EPIPE);
    CHECK_EQ(s.report.failed, RN_COPY_DST);
    CHECK(s.report.by_sendfile > 0 && s.report.by_sendfile < (int64_t)s.len);
    CHECK(rn_write(s.dst, "x", 1) < 0); /* poisoned */
    finish(&s);
}

RN_CORO_TEST(a_cancel_ends_a_file_that_waits)
{
    struct sender s = {.fd = make_file(64 * MIB), .len = 64 * MIB, .result = 1};

    rntest_pair(&s.dst, &s.far);
    start(&s);
    wait_until_full(&s);
    rn_cancel(s.dst);
    wait_sent(&s);
    CHECK_EQ(s.result, -ECANCELED);
    CHECK_EQ(s.report.failed, RN_COPY_DST);
    finish(&s);
}
