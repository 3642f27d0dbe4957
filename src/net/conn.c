/*
 * conn.c - reading and writing
 *
 * One loop for all I/O: try, wait, retry (iowait.h). The latch is cleared before a system call, and
 * not by a call that skips it; by a write only when it has to wait.
 *
 * A read that got less than it asked for has emptied the socket, and the next one may go straight
 * to waiting: one system call less per request. That holds only for TCP and only while the poller
 * has shown neither RDHUP, HUP, ERR nor PRI. Else it would hang: with data and FIN in one event no
 * further edge comes; a read stops short at the urgent mark, and, on a unix socket, after
 * descriptors. What arrives after the short read is a new edge.
 */
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/probe.h"
#include "net/net.h"
#include <runnel/task.h>

#define IOV_MOST 1024
#define IOV_WINDOW 16
#define PAUSE_MOST (100 * RN_MILLISECOND)

struct unread {
    size_t from, len; /* bytes[from..len) */
    char bytes[];
};

static const struct rn__wait_kind wait_read = {.name = "read", .interrupt = rn__iowait_interrupt};
static const struct rn__wait_kind wait_write = {.name = "write", .interrupt = rn__iowait_interrupt};
static const struct rn__wait_kind wait_write_turn = {.name = "write turn"};

/* ---- turns ---- */

struct turn {
    struct rn__snode link;
    struct rn__coro *co;
};

void rn__turns_wait(struct rn__turns *t, const struct rn__wait_kind *why)
{
    struct turn turn = {.co = rn__self()};

    rn__spin_lock(&t->lock);
    if (t->granted > 0) {
        t->granted--;
        rn__spin_unlock(&t->lock);
        return;
    }
    rn__fifo_push(&t->queue, &turn.link);
    rn__spin_unlock(&t->lock);
    rn__park(why, t);
}

void rn__turns_pass(struct rn__turns *t)
{
    struct rn__snode *first;

    rn__spin_lock(&t->lock);
    first = rn__fifo_pop(&t->queue);
    if (first == NULL)
        t->granted++;
    rn__spin_unlock(&t->lock);
    if (first != NULL)
        rn__ready(RN_CONTAINER(first, struct turn, link)->co);
}

/* ---- making ---- */

void rn__conn_drop(struct rn__iowait *w)
{
    rn__unread_free(RN_CONTAINER(w, rn_conn, w));
}

void rn__conn_init(rn_conn *c, int fd, bool is_socket, bool is_tcp)
{
    memset((char *)c + sizeof c->w, 0, sizeof *c - sizeof c->w);
    c->w.fd = fd;
    rn__iowait_set_drop(&c->w, rn__conn_drop);
    c->is_socket = is_socket;
    c->is_tcp = is_tcp;
    atomic_init(&c->by_ops, is_tcp && rn__iowait_transfers());
}

int rn__conn_new(int fd, bool is_socket, bool is_tcp, rn_conn **ret)
{
    struct rn__iowait *w;
    int r = rn__iowait_open(fd, RN__ADD_PLAIN, &w);

    if (r < 0)
        return r;
    *ret = RN_CONTAINER(w, rn_conn, w);
    rn__conn_init(*ret, fd, is_socket, is_tcp);
    return 0;
}

static int socket_kind(int fd, bool *is_tcp, bool *is_packet)
{
    int type = 0, domain = 0, r;
    socklen_t len = sizeof type;

    r = rn__sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    len = sizeof domain;
    if (r == 0)
        r = rn__sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    if (r < 0)
        return r;
    *is_packet = type != SOCK_STREAM;
    *is_tcp = !*is_packet && (domain == AF_INET || domain == AF_INET6);
    return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET ? 0 : -ENOTSUP;
}

static bool is_terminal(int fd, const struct stat *st)
{
    struct termios t;

    return S_ISCHR(st->st_mode) && rn__sys_ioctl(fd, TCGETS, &t) == 0;
}

int rn_conn_from_fd(int fd, rn_conn **ret)
{
    bool is_tcp = false, is_packet = false;
    struct stat st;
    rn_conn *c;
    int r, flags;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__sys_fstat(fd, &st);
    if (r < 0)
        return r;
    if (fd <= STDERR_FILENO)
        return -EPERM;
    if (!S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode) && !is_terminal(fd, &st))
        return -ENOTSUP;
    if (S_ISSOCK(st.st_mode) && (r = socket_kind(fd, &is_tcp, &is_packet)) < 0)
        return r;
    r = rn__conn_new(fd, S_ISSOCK(st.st_mode), is_tcp, &c);
    if (r < 0)
        return r;
    r = flags = rn__sys_fcntl(fd, F_GETFL, 0);
    if (r >= 0 && !(flags & O_NONBLOCK))
        r = rn__sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (r < 0) {
        rn__iowait_close(&c->w, true);
        return r;
    }
    c->w.may_be_shared = true;
    c->is_pipe = S_ISFIFO(st.st_mode);
    c->is_packet = is_packet;
    rn__conn_count(c, RN__COUNT_ADOPTED);
    RN_PROBE(conn_adopted, c->w.fd);
    *ret = c;
    return 0;
}

