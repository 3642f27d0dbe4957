/*
 * offload.c - blocking calls on threads of their own
 *
 * Owns the pool: one queue of jobs, threads that are started when there is a job and none idle, up
 * to a limit, and that end after IDLE_S without one. Threads outlive a runtime, jobs do not wake
 * anybody in the next one: a job knows the runtime it is of.
 *
 *      QUEUED --a thread takes it--> RUNNING --fn returned, claimed--> the coroutine's again
 *        |                              '--fn returned, not claimed--> forgotten by the thread
 *        '--cancel--> forgotten by the coroutine
 *
 * The coroutine and the thread each hold a reference: who comes last frees the job.
 */
#include "task/offload.h"

#include <pthread.h>
#include <sys/uio.h>
#include <time.h>

#include "base/mem.h"
#include "base/probe.h"
#include "task/proc.h"
#include "task/wait.h"

#define IDLE_S 10
#define THREAD_STACK ((size_t)1 << 20) /* libraries that block have deep stacks */

struct job {
    struct rn__snode link;
    struct rn__wait wait;
    int (*fn)(void *arg);
    void (*forget)(void *arg);
    void *arg;
    int result;    /* written before the claim */
    bool queued;   /* [L] */
    rn_time since; /* [C] for a probe */
    uint64_t life; /* [C] of the runtime */
    _Atomic int refs;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct rn__fifo queue; /* [L] */
    int queued;            /* [L] jobs in it */
    int threads, idle;     /* [L] idle: those that wait, also one that was told just now */
    _Atomic int borrowing; /* calls under way that nobody may forget; [L] to begin one */
    int most;              /* [L] */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static uint64_t life; /* [L] rn__foreign_lock to write, and for threads to read */

static const struct rn__wait_kind wait_offload = {
    .name = "offload", .interrupt = rn__wait_interrupt, .outside = true};
static const struct rn__wait_kind wait_to_end = {.name = "offload", .outside = true};

void rn__offload_begin(int most_threads)
{
    pthread_mutex_lock(&pool.lock);
    pool.most = most_threads > 0 ? most_threads : RN__OFFLOAD_MOST;
    pthread_mutex_unlock(&pool.lock);
}

/* Takes out what nobody may forget: its arg is on the stack of a coroutine that is no more. */
static void drop_abandoned(void)
{
    struct rn__fifo kept = {0};
    struct rn__snode *n;

    while ((n = rn__fifo_pop(&pool.queue)) != NULL) {
        struct job *j = RN_CONTAINER(n, struct job, link);

        if (j->forget != NULL) {
            rn__fifo_push(&kept, n);
            continue;
        }
        pool.queued--;
        rn__free_lasting(j);
    }
    pool.queue = kept;
}

bool rn__offload_end(void)
{
    bool borrowing;

    life++;
    pthread_mutex_lock(&pool.lock);
    drop_abandoned();
    borrowing = atomic_load(&pool.borrowing) > 0;
    pthread_mutex_unlock(&pool.lock);
    return borrowing;
}

int rn__offload_threads(void)
{
    int n;

    pthread_mutex_lock(&pool.lock);
    n = pool.threads;
    pthread_mutex_unlock(&pool.lock);
    return n;
}

void rn__offload_forked(void)
{
    (void)pthread_mutex_init(&pool.lock, NULL);
    (void)pthread_cond_init(&pool.work, NULL);
    (void)pthread_mutex_init(&rn__foreign_lock, NULL); /* a thread may have been ending a job */
    pool.queue = (struct rn__fifo){0};
    pool.threads = pool.idle = pool.queued = 0;
    atomic_store(&pool.borrowing, 0);
}

static void drop(struct job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) == 1)
        rn__free_lasting(j);
}

/* ---- the threads ---- */

/* The next job; NULL after a while without one. The lock is held. */
static struct job *next_job(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_S;
    while (rn__fifo_empty(&pool.queue)) {
        int e;

        pool.idle++;
        e = pthread_cond_timedwait(&pool.work, &pool.lock, &until);
        pool.idle--;
        if (e != 0 && rn__fifo_empty(&pool.queue))
            return NULL;
    }
    pool.queued--;
    return RN_CONTAINER(rn__fifo_pop(&pool.queue), struct job, link);
}

