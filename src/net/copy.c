/*
 * copy.c - from one connection to another, until the end of the stream
 *
 *              FULL_READS in a row filled the buffer
 *      READ AND WRITE -----------------------------> SPLICE
 *                     <-----------------------------
 *              SMALL_PIECES in a row were small, or splice is refused
 *
 * Splice saves the copying and costs more calls of the kernel's into itself; for small pieces it is
 * the dearer of the two. So it begins by reading and writing, and what flows decides.
 *
 * The copy is src's reader until it returns. Of dst's writers it is one for as long as a piece is
 * on its way, so that others may write between two. It waits at one of the two, and follows the
 * other, whose cancel would else not end it. It takes a buffer or a pipe only for a piece: a copy
 * that waits for src holds none. What one of them holds when dst fails is lost, and counted.
 */
#include "net/copy.h"

#include <limits.h>

#include "net/spare.h"
#include "task/follow.h"

#define FULL_READS 2

#define SMALL ((ssize_t)16 << 10)
#define SMALL_PIECES 8

/* A piece like this is a lot of work: others first. */
#define LARGE ((ssize_t)256 << 10)

ssize_t rn__copy_fail(struct rn__copy *k, enum rn_copy_side side, ssize_t r)
{
    k->report.failed = side;
    return r;
}

/* ---- waiting ---- */

/* The other one's cancel nudges this wait: after the clear that preceded the last try, or it is
 * seen here. */
static int wait_src(struct rn__copy *k)
{
    int r;

    if (rn__iowait_cancelled(&k->dst->w))
        return (int)rn__copy_fail(k, RN_COPY_DST, -ECANCELED);
    r = rn__conn_wait_read(k->src);
    return r < 0 ? (int)rn__copy_fail(k, RN_COPY_SRC, r) : 0;
}

int rn__copy_wait_dst(struct rn__copy *k)
{
    int r;

    if (rn__iowait_cancelled(&k->src->w))
        return (int)rn__copy_fail(k, RN_COPY_SRC, -ECANCELED);
    r = rn__conn_wait_write(k->dst);
    return r < 0 ? (int)rn__copy_fail(k, RN_COPY_DST, r) : 0;
}

/* ---- a piece, to dst ---- */

static int push(struct rn__copy *k, struct rn__piece *p)
{
    while (p->done < p->len) {
        size_t len = p->len - p->done;
        ssize_t n = p->buf != NULL ? rn__conn_try_write(k->dst, p->buf + p->done, len)
                                   : rn__splice_out(k->dst, p->pipe, len);

        if (n == -EAGAIN)
            n = rn__copy_wait_dst(k);
        else if (n <= 0)
            return (int)rn__copy_fail(k, RN_COPY_DST, n == 0 ? -EIO : n);
        if (n < 0)
            return (int)n;
        p->done += (size_t)n;
        *(p->buf != NULL ? &k->report.by_read_write : &k->report.by_splice) += n;
    }
    return 0;
}

/* dst takes nothing from a pipe: what is in ours goes by a buffer. */
static int push_by_buffer(struct rn__copy *k, struct rn__piece *p)
{
    char *buf = rn__spare_buffer();
    int r = 0;

    if (buf == NULL)
        return (int)rn__copy_fail(k, RN_COPY_NEITHER, -ENOMEM);
    while (r == 0 && p->done < p->len) {
        ssize_t n = rn__sys_read(p->pipe, buf, RN__SPARE_BUFFER);
        struct rn__piece part = {.buf = buf, .len = n > 0 ? (size_t)n : 0};

        r = n > 0 ? push(k, &part) : (int)rn__copy_fail(k, RN_COPY_NEITHER, n == 0 ? -EIO : n);
        p->done += part.done;
    }
    rn__spare_buffer_back(buf);
    return r;
}

int rn__copy_deliver(struct rn__copy *k, struct rn__piece *p)
{
    rn_conn *dst = k->dst;
    int r = rn__conn_take_turn(dst);

    if (r < 0) { /* it is being closed */
        k->report.lost += (int64_t)(p->len - p->done);
        return (int)rn__copy_fail(k, RN_COPY_DST, r);
    }
    r = rn__conn_may_write(dst);
    r = r < 0 ? (int)rn__copy_fail(k, RN_COPY_DST, r) : push(k, p);
    if (RN_UNLIKELY(r < 0) && p->buf == NULL && rn__splice_refused(r)) {
        k->never_splices = true;
        k->report.failed = RN_COPY_NEITHER;
        r = push_by_buffer(k, p);
    }
    if (RN_UNLIKELY(r < 0)) {
        k->report.lost += (int64_t)(p->len - p->done);
        dst->write_error = r; /* the stream has a hole: nothing may follow it */
        dst->failed |= r != -ETIME && r != -ECANCELED;
    }
    rn__conn_leave(dst, RN__GATE_WRITER);
    return r;
}

