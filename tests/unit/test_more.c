/*
 * test_more.c - what RN_MSG_MORE holds back goes out with whatever follows it
 */
#include <fcntl.h>

#include "message_test.h"

static uint32_t unsent(rn_conn *c)
{
    rn_tcp_info info;

    CHECK_OK(rn_get_tcp_info(c, &info));
    return info.unsent_bytes;
}

/* The kernel lets go by itself after 200 ms, and a busy machine may be later still: again, then. */
static void hold_back(rn_conn *c)
{
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_send(c, "head", 4, RN_MSG_MORE), 4);
        if (unsent(c) > 0)
            return;
    }
    CHECK(!"RN_MSG_MORE holds nothing back");
}

static void flush_by(ssize_t (*flush)(rn_conn *c), const char *text)
{
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    hold_back(a);
    if (flush(a) < 0 || unsent(a) != 0)
        rntest_fail_at(__FILE__, __LINE__, "%s flushes nothing", text);
    rn_close(a);
    rn_close(b);
}

static ssize_t by_empty_write(rn_conn *c)
{
    return rn_write(c, "", 0);
}

static ssize_t by_empty_send(rn_conn *c)
{
    return rn_send(c, "", 0, 0);
}

static ssize_t by_empty_vector(rn_conn *c)
{
    struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};

    return rn_writev(c, iov, 2);
}

static ssize_t by_empty_file(rn_conn *c)
{
    char path[] = "/tmp/rntest-empty-XXXXXX";
    int fd = mkstemp(path);
    ssize_t r;

    CHECK_OK(fd);
    unlink(path);
    r = rn_send_file(c, fd, 0, 0);
    close(fd);
    return r;
}

static ssize_t by_body(rn_conn *c)
{
    return rn_write(c, "body", 4);
}

static ssize_t by_end(rn_conn *c)
{
    return rn_close_write(c);
}

RN_CORO_TEST(a_header_is_flushed_by_whatever_follows_it)
{
    flush_by(by_empty_write, "an empty write");
    flush_by(by_empty_send, "an empty send");
    flush_by(by_empty_vector, "an empty vector");
    flush_by(by_empty_file, "an empty file");
    flush_by(by_body, "a body");
    flush_by(by_end, "the end of the stream");
}

/* An error instead of a body: the close brings the header out, ahead of its end of stream. */
RN_CORO_TEST(a_header_is_flushed_by_the_close)
{
    rn_conn *a, *b;
    char buf[1024];
    ssize_t n, sum = 0;
    rn_time start;

    for (int i = 0; i < 10; i++, sum = 0) {
        rntest_pair(&a, &b);
        CHECK_EQ(rn_send(a, "head", 4, RN_MSG_MORE | (i % 2 ? RN_MSG_DONTWAIT : 0)), 4);
        CHECK_OK(rn__sys_fail("sendmsg", EIO, 1, 1));
        CHECK_OK(rn__sys_fail("send", EIO, 1, 1));
        CHECK_EQ(rn_write(a, "body", 4), -EIO);
        rn__sys_clear();
        start = rn_now();
        rn_close(a);
        while ((n = rn_read(b, buf, sizeof buf)) > 0)
            sum += n;
        CHECK_EQ(n, 0);
        CHECK_EQ(sum, 4);
        rn_close(b);
        if (rn_now() - start < 100 * RN_MILLISECOND)
            return; /* not the kernel's 200 ms; a busy machine has ten tries */
    }
    CHECK(!"the header waits for the kernel's timer");
}

/* An empty write costs nothing where there is nothing to let go. */
RN_CORO_TEST(an_empty_write_makes_no_system_call)
{
    rn_conn *a, *b;
    uint64_t calls;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(a, "x", 1), 1);
    calls = calls_on_procs(RN__SYS_setsockopt);
    CHECK_EQ(rn_write(a, "", 0), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_setsockopt), calls);
    CHECK_EQ(rn_send(a, "y", 1, RN_MSG_MORE), 1);
    CHECK_EQ(rn_send(a, "", 0, RN_MSG_MORE), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_setsockopt), calls);
    CHECK_OK(rn__sys_fail("setsockopt", ENOBUFS, 1, 1));
    CHECK_EQ(rn_write(a, "", 0), -ENOBUFS);
    CHECK_EQ(rn_write(a, "", 0), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_setsockopt), calls + 2);
    CHECK_EQ(rn_write(a, "", 0), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_setsockopt), calls + 2);
    rn_cancel(a);
    rn_close(a);
    rn_close(b);
}