int rn_conn_fd(rn_conn *conn)
{
    return conn->w.fd;
}

/* ---- the gate ---- */

/* `inline` for this file: net.h declares them without, so that others have them, too. */
inline void rn__conn_leave(rn_conn *c, uint32_t who)
{
    uint32_t gate = atomic_fetch_sub(&c->gate, who) - who;

    /* c may be gone unless somebody is inside, or waits for the last one to leave: both hold in the
     * branches below. */
    if (who == RN__GATE_WRITER && RN_UNLIKELY(gate >= RN__GATE_WRITER))
        rn__turns_pass(&c->turns);
    else if (RN_UNLIKELY(gate == RN__GATE_CLOSING))
        rn__ready(c->closer);
}

inline int rn__conn_enter_read(rn_conn *c)
{
    uint32_t gate = atomic_load_explicit(&c->gate, memory_order_relaxed);
    int r;

    rn__check_stack();
    if (RN_UNLIKELY(rn__self() == NULL))
        return -EDEADLK;
    do {
        if (RN_UNLIKELY(gate & RN__GATE_CLOSING))
            return -ECANCELED;
        if (RN_UNLIKELY(gate & RN__GATE_READER))
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&c->gate, &gate, gate | RN__GATE_READER));
    r = rn__iowait_check(&c->w, RN__READ);
    if (RN_UNLIKELY(r < 0))
        rn__conn_leave(c, RN__GATE_READER);
    return r;
}

inline int rn__conn_take_turn(rn_conn *c)
{
    uint32_t gate = atomic_load_explicit(&c->gate, memory_order_relaxed);

    rn__check_stack();
    if (RN_UNLIKELY(rn__self() == NULL))
        return -EDEADLK;
    do
        if (RN_UNLIKELY(gate & RN__GATE_CLOSING))
            return -ECANCELED;
    while (!atomic_compare_exchange_weak(&c->gate, &gate, gate + RN__GATE_WRITER));
    if (RN_UNLIKELY(gate >= RN__GATE_WRITER))
        rn__turns_wait(&c->turns, &wait_write_turn);
    return 0;
}

int rn__conn_may_write(rn_conn *c)
{
    return RN_UNLIKELY(c->write_error != 0) ? c->write_error : rn__iowait_check(&c->w, RN__WRITE);
}

inline int rn__conn_enter_write(rn_conn *c)
{
    int r = rn__conn_take_turn(c);

    if (RN_UNLIKELY(r < 0))
        return r;
    r = rn__conn_may_write(c);
    if (RN_UNLIKELY(r < 0))
        rn__conn_leave(c, RN__GATE_WRITER);
    return r;
}

int rn__conn_hold(rn_conn *c)
{
    uint32_t gate = atomic_load_explicit(&c->gate, memory_order_relaxed);

    if (rn__self() == NULL)
        return -EDEADLK;
    do {
        if (gate & RN__GATE_CLOSING)
            return -ECANCELED;
        if ((gate & RN__GATE_HOLDERS) == RN__GATE_HOLDERS)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&c->gate, &gate, gate + RN__GATE_HOLDER));
    return 0;
}

/* ---- unread ---- */

void rn__unread_free(rn_conn *c)
{
    rn__free(c->unread);
    c->unread = NULL;
}

size_t rn__conn_pending(rn_conn *c)
{
    return c->unread == NULL ? 0 : c->unread->len - c->unread->from;
}

int rn_unread(rn_conn *conn, const void *buf, size_t len)
{
    size_t old = rn__conn_pending(conn), total;
    struct unread *u;

    if (atomic_load(&conn->gate) & RN__GATE_CLOSING)
        return -ECANCELED;
    if (len == 0)
        return 0;
    if (__builtin_add_overflow(sizeof *u + old, len, &total))
        return -ENOMEM;
    u = rn__malloc(total);
    if (u == NULL)
        return -ENOMEM;
    u->from = 0;
    u->len = old + len;
    memcpy(u->bytes, buf, len);
    if (old > 0)
        memcpy(u->bytes + len, conn->unread->bytes + conn->unread->from, old);
    rn__unread_free(conn);
    conn->unread = u;
    return 0;
}

