/*
 * poller_uring.c - io_uring: one multishot poll for each descriptor, and operations
 *
 * A multishot poll completes at each edge, as edge-triggered epoll reports it, and all calls but
 * wake and del are entries in a ring that the next wait submits: an add costs no system call of its
 * own beyond the look at what the descriptor is.
 *
 * Owns the ring, a table of what was added by descriptor, and the list of descriptors whose poll is
 * still to be submitted: new ones, and those whose poll the kernel ended (its completion came
 * without F_MORE: the completion queue had overflown, or memory was short).
 *
 * A poll holds its file open: without del, a close would neither end a connection nor free a port.
 * So del submits, and lets the kernel drop the file, before it returns.
 *
 * Each completion carries the descriptor and the serial of its slot; one that was under way when
 * the descriptor was taken out meets another serial. Urgent data cannot be told: the kernel
 * completes with what the socket was woken for, and for ordinary data that names POLLPRI too.
 *
 * Operations (submit) are entries too, so that many share one system call. They need
 * DEFER_TASKRUN: then the kernel touches a buffer while the thread is in io_uring_enter, and else
 * only from a helper of its own, which close ends: so it may come with operations under way.
 *
 * The ring belongs to the thread that first waits (SINGLE_ISSUER, DEFER_TASKRUN, where the kernel
 * has them): it starts disabled, for open may be called on another.
 */
#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"

#define ENTRIES 256
#define COMPLETIONS 4096
#define FIRST_ROOM 64
#define MOST_BYTES 0x7ffff000 /* of a call, as the kernel has it */

/* user_data: descriptor << 32 | serial; or the address of an operation, marked; or one of these,
 * which neither makes. */
#define DATA_WAKE UINT64_MAX
#define DATA_NONE (UINT64_MAX - 1)
#define DATA_OP (UINT64_C(1) << 63)

struct slot {
    uint64_t tag;
    uint32_t serial; /* of the poll; each has its own */
    bool used;
    bool pending; /* on the list of those to submit */
    bool shared;
    bool later; /* not watched yet */
};

struct poller {
    struct rn__poller base;
    struct io_uring ring;
    bool enabled;
    bool operates;
    bool wake_pending; /* the wake descriptor's poll is to be submitted */
    int wake_fd;
    struct slot *slots; /* by descriptor; room of them */
    int *pending;       /* n_pending descriptors, each at most once; room */
    uint32_t room, n_pending;
};

static struct poller *self(struct rn__poller *p)
{
    return RN_CONTAINER(p, struct poller, base);
}

/* The newest flags that this kernel knows. */
static int setup(struct poller *p)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* Linux 6.1 */
        IORING_SETUP_COOP_TASKRUN,                               /* 5.19 */
        0,
    };
    int r = -EINVAL;

    for (size_t i = 0; i < RN_COUNT_OF(flags) && r == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = COMPLETIONS,
        };

        r = rn__sys_io_uring_setup(ENTRIES, &params, &p->ring);
        p->operates = r == 0 && i == 0;
    }
    return r;
}

static int uring_open(struct rn__poller **ret)
{
    struct poller *p = rn__calloc(1, sizeof *p);
    int r;

    if (p == NULL)
        return -ENOMEM;
    p->base.ops = &rn__poller_io_uring;
    p->wake_pending = true;
    r = p->wake_fd = rn__sys_eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r < 0)
        goto fail_free;
    r = setup(p);
    if (r < 0)
        goto fail_close;
    *ret = &p->base;
    return 0;

fail_close:
    (void)rn__sys_close(p->wake_fd);
fail_free:
    rn__free(p);
    return r;
}

static void uring_close(struct rn__poller *poller)
{
    struct poller *p = self(poller);
    struct io_uring_sync_cancel_reg all = {
        .flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY, .timeout = {.tv_sec = 1}};

    /* A kernel's helper may be inside one (io-wq). Helpers of a thread that has ended have, too;
     * then the kernel refuses this. */
    if (p->operates)
        (void)rn__sys_io_uring_register(p->ring.ring_fd, IORING_REGISTER_SYNC_CANCEL, &all, 1);
    io_uring_queue_exit(&p->ring);
    (void)rn__sys_close(p->wake_fd);
    rn__free(p->slots);
    rn__free(p->pending);
    rn__free(p);
}

/* ---- the set ---- */

