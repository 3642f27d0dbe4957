/*
 * test_sync.c - groups, cancel, shields, conditions, semaphores, locks for readers, once
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

/* ---- groups ---- */

static int add_one(void *n)
{
    atomic_fetch_add((_Atomic int *)n, 1);
    return 0;
}

static int fail_soon(void *arg)
{
    (void)arg;
    CHECK_OK(rn_sleep(2 * MS));
    return -EIO;
}

static int sleep_long(void *n)
{
    int r = rn_sleep(60 * RN_SECOND);

    atomic_fetch_add((_Atomic int *)n, r == -ECANCELED);
    return r;
}

RN_CORO_TEST_ON(a_group_waits_for_all_and_can_be_used_again, 1)
{
    rn_group g = RN_GROUP_INIT;
    _Atomic int n = 0;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            CHECK_OK(rn_group_go(&g, add_one, &n));
        CHECK_OK(rn_group_wait(&g, 0));
        CHECK_EQ(n, (round + 1) * 100);
    }
    CHECK_OK(rn_group_wait(&g, 0)); /* empty */
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_group_go(&g, add_one, &n), -ENOMEM);
    CHECK_OK(rn_group_wait(&g, 0));
}

RN_CORO_TEST(the_first_error_cancels_the_others_and_is_the_result)
{
    rn_group g = RN_GROUP_INIT;
    _Atomic int cancelled = 0;

    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_group_go(&g, sleep_long, &cancelled));
    CHECK_OK(rn_group_go(&g, fail_soon, NULL));
    CHECK_EQ(rn_group_wait(&g, 0), -EIO);
    CHECK_EQ(cancelled, 20);
}

RN_CORO_TEST(a_deadline_cancels_a_group)
{
    rn_group g = RN_GROUP_INIT;
    _Atomic int cancelled = 0;

    for (int i = 0; i < 4; i++)
        CHECK_OK(rn_group_go(&g, sleep_long, &cancelled));
    CHECK_EQ(rn_group_wait(&g, rn_after(5 * MS)), -ETIME);
    CHECK_EQ(cancelled, 4);
    CHECK_OK(rn_group_go(&g, sleep_long, &cancelled));
    CHECK_EQ(rn_group_wait(&g, 1), -ETIME); /* it has passed already */
    CHECK_EQ(cancelled, 5);
}

static int wait_for_inner(void *n)
{
    rn_group inner = RN_GROUP_INIT;

    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_group_go(&inner, sleep_long, n));
    return rn_group_wait(&inner, 0);
}

RN_CORO_TEST(a_cancel_reaches_groups_within_groups)
{
    rn_group g = RN_GROUP_INIT;
    _Atomic int cancelled = 0;

    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_group_go(&g, wait_for_inner, &cancelled));
    rntest_until_all_wait();
    rn_group_cancel(&g);
    rn_group_cancel(&g);
    CHECK_EQ(rn_group_go(&g, sleep_long, &cancelled), -ECANCELED);
    CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
    CHECK_EQ(cancelled, 9);
}

/* ---- what a cancel reaches ---- */

struct waits {
    rn_conn *conn;
    rn_listener *ln;
    rn_chan *ch;
    rn_mutex m;
    rn_cond cond;
    rn_sem sem;
    rn_waitgroup wg;
    int fd;
};

static int wait_read(void *arg)
{
    char c;

    return (int)rn_read(((struct waits *)arg)->conn, &c, 1);
}

/* On a connection of its own, for one that has sent a part is of no use any more. */
static int wait_write(void *arg)
{
    static const char much[16 << 20];
    rn_conn *conn, *other;
    ssize_t r;

    (void)arg;
    rn_shield_begin();
    rntest_pair(&conn, &other);
    rn_shield_end();
    r = rn_write(conn, much, sizeof much);
    rn_close(conn);
    rn_close(other);
    return (int)r;
}

static int wait_accept(void *arg)
{
    rn_conn *c;

    return rn_accept(((struct waits *)arg)->ln, &c);
}

