/*
 * spare.c - buffers and pipes for copies, kept for the next one
 *
 * Each P has its own few, so there is no lock: an element of `stores` belongs to the P of that
 * number. Copies hold one only while there are bytes in it, so that what is needed at once is as
 * much as there are receivers who are slower than their senders, and not one for each connection.
 *
 * A slot without a descriptor stands for the whole: by its drop the end of the run frees them, when
 * the Ps have ended.
 */
#include <runnel/task.h>

#include "net/spare.h"

#include "base/mem.h"
#include "net/net.h"

#define KEEP 4
#define MOST_PROCS 256 /* RN__MAX_PROCS of task/proc.h */

/* In slots of 4 KiB or of a socket buffer's piece: 1 MiB holds 256 of them. Where the user's share
 * of pipe memory does not reach, the kernel's 64 KiB will do. */
#define PIPE_BYTES (1 << 20)

struct store {
    _Alignas(RN_CACHE_LINE) int n_buffers; /* [P] */
    int n_pipes;                           /* [P] */
    void *buffers[KEEP];                   /* [P] */
    int pipes[KEEP][2];                    /* [P] */
};

static struct store stores[MOST_PROCS];
static atomic_bool registered;

static void close_pipe(const int fds[2])
{
    (void)rn__sys_close(fds[0]);
    (void)rn__sys_close(fds[1]);
}

static void drop_all(struct rn__iowait *w)
{
    (void)w;
    for (int i = 0; i < MOST_PROCS; i++) {
        struct store *s = &stores[i];

        while (s->n_buffers > 0)
            rn__free(s->buffers[--s->n_buffers]);
        while (s->n_pipes > 0)
            close_pipe(s->pipes[--s->n_pipes]);
    }
    atomic_store(&registered, false);
}

/* Where nobody would free it, nothing is kept. */
static bool is_registered(void)
{
    struct rn__iowait *w;

    if (RN_LIKELY(atomic_load_explicit(&registered, memory_order_relaxed)))
        return true;
    if (atomic_exchange(&registered, true))
        return true;
    if (rn__iowait_open(-1, RN__ADD_PLAIN, &w) < 0) {
        atomic_store(&registered, false);
        return false;
    }
    rn__iowait_set_drop(w, drop_all);
    return true;
}

static struct store *own_store(void)
{
    return &stores[rn_proc_id() - 1];
}

void *rn__spare_buffer(void)
{
    struct store *s = own_store();

    return s->n_buffers > 0 ? s->buffers[--s->n_buffers] : rn__malloc(RN__SPARE_BUFFER);
}

void rn__spare_buffer_back(void *buf)
{
    struct store *s = own_store();

    if (s->n_buffers < KEEP && is_registered())
        s->buffers[s->n_buffers++] = buf;
    else
        rn__free(buf);
}

int rn__spare_pipe(int fds[2])
{
    struct store *s = own_store();
    int r;

    if (s->n_pipes > 0) {
        s->n_pipes--;
        fds[0] = s->pipes[s->n_pipes][0];
        fds[1] = s->pipes[s->n_pipes][1];
        return 0;
    }
    r = rn__sys_pipe2(fds, O_CLOEXEC | O_NONBLOCK);
    if (r == 0)
        (void)rn__sys_fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    return r;
}

void rn__spare_pipe_back(const int fds[2], bool empty)
{
    struct store *s = own_store();

    if (!empty || s->n_pipes == KEEP || !is_registered()) {
        close_pipe(fds);
        return;
    }
    s->pipes[s->n_pipes][0] = fds[0];
    s->pipes[s->n_pipes][1] = fds[1];
    s->n_pipes++;
}