static int grow(struct poller *p, int fd)
{
    uint32_t room = p->room == 0 ? FIRST_ROOM : p->room;
    struct slot *slots;
    int *pending;

    while (room <= (uint32_t)fd)
        room *= 2;
    pending = rn__realloc(p->pending, room * sizeof *pending);
    if (pending == NULL)
        return -ENOMEM;
    p->pending = pending;
    slots = rn__realloc(p->slots, room * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    memset(slots + p->room, 0, (room - p->room) * sizeof *slots);
    p->slots = slots;
    p->room = room;
    return 0;
}

static struct slot *slot_of(struct poller *p, int fd)
{
    return fd >= 0 && (uint32_t)fd < p->room && p->slots[fd].used ? &p->slots[fd] : NULL;
}

static void submit_later(struct poller *p, int fd)
{
    if (p->slots[fd].pending)
        return;
    p->slots[fd].pending = true;
    p->pending[p->n_pending++] = fd;
}

static int uring_add(struct rn__poller *poller, int fd, uint64_t tag, unsigned how)
{
    struct poller *p = self(poller);
    struct slot *s;
    int r = tag == RN__TAG_WAKE ? -EINVAL : rn__poller_check(fd);

    if (r < 0)
        return r;
    if (slot_of(p, fd) != NULL)
        return -EEXIST;
    if ((uint32_t)fd >= p->room && (r = grow(p, fd)) < 0)
        return r;
    s = &p->slots[fd];
    s->tag = tag;
    s->serial++;
    s->used = true;
    s->shared = how == RN__ADD_SHARED;
    s->later = how == RN__ADD_LATER && p->operates;
    if (!s->later)
        submit_later(p, fd);
    return 0;
}

static int uring_arm(struct rn__poller *poller, int fd, unsigned dirs)
{
    struct poller *p = self(poller);
    struct slot *s = slot_of(p, fd);

    (void)dirs;
    if (s != NULL && s->later) {
        s->later = false;
        submit_later(p, fd);
    }
    return 0;
}

static uint64_t data_of(const struct poller *p, int fd)
{
    return (uint64_t)(unsigned)fd << 32 | p->slots[fd].serial;
}

/* An entry; NULL where the queue is full and the kernel takes none of it now. */
static struct io_uring_sqe *entry(struct poller *p)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);

    if (sqe != NULL)
        return sqe;
    if (rn__sys_io_uring_enter(&p->ring, false, NULL) < 0)
        return NULL;
    return io_uring_get_sqe(&p->ring);
}

static bool queue_poll(struct poller *p, int fd, unsigned mask, uint64_t data)
{
    struct io_uring_sqe *sqe = entry(p);

    if (sqe == NULL)
        return false;
    io_uring_prep_poll_multishot(sqe, fd, mask);
    io_uring_sqe_set_data64(sqe, data);
    return true;
}

static bool queue_slot(struct poller *p, int fd)
{
    unsigned mask = p->slots[fd].shared ? POLLIN | (unsigned)EPOLLEXCLUSIVE
                                        : POLLIN | POLLOUT | POLLRDHUP;

    return queue_poll(p, fd, mask, data_of(p, fd));
}