static int wait_recv(void *arg)
{
    int v;

    return rn_chan_recv(((struct waits *)arg)->ch, &v);
}

static int wait_send(void *arg)
{
    int v = 1;

    return rn_chan_send(((struct waits *)arg)->ch, &v);
}

static int wait_select(void *arg)
{
    int v;
    rn_select_case c = {.chan = ((struct waits *)arg)->ch, .item = &v};

    return rn_select(&c, 1, rn_after(60 * RN_SECOND));
}

static int wait_cond(void *arg)
{
    struct waits *w = arg;
    int r;

    CHECK_OK(rn_mutex_lock(&w->m));
    r = rn_cond_wait(&w->cond, &w->m, 0);
    CHECK(!rn_mutex_trylock(&w->m)); /* held again */
    rn_mutex_unlock(&w->m);
    return r;
}

static int wait_sem(void *arg)
{
    return rn_sem_acquire(&((struct waits *)arg)->sem, 1, 0);
}

static int wait_waitgroup(void *arg)
{
    return rn_waitgroup_wait(&((struct waits *)arg)->wg);
}

static int wait_fd(void *arg)
{
    return rn_wait_fd(((struct waits *)arg)->fd, RN_READABLE, 0);
}

static int wait_sleep(void *arg)
{
    (void)arg;
    return rn_sleep(60 * RN_SECOND);
}

RN_CORO_TEST(a_cancel_reaches_whatever_a_coroutine_waits_in)
{
    static int (*const ways[])(void *) = {wait_read, wait_write, wait_accept, wait_recv,
                                          wait_send, wait_cond,  wait_sem,    wait_waitgroup,
                                          wait_fd,   wait_sleep, wait_select};
    struct waits w = {.fd = -1};
    rn_conn *other;
    int pipe_fds[2];

    rntest_pair(&w.conn, &other);
    CHECK_OK(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC));
    w.fd = pipe_fds[0];
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &w.ln));
    rn_waitgroup_add(&w.wg, 1);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int before = 0; before < 2; before++) {
            rn_group g = RN_GROUP_INIT;
            char c;

            CHECK_OK(rn_chan_new(sizeof(int), 0, &w.ch));
            CHECK_OK(rn_group_go(&g, ways[i], &w));
            if (before == 0)
                rntest_until_all_wait(); /* else it may not even have begun */
            rn_group_cancel(&g);
            CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
            rn_chan_free(w.ch);
            CHECK_EQ(rn_write(other, "x", 1), 1); /* the connection is as usable as before */
            CHECK_EQ(rn_read(w.conn, &c, 1), 1);
        }
    CHECK_EQ(rn_sem_try_acquire(&w.sem, 1), 0);
    rn_close(w.conn);
    rn_close(other);
    rn_listener_close(w.ln);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static _Atomic bool is_cancelled;

static int sleep_in_peace(void *n)
{
    rn_shield_begin();
    rn_shield_begin();
    CHECK_OK(rn_sleep(MS));
    rn_shield_end();
    while (!is_cancelled)
        CHECK_OK(rn_sleep(MS));
    CHECK_OK(rn_sleep(MS));
    rn_shield_end();
    CHECK_EQ(rn_sleep(60 * RN_SECOND), -ECANCELED);
    atomic_fetch_add((_Atomic int *)n, 1);
    return 0;
}

RN_CORO_TEST(behind_a_shield_waits_are_not_cancelled)
{
    rn_group g = RN_GROUP_INIT;
    _Atomic int n = 0;

    for (int i = 0; i < 10; i++)
        CHECK_OK(rn_group_go(&g, sleep_in_peace, &n));
    CHECK_OK(rn_sleep(5 * MS));
    rn_group_cancel(&g);
    is_cancelled = true;
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(n, 10);
}

/* ---- cancel against being stolen, ending, being started ---- */

