/*
 * out.c - the output buffer of an exchange
 *
 * What fits collects; what does not goes out with what has collected, in one call. The peer has
 * write_ns to take each RN__WRITE_PIECE.
 */
#include "base/mem.h"
#include "http/exchange.h"
#include <runnel/task.h>

static int remember(struct rn__exchange *x, ssize_t r)
{
    if (r < 0 && x->w.error == 0)
        x->w.error = (int)r;
    return r < 0 ? (int)r : 0;
}

int rn__out_flush(struct rn__exchange *x, int flags)
{
    struct iovec iov = {.iov_base = x->out, .iov_len = x->out_len};
    ssize_t r = 0;

    if (x->out_len > 0) {
        rn__http_clock(x->conn, RN__WRITE, x->server->write_ns);
        r = rn__conn_write(x->conn, &iov, 1, flags);
    }
    x->out_len = 0;
    return remember(x, r);
}

int rn__out_reserve(struct rn__exchange *x, size_t len)
{
    return x->out_len + len <= sizeof x->out ? 0 : rn__out_flush(x, MSG_MORE);
}

int rn__out_write(struct rn__exchange *x, const void *buf, size_t len)
{
    const char *at = buf;

    if (x->out_len + len <= sizeof x->out) {
        rn__out_put(x, at, len);
        return 0;
    }
    while (len > 0) {
        size_t piece = len < RN__WRITE_PIECE ? len : RN__WRITE_PIECE;
        struct iovec iov[2] = {{.iov_base = x->out, .iov_len = x->out_len},
                               {.iov_base = (void *)(uintptr_t)at, .iov_len = piece}};
        int n = x->out_len > 0 ? 2 : 1;
        ssize_t r;

        rn__http_clock(x->conn, RN__WRITE, x->server->write_ns);
        r = rn__conn_write(x->conn, iov + 2 - n, n, 0);
        x->out_len = 0;
        if (r < 0)
            return remember(x, r);
        at += piece;
        len -= piece;
    }
    return 0;
}

int rn__out_file(struct rn__exchange *x, int fd, off_t offset, size_t len, bool is_warm)
{
    int r = len > 0 ? rn__out_flush(x, MSG_MORE) : 0; /* held back until the file's first bytes */
    size_t taken = RN__WRITE_PIECE, warm = is_warm ? len : 0; /* taken: since the clock was set */

    while (r == 0 && len > 0) {
        ssize_t n;

        if (taken >= RN__WRITE_PIECE) {
            rn__http_clock(x->conn, RN__WRITE, x->server->write_ns);
            taken = 0;
        }
        n = rn__conn_send_file(x->conn, fd, offset, len, &warm);
        if (n < 0)
            return remember(x, n);
        taken += (size_t)n;
        offset += n;
        len -= (size_t)n;
    }
    return r;
}
