/*
 * sendfile.c - from the page cache to the socket
 *
 * Never asks for more than the file has: a TCP socket told that more is coming holds the last
 * segment back for 200 ms. Chunks are capped, with a look at the run queue between two, so that one
 * large file does not keep a P to itself. 0 bytes from sendfile means that the file shrank.
 */
#include <limits.h>
#include <sys/stat.h>

#include "net/net.h"

#define CHUNK ((size_t)1 << 20)

static const struct rn__wait_kind wait_sendfile = {.name = "sendfile",
                                                   .interrupt = rn__iowait_interrupt};

static ssize_t send_chunk(rn_conn *c, int fd, off_t *at, size_t len)
{
    for (;;) {
        ssize_t sent;
        int r;

        rn__iowait_clear(&c->w, RN__WRITE);
        sent = rn__sys_sendfile(c->w.fd, fd, at, len);
        if (sent != -EAGAIN)
            return sent == 0 ? -RN_ETRUNCATED : sent;
        r = rn__iowait_wait(&c->w, RN__WRITE, &wait_sendfile);
        if (r < 0)
            return r;
    }
}

ssize_t rn__conn_send_file(rn_conn *c, int fd, off_t offset, size_t len)
{
    size_t done = 0;
    ssize_t r = rn__conn_enter_write(c);

    if (r < 0)
        return r;
    while (done < len) {
        r = send_chunk(c, fd, &offset, len - done < CHUNK ? len - done : CHUNK);
        if (r < 0)
            break;
        done += (size_t)r;
        rn__spend_all();
    }
    if (r < 0 && done > 0)
        c->write_error = (int)r;
    if (r < 0 && r != -ETIME && r != -ECANCELED)
        c->failed = true;
    rn__conn_leave(c, RN__GATE_WRITER);
    return r < 0 ? r : (ssize_t)len;
}

ssize_t rn_send_file(rn_conn *conn, int fd, off_t offset, size_t len)
{
    struct stat st;
    size_t there;
    ssize_t r = rn__sys_fstat(fd, &st);

    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode) || offset < 0 || len > SSIZE_MAX)
        return -EINVAL;
    there = offset < st.st_size ? (size_t)(st.st_size - offset) : 0;
    if (len <= there)
        return rn__conn_send_file(conn, fd, offset, len);
    /* What there is goes out, and then the truth. */
    if (there > 0) {
        r = rn__conn_send_file(conn, fd, offset, there);
        if (r < 0)
            return r;
        r = rn__conn_enter_write(conn);
        if (r < 0)
            return r;
        conn->write_error = -RN_ETRUNCATED;
        rn__conn_leave(conn, RN__GATE_WRITER);
    }
    return -RN_ETRUNCATED;
}