static int spin_a_little(void *arg)
{
    int r = 0;

    (void)arg;
    for (int i = 0; i < 3 && r == 0; i++)
        r = rn_sleep(1);
    return r == 0 ? rn_sleep(60 * RN_SECOND) : r;
}

RN_CORO_TEST(a_cancel_is_not_lost_to_a_thief)
{
    for (int round = 0; round < 300; round++) {
        rn_group g = RN_GROUP_INIT;

        for (int i = 0; i < 50; i++)
            CHECK_OK(rn_group_go(&g, spin_a_little, NULL));
        if (round % 3 == 0)
            rn_yield();
        else if (round % 3 == 1)
            CHECK_OK(rn_sleep(50 * RN_MICROSECOND));
        rn_group_cancel(&g);
        CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
    }
}

/* ---- conditions ---- */

struct queue {
    rn_mutex m;
    rn_cond changed;
    int n, taken;
    bool closed;
    rn_waitgroup done;
};

static void take_all(void *arg)
{
    struct queue *q = arg;

    CHECK_OK(rn_mutex_lock(&q->m));
    for (;;) {
        while (q->n == 0 && !q->closed)
            CHECK_OK(rn_cond_wait(&q->changed, &q->m, 0));
        if (q->n == 0)
            break;
        q->n--;
        q->taken++;
    }
    rn_mutex_unlock(&q->m);
    rn_waitgroup_done(&q->done);
}

RN_CORO_TEST(a_condition_loses_no_signal)
{
    struct queue q = {.n = 0};

    rn_waitgroup_add(&q.done, 8);
    for (int i = 0; i < 8; i++)
        CHECK_OK(rn_go(take_all, &q));
    for (int i = 0; i < 5000; i++) {
        CHECK_OK(rn_mutex_lock(&q.m));
        q.n++;
        rn_cond_signal(&q.changed);
        rn_mutex_unlock(&q.m);
    }
    CHECK_OK(rn_mutex_lock(&q.m));
    q.closed = true;
    rn_cond_broadcast(&q.changed);
    rn_mutex_unlock(&q.m);
    CHECK_OK(rn_waitgroup_wait(&q.done));
    CHECK_EQ(q.taken, 5000);
}

RN_CORO_TEST(a_condition_has_a_deadline)
{
    rn_cond c = RN_COND_INIT;
    rn_mutex m = RN_MUTEX_INIT;
    rn_time start = rn_now();

    CHECK_OK(rn_mutex_lock(&m));
    CHECK_EQ(rn_cond_wait(&c, &m, rn_after(3 * MS)), -ETIME);
    CHECK(rn_now() - start >= 3 * MS);
    CHECK_EQ(rn_cond_wait(&c, &m, 1), -ETIME);
    CHECK(!rn_mutex_trylock(&m));
    rn_mutex_unlock(&m);
    rn_cond_signal(&c); /* nobody is left in it */
    rn_cond_broadcast(&c);
}

/* ---- semaphores ---- */

struct taker {
    rn_sem *s;
    unsigned n;
    rn_time deadline;
    int result;
    rn_waitgroup done;
};

static void take(void *arg)
{
    struct taker *t = arg;

    t->result = rn_sem_acquire(t->s, t->n, t->deadline);
    rn_waitgroup_done(&t->done);
}

static void start_taker(struct taker *t, rn_sem *s, unsigned n, rn_time deadline)
{
    *t = (struct taker){.s = s, .n = n, .deadline = deadline, .result = 1};
    rn_waitgroup_add(&t->done, 1);
    CHECK_OK(rn_go(take, t));
    rntest_until_all_wait();
}

