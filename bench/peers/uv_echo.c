/*
 * uv_echo.c - TCP echo on libuv, one loop: `uv_echo PORT`. See bench/README.md.
 *
 * Written in libuv's favour: one shared read buffer and uv_try_write, so that the usual echo costs
 * no allocation; only a write that falls short takes the queued path with a copy.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char shared[65536];

static void check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "uv_echo: %s: %s\n", what, uv_strerror(r));
    exit(1);
}

static void lend_buffer(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    (void)handle;
    (void)hint;
    *buf = uv_buf_init(shared, sizeof shared);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void end_write(uv_write_t *req, int status)
{
    /* On failure the reader sees the error too and closes. */
    (void)status;
    free(req);
}

static void queue_write(uv_stream_t *conn, const char *bytes, size_t len)
{
    uv_write_t *req = malloc(sizeof *req + len);
    uv_buf_t buf;

    if (!req)
        check(UV_ENOMEM, "malloc");
    memcpy(req + 1, bytes, len);
    buf = uv_buf_init((char *)(req + 1), (unsigned)len);
    if (uv_write(req, conn, &buf, 1, end_write) < 0)
        free(req);
}

static void echo(uv_stream_t *conn, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t out;
    int sent;

    if (n == 0)
        return;
    if (n < 0) {
        uv_close((uv_handle_t *)conn, free_handle);
        return;
    }
    out = uv_buf_init(buf->base, (unsigned)n);
    sent = uv_try_write(conn, &out, 1);
    if (sent < 0)
        sent = 0;
    if (sent < n)
        queue_write(conn, buf->base + sent, (size_t)(n - sent));
}

static void accept_one(uv_stream_t *listener, int status)
{
    uv_tcp_t *conn;

    check(status, "listen");
    conn = malloc(sizeof *conn);
    if (!conn)
        check(UV_ENOMEM, "malloc");
    check(uv_tcp_init(listener->loop, conn), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)conn) < 0) {
        uv_close((uv_handle_t *)conn, free_handle);
        return;
    }
    uv_tcp_nodelay(conn, 1);
    uv_read_start((uv_stream_t *)conn, lend_buffer, echo);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in sa;
    uv_tcp_t listener;

    if (argc != 2) {
        fprintf(stderr, "usage: uv_echo PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    check(uv_ip4_addr("127.0.0.1", (int)strtol(argv[1], NULL, 10), &sa), "address");
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (const struct sockaddr *)&sa, 0), "bind");
    check(uv_listen((uv_stream_t *)&listener, 4096, accept_one), "listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
