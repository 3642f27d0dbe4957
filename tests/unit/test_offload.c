/*
 * test_offload.c - blocking calls on other threads, files
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

static _Atomic int running, most_running, done, forgotten, asked;

static int block_a_little(void *arg)
{
    int n = atomic_fetch_add(&running, 1) + 1, most = most_running;

    while (n > most && !atomic_compare_exchange_weak(&most_running, &most, n))
        ;
    usleep(20000);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&done, 1);
    return arg == NULL ? 7 : *(int *)arg;
}

static void forget_it(void *arg)
{
    (void)arg;
    atomic_fetch_add(&forgotten, 1);
}

static void await(_Atomic int *what, int n)
{
    while (*what < n)
        usleep(1000);
    usleep(2000);
    CHECK_EQ(*what, n);
}

static int offload_one(void *arg)
{
    return rn_offload(block_a_little, arg, NULL);
}

static atomic_bool may_return;

static int block_until_told(void *arg)
{
    (void)arg;
    atomic_fetch_add(&running, 1);
    while (!may_return)
        usleep(100);
    atomic_fetch_add(&done, 1);
    return 7;
}

static int offload_and_forget(void *arg)
{
    atomic_fetch_add(&asked, 1);
    return rn_offload(block_until_told, arg, forget_it);
}

/* With a single P: who tells it to return could not, if the call stopped the P. */
static int tell(void *arg)
{
    (void)arg;
    CHECK_OK(rn_sleep(MS));
    may_return = true;
    return 0;
}

RN_CORO_TEST_ON(others_run_while_a_call_blocks, 1)
{
    rn_group g = RN_GROUP_INIT;
    int fail = -EIO;

    CHECK_OK(rn_group_go(&g, tell, NULL));
    CHECK_EQ(rn_offload(block_until_told, NULL, NULL), 7);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(rn_offload(block_a_little, &fail, NULL), -EIO);
}

static int many_calls(void *arg)
{
    rn_group g = RN_GROUP_INIT;

    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_group_go(&g, offload_one, NULL));
    return rn_group_wait(&g, 0);
}

RN_TEST(the_pool_is_bounded)
{
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2, .offload_threads = 3}, many_calls, NULL), 0);
    CHECK_EQ(done, 20);
    CHECK(most_running <= 3);
    CHECK_EQ(rn_run(&(rn_run_options){.offload_threads = -1}, many_calls, NULL), -EINVAL);
}

static int wait_for_the_other(void *arg)
{
    for (int i = 0; i < 5000 && !may_return; i++)
        usleep(1000);
    return *(atomic_bool *)arg ? 0 : -ETIMEDOUT;
}

static int be_the_other(void *arg)
{
    *(atomic_bool *)arg = true;
    return 0;
}

static int offload_waiting(void *arg)
{
    return rn_offload(wait_for_the_other, arg, NULL);
}

static int offload_other(void *arg)
{
    return rn_offload(be_the_other, arg, NULL);
}

/* Both are asked for before the one idle thread has woken for the first. */
RN_CORO_TEST_ON(an_idle_thread_is_one_for_one_call_only, 1)
{
    CHECK_EQ(rn_offload(block_a_little, NULL, NULL), 7);
    for (int i = 0; i < 10; i++) {
        rn_group g = RN_GROUP_INIT;

        CHECK_OK(rn_sleep(5 * MS)); /* it is idle */
        may_return = false;
        CHECK_OK(rn_group_go(&g, offload_waiting, &may_return));
        CHECK_OK(rn_group_go(&g, offload_other, &may_return));
        CHECK_OK(rn_group_wait(&g, 0));
    }
}

static int cancel_calls(void *arg)
{
    rn_group g = RN_GROUP_INIT;

    (void)arg;
    for (int i = 0; i < 10; i++)
        CHECK_OK(rn_group_go(&g, offload_and_forget, NULL));
    while (running < 2 || asked < 10) /* two run, eight are, or are about to be, queued */
        CHECK_OK(rn_sleep(MS));
    rntest_until_all_wait();
    rn_group_cancel(&g);
    CHECK_EQ(rn_group_wait(&g, 0), -RN_EFORGOTTEN);
    CHECK_EQ(forgotten, 8);
    may_return = true;
    await(&forgotten, 10);
    CHECK_EQ(done, 2);
    return 0;
}

RN_TEST(a_cancelled_call_is_forgotten_once)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2, .offload_threads = 2}, cancel_calls, NULL));
}

static int offload_until_told(void *arg)
{
    return rn_offload(block_until_told, arg, NULL);
}