RN_CORO_TEST(a_semaphore_serves_in_order_and_whoever_leaves_blocks_nobody)
{
    rn_sem s = RN_SEM_INIT;
    struct taker many, one;

    rn_sem_release(&s, 2);
    CHECK_OK(rn_sem_acquire(&s, 1, 0)); /* 1 left */
    start_taker(&many, &s, 3, rn_after(20 * MS));
    start_taker(&one, &s, 1, 0);
    CHECK(one.result == 1 || rn_now() >= many.deadline); /* not before many, though there is one */
    CHECK(!rn_sem_try_acquire(&s, 1));
    CHECK_OK(rn_waitgroup_wait(&many.done));
    CHECK_EQ(many.result, -ETIME);
    CHECK_OK(rn_waitgroup_wait(&one.done)); /* many has left */
    CHECK_EQ(one.result, 0);
    start_taker(&many, &s, 3, 0);
    rn_sem_release(&s, 2);
    CHECK_OK(rn_sleep(2 * MS));
    CHECK_EQ(many.result, 1);
    rn_sem_release(&s, 1);
    CHECK_OK(rn_waitgroup_wait(&many.done));
    CHECK_EQ(many.result, 0);
    CHECK_EQ(rn_sem_acquire(&s, 1, 1), -ETIME);
    rn_sem_release(&s, 1);
    CHECK(rn_sem_try_acquire(&s, 1));
}

/* ---- locks for readers ---- */

struct shared {
    rn_rwlock l;
    _Atomic int readers, writers, writes;
    rn_waitgroup done;
};

static void read_often(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 200; i++) {
        CHECK_OK(rn_rwlock_rdlock(&s->l));
        atomic_fetch_add(&s->readers, 1);
        CHECK_EQ(s->writers, 0);
        if (i % 10 == 0)
            CHECK_OK(rn_sleep(10 * RN_MICROSECOND));
        atomic_fetch_sub(&s->readers, 1);
        rn_rwlock_unlock(&s->l);
    }
    rn_waitgroup_done(&s->done);
}

static void write_often(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 200; i++) {
        CHECK_OK(rn_rwlock_wrlock(&s->l));
        CHECK_EQ(atomic_fetch_add(&s->writers, 1), 0);
        CHECK_EQ(s->readers, 0);
        s->writes++;
        if (i % 10 == 0)
            rn_yield();
        atomic_fetch_sub(&s->writers, 1);
        rn_rwlock_unlock(&s->l);
    }
    rn_waitgroup_done(&s->done);
}

static void read_beside(void *arg)
{
    struct shared *s = arg;

    CHECK_OK(rn_rwlock_rdlock(&s->l));
    rn_rwlock_unlock(&s->l);
    rn_waitgroup_done(&s->done);
}

RN_CORO_TEST(readers_share_a_lock_and_a_writer_has_it_alone)
{
    struct shared s = {.writes = 0};

    rn_waitgroup_add(&s.done, 12);
    for (int i = 0; i < 8; i++)
        CHECK_OK(rn_go(read_often, &s));
    for (int i = 0; i < 4; i++)
        CHECK_OK(rn_go(write_often, &s));
    CHECK_OK(rn_waitgroup_wait(&s.done));
    CHECK_EQ(s.writes, 800);
    CHECK_OK(rn_rwlock_rdlock(&s.l));
    rn_waitgroup_add(&s.done, 1);
    CHECK_OK(rn_go(read_beside, &s));
    CHECK_OK(rn_waitgroup_wait(&s.done));
    rn_rwlock_unlock(&s.l);
}

/* ---- once ---- */

struct counted {
    rn_once once;
    _Atomic int n, late;
    rn_waitgroup done;
};

static void count_slowly(void *arg)
{
    struct counted *c = arg;

    CHECK_OK(rn_sleep(5 * MS));
    c->n++;
}

static void do_once(void *arg)
{
    struct counted *c = arg;

    CHECK_OK(rn_once_do(&c->once, count_slowly, c));
    c->late += c->n != 1; /* it has been done for everybody who returns */
    rn_waitgroup_done(&c->done);
}

RN_CORO_TEST(once_is_once_and_all_wait_for_it)
{
    struct counted c = {.n = 0};

    rn_waitgroup_add(&c.done, 20);
    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_go(do_once, &c));
    CHECK_OK(rn_waitgroup_wait(&c.done));
    CHECK_EQ(c.n, 1);
    CHECK_EQ(c.late, 0);
}