static size_t take_unread(rn_conn *c, const struct iovec *iov, int n)
{
    struct unread *u = c->unread;
    size_t sum = 0;

    for (int i = 0; i < n && u->from < u->len; i++) {
        size_t len = u->len - u->from;

        if (len > iov[i].iov_len)
            len = iov[i].iov_len;
        memcpy(iov[i].iov_base, u->bytes + u->from, len);
        u->from += len;
        sum += len;
    }
    if (u->from == u->len)
        rn__unread_free(c);
    return sum;
}

/* ---- read ---- */

static __attribute__((noinline)) ssize_t try_readv(rn_conn *c, const struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};

    return c->is_socket ? rn__sys_recvmsg(c->w.fd, &m, 0) : rn__sys_readv(c->w.fd, iov, n);
}

static inline ssize_t try_read(rn_conn *c, const struct iovec *iov, int n)
{
    if (n > 1)
        return try_readv(c, iov, n);
    return c->is_socket ? rn__sys_recv(c->w.fd, iov->iov_base, iov->iov_len, 0)
                        : rn__sys_read(c->w.fd, iov->iov_base, iov->iov_len);
}

/* One try: -EAGAIN also where a try is known to be in vain. */
static inline ssize_t read_once(rn_conn *c, const struct iovec *iov, int n, size_t room)
{
    const unsigned no_skip = RN__RDHUP | RN__HUP | RN__ERR | RN__PRI;
    ssize_t got;

    if (RN_UNLIKELY(atomic_load_explicit(&c->read_closed, memory_order_acquire)))
        return 0;
    if (c->drained && !rn__iowait_ready(&c->w, RN__READ))
        return -EAGAIN;
    c->drained = false;
    rn__iowait_clear(&c->w, RN__READ);
    got = try_read(c, iov, n);
    if (RN_LIKELY(got > 0)) {
        c->emptied = c->is_tcp && (size_t)got < room;
        c->drained = c->emptied && !(rn__iowait_seen(&c->w) & no_skip);
    } else if (got != -EAGAIN) {
        c->saw_eof = got == 0;
        c->failed |= got < 0;
    }
    return got;
}

int rn__conn_wait_read(rn_conn *c)
{
    int r;

    /* Looked at after the clear before the last try: a nudge that it ate has left this. */
    if (RN_UNLIKELY(atomic_load(&c->read_closed)))
        return 0;
    r = rn__iowait_wait(&c->w, RN__READ, &wait_read);
    if (r == 0)
        c->drained = false;
    return r;
}

static inline bool operates(rn_conn *c)
{
    return atomic_load_explicit(&c->by_ops, memory_order_relaxed);
}

/* By the poller, with waiting: -EAGAIN look again, -ENOTSUP nothing was done. That the socket was
 * emptied is a hint and no promise, for the poller looks before it waits. The latch is cleared only
 * where no try came before: what was latched since a try must end the wait. */
static ssize_t receive(rn_conn *c, const struct iovec *iov)
{
    bool skipped = c->emptied;
    ssize_t got;

    c->emptied = false;
    c->drained = false;
    if (skipped)
        rn__iowait_clear(&c->w, RN__READ);
    if (RN_UNLIKELY(atomic_load_explicit(&c->read_closed, memory_order_acquire)))
        return 0;
    got = rn__iowait_transfer(&c->w, RN__READ, iov->iov_base, iov->iov_len, 0, &wait_read);
    if (got == -ENOTSUP && skipped)
        return -EAGAIN; /* there was no try yet after which one may wait */
    if (got > 0) {
        c->emptied = (size_t)got < iov->iov_len;
        atomic_store_explicit(&c->stays, true, memory_order_relaxed);
    } else if (got == 0) {
        c->saw_eof = true;
    } else {
        c->failed |= got != -EAGAIN && got != -ENOTSUP && got != -ETIME && got != -ECANCELED;
    }
    return got;
}

static ssize_t read_some(rn_conn *c, const struct iovec *iov, int n, size_t room)
{
    for (;;) {
        bool by_ops = n == 1 && operates(c), skip = by_ops && c->emptied;
        ssize_t got = skip ? -EAGAIN : read_once(c, iov, n, room);
        int r;

        if (RN_LIKELY(got != -EAGAIN))
            return got;
        if (by_ops) {
            got = receive(c, iov);
            if (got == -EAGAIN)
                continue;
            if (got != -ENOTSUP)
                return got;
        }
        r = rn__conn_wait_read(c);
        if (r < 0)
            return r;
    }
}

