/*
 * sendfile.c - from the page cache to the socket
 *
 * Never asks for more than the file has: a TCP socket told that more is coming holds the last
 * segment back for 200 ms. Chunks are capped, with a look at the run queue between two, so that one
 * large file does not keep a P to itself. 0 bytes from sendfile means that the file shrank.
 *
 * sendfile waits for the disk on the P, and cannot be asked not to. So each chunk is probed first:
 * one byte, its last, by a read that does not wait. The last, because what the kernel reads ahead
 * for one chunk often reaches into the next. Where it is not in the cache, a thread of the pool
 * reads the chunk, to bring it there. A probe costs 0.4 us, a chunk of 1 MiB some 200 us. What is
 * small is read, by a read that does not wait either, and written: that costs no more than sendfile
 * alone. So does what sendfile refuses.
 */
#include <runnel/copy.h>
#include <runnel/task.h>

#include <limits.h>
#include <sys/stat.h>

#include "net/copy.h"
#include "net/spare.h"

#define CHUNK ((size_t)1 << 20)
#define TURN ((size_t)256 << 10) /* where others are ready; docs/design/copy.md says why */
#define SMALL ((size_t)16 << 10)

static const struct rn__wait_kind wait_sendfile = {.name = "sendfile",
                                                   .interrupt = rn__iowait_interrupt};

struct sending {
    rn_conn *conn;
    int fd;
    off_t at;
    size_t left;
    size_t probed; /* of these, so many are in the cache, as far as is known */
    bool some;     /* what fits is enough */
    rn_copy_report report;
};

static ssize_t fail(struct sending *s, enum rn_copy_side side, ssize_t r)
{
    s->report.failed = side;
    return r;
}

/* ---- by a buffer ---- */

static ssize_t write_all(struct sending *s, const char *buf, size_t len)
{
    rn_conn *c = s->conn;

    for (size_t done = 0; done < len;) {
        ssize_t n = rn__conn_try_write(c, buf + done, len - done);

        if (n == -EAGAIN)
            n = rn__iowait_wait(&c->w, RN__WRITE, &wait_sendfile);
        if (n < 0)
            return fail(s, RN_COPY_DST, n);
        done += (size_t)n;
        s->report.by_read_write += n;
    }
    return 0;
}

static ssize_t send_by_buffer(struct sending *s)
{
    char *buf = rn__spare_buffer();
    ssize_t r = 0;

    if (buf == NULL)
        return fail(s, RN_COPY_NEITHER, -ENOMEM);
    while (s->left > 0 && r >= 0) {
        size_t len = s->left < RN__SPARE_BUFFER ? s->left : RN__SPARE_BUFFER;

        r = rn_pread(s->fd, buf, len, s->at);
        if (r <= 0) {
            r = fail(s, RN_COPY_SRC, r == 0 ? -RN_ETRUNCATED : r);
            break;
        }
        s->at += r;
        s->left -= (size_t)r;
        r = write_all(s, buf, (size_t)r);
    }
    rn__spare_buffer_back(buf);
    return r;
}

/* ---- by sendfile ---- */

struct load_job {
    int fd;
    off_t at;
    size_t len;
    char *buf;
};

/* On a thread of the pool: reads it all, so that it is in the cache. An error is sendfile's to
 * find. */
static int load(void *arg)
{
    struct load_job *j = arg;

    while (j->len > 0) {
        size_t len = j->len < RN__SPARE_BUFFER ? j->len : RN__SPARE_BUFFER;
        ssize_t n = rn__sys_pread(j->fd, j->buf, len, j->at);

        if (n <= 0)
            break;
        j->at += n;
        j->len -= (size_t)n;
    }
    return 0;
}

/* The next chunk, brought into the cache where it is not there. Where that cannot be known, or
 * not be done, sendfile will wait. */
static void probe(struct sending *s)
{
    struct load_job j = {.fd = s->fd, .at = s->at, .len = s->left < CHUNK ? s->left : CHUNK};
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};

    s->probed = j.len;
    if (rn__sys_preadv2(s->fd, &iov, 1, s->at + (off_t)j.len - 1, RWF_NOWAIT) != -EAGAIN)
        return;
    j.buf = rn__spare_buffer();
    if (j.buf == NULL)
        return;
    (void)rn_offload(load, &j, NULL);
    rn__spare_buffer_back(j.buf);
}