/* ---- plain threads ---- */

RN_TEST(what_would_wait_is_refused_on_a_plain_thread)
{
    rn_mutex m = RN_MUTEX_INIT;
    rn_cond c = RN_COND_INIT;
    rn_rwlock l = RN_RWLOCK_INIT;
    rn_sem s = RN_SEM_INIT;
    rn_once o = RN_ONCE_INIT;
    rn_group g = RN_GROUP_INIT;

    CHECK(rn_mutex_trylock(&m));
    CHECK_EQ(rn_cond_wait(&c, &m, 0), -EDEADLK);
    CHECK_EQ(rn_rwlock_rdlock(&l), -EDEADLK);
    CHECK_EQ(rn_rwlock_wrlock(&l), -EDEADLK);
    CHECK_EQ(rn_sem_acquire(&s, 1, 0), -EDEADLK);
    CHECK_EQ(rn_once_do(&o, NULL, NULL), -EDEADLK);
    CHECK_EQ(rn_group_wait(&g, 0), -EDEADLK);
    CHECK_EQ(rn_group_go(&g, add_one, NULL), -EINVAL); /* no runtime */
    CHECK_EQ(rn_select(NULL, 0, 0), -EDEADLK);
    rn_shield_begin();
    rn_shield_end();
    rn_sem_release(&s, 1);
    CHECK(rn_sem_try_acquire(&s, 1));
}

struct last_touch {
    rn_mutex mutex;
    rn_waitgroup wg;
    atomic_bool begun;
};

static void *wake_from_outside(void *arg)
{
    struct last_touch *t = arg;

    while (!t->begun)
        ;
    rn_mutex_unlock(&t->mutex);
    rn_waitgroup_done(&t->wg);
    return NULL;
}

static int yield_a_little(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        rn_yield();
    return 0;
}

static int wait_for_outside(void *arg)
{
    struct last_touch *t = arg;
    rn_group g = RN_GROUP_INIT;

    t->begun = true;
    CHECK_OK(rn_group_go(&g, yield_a_little, NULL)); /* awake: it need not be woken */
    CHECK_OK(rn_mutex_lock(&t->mutex));
    CHECK_OK(rn_group_go(&g, yield_a_little, NULL));
    CHECK_OK(rn_waitgroup_wait(&t->wg));
    return rn_group_wait(&g, 0);
}

/* For TSan and ASan: the run does not end while the one who woke its last coroutine is within. */
RN_TEST(a_wake_from_a_plain_thread_may_be_what_ends_the_run)
{
    for (int i = 0; i < 100; i++) {
        struct last_touch t = {.begun = false};
        pthread_t thread;

        CHECK(rn_mutex_trylock(&t.mutex));
        rn_waitgroup_add(&t.wg, 1);
        CHECK_EQ(pthread_create(&thread, NULL, wake_from_outside, &t), 0);
        CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, wait_for_outside, &t));
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

/* ---- a group that is cancelled from outside ---- */

static rn_group cancelled_often = RN_GROUP_INIT;
static atomic_bool cancelled_enough;

static void *cancel_often(void *arg)
{
    (void)arg;
    while (!atomic_load(&cancelled_enough))
        rn_group_cancel(&cancelled_often);
    return NULL;
}

static int end_well(void *arg)
{
    (void)arg;
    return 0;
}

RN_CORO_TEST(a_plain_thread_cancels_a_group_while_the_wait_for_it_returns)
{
    pthread_t t;

    CHECK_OK(pthread_create(&t, NULL, cancel_often, NULL));
    for (int i = 0; i < 20000; i++) {
        int r = rn_group_go(&cancelled_often, end_well, NULL);

        CHECK(r == 0 || r == -ECANCELED);
        CHECK_OK(rn_group_wait(&cancelled_often, 0));
    }
    atomic_store(&cancelled_enough, true);
    CHECK_OK(pthread_join(t, NULL));
}
