/*
 * test_bufio.c - buffers on a connection
 */
#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"

static rn_bufio *buffers(rn_conn *conn, size_t read_bytes, size_t write_bytes)
{
    rn_bufio_options o = {.read_bytes = read_bytes, .write_bytes = write_bytes};
    rn_bufio *b;

    CHECK_OK(rn_bufio_new(conn, &o, &b));
    return b;
}

static void say(rn_conn *conn, const char *text)
{
    CHECK_EQ(rn_write(conn, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_line(rn_bufio *b, size_t limit, const char *line)
{
    const char *got;

    CHECK_EQ(rn_bufio_read_line(b, limit, &got), (ssize_t)strlen(line));
    CHECK_MEM(got, line, strlen(line));
}

RN_CORO_TEST(lines_come_one_by_one_with_their_newline)
{
    const char *none = NULL;
    rn_conn *x, *y;
    rn_bufio *b;

    rntest_pair(&x, &y);
    b = buffers(y, 16, 0);
    say(x, "one\ntwo\r\n\nthree is 16 by");
    expect_line(b, 0, "one\n");
    expect_line(b, 0, "two\r\n");
    expect_line(b, 0, "\n");
    say(x, "\nlast");
    expect_line(b, 0, "three is 16 by\n");
    CHECK_OK(rn_close_write(x));
    expect_line(b, 0, "last");
    CHECK_EQ(rn_bufio_read_line(b, 0, &none), 0);
    CHECK_EQ(rn_bufio_read_line(b, 0, &none), 0);
    CHECK(none == NULL);
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

static void say_slowly(void *arg)
{
    rn_conn *conn = arg;

    for (int i = 0; i < 2000; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "%.*s%d\n", i % 40,
                           "........................................", i);

        for (int at = 0; at < len; at += 7)
            CHECK_OK(rn_write(conn, line + at, (size_t)(len - at < 7 ? len - at : 7)));
    }
    rn_close(conn);
}

RN_CORO_TEST(lines_survive_whatever_pieces_they_come_in)
{
    const char *line = NULL;
    rn_conn *x, *y;
    rn_bufio *b;

    rntest_pair(&x, &y);
    b = buffers(y, 64, 0);
    CHECK_OK(rn_go(say_slowly, x));
    for (int i = 0; i < 2000; i++) {
        char want[64];
        int len = snprintf(want, sizeof want, "%.*s%d\n", i % 40,
                           "........................................", i);

        CHECK_EQ(rn_bufio_read_line(b, 0, &line), len);
        CHECK_MEM(line, want, (size_t)len);
    }
    CHECK_EQ(rn_bufio_read_line(b, 0, &line), 0);
    CHECK_OK(rn_bufio_free(b));
    rn_close(y);
}

RN_CORO_TEST(a_line_longer_than_its_limit_is_refused_and_stays)
{
    const char *line = NULL;
    rn_conn *x, *y;
    rn_bufio *b;
    char buf[32];

    rntest_pair(&x, &y);
    b = buffers(y, 16, 0);
    say(x, "12345\n");
    CHECK_EQ(rn_bufio_read_line(b, 5, &line), -RN_ELONG);
    CHECK(line == NULL);
    expect_line(b, 6, "12345\n"); /* its newline counts */
    say(x, "0123456789abcdefgh\n");
    CHECK_EQ(rn_bufio_read_line(b, 1000, &line), -RN_ELONG); /* longer than the buffer */
    CHECK_EQ(rn_bufio_read_full(b, buf, 19), 19);
    CHECK_MEM(buf, "0123456789abcdefgh\n", 19);
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(a_deadline_in_the_middle_consumes_nothing)
{
    const char *line = NULL;
    rn_conn *x, *y;
    rn_bufio *b;
    char buf[100];

    rntest_pair(&x, &y);
    b = buffers(y, 32, 0);
    say(x, "half a line");
    rn_set_read_deadline(y, rn_after(20 * RN_MILLISECOND));
    CHECK_EQ(rn_bufio_read_line(b, 0, &line), -ETIME);
    CHECK_EQ(rn_bufio_read_full(b, buf, 20), -ETIME);
    CHECK_EQ(rn_bufio_peek(b, 20, &line), -ETIME);
    CHECK_EQ(rn_bufio_read_full(b, buf, sizeof buf), -ETIME); /* by its own buffer */
    rn_set_read_deadline(y, 0);
    say(x, ", and the rest\n");
    expect_line(b, 0, "half a line, and the rest\n");
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(read_full_is_all_or_nothing)
{
    char buf[100];
    rn_conn *x, *y;
    rn_bufio *b;

    rntest_pair(&x, &y);
    b = buffers(y, 8, 0);
    say(x, "abcdefghijklmnopqrstuvwxyz");
    CHECK_EQ(rn_bufio_read_full(b, buf, 3), 3);
    CHECK_EQ(rn_bufio_read_full(b, buf + 3, 20), 20);
    CHECK_MEM(buf, "abcdefghijklmnopqrstuvw", 23);
    CHECK_EQ(rn_bufio_read_full(b, buf, 0), 0);
    CHECK_OK(rn_close_write(x));
    CHECK_EQ(rn_bufio_read_full(b, buf, 4), -RN_EPARTIAL);
    CHECK_EQ(rn_bufio_read_full(b, buf, 40), -RN_EPARTIAL);
    CHECK_EQ(rn_bufio_read_full(b, buf, 3), 3);
    CHECK_MEM(buf, "xyz", 3);
    CHECK_EQ(rn_bufio_read_full(b, buf, 3), 0); /* at the very end */
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(peek_and_skip_and_read_see_the_same_stream)
{
    const char *p = NULL;
    char buf[64];
    rn_conn *x, *y;
    rn_bufio *b;

    rntest_pair(&x, &y);
    b = buffers(y, 8, 0);
    say(x, "0123456789abcdefghij");
    CHECK_EQ(rn_bufio_peek(b, 1, &p), 1);
    CHECK_EQ(*p, '0');
    CHECK(rn_bufio_buffered(b) >= 1 && rn_bufio_buffered(b) <= 8);
    CHECK_EQ(rn_bufio_skip(b, 5), 5);
    CHECK_EQ(rn_bufio_peek(b, 8, &p), 8); /* moved to the front to fit */
    CHECK_MEM(p, "56789abc", 8);
    CHECK_EQ(rn_bufio_peek(b, 9, &p), -EINVAL);
    CHECK_EQ(rn_bufio_peek(b, 0, &p), -EINVAL);
    CHECK_EQ(rn_bufio_read(b, buf, 2), 2);
    CHECK_MEM(buf, "56", 2);
    CHECK_EQ(rn_bufio_read(b, buf, sizeof buf), 6); /* what is buffered */
    CHECK_EQ(rn_bufio_read(b, buf, sizeof buf), 7); /* then the connection, directly */
    CHECK_MEM(buf, "defghij", 7);
    CHECK_EQ(rn_bufio_read(b, buf, 0), 0);
    say(x, "end");
    CHECK_OK(rn_close_write(x));
    CHECK_EQ(rn_bufio_read(b, buf, 2), 2); /* by the buffer: it asks for less */
    CHECK_EQ(rn_bufio_peek(b, 4, &p), 1);
    CHECK_EQ(*p, 'd');
    CHECK_EQ(rn_bufio_skip(b, 1000), 1);
    CHECK_EQ(rn_bufio_skip(b, 1), 0);
    CHECK_EQ(rn_bufio_peek(b, 4, &p), 0);
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(what_was_read_too_far_goes_back_to_the_connection)
{
    rn_conn *x, *y;
    rn_bufio *b;
    char buf[64];

    rntest_pair(&x, &y);
    b = buffers(y, 0, 0);
    say(x, "CONNECT\nthen raw bytes");
    expect_line(b, 0, "CONNECT\n");
    CHECK_EQ(rn_bufio_buffered(b), 14);
    CHECK_OK(rn_bufio_free(b));
    CHECK_EQ(rn_read(y, buf, sizeof buf), 14);
    CHECK_MEM(buf, "then raw bytes", 14);
    b = buffers(y, 0, 0);
    say(x, "more");
    CHECK_EQ(rn_bufio_skip(b, 1), 1);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_bufio_free(b), -ENOMEM); /* told, and freed */
    rn__mem_fail(0, 0);
    CHECK_OK(rn_bufio_free(NULL));
    rn_close(x);
    rn_close(y);
}

/* ---- writing ---- */

static bool has_input(rn_conn *conn)
{
    return rn_wait_fd(rn_conn_fd(conn), RN_READABLE, rn_after(5 * RN_MILLISECOND)) > 0;
}

RN_CORO_TEST(writes_are_gathered_until_they_are_flushed)
{
    rn_conn *x, *y;
    rn_bufio *b;
    char buf[64];

    rntest_pair(&x, &y);
    b = buffers(x, 0, 10);
    CHECK_EQ(rn_bufio_write(b, "abc", 3), 3);
    CHECK_EQ(rn_bufio_write(b, "", 0), 0);
    CHECK_EQ(rn_bufio_write(b, "defghij", 7), 7); /* fits exactly */
    CHECK_EQ(rn_bufio_unflushed(b), 10);
    CHECK(!has_input(y));
    CHECK_OK(rn_bufio_flush(b));
    CHECK_OK(rn_bufio_flush(b));
    CHECK_EQ(rn_bufio_unflushed(b), 0);
    CHECK_EQ(rn_read(y, buf, sizeof buf), 10);
    CHECK_MEM(buf, "abcdefghij", 10);
    CHECK_EQ(rn_bufio_write(b, "123", 3), 3);
    CHECK_EQ(rn_bufio_write(b, "456789ab", 8), 8); /* does not: all of it goes, in order */
    CHECK_EQ(rn_bufio_unflushed(b), 0);
    CHECK_EQ(rn_read(y, buf, sizeof buf), 11);
    CHECK_MEM(buf, "123456789ab", 11);
    CHECK_EQ(rn_bufio_write(b, "eleven byte", 11), 11); /* larger than the buffer, which is empty */
    CHECK_EQ(rn_read(y, buf, sizeof buf), 11);
    CHECK_EQ(rn_bufio_write(b, "dropped", 7), 7);
    CHECK_OK(rn_bufio_free(b)); /* flushes nothing */
    CHECK(!has_input(y));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(the_first_write_error_is_the_last_word)
{
    rn_conn *x, *y;
    rn_bufio *b;

    for (int way = 0; way < 3; way++) {
        rntest_pair(&x, &y);
        b = buffers(x, 0, 8);
        CHECK_EQ(rn_bufio_write(b, "abc", way < 2 ? 3 : 0), way < 2 ? 3 : 0);
        CHECK_OK(rn__sys_fail(way == 1 ? "sendmsg" : "send", ENOBUFS, 1, 1));
        if (way == 0)
            CHECK_EQ(rn_bufio_flush(b), -ENOBUFS);
        else
            CHECK_EQ(rn_bufio_write(b, "much too long", 13), -ENOBUFS);
        rn__sys_clear();
        CHECK_EQ(rn_bufio_write(b, "x", 1), -ENOBUFS);
        CHECK_EQ(rn_bufio_flush(b), -ENOBUFS);
        CHECK_EQ(rn_bufio_unflushed(b), way < 2 ? 3 : 0);
        CHECK(!has_input(y));
        CHECK_OK(rn_bufio_free(b));
        rn_close(x);
        rn_close(y);
    }
}

/* ---- making ---- */

RN_CORO_TEST(buffers_may_be_the_callers)
{
    char in[8], out[8], got[8];
    rn_bufio_options o = {
        .read_bytes = sizeof in, .read_buffer = in, .write_bytes = sizeof out, .write_buffer = out};
    const char *p;
    rn_conn *x, *y;
    rn_bufio *b;

    rntest_pair(&x, &y);
    CHECK_OK(rn_bufio_new(x, &o, &b));
    CHECK_EQ(rn_bufio_write(b, "hello", 5), 5);
    CHECK_MEM(out, "hello", 5);
    CHECK_OK(rn_bufio_flush(b));
    CHECK_EQ(rn_read(y, got, sizeof got), 5);
    say(y, "back");
    CHECK_EQ(rn_bufio_peek(b, 4, &p), 4);
    CHECK(p == in);
    CHECK_OK(rn_bufio_free(b));
    rn_close(x);
    rn_close(y);
}

RN_CORO_TEST(bad_options_are_refused)
{
    char room[8];
    const rn_bufio_options bad[] = {{.read_buffer = room},
                                    {.write_buffer = room},
                                    {.reserved = {0, 0, 0, 1}},
                                    {.read_bytes = SIZE_MAX},
                                    {.write_bytes = SIZE_MAX}};
    rn_bufio *b = NULL;
    rn_conn *x, *y;

    rntest_pair(&x, &y);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(rn_bufio_new(x, &bad[i], &b), -EINVAL);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_bufio_new(x, NULL, &b), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK(b == NULL);
    rn_close(x);
    rn_close(y);
}