/* What is not taken stays on the list, for the next wait. */
static int queue_pending(struct poller *p)
{
    uint32_t done = 0;

    if (!p->enabled) {
        int r = rn__sys_io_uring_register(p->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

        if (r < 0)
            return r;
        p->enabled = true;
    }
    if (p->wake_pending && queue_poll(p, p->wake_fd, POLLIN, DATA_WAKE))
        p->wake_pending = false;
    for (; done < p->n_pending; done++) {
        int fd = p->pending[done];

        /* Since it came on the list it may have been given back, and be another's now. */
        if (p->slots[fd].used && !p->slots[fd].later && !queue_slot(p, fd))
            break;
        p->slots[fd].pending = false;
    }
    p->n_pending -= done;
    if (p->n_pending > 0)
        memmove(p->pending, p->pending + done, p->n_pending * sizeof *p->pending);
    return 0;
}

static void uring_del(struct rn__poller *poller, int fd)
{
    struct poller *p = self(poller);
    struct slot *s = slot_of(p, fd);
    struct io_uring_sqe *sqe;

    if (s == NULL)
        return;
    s->used = false;
    if (s->pending || s->later) /* and queue_pending takes it off the list */
        return;
    sqe = entry(p);
    if (sqe == NULL)
        return; /* it stays open until the ring is closed; its events meet no slot */
    /* Not POLL_REMOVE, which refuses (EALREADY) a poll that has just been woken. */
    io_uring_prep_cancel64(sqe, data_of(p, fd), 0);
    io_uring_sqe_set_data64(sqe, DATA_NONE);
    (void)rn__sys_io_uring_enter(&p->ring, false, NULL);
}

/* ---- operations ---- */

static uint64_t data_of_op(const struct rn__op *op)
{
    return (uint64_t)(uintptr_t)op | DATA_OP;
}

static int uring_submit(struct rn__poller *poller, struct rn__op *op)
{
    struct poller *p = self(poller);
    size_t len = op->len < MOST_BYTES ? op->len : MOST_BYTES;
    struct io_uring_sqe *sqe;
    int r;

    if (!p->operates)
        return -ENOTSUP;
    r = rn__sys_rule(op->send ? RN__SYS_send : RN__SYS_recv, &len);
    if (r < 0)
        return r;
    sqe = entry(p);
    if (sqe == NULL)
        return -EAGAIN;
    if (op->send) {
        io_uring_prep_send(sqe, op->fd, op->buf, len, op->flags);
    } else {
        io_uring_prep_recv(sqe, op->fd, op->buf, len, op->flags);
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST; /* who comes here has seen it empty */
    }
    io_uring_sqe_set_data64(sqe, data_of_op(op));
    return 0;
}

static bool uring_cancel(struct rn__poller *poller, struct rn__op *op)
{
    struct io_uring_sqe *sqe = entry(self(poller));

    if (sqe == NULL)
        return false;
    io_uring_prep_cancel64(sqe, data_of_op(op), 0);
    io_uring_sqe_set_data64(sqe, DATA_NONE);
    return true;
}

/* ---- waiting ---- */

static unsigned bits_of(int result)
{
    unsigned bits = 0;

    if (result < 0)
        return RN__ERR | RN__RD | RN__WR; /* the waiter's own call finds out */
    if (result & (POLLIN | POLLRDHUP | POLLPRI))
        bits |= RN__RD;
    if (result & POLLOUT)
        bits |= RN__WR;
    if (result & POLLRDHUP)
        bits |= RN__RDHUP;
    if (result & (POLLERR | POLLNVAL))
        bits |= RN__ERR | RN__RD | RN__WR;
    if (result & POLLHUP)
        bits |= RN__HUP | RN__RD | RN__WR;
    return bits;
}

/* One completion; true where it is an event. */
static bool take(struct poller *p, const struct io_uring_cqe *cqe, struct rn__event *ret)
{
    int fd = (int)(cqe->user_data >> 32);
    struct slot *s;

    if (cqe->user_data == DATA_WAKE) {
        p->wake_pending |= !(cqe->flags & IORING_CQE_F_MORE);
        return false;
    }
    if (cqe->user_data == DATA_NONE)
        return false;
    if (cqe->user_data & DATA_OP) {
        struct rn__op *op = (struct rn__op *)(uintptr_t)(cqe->user_data & ~DATA_OP);

        op->result = cqe->res;
        op->done(op);
        return false;
    }
    s = slot_of(p, fd);
    if (s == NULL || s->serial != (uint32_t)cqe->user_data || cqe->res == -ECANCELED)
        return false;
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        /* Of what ended by itself the next poll is another, so that none is taken for this. */
        s->serial++;
        if (cqe->res != -EBADF) /* closed without del: there is nothing to watch */
            submit_later(p, fd);
    }
    *ret = (struct rn__event){.tag = s->tag, .bits = bits_of(cqe->res)};
    return ret->bits != 0;
}

static int harvest(struct poller *p, struct rn__event *ev, int max)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    int used = 0;

    io_uring_for_each_cqe(&p->ring, head, cqe)
    {
        if (used == max)
            break;
        used += take(p, cqe, &ev[used]);
        seen++;
    }
    io_uring_cq_advance(&p->ring, seen);
    return used;
}

static int uring_wait(struct rn__poller *poller, rn_time until, struct rn__event *ev, int max)
{
    struct poller *p = self(poller);
    struct timespec room;
    const struct timespec *ts = rn__poller_timeout(until, &room);
    bool wait = ts == NULL || ts->tv_sec > 0 || ts->tv_nsec > 0;
    int r = queue_pending(p);

    if (r < 0)
        return r;
    r = rn__sys_io_uring_enter(&p->ring, wait && io_uring_cq_ready(&p->ring) == 0, ts);
    if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY)
        return r; /* AGAIN, BUSY: short of memory, or of places: these are made now */
    return harvest(p, ev, max);
}

static void uring_wake(struct rn__poller *poller)
{
    /* Never read: each write is an edge. */
    (void)rn__sys_eventfd_write(self(poller)->wake_fd);
}

const struct rn__poller_ops rn__poller_io_uring = {
    .name = "io_uring",
    .needs_del = true,
    .may_be_refused = true,
    .tells = RN__HUP | RN__ERR | RN__RDHUP,
    .open = uring_open,
    .close = uring_close,
    .add = uring_add,
    .arm = uring_arm,
    .del = uring_del,
    .wait = uring_wait,
    .wake = uring_wake,
    .submit = uring_submit,
    .cancel = uring_cancel,
};
