/*
 * chan.c - channels
 *
 * A ring of items under a spin lock, and two queues of waiting coroutines. An item goes straight
 * from sender to receiver where one waits: the copy is made under the lock, into or out of the
 * stack of the one that waits, which cannot leave before it has been readied.
 *
 * Invariants, under the lock: receivers wait only while the ring is empty and the channel open,
 * senders only while the ring is full and the channel open; but for waits that were interrupted,
 * which are passed over until their coroutine has taken them out.
 */
#include "sync/chan.h"

#include <string.h>
#include <sys/eventfd.h>

#include "base/mem.h"
#include "base/sys.h"

#define ITEM_MOST ((size_t)64 << 10) /* copied under a spin lock */

const struct rn__wait_kind rn__wait_send = {.name = "send", .interrupt = rn__wait_interrupt};
const struct rn__wait_kind rn__wait_recv = {.name = "receive", .interrupt = rn__wait_interrupt};

void rn__chan_forget(rn_chan *ch)
{
    rn__list_init(&ch->senders);
    rn__list_init(&ch->receivers);
    ch->run = rn__runs();
}

int rn_chan_new(size_t item_bytes, size_t capacity, rn_chan **ret)
{
    size_t bytes;
    rn_chan *ch;

    if (item_bytes > ITEM_MOST)
        return -EINVAL;
    if (__builtin_mul_overflow(item_bytes, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof *ch, &bytes))
        return -ENOMEM;
    ch = rn__malloc_lasting(bytes); /* it may outlive the run, or have been before it */
    if (ch == NULL)
        return -ENOMEM;
    memset(ch, 0, bytes);
    ch->item_bytes = item_bytes;
    ch->capacity = capacity;
    ch->refs = 1;
    ch->fd = -1;
    rn__chan_forget(ch);
    *ret = ch;
    return 0;
}

rn_chan *rn_chan_ref(rn_chan *ch)
{
    atomic_fetch_add_explicit(&ch->refs, 1, memory_order_relaxed);
    return ch;
}

void rn_chan_free(rn_chan *ch)
{
    if (ch == NULL || atomic_fetch_sub(&ch->refs, 1) > 1)
        return;
    rn__chan_lock(ch);
    RN_ASSERT(rn__list_empty(&ch->senders) && rn__list_empty(&ch->receivers));
    if (ch->fd >= 0)
        (void)rn__sys_close(ch->fd);
    rn__free_lasting(ch);
}

/* The first in the queue that still waits, claimed; NULL: none. */
static inline struct rn__chan_node *claim(struct rn__list *queue, struct rn__proc *p)
{
    struct rn__list *l;

    while ((l = rn__list_pop(queue)) != NULL) {
        struct rn__chan_node *node = RN_CONTAINER(l, struct rn__chan_node, link);

        if (rn__wait_claim_by(p, node->wait, node->index))
            return node;
    }
    return NULL;
}

static char *slot_of(rn_chan *ch, size_t i)
{
    size_t at = ch->from + i;

    if (at >= ch->capacity) /* a division costs as much as all the rest */
        at -= ch->capacity;
    return ch->items + at * ch->item_bytes;
}

