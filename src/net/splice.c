/*
 * splice.c - moving pages instead of bytes
 *
 * Two sockets are joined by a pipe of ours, which is empty before each splice into it: then its
 * EAGAIN can only mean that the socket is empty. A piece leaves the pipe before the next enters.
 *
 * A pipe of the user's is spliced from or to directly. Then EAGAIN is ambiguous, and poll is asked.
 * Waiting at the one that was not ready then misses nothing: its edge is still to come, or came
 * after the latch was cleared.
 *
 * Before the urgent byte splice stops for ever: it says EAGAIN, or 0 once the stream has ended
 * behind that byte. A read steps over it.
 *
 * Never asks to send more than there is: a TCP socket told that more is coming holds the last
 * segment back for 200 ms. For the same reason no SPLICE_F_MORE.
 */
#include "net/copy.h"

#include <sys/ioctl.h>

#include "net/spare.h"

#define PIECE ((size_t)1 << 20)
#define FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)

bool rn__splice_refused(ssize_t r)
{
    return r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM;
}

ssize_t rn__splice_out(rn_conn *dst, int pipe, size_t len)
{
    rn__iowait_clear(&dst->w, RN__WRITE);
    return rn__sys_splice(pipe, dst->w.fd, len, FLAGS);
}

/* What came out of src, when it is not more than 0 and not EAGAIN. */
static ssize_t end_of_src(struct rn__copy *k, ssize_t n)
{
    k->src->saw_eof = n == 0;
    k->src->failed |= n < 0;
    return n == 0 ? 0 : rn__copy_fail(k, RN_COPY_SRC, n);
}

static ssize_t use_buffer(struct rn__copy *k, bool for_good)
{
    k->never_splices |= for_good;
    k->splices = false;
    k->streak = 0;
    return rn__copy_by_buffer(k);
}

/* EAGAIN without PRI seen: if it is the mark, its event is still to come and ends the wait. */
static bool stops_at_mark(struct rn__copy *k, ssize_t n)
{
    struct rn__iowait *w = &k->src->w;
    int at = 0;

    if (!k->src->is_tcp || (n != 0 && (n != -EAGAIN || !(rn__iowait_seen(w) & RN__PRI))))
        return false;
    return rn__sys_ioctl(w->fd, SIOCATMARK, &at) == 0 && at != 0;
}

/* ---- two sockets ---- */

static ssize_t by_our_pipe(struct rn__copy *k, size_t most)
{
    int fds[2], r;
    ssize_t n;

    if (rn__spare_pipe(fds) < 0)
        return use_buffer(k, false); /* no descriptors now: perhaps later */
    rn__iowait_clear(&k->src->w, RN__READ);
    n = rn__sys_splice(k->src->w.fd, fds[1], most, FLAGS);
    if (n > 0) {
        struct rn__piece p = {.pipe = fds[0], .len = (size_t)n};

        r = rn__copy_deliver(k, &p);
        rn__spare_pipe_back(fds, p.done == p.len);
        return r < 0 ? r : n;
    }
    rn__spare_pipe_back(fds, true);
    if (stops_at_mark(k, n))
        return use_buffer(k, false);
    if (n == -EAGAIN)
        return n;
    return rn__splice_refused(n) ? use_buffer(k, true) : end_of_src(k, n);
}

/* ---- a pipe of the user's ---- */

/* Who was it that said EAGAIN? RN_COPY_NEITHER: both are ready by now. */
static int find_blocked(struct rn__copy *k)
{
    static const struct timespec now = {0};
    struct pollfd p[2] = {{.fd = k->src->w.fd, .events = POLLIN},
                          {.fd = k->dst->w.fd, .events = POLLOUT}};
    int r = rn__sys_ppoll(p, 2, &now);

    if (r < 0)
        return r == -EINTR ? RN_COPY_NEITHER : r;
    if (p[0].revents == 0)
        return RN_COPY_SRC;
    return p[1].revents == 0 ? RN_COPY_DST : RN_COPY_NEITHER;
}

/* With dst's turn. -EAGAIN: nothing there; -EINVAL: not this way. */
static ssize_t try_directly(struct rn__copy *k, size_t most)
{
    for (int in_vain = 0; in_vain < 2;) {
        ssize_t n;
        int r;

        rn__iowait_clear(&k->src->w, RN__READ);
        rn__iowait_clear(&k->dst->w, RN__WRITE);
        n = rn__sys_splice(k->src->w.fd, k->dst->w.fd, most, FLAGS);
        if (n != -EAGAIN)
            return n;
        r = find_blocked(k);
        if (r == RN_COPY_SRC)
            return -EAGAIN;
        if (r == RN_COPY_DST)
            r = rn__copy_wait_dst(k);
        else
            in_vain++;
        if (r < 0)
            return r;
    }
    return -EINVAL;
}

/* The errors of a splice do not say whose they are. */
static ssize_t tell_side(struct rn__copy *k, ssize_t n)
{
    bool is_dst = n == -EPIPE || k->dst->is_socket;

    if (!is_dst)
        return end_of_src(k, n);
    k->dst->failed = true;
    return rn__copy_fail(k, RN_COPY_DST, n);
}

static ssize_t directly(struct rn__copy *k, size_t most)
{
    ssize_t n = rn__conn_enter_write(k->dst);

    if (n < 0)
        return rn__copy_fail(k, RN_COPY_DST, n);
    n = try_directly(k, most);
    rn__conn_leave(k->dst, RN__GATE_WRITER);
    if (n > 0)
        k->report.by_splice += n;
    if (k->report.failed == RN_COPY_NEITHER && stops_at_mark(k, n))
        return use_buffer(k, false);
    if (n == 0)
        return end_of_src(k, 0);
    if (n > 0 || n == -EAGAIN)
        return n;
    if (k->report.failed != RN_COPY_NEITHER) /* a wait told */
        return n;
    return rn__splice_refused(n) ? use_buffer(k, true) : tell_side(k, n);
}

ssize_t rn__copy_by_splice(struct rn__copy *k)
{
    size_t most = k->left < PIECE ? k->left : PIECE;

    k->src->drained = false;
    return k->src->is_pipe || k->dst->is_pipe ? directly(k, most) : by_our_pipe(k, most);
}