ssize_t rn__conn_try_read(rn_conn *c, void *buf, size_t len)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};

    return RN_UNLIKELY(c->unread != NULL && !c->read_closed) ? (ssize_t)take_unread(c, &iov, 1)
                                                             : read_once(c, &iov, 1, len);
}

static inline ssize_t read_inside(rn_conn *conn, const struct iovec *iov, int n, size_t room)
{
    ssize_t got = RN_UNLIKELY(conn->unread != NULL && !conn->read_closed)
                      ? (ssize_t)take_unread(conn, iov, n)
                      : read_some(conn, iov, n, room);

    if (got > 0)
        rn__spend();
    return got;
}

ssize_t rn__conn_read_inside(rn_conn *c, void *buf, size_t len)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    int r = rn__iowait_check(&c->w, RN__READ);

    return r < 0 ? r : read_inside(c, &iov, 1, len);
}

static ssize_t read_vector(rn_conn *conn, const struct iovec *iov, int n, size_t room)
{
    ssize_t got = rn__conn_enter_read(conn);

    if (got < 0)
        return got;
    got = read_inside(conn, iov, n, room);
    rn__conn_leave(conn, RN__GATE_READER);
    return got;
}

ssize_t rn_read(rn_conn *conn, void *buf, size_t len)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};

    if (len == 0)
        return 0;
    if (len > SSIZE_MAX)
        return -EINVAL;
    return read_vector(conn, &iov, 1, len);
}

ssize_t rn__iov_sum(const struct iovec *iov, int n)
{
    size_t sum = 0;

    if (RN_LIKELY(n == 1))
        return iov->iov_len > SSIZE_MAX ? -EINVAL : (ssize_t)iov->iov_len;
    if (n < 1 || n > IOV_MOST)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if (__builtin_add_overflow(sum, iov[i].iov_len, &sum) || sum > SSIZE_MAX)
            return -EINVAL;
    return (ssize_t)sum;
}

ssize_t rn_readv(rn_conn *conn, const struct iovec *iov, int n)
{
    ssize_t room = rn__iov_sum(iov, n);

    return room <= 0 ? room : read_vector(conn, iov, n, (size_t)room);
}

/* ---- write ---- */

static __attribute__((noinline)) ssize_t try_writev(rn_conn *c, const struct iovec *iov, int n,
                                                    int flags)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};

    return c->is_socket ? rn__sys_sendmsg(c->w.fd, &m, flags) : rn__sys_writev(c->w.fd, iov, n);
}

static inline ssize_t try_write(rn_conn *c, const struct iovec *iov, int n, int flags)
{
    flags |= MSG_NOSIGNAL;
    if (n > 1)
        return try_writev(c, iov, n, flags);
    return c->is_socket ? rn__sys_send(c->w.fd, iov->iov_base, iov->iov_len, flags)
                        : rn__sys_write(c->w.fd, iov->iov_base, iov->iov_len);
}

ssize_t rn__conn_try_write(rn_conn *c, const void *buf, size_t len)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};

    rn__iowait_clear(&c->w, RN__WRITE);
    return try_write(c, &iov, 1, 0);
}

int rn__conn_wait_write(rn_conn *c)
{
    return rn__iowait_wait(&c->w, RN__WRITE, &wait_write);
}

/* By the poller, with waiting: > 0 bytes, an error that is final, or -EAGAIN: call the kernel. */
static __attribute__((noinline)) ssize_t transmit(rn_conn *c, const struct iovec *iov, int flags)
{
    ssize_t sent;

    rn__iowait_clear(&c->w, RN__WRITE);
    sent = rn__iowait_transfer(&c->w, RN__WRITE, iov->iov_base, iov->iov_len, flags | MSG_NOSIGNAL,
                               &wait_write);
    return sent == -ENOTSUP ? -EAGAIN : sent;
}

/* One try with waiting: > 0 bytes, or an error that is final. */
static inline ssize_t write_some(rn_conn *c, const struct iovec *iov, int n, int flags)
{
    ssize_t sent = -EAGAIN;
    int r;

    /* Where no coroutine stays, handlers run one after the other on one warm stack, and none of
     * them should park just to be sent for. */
    if (n == 1 && RN_UNLIKELY(operates(c)) && atomic_load_explicit(&c->stays, memory_order_relaxed))
        sent = transmit(c, iov, flags);
    /* Not cleared before the first try: nearly always that is all, and with each request there
     * comes an event that says "writable", which would have to be latched anew. */
    while (sent == -EAGAIN) {
        sent = try_write(c, iov, n, flags);
        if (RN_LIKELY(sent != -EAGAIN))
            break;
        r = rn__iowait_ready(&c->w, RN__WRITE) ? 0 : rn__iowait_wait(&c->w, RN__WRITE, &wait_write);
        if (r < 0)
            return r;
        rn__iowait_clear(&c->w, RN__WRITE);
    }
    return sent;
}