/* The sizes of pointers and numbers without a call. */
static inline void copy(rn_chan *ch, void *to, const void *from)
{
    if (ch->item_bytes == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else if (ch->item_bytes == sizeof(uint32_t))
        memcpy(to, from, sizeof(uint32_t));
    else if (ch->item_bytes > 0)
        memcpy(to, from, ch->item_bytes);
}

static inline int put(rn_chan *ch, const void *item, struct rn__proc *p, struct rn__wait **wake)
{
    struct rn__chan_node *to;

    if (ch->closed)
        return -EPIPE;
    to = claim(&ch->receivers, p);
    if (to != NULL) {
        copy(ch, to->item, item);
        to->passed = true;
        *wake = to->wait;
        return 1;
    }
    if (ch->n == ch->capacity)
        return 0;
    copy(ch, slot_of(ch, ch->n), item);
    ch->n++;
    return 1;
}

static inline int take(rn_chan *ch, void *item, struct rn__proc *p, struct rn__wait **wake)
{
    struct rn__chan_node *from;

    if (ch->n > 0) {
        copy(ch, item, slot_of(ch, 0));
        ch->from = ch->from + 1 == ch->capacity ? 0 : ch->from + 1;
        ch->n--;
        from = claim(&ch->senders, p);
        if (from != NULL)
            copy(ch, slot_of(ch, ch->n++), from->item);
    } else {
        from = claim(&ch->senders, p);
        if (from == NULL)
            return ch->closed ? -EPIPE : 0;
        copy(ch, item, from->item);
    }
    if (from != NULL) {
        from->passed = true;
        *wake = from->wait;
    }
    return 1;
}

int rn__chan_put(rn_chan *ch, const void *item, struct rn__proc *p, struct rn__wait **wake)
{
    return put(ch, item, p, wake);
}

int rn__chan_take(rn_chan *ch, void *item, struct rn__proc *p, struct rn__wait **wake)
{
    return take(ch, item, p, wake);
}

/* ---- sending and receiving ---- */

/* Parks in the queue; the lock is held, and released. Not inlined: where a thousand coroutines
 * wait, what a hop costs is the cache lines of stack under it. */
static __attribute__((noinline)) int queue_up(rn_chan *ch, struct rn__list *queue, void *item,
                                              const struct rn__wait_kind *why)
{
    struct rn__wait wait;
    struct rn__chan_node node = {.wait = &wait, .item = item};
    int r = rn__wait_begin(&wait, ch, 0);

    if (RN_UNLIKELY(r < 0)) {
        rn__chan_unlock(ch);
        rn__spend();
        return r;
    }
    rn__list_push(queue, &node.link);
    rn__chan_unlock(ch);
    rn__park(why, &wait);
    r = rn__wait_end(&wait);
    if (RN_LIKELY(r == 0 && node.passed))
        return 0;
    if (r < 0) {
        rn__spin_lock(&ch->lock);
        rn__list_remove(&node.link);
        rn__chan_unlock(ch);
    }
    rn__spend();
    return r < 0 ? r : -EPIPE;
}

static inline int try_once(rn_chan *ch, void *item, bool sending, struct rn__proc *p,
                           struct rn__wait **wake)
{
    return sending ? put(ch, item, p, wake) : take(ch, item, p, wake);
}

/* A plain thread's. Whom it wakes must not lose its runtime meanwhile. */
static __attribute__((noinline)) int transfer_from_outside(rn_chan *ch, void *item, bool sending)
{
    struct rn__wait *wake = NULL;
    int r;

    rn__foreign_enter();
    rn__chan_lock(ch);
    r = try_once(ch, item, sending, NULL, &wake);
    rn__chan_unlock(ch);
    if (wake != NULL)
        rn__ready(wake->co);
    rn__foreign_leave();
    return r;
}

/* Without `wait` 1, or 0 if it would have to; with it 0; or an error. */
static inline __attribute__((always_inline)) int transfer(rn_chan *ch, void *item, bool sending,
                                                          bool wait)
{
    struct rn__proc *p = rn__proc();
    struct rn__wait *wake = NULL;
    int r;

    if (RN_UNLIKELY(p == NULL)) {
        r = transfer_from_outside(ch, item, sending);
        return !wait ? r : r == 1 ? 0 : r == 0 ? -EDEADLK : r;
    }
    rn__chan_lock(ch);
    r = try_once(ch, item, sending, p, &wake);
    if (r == 0 && wait) {
        r = queue_up(ch, sending ? &ch->senders : &ch->receivers, item,
                     sending ? &rn__wait_send : &rn__wait_recv);
        __asm__ volatile("" : "+r"(r)); /* a call, not a jump: backtraces name who called it */
        return r;
    }
    rn__chan_unlock(ch);
    if (wake != NULL && sending)
        rn__hand_over(wake);
    else if (wake != NULL)
        rn__ready(wake->co);
    if (wake != NULL || r < 0)
        rn__spend();
    return wait && r == 1 ? 0 : r;
}

int rn_chan_send(rn_chan *ch, const void *item)
{
    return transfer(ch, (void *)item, true, true);
}

int rn_chan_recv(rn_chan *ch, void *item)
{
    return transfer(ch, item, false, true);
}

int rn_chan_try_send(rn_chan *ch, const void *item)
{
    return transfer(ch, (void *)item, true, false);
}

int rn_chan_try_recv(rn_chan *ch, void *item)
{
    return transfer(ch, item, false, false);
}

size_t rn_chan_len(rn_chan *ch)
{
    size_t n;

    rn__chan_lock(ch);
    n = ch->n;
    rn__chan_unlock(ch);
    return n;
}

/* ---- for foreign loops ---- */

void rn__chan_ring(rn_chan *ch)
{
    bool ring = ch->n > 0 || ch->closed || !rn__list_empty(&ch->senders);
    uint64_t count;

    if (ring == ch->rung)
        return;
    ch->rung = ring;
    if (ring)
        (void)rn__sys_eventfd_write(ch->fd);
    else
        (void)rn__sys_read(ch->fd, &count, sizeof count);
}

int rn_chan_fd(rn_chan *ch)
{
    int fd = rn__sys_eventfd2(0, EFD_NONBLOCK | EFD_CLOEXEC), mine;

    if (fd < 0)
        return fd;
    rn__chan_lock(ch);
    if (ch->fd < 0) {
        ch->fd = fd;
        fd = -1;
    }
    mine = ch->fd;
    rn__chan_unlock(ch);
    if (fd >= 0)
        (void)rn__sys_close(fd);
    return mine;
}

/* ---- closing ---- */

static void claim_all(struct rn__list *queue, struct rn__proc *p, struct rn__list *woken)
{
    struct rn__chan_node *node;

    while ((node = claim(queue, p)) != NULL)
        rn__list_push(woken, &node->link);
}

void rn_chan_close(rn_chan *ch)
{
    struct rn__proc *p = rn__proc();
    bool foreign = rn__foreign_begin();
    struct rn__list woken, *l;

    rn__list_init(&woken);
    rn__chan_lock(ch);
    ch->closed = true;
    claim_all(&ch->receivers, p, &woken);
    claim_all(&ch->senders, p, &woken);
    rn__chan_unlock(ch);
    while ((l = rn__list_pop(&woken)) != NULL)
        rn__ready(RN_CONTAINER(l, struct rn__chan_node, link)->wait->co);
    rn__foreign_end(foreign);
}