RN_CORO_TEST(a_call_that_cannot_be_forgotten_is_waited_for)
{
    rn_group g = RN_GROUP_INIT;

    CHECK_OK(rn_group_go(&g, offload_until_told, NULL));
    while (running < 1)
        CHECK_OK(rn_sleep(MS));
    rn_group_cancel(&g);
    CHECK_OK(rn_sleep(10 * MS));
    may_return = true;
    CHECK_EQ(rn_group_wait(&g, 0), 0); /* it returned 7: no error */
    CHECK_EQ(done, 1);
}

static void offload_on_its_own(void *arg)
{
    (void)offload_and_forget(arg);
}

static int leave_early(void *arg)
{
    int before = running;

    CHECK_OK(rn_go(offload_on_its_own, arg));
    while (running == before)
        CHECK_OK(rn_sleep(MS));
    return 0;
}

RN_TEST(a_run_does_not_wait_for_what_is_forgotten)
{
    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, leave_early, NULL));
    CHECK_EQ(forgotten, 0);
    may_return = true;
    await(&forgotten, 3);
}

/* What is on the stack of a coroutine that is given up, and a call writes to. */
static int write_to_stack(void *arg)
{
    (void)block_until_told(arg);
    *(volatile int *)arg = 1;
    atomic_fetch_add(&asked, 1);
    return 0;
}

static void offload_from_stack(void *arg)
{
    volatile int here = 0;

    (void)arg;
    (void)rn_offload(write_to_stack, (void *)&here, NULL);
}

struct leaving {
    void (*fn)(void *arg);
    void *arg;
};

static int leave_two_behind(void *leaving)
{
    const struct leaving *l = leaving;

    CHECK_OK(rn_go(l->fn, l->arg));
    CHECK_OK(rn_go(l->fn, l->arg)); /* the pool has one thread: it waits */
    while (running == 0)
        CHECK_OK(rn_sleep(MS));
    return rn_sleep(10 * MS);
}

static void abandon_two(void (*fn)(void *arg), void *arg)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .offload_threads = 1, .grace_ns = 10 * MS},
                    leave_two_behind, &(struct leaving){fn, arg}));
}

RN_TEST(a_call_whose_coroutine_is_abandoned_keeps_its_stack)
{
    abandon_two(offload_from_stack, NULL);
    may_return = true;
    await(&asked, 1); /* the other was not begun */
    CHECK_EQ(running, 1);
}

static void offload_shielded(void *arg)
{
    rn_shield_begin();
    (void)rn_offload(block_until_told, arg, forget_it);
}

/* And nothing of it is left: LeakSanitizer's. */
RN_TEST(a_call_whose_shielded_coroutine_is_abandoned_is_forgotten)
{
    int arg = 0;

    abandon_two(offload_shielded, &arg);
    CHECK_EQ(forgotten, 0);
    may_return = true;
    await(&forgotten, 2);
}

RN_CORO_TEST_ON(without_memory_or_threads_it_says_so, 1)
{
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_offload(block_a_little, NULL, NULL), -ENOMEM);
    CHECK_OK(rn__sys_fail("clone", EAGAIN, 1, 1));
    CHECK_EQ(rn_offload(block_a_little, NULL, NULL), -EAGAIN);
    CHECK_EQ(done, 0);
    CHECK_EQ(rn_offload(block_a_little, NULL, NULL), 7);
}

RN_CORO_TEST(files_are_read_at_once_or_on_the_pool)
{
    char buf[64] = "";
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), pipe_fds[2];

    CHECK_OK(fd);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_pread(fd, buf, sizeof buf, 0), (long)sizeof buf);
        CHECK_MEM(buf, "\177ELF", 4);
        CHECK_OK(rn__sys_fail("preadv2", i == 0 ? EAGAIN : EOPNOTSUPP, 1, 1));
    }
    CHECK_EQ(rn_pread(fd, buf, sizeof buf, (off_t)1 << 40), 0);
    CHECK_EQ(rn_pread(-1, buf, sizeof buf, 0), -EBADF);
    CHECK_OK(pipe2(pipe_fds, O_CLOEXEC));
    CHECK_EQ(rn_pread(pipe_fds[0], buf, sizeof buf, 0), -ESPIPE);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(fd);
}

RN_TEST(on_a_plain_thread_there_is_nothing_to_offload)
{
    char c;

    CHECK_EQ(rn_offload(block_a_little, NULL, NULL), -EDEADLK);
    CHECK_EQ(rn_pread(0, &c, 1, 0), -EDEADLK);
}