static ssize_t send_chunk(struct sending *s)
{
    rn_conn *c = s->conn;

    if (s->probed == 0)
        probe(s);
    for (;;) {
        size_t most = rn__alone() ? CHUNK : TURN;
        ssize_t sent;
        int r;

        rn__iowait_clear(&c->w, RN__WRITE);
        sent = rn__sys_sendfile(c->w.fd, s->fd, &s->at, s->probed < most ? s->probed : most);
        if (sent > 0) {
            s->probed -= (size_t)sent;
            s->left -= (size_t)sent;
            s->report.by_sendfile += sent;
        }
        if (sent == 0)
            return fail(s, RN_COPY_SRC, -RN_ETRUNCATED);
        if (sent != -EAGAIN) /* an error does not say whose it is */
            return sent > 0
                       ? sent
                       : fail(s, sent == -EIO || sent == -EBADF ? RN_COPY_SRC : RN_COPY_DST, sent);
        r = rn__iowait_wait(&c->w, RN__WRITE, &wait_sendfile);
        if (r < 0)
            return fail(s, RN_COPY_DST, r);
    }
}

/* By sendfile, or -EINVAL and such when it does not want to. */
static ssize_t send_by_chunks(struct sending *s)
{
    ssize_t r;

    do {
        r = send_chunk(s);
        if (r < 0)
            return r;
        rn__spend_all();
    } while (s->left > 0 && !s->some);
    return 0;
}

static ssize_t send_it(struct sending *s)
{
    rn_conn *c = s->conn;
    size_t len = s->left;
    ssize_t r = rn__conn_enter_write(c);

    if (r < 0)
        return fail(s, RN_COPY_DST, r);
    r = len > SMALL ? send_by_chunks(s) : send_by_buffer(s);
    if (RN_UNLIKELY(len > SMALL && rn__splice_refused(r))) {
        s->report.failed = RN_COPY_NEITHER;
        r = send_by_buffer(s);
    }
    s->report.bytes = s->report.by_sendfile + s->report.by_read_write;
    if (r < 0 && s->report.bytes > 0)
        c->write_error = (int)r;
    if (r < 0 && r != -ETIME && r != -ECANCELED)
        c->failed = true;
    rn__conn_leave(c, RN__GATE_WRITER);
    if (r == 0)
        rn__spend();
    return r < 0 ? r : (ssize_t)(len - s->left);
}

ssize_t rn__conn_send_file(rn_conn *c, int fd, off_t offset, size_t len, size_t *warm)
{
    struct sending s = {
        .conn = c, .fd = fd, .at = offset, .left = len, .probed = *warm, .some = true};
    ssize_t r = send_it(&s);

    *warm = s.probed;
    return r;
}

/* What there is goes out, and then the truth. */
static ssize_t send_or_tell(struct sending *s)
{
    size_t len = s->left, there;
    struct stat st;
    ssize_t r = rn__sys_fstat(s->fd, &st);

    if (r < 0)
        return fail(s, RN_COPY_SRC, r);
    if (S_ISDIR(st.st_mode))
        return fail(s, RN_COPY_SRC, -EISDIR);
    if (!S_ISREG(st.st_mode) || s->at < 0 || len > SSIZE_MAX)
        return fail(s, RN_COPY_SRC, -EINVAL);
    there = s->at < st.st_size ? (size_t)(st.st_size - s->at) : 0;
    if (len <= there)
        return send_it(s);
    if (there > 0) {
        s->left = there;
        r = send_it(s);
        if (r < 0)
            return r;
        r = rn__conn_enter_write(s->conn);
        if (r < 0)
            return fail(s, RN_COPY_DST, r);
        s->conn->write_error = -RN_ETRUNCATED;
        rn__conn_leave(s->conn, RN__GATE_WRITER);
    }
    return fail(s, RN_COPY_SRC, -RN_ETRUNCATED);
}

ssize_t rn_copy_file(rn_conn *dst, int fd, off_t offset, size_t len, rn_copy_report *report)
{
    struct sending s = {.conn = dst, .fd = fd, .at = offset, .left = len};
    ssize_t r = send_or_tell(&s);

    /* A header that was written with RN_MSG_MORE waits for a file which turned out to be empty. */
    if (r == 0 && len == 0) {
        r = rn__conn_flush(dst);
        if (r < 0)
            r = fail(&s, RN_COPY_DST, r);
    }
    if (report != NULL)
        *report = s.report;
    return r;
}

ssize_t rn_send_file(rn_conn *conn, int fd, off_t offset, size_t len)
{
    return rn_copy_file(conn, fd, offset, len, NULL);
}