static void do_job(struct job *j)
{
    void (*forget)(void *arg) = j->forget;
    void *arg = j->arg;
    int result;
    rn_time began;

    RN_PROBE(offload_begun, j->fn, arg, rn__probe_since(j->since));
    began = RN_PROBE_CLOCK(offload_ended);
    result = j->fn(arg);
    RN_PROBE(offload_ended, j->fn, arg, rn__probe_since(began), result);

    if (forget == NULL) /* before its coroutine, and with it the run, can end */
        atomic_fetch_sub(&pool.borrowing, 1);
    /* Under the lock the runtime that the job is of does not end. One that has ended has taken its
     * coroutines with it. */
    rn__foreign_enter();
    j->result = result;
    if (rn__wait_claim(&j->wait, 0)) {
        if (j->life == life) {
            rn__ready(j->wait.co);
            forget = NULL;
        } else {
            drop(j); /* for its coroutine */
        }
    }
    rn__foreign_leave();
    drop(j);
    if (forget != NULL)
        forget(arg);
}

static void *thread_main(void *unused)
{
    struct job *j;

    pthread_mutex_lock(&pool.lock);
    while ((j = next_job()) != NULL) {
        j->queued = false;
        if (j->forget == NULL)
            atomic_fetch_add(&pool.borrowing, 1);
        pthread_mutex_unlock(&pool.lock);
        do_job(j);
        pthread_mutex_lock(&pool.lock);
    }
    pool.threads--;
    pthread_mutex_unlock(&pool.lock);
    return unused;
}

/* One thread more where no idle one is left for the job; the lock is held. With none at all there
 * is nobody to do it. */
static int start_thread(void)
{
    unsigned long t;
    int r;

    if (pool.idle > pool.queued || pool.threads >= pool.most)
        return 0;
    r = rn__sys_thread(thread_main, NULL, THREAD_STACK, &t);
    if (r < 0)
        return pool.threads > 0 ? 0 : r;
    (void)pthread_detach((pthread_t)t);
    pool.threads++;
    return 0;
}

/* ---- the coroutine ---- */

static int enqueue(struct job *j)
{
    int r;

    pthread_mutex_lock(&pool.lock);
    r = start_thread();
    if (r == 0) {
        rn__fifo_push(&pool.queue, &j->link);
        pool.queued++;
        pthread_cond_signal(&pool.work);
    }
    pthread_mutex_unlock(&pool.lock);
    return r;
}

/* Cancelled: what no thread has taken yet will not be done. */
static void give_up(struct job *j)
{
    struct rn__fifo kept = {0};
    bool mine;

    pthread_mutex_lock(&pool.lock);
    mine = j->queued;
    if (mine) {
        struct rn__snode *n;

        while ((n = rn__fifo_pop(&pool.queue)) != NULL)
            if (n != &j->link)
                rn__fifo_push(&kept, n);
        pool.queue = kept;
        pool.queued--;
    }
    pthread_mutex_unlock(&pool.lock);
    if (mine) {
        j->forget(j->arg);
        drop(j); /* the thread's */
    }
    drop(j);
}

int rn_offload(int (*fn)(void *arg), void *arg, void (*forget)(void *arg))
{
    struct job *j;
    int r, result;

    if (rn__self() == NULL)
        return -EDEADLK;
    j = rn__malloc_lasting(sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    *j = (struct job){.fn = fn,
                      .arg = arg,
                      .forget = forget,
                      .queued = true,
                      .since = RN_PROBE_CLOCK(offload_begun),
                      .life = life};
    atomic_store(&j->refs, 2);
    r = rn__wait_begin(&j->wait, NULL, 0);
    if (r == 0)
        r = enqueue(j);
    if (r < 0) {
        rn__free_lasting(j);
        return r;
    }
    r = rn__wait_park(&j->wait, forget != NULL ? &wait_offload : &wait_to_end);
    if (r < 0) {
        give_up(j);
        return -RN_EFORGOTTEN;
    }
    result = j->result;
    drop(j);
    return result;
}

/* ---- files ---- */

struct read_job {
    int fd;
    void *buf;
    size_t len;
    off_t at;
    ssize_t result;
};

static int read_blocking(void *arg)
{
    struct read_job *j = arg;

    j->result = rn__sys_pread(j->fd, j->buf, j->len, j->at);
    return 0;
}

ssize_t rn_pread(int fd, void *buf, size_t len, off_t at)
{
    struct read_job j = {.fd = fd, .buf = buf, .len = len, .at = at};
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    ssize_t n;
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    rn__check_stack();
    n = rn__sys_preadv2(fd, &iov, 1, at, RWF_NOWAIT);
    if (n != -EAGAIN && n != -EOPNOTSUPP && n != -ENOSYS) {
        rn__spend();
        return n;
    }
    r = rn_offload(read_blocking, &j, NULL);
    return r < 0 ? r : j.result;
}