/* What is left of iov after `done` bytes of its first element, as far as the window reaches. */
static int fill_window(struct iovec *window, const struct iovec *iov, int n, size_t done)
{
    int used = n < IOV_WINDOW ? n : IOV_WINDOW;

    memcpy(window, iov, (size_t)used * sizeof *iov);
    window[0].iov_base = (char *)window[0].iov_base + done;
    window[0].iov_len -= done;
    return used;
}

/* By windows. */
static ssize_t write_rest(rn_conn *c, const struct iovec *iov, int n, int flags, size_t done)
{
    struct iovec window[IOV_WINDOW];

    for (;;) {
        ssize_t sent;
        int used;

        while (n > 0 && done >= iov->iov_len) {
            done -= iov->iov_len;
            iov++;
            n--;
        }
        if (n == 0)
            return 0;
        used = fill_window(window, iov, n, done);
        sent = write_some(c, window, used, used < n ? flags | MSG_MORE : flags);
        if (sent < 0)
            return sent;
        done += (size_t)sent;
    }
}

__attribute__((noinline)) ssize_t rn__conn_write_rest(rn_conn *c, const struct iovec *iov, int n,
                                                      int flags, size_t done)
{
    ssize_t r = write_rest(c, iov, n, flags, done);

    if (r < 0)
        c->write_error = (int)r; /* part of a unit is out: nothing may follow it */
    return r;
}

ssize_t rn__conn_flush(rn_conn *c)
{
    static const int off;
    ssize_t r;

    if (!atomic_load_explicit(&c->held_back, memory_order_relaxed))
        return 0;
    r = rn__conn_enter_write(c);
    if (r < 0)
        return r;
    r = rn__sys_setsockopt(c->w.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    if (r == 0)
        atomic_store_explicit(&c->held_back, false, memory_order_relaxed);
    rn__conn_leave(c, RN__GATE_WRITER);
    return r;
}

ssize_t rn__conn_write(rn_conn *c, const struct iovec *iov, int n, int flags)
{
    ssize_t sum = rn__iov_sum(iov, n), sent, r = 0;

    if (sum < 0)
        return sum;
    if (sum == 0)
        return flags & MSG_MORE ? 0 : rn__conn_flush(c);
    sent = rn__conn_enter_write(c);
    if (sent < 0)
        return sent;
    sent = write_some(c, iov, n, flags);
    if (RN_UNLIKELY(sent >= 0 && sent < sum))
        r = rn__conn_write_rest(c, iov, n, flags, (size_t)sent);
    if (RN_UNLIKELY(sent < 0)) {
        r = sent;
        c->failed |= r != -ETIME && r != -ECANCELED;
    }
    atomic_store_explicit(&c->held_back, c->is_tcp && flags & MSG_MORE, memory_order_relaxed);
    rn__conn_leave(c, RN__GATE_WRITER);
    if (RN_LIKELY(r == 0))
        rn__spend();
    return r < 0 ? r : sum;
}

ssize_t rn_write(rn_conn *conn, const void *buf, size_t len)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};

    return rn__conn_write(conn, &iov, 1, 0);
}

ssize_t rn_writev(rn_conn *conn, const struct iovec *iov, int n)
{
    return rn__conn_write(conn, iov, n, 0);
}

int rn__conn_pause(rn_conn *c, rn_time *pause)
{
    rn_time at = atomic_load(&c->w.deadline[RN__WRITE]), span = *pause;
    int r = rn__iowait_check(&c->w, RN__WRITE);

    if (r < 0)
        return r;
    if (at != 0 && at - rn_now() < span)
        span = at - rn_now();
    if (*pause < PAUSE_MOST)
        *pause *= 2;
    r = rn_sleep(span);
    return r < 0 ? r : rn__iowait_check(&c->w, RN__WRITE);
}

/* ---- deadlines ---- */

void rn_set_read_deadline(rn_conn *conn, rn_time deadline)
{
    rn__iowait_set_deadline(&conn->w, RN__READ, deadline);
}

void rn_set_write_deadline(rn_conn *conn, rn_time deadline)
{
    rn__iowait_set_deadline(&conn->w, RN__WRITE, deadline);
}

void rn_set_deadline(rn_conn *conn, rn_time deadline)
{
    rn_set_read_deadline(conn, deadline);
    rn_set_write_deadline(conn, deadline);
}