/* ---- reading and writing ---- */

ssize_t rn__copy_by_buffer(struct rn__copy *k)
{
    size_t room = k->left < RN__SPARE_BUFFER ? k->left : RN__SPARE_BUFFER;
    char *buf = rn__spare_buffer();
    ssize_t n;
    int r = 0;

    if (buf == NULL)
        return rn__copy_fail(k, RN_COPY_NEITHER, -ENOMEM);
    n = rn__conn_try_read(k->src, buf, room);
    if (n > 0) {
        struct rn__piece p = {.buf = buf, .len = (size_t)n};

        r = rn__copy_deliver(k, &p);
    } else if (n < 0 && n != -EAGAIN) {
        r = (int)rn__copy_fail(k, RN_COPY_SRC, n);
    }
    rn__spare_buffer_back(buf);
    return r < 0 ? r : n;
}

/* ---- which way ---- */

/* Newer kernels splice messages, too, but by copying, and without regard to their bounds. */
static bool can_splice(const rn_conn *c)
{
    return c->is_pipe || (c->is_socket && !c->is_packet);
}

static void choose_way(struct rn__copy *k, ssize_t n)
{
    bool other = k->splices ? n < SMALL : n == (ssize_t)RN__SPARE_BUFFER;

    k->streak = other ? k->streak + 1 : 0;
    if (k->streak >= (k->splices ? SMALL_PIECES : FULL_READS)) {
        k->splices = !k->splices;
        k->streak = 0;
    }
    if (k->never_splices || k->src->unread != NULL)
        k->splices = false;
}

/* 0 at the end, or an error that is in the report. */
static ssize_t run(struct rn__copy *k)
{
    while (k->left > 0) {
        ssize_t n = rn__iowait_check(&k->src->w, RN__READ);

        if (n < 0)
            return rn__copy_fail(k, RN_COPY_SRC, n);
        /* After rn_close_read only a read knows that there is nothing more. */
        n = k->splices && !k->src->read_closed ? rn__copy_by_splice(k) : rn__copy_by_buffer(k);
        if (n == -EAGAIN) {
            n = wait_src(k);
            if (n < 0)
                return n;
            continue;
        }
        if (n <= 0)
            return n;
        k->left -= (size_t)n;
        choose_way(k, n);
        if (n >= LARGE)
            rn__spend_all();
        else
            rn__spend();
    }
    return 0;
}

static ssize_t follow_and_run(struct rn__copy *k)
{
    struct rn__follower of_src = {.of = &k->src->w, .at = &k->dst->w, .dir = RN__WRITE};
    struct rn__follower of_dst = {.of = &k->dst->w, .at = &k->src->w, .dir = RN__READ};
    ssize_t r;

    if (k->src == k->dst)
        return run(k);
    rn__follow(&of_src);
    rn__follow(&of_dst);
    r = run(k);
    rn__unfollow(&of_dst);
    rn__unfollow(&of_src);
    return r;
}

static ssize_t copy(rn_conn *dst, rn_conn *src, size_t n, rn_copy_report *report)
{
    struct rn__copy k = {.dst = dst, .src = src, .left = n};
    ssize_t r = rn__conn_enter_read(src);

    k.never_splices = !can_splice(dst) || !can_splice(src);
    if (r == 0) {
        r = follow_and_run(&k);
        rn__conn_leave(src, RN__GATE_READER);
    } else {
        k.report.failed = RN_COPY_SRC;
    }
    k.report.bytes = k.report.by_read_write + k.report.by_splice;
    if (report != NULL)
        *report = k.report;
    return r < 0 ? r : (ssize_t)k.report.bytes;
}

ssize_t rn_copy(rn_conn *dst, rn_conn *src, rn_copy_report *report)
{
    return copy(dst, src, SIZE_MAX, report);
}

ssize_t rn_copy_n(rn_conn *dst, rn_conn *src, size_t n, rn_copy_report *report)
{
    return n > SSIZE_MAX ? -EINVAL : copy(dst, src, n, report);
}
