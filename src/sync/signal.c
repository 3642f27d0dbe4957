/*
 * signal.c - signals arrive in channels
 *
 * The handler counts, and writes to an eventfd that rests in the poller of the P that asked first:
 * neither a coroutine nor a thread waits. When it becomes readable, the counts are turned into
 * items, on that P, outside any coroutine; so nothing here waits for room.
 *
 * The eventfd stays until the run ends. Then, or when no channel asks for a signal any more, what
 * was in force before is back.
 */
#include <runnel/process.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "sync/chan.h"
#include "task/iowait.h"

#define SIGNALS 65 /* 1..64 */

struct subscriber {
    struct subscriber *next;
    rn_chan *ch;
    bool wants[SIGNALS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct subscriber *subscribers;    /* [L] */
static int asked[SIGNALS];                /* [L] by how many */
static struct sigaction before[SIGNALS];  /* [L] while asked */
static struct rn__iowait *waiter;         /* [L] */
static _Atomic uint32_t arrived[SIGNALS]; /* counted by the handler */
static atomic_int bell = -1;              /* the eventfd, for the handler */
static atomic_int handling;               /* handlers under way */

static void on_signal(int signo)
{
    static const uint64_t one = 1;
    int fd;

    atomic_fetch_add(&handling, 1);
    atomic_fetch_add(&arrived[signo], 1);
    fd = atomic_load(&bell);
    if (fd >= 0)
        (void)rn__panic_write(fd, (const char *)&one, sizeof one);
    atomic_fetch_sub(&handling, 1);
}

/* ---- delivery ---- */

/* On a P, outside a coroutine: no item waits. */
static void send_one(rn_chan *ch, int signo)
{
    struct rn__wait *wake = NULL;

    rn__chan_lock(ch);
    (void)rn__chan_put(ch, &signo, rn__proc(), &wake);
    rn__chan_unlock(ch);
    if (wake != NULL)
        rn__ready(wake->co);
}

static void deliver(struct rn__iowait *w)
{
    uint64_t count;

    rn__iowait_clear(w, RN__READ);
    (void)rn__sys_read(w->fd, &count, sizeof count);
    pthread_mutex_lock(&lock);
    for (int signo = 1; signo < SIGNALS; signo++) {
        uint32_t n = atomic_load_explicit(&arrived[signo], memory_order_relaxed) == 0
                         ? 0
                         : atomic_exchange(&arrived[signo], 0);

        for (; n > 0; n--)
            for (struct subscriber *s = subscribers; s != NULL; s = s->next)
                if (s->wants[signo])
                    send_one(s->ch, signo);
    }
    pthread_mutex_unlock(&lock);
    if (rn__iowait_rest(w, deliver) < 0)
        rn__iowait_rest_again(w);
}

/* ---- subscribing; the lock is held ---- */

static void put_back(int signo)
{
    (void)sigaction(signo, &before[signo], NULL);
}

static int catch_it(int signo)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigset_t set;

    sigfillset(&sa.sa_mask);
    if (asked[signo] == 0 && sigaction(signo, &sa, &before[signo]) < 0)
        return -EINVAL;
    asked[signo]++;
    sigemptyset(&set);
    sigaddset(&set, signo);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 0;
}

static void let_go(struct subscriber *s, int signo)
{
    s->wants[signo] = false;
    if (--asked[signo] == 0)
        put_back(signo);
}

static void remove_one(struct subscriber **at)
{
    struct subscriber *s = *at;

    *at = s->next;
    for (int signo = 1; signo < SIGNALS; signo++)
        if (s->wants[signo])
            let_go(s, signo);
    rn_chan_free(s->ch);
    rn__free(s);
}

/* The run has ended: nothing waits any more. */
static void end(struct rn__iowait *w)
{
    (void)w;
    pthread_mutex_lock(&lock);
    while (subscribers != NULL)
        remove_one(&subscribers);
    waiter = NULL;
    atomic_store(&bell, -1);
    pthread_mutex_unlock(&lock);
    while (atomic_load(&handling) > 0) /* they may still be writing to what is about to close */
        sched_yield();
    for (int signo = 1; signo < SIGNALS; signo++)
        atomic_store(&arrived[signo], 0);
}

static int hang_bell(void)
{
    int fd, r;

    if (waiter != NULL)
        return 0;
    r = fd = rn__sys_eventfd2(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r < 0)
        return r;
    r = rn__iowait_open(fd, RN__ADD_PLAIN, &waiter);
    if (r < 0) {
        (void)rn__sys_close(fd);
        return r;
    }
    r = rn__iowait_rest(waiter, deliver);
    if (r < 0) {
        rn__iowait_close(waiter, false);
        waiter = NULL;
        return r;
    }
    rn__iowait_set_drop(waiter, end);
    atomic_store(&bell, fd);
    return 0;
}

static struct subscriber **find(rn_chan *ch)
{
    struct subscriber **at = &subscribers;

    while (*at != NULL && (*at)->ch != ch)
        at = &(*at)->next;
    return at;
}

static int subscribe(rn_chan *ch, int signo)
{
    struct subscriber **at = find(ch), *s = *at;
    int r;

    if (s != NULL && s->wants[signo])
        return 0;
    if (s == NULL) {
        s = rn__calloc(1, sizeof *s);
        if (s == NULL)
            return -ENOMEM;
    }
    r = catch_it(signo);
    if (r < 0) {
        if (*at == NULL)
            rn__free(s);
        return r;
    }
    s->wants[signo] = true;
    if (*at == NULL) {
        s->ch = rn_chan_ref(ch);
        *at = s;
    }
    return 0;
}

int rn_signal_notify(rn_chan *ch, int signo)
{
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    if (signo < 1 || signo >= SIGNALS || signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE ||
        signo == SIGILL || ch->item_bytes != sizeof(int))
        return -EINVAL;
    pthread_mutex_lock(&lock);
    r = hang_bell();
    if (r == 0)
        r = subscribe(ch, signo);
    pthread_mutex_unlock(&lock);
    return r;
}

void rn_signal_stop(rn_chan *ch)
{
    struct subscriber **at;

    (void)rn__proc(); /* the child of a fork ends here */
    pthread_mutex_lock(&lock);
    at = find(ch);
    if (*at != NULL)
        remove_one(at);
    pthread_mutex_unlock(&lock);
}
