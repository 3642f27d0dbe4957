/*
 * test_task.c - coroutines: run, go, yield, sleep, Ps, stacks, the end of a run
 */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"
#include "rntest_coro.h"
#include "task/stack.h"

static char trace[256];

static void note(const char *s)
{
    strncat(trace, s, sizeof trace - strlen(trace) - 1);
}

static int return_arg(void *arg)
{
    return *(int *)arg;
}

RN_TEST(run_returns_what_its_function_returned)
{
    int value = 42;

    CHECK_EQ(rn_run(NULL, return_arg, &value), 42);
    value = -7;
    CHECK_EQ(rn_run(NULL, return_arg, &value), -7);
}

RN_TEST(run_refuses_bad_options)
{
    int value = 0;

    CHECK_EQ(rn_run(NULL, NULL, NULL), -EINVAL);
    CHECK_EQ(rn_run(&(rn_run_options){.procs = -1}, return_arg, &value), -EINVAL);
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1000}, return_arg, &value), -EINVAL);
    CHECK_EQ(rn_run(&(rn_run_options){.poller = "kqueue"}, return_arg, &value), -EINVAL);
    CHECK_EQ(rn_run(&(rn_run_options){.stack_bytes = (size_t)1 << 40}, return_arg, &value),
             -EINVAL);
    CHECK_EQ(rn_run(&(rn_run_options){.reserved = {1}}, return_arg, &value), -EINVAL);
    setenv("RN_PROCS", "many", 1);
    CHECK_EQ(rn_run(NULL, return_arg, &value), -EINVAL);
    setenv("RN_PROCS", "3", 1);
    CHECK_EQ(rn_run(NULL, return_arg, &value), 0);
}

RN_CORO_TEST(run_within_a_run_is_refused)
{
    int value = 0;

    CHECK_EQ(rn_run(NULL, return_arg, &value), -EBUSY);
    CHECK_EQ(rn_start(NULL), -EBUSY);
    CHECK_EQ(rn_stop(), -EDEADLK);
}

RN_TEST(outside_of_a_run_nothing_parks)
{
    rn_mutex m = RN_MUTEX_INIT;
    rn_waitgroup wg = RN_WAITGROUP_INIT;

    CHECK_EQ(rn_go(free, NULL), -EINVAL);
    CHECK_EQ(rn_sleep(1), -EDEADLK);
    CHECK_EQ(rn_mutex_lock(&m), -EDEADLK);
    CHECK_EQ(rn_waitgroup_wait(&wg), -EDEADLK);
    CHECK(rn_mutex_trylock(&m));
    CHECK_EQ(rn_procs(), 0);
    CHECK_EQ(rn_proc_id(), 0);
    CHECK_EQ((long long)rn_id(), 0);
    CHECK_STR(rn_name(), "");
    CHECK(rn_local_get() == NULL);
    rn_local_set(&m);
    CHECK(rn_local_get() == NULL);
    rn_yield();
    CHECK_EQ(rn_stop(), -EINVAL);
}

static void noter(void *arg)
{
    note(arg);
    rn_yield();
    note(arg);
}

RN_CORO_TEST_ON(yield_goes_to_the_back_of_the_queue, 1)
{
    CHECK_OK(rn_go(noter, "a"));
    CHECK_OK(rn_go(noter, "b"));
    rn_yield();
    rn_yield();
    CHECK_STR(trace, "abab");
}

struct identity {
    rn_waitgroup wg;
    uint64_t id;
    int proc;
    char name[16];
};

static void fill_identity(void *arg)
{
    struct identity *i = arg;

    CHECK(rn_local_get() == NULL);
    rn_local_set(i);
    rn_yield();
    CHECK(rn_local_get() == i);
    i->id = rn_id();
    i->proc = rn_proc_id();
    snprintf(i->name, sizeof i->name, "%s", rn_name());
    rn_waitgroup_done(&i->wg);
}

RN_CORO_TEST(a_coroutine_has_id_name_local_value_and_its_own_proc)
{
    struct identity a = {.id = 0}, b = {.id = 0};

    CHECK_EQ(rn_procs(), 2);
    CHECK_STR(rn_name(), "main");
    rn_waitgroup_add(&a.wg, 1);
    rn_waitgroup_add(&b.wg, 1);
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "first", .proc = 1}, fill_identity, &a));
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "second", .proc = 2}, fill_identity, &b));
    CHECK_OK(rn_waitgroup_wait(&a.wg));
    CHECK_OK(rn_waitgroup_wait(&b.wg));
    CHECK(a.id != b.id && a.id != rn_id() && a.id != 0);
    CHECK_EQ(a.proc, 1);
    CHECK_EQ(b.proc, 2);
    CHECK_STR(a.name, "first");
    CHECK_STR(b.name, "second");
    CHECK_EQ(rn_go_with(&(rn_go_options){.proc = 3}, fill_identity, &a), -EINVAL);
    CHECK_EQ(rn_go_with(&(rn_go_options){.proc = -1}, fill_identity, &a), -EINVAL);
    CHECK_EQ(rn_go_with(&(rn_go_options){.stack_bytes = (size_t)1 << 30}, fill_identity, &a),
             -EINVAL);
}

RN_CORO_TEST(sleep_is_never_early)
{
    rn_time spans[] = {1, 10 * RN_MICROSECOND, 1500 * RN_MICROSECOND, 20 * RN_MILLISECOND};

    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        rn_time start = rn_now();

        CHECK_OK(rn_sleep(spans[i]));
        CHECK(rn_now() - start >= spans[i]);
    }
    CHECK_OK(rn_sleep(0));
    CHECK_OK(rn_sleep(-5));
}

static void sleep_and_note(void *arg)
{
    const char *s = arg;

    CHECK_OK(rn_sleep((s[0] - '0') * 30 * RN_MILLISECOND));
    note(s);
}

/* On a machine that had no time for us between the beginnings of two sleeps: again. */
RN_CORO_TEST_ON(sleepers_wake_in_the_order_of_their_times, 1)
{
    for (int i = 0; i < 20 && strcmp(trace, "123") != 0; i++) {
        trace[0] = '\0';
        CHECK_OK(rn_go(sleep_and_note, "3"));
        CHECK_OK(rn_go(sleep_and_note, "1"));
        CHECK_OK(rn_go(sleep_and_note, "2"));
        while (strlen(trace) < 3)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
    }
    CHECK_STR(trace, "123");
}

static atomic_int spinning;

static void spin_yielding(void *arg)
{
    (void)arg;
    while (atomic_load(&spinning))
        rn_yield();
}

RN_CORO_TEST_ON(timers_fire_under_a_busy_run_queue, 1)
{
    atomic_store(&spinning, 1);
    for (int i = 0; i < 10; i++)
        CHECK_OK(rn_go(spin_yielding, NULL));
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    atomic_store(&spinning, 0);
}

/* ---- threads and thread-locals ---- */

static _Thread_local int per_thread;

static void check_thread(void *arg)
{
    rn_waitgroup *wg = arg;
    pthread_t self = pthread_self();
    int *mine = &per_thread;

    for (int i = 0; i < 200; i++) {
        errno = i + 1;
        rn_yield();
        CHECK(pthread_equal(self, pthread_self()));
        CHECK(mine == &per_thread);
        if (i % 50 == 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
    }
    rn_waitgroup_done(wg);
}

RN_CORO_TEST_ON(a_started_coroutine_never_changes_thread, 4)
{
    static rn_waitgroup wg;

    for (int i = 0; i < 100; i++) {
        rn_waitgroup_add(&wg, 1);
        CHECK_OK(rn_go(check_thread, &wg));
    }
    CHECK_OK(rn_waitgroup_wait(&wg));
}

static atomic_int ran_elsewhere;

static void note_proc(void *arg)
{
    if (rn_proc_id() != 1)
        atomic_fetch_add(&ran_elsewhere, 1);
    rn_waitgroup_done(arg);
}

RN_CORO_TEST(idle_procs_steal_what_has_not_run)
{
    static rn_waitgroup wg;
    rn_time until = rn_after(10 * RN_SECOND);

    /* This coroutine keeps its P to itself, so whatever runs, runs elsewhere. */
    for (int i = 0; i < 1000; i++) {
        rn_waitgroup_add(&wg, 1);
        CHECK_OK(rn_go(note_proc, &wg));
    }
    while (atomic_load(&ran_elsewhere) == 0 && rn_now() < until)
        ;
    CHECK(atomic_load(&ran_elsewhere) > 0);
    CHECK_OK(rn_waitgroup_wait(&wg));
}

static void check_rounding(void *arg)
{
    rn_waitgroup *wg = arg;

    CHECK_EQ(fegetround(), FE_UPWARD); /* as it was where it was started */
    fesetround(FE_DOWNWARD);
    rn_yield();
    CHECK_EQ(fegetround(), FE_DOWNWARD);
    rn_waitgroup_done(wg);
}

RN_CORO_TEST_ON(floating_point_modes_belong_to_the_coroutine, 1)
{
    rn_waitgroup wg = RN_WAITGROUP_INIT;

    fesetround(FE_UPWARD);
    rn_waitgroup_add(&wg, 1);
    CHECK_OK(rn_go(check_rounding, &wg));
    CHECK_OK(rn_waitgroup_wait(&wg));
    CHECK_EQ(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
}

/* ---- plain threads ---- */

static atomic_int counted;

static void count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&counted, 1);
}

static void *go_from_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_OK(rn_go(count_one, NULL));
    return NULL;
}

RN_TEST(rn_go_works_from_plain_threads_after_rn_start)
{
    pthread_t threads[4];

    CHECK_OK(rn_start(&(rn_run_options){.procs = 2}));
    CHECK_EQ(rn_start(NULL), -EBUSY);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, go_from_thread, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_OK(rn_stop());
    CHECK_EQ(atomic_load(&counted), 4000);
    CHECK_EQ(rn_go(count_one, NULL), -EINVAL);
    CHECK_EQ(rn_stop(), -EINVAL);
    CHECK_OK(rn_start(NULL));
    CHECK_OK(rn_stop());
}

/* ---- sync ---- */

static rn_mutex guard;
static int guarded, inside;

static void use_mutex(void *arg)
{
    for (int i = 0; i < 300; i++) {
        CHECK_OK(rn_mutex_lock(&guard));
        CHECK_EQ(++inside, 1);
        guarded++;
        if (i % 16 == 0)
            rn_yield();
        inside--;
        rn_mutex_unlock(&guard);
    }
    rn_waitgroup_done(arg);
}

RN_CORO_TEST_ON(a_mutex_lets_one_in_at_a_time_from_any_proc, 4)
{
    static rn_waitgroup wg;

    for (int i = 0; i < 40; i++) {
        rn_waitgroup_add(&wg, 1);
        CHECK_OK(rn_go(use_mutex, &wg));
    }
    CHECK_OK(rn_waitgroup_wait(&wg));
    CHECK_EQ(guarded, 40 * 300);
    CHECK(rn_mutex_trylock(&guard));
    CHECK(!rn_mutex_trylock(&guard));
    rn_mutex_unlock(&guard);
}

static void lock_and_note(void *arg)
{
    CHECK_OK(rn_mutex_lock(&guard));
    note(arg);
    rn_mutex_unlock(&guard);
}

RN_CORO_TEST_ON(a_mutex_serves_first_come_first, 1)
{
    CHECK_OK(rn_mutex_lock(&guard));
    CHECK_OK(rn_go(lock_and_note, "a"));
    CHECK_OK(rn_go(lock_and_note, "b"));
    CHECK_OK(rn_go(lock_and_note, "c"));
    rn_yield();
    rn_mutex_unlock(&guard);
    CHECK_OK(rn_mutex_lock(&guard)); /* behind the three, not before them */
    CHECK_STR(trace, "abc");
    rn_mutex_unlock(&guard);
}

/* ---- the end of a run ---- */

static atomic_int told;

static void sleep_until_cancelled(void *arg)
{
    (void)arg;
    if (rn_sleep(3600 * RN_SECOND) == -ECANCELED && rn_sleep(1) == -ECANCELED)
        atomic_fetch_add(&told, 1);
}

static void wait_until_cancelled(void *arg)
{
    if (rn_waitgroup_wait(arg) == -ECANCELED)
        atomic_fetch_add(&told, 1);
}

static int leave_sleepers(void *arg)
{
    static rn_waitgroup never;

    (void)arg;
    rn_waitgroup_add(&never, 1);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(rn_go(sleep_until_cancelled, NULL));
        CHECK_OK(rn_go(wait_until_cancelled, &never));
    }
    return rn_sleep(10 * RN_MILLISECOND);
}

RN_TEST(the_end_of_main_cancels_the_others_and_waits_for_them)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, leave_sleepers, NULL));
    CHECK_EQ(atomic_load(&told), 40);
}

static char logged[1024];

static void log_to_memory(void *arg, const char *line)
{
    (void)arg;
    strncat(logged, line, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
}

static void lock_for_ever(void *arg)
{
    (void)rn_mutex_lock(arg);
}

static int leave_stuck(void *arg)
{
    static rn_mutex m;

    (void)arg;
    CHECK_OK(rn_mutex_lock(&m));
    return rn_go(lock_for_ever, &m);
}

RN_TEST(who_does_not_end_in_time_is_abandoned_and_told)
{
    rn_run_options o = {.procs = 1, .grace_ns = 20 * RN_MILLISECOND, .log = log_to_memory};
    int fds = rntest_count_fds();

    CHECK_OK(rn_run(&o, leave_stuck, NULL));
    CHECK(strstr(logged, "1 coroutines still alive after 20 ms: abandoned") != NULL);
    CHECK_EQ(rntest_count_fds(), fds);
}

static int go_after_ending(void *arg)
{
    (void)arg;
    return rn_go(sleep_until_cancelled, NULL);
}

RN_TEST(a_run_can_follow_a_run)
{
    int fds = rntest_count_fds();

    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_run(&(rn_run_options){.procs = 1 + i % 3}, go_after_ending, NULL));
    CHECK_EQ(rntest_count_fds(), fds);
}

RN_TEST(the_schedule_can_be_shuffled)
{
    char seed[8];

    for (int i = 1; i <= 10; i++) {
        snprintf(seed, sizeof seed, "%d", i);
        setenv("RN_SCHED_SEED", seed, 1);
        guarded = 0;
        CHECK_OK(rn_run(&(rn_run_options){.procs = 2},
                        coro_a_mutex_lets_one_in_at_a_time_from_any_proc, NULL));
    }
}

/* ---- failing to begin ---- */

RN_TEST(each_failure_of_the_beginning_is_told_and_leaves_nothing)
{
    static const char *const calls[] = {"epoll_create1", "eventfd2", "epoll_ctl", "clone"};
    rn_run_options o = {.procs = 2, .watchdog_ns = -1}; /* without which it would run, too */
    int fds = rntest_count_fds(), value = 5;

    if (!rntest_on_epoll())
        RN_TEST_SKIP("epoll's calls");
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (unsigned nth = 1; nth <= (i == 3 ? 1 : 2); nth++) {
            CHECK_OK(rn__sys_fail(calls[i], EAGAIN, nth, 1));
            CHECK_EQ(rn_run(&o, return_arg, &value), -EAGAIN);
            rn__sys_clear();
            CHECK_EQ(rntest_count_fds(), fds);
        }
    }
    for (unsigned nth = 1;; nth++) {
        int r;

        rn__mem_fail(nth, 1);
        r = rn_run(&o, return_arg, &value);
        rn__mem_fail(0, 0);
        CHECK_EQ(rntest_count_fds(), fds);
        if (r == 5)
            break;
        CHECK_EQ(r, -ENOMEM);
        CHECK(nth < 100);
    }
}

/* ---- stacks ---- */

static void touch_stack(void *arg)
{
    volatile char room[96 << 10];

    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = (char)i;
    rn_waitgroup_done(arg);
}

RN_CORO_TEST(a_default_stack_holds_96_kib)
{
    rn_waitgroup wg = RN_WAITGROUP_INIT;

    rn_waitgroup_add(&wg, 1);
    CHECK_OK(rn_go(touch_stack, &wg));
    CHECK_OK(rn_waitgroup_wait(&wg));
}

static int depth_of(volatile char *above)
{
    volatile char room[1024];

    room[0] = *above;
    if (room[0] == 1) /* never: but the compiler cannot know */
        return 0;
    return 1 + depth_of(room) + room[0];
}

static void overflow(void *arg)
{
    volatile char none = 0;

    (void)arg;
    (void)depth_of(&none);
}

struct deep {
    size_t stack_bytes;
    int proc;
    bool with_calls;
};

/* Reaches the guard in steps smaller than the margin, with a call at each. */
static int yield_at_each_depth(volatile char *above)
{
    volatile char room[256];

    room[0] = *above;
    (void)rn_sleep(1);
    if (room[0] == 1)
        return 0;
    return 1 + yield_at_each_depth(room) + room[0];
}

static void come_near_the_guard(void *arg)
{
    volatile char none = 0;

    (void)arg;
    (void)yield_at_each_depth(&none);
}

static int go_overflow(void *arg)
{
    struct deep *d = arg;
    rn_go_options o = {.name = "deep", .stack_bytes = d->stack_bytes, .proc = d->proc};

    CHECK_OK(rn_go_with(&o, d->with_calls ? come_near_the_guard : overflow, NULL));
    return rn_sleep(10 * RN_SECOND);
}

/* What a child that overflows says before it dies. */
static void check_overflow(struct deep deep, const char *size)
{
    char text[2048] = "";
    int out[2], status;
    ssize_t n, len = 0;
    pid_t pid;

    CHECK_EQ(pipe(out), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        dup2(out[1], STDERR_FILENO);
        _exit(rn_run(&(rn_run_options){.procs = 2}, go_overflow, &deep));
    }
    close(out[1]);
    while ((n = read(out[0], text + len, sizeof text - 1 - (size_t)len)) > 0)
        len += n;
    close(out[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    CHECK(strstr(text, "stack overflow in coroutine") != NULL);
    CHECK(strstr(text, "\"deep\"") != NULL);
    CHECK(strstr(text, size) != NULL);
    CHECK(strstr(text, "started at 0x") != NULL);
}

RN_TEST(a_stack_overflow_names_its_coroutine)
{
    if (rntest_sanitized())
        RN_TEST_SKIP("the sanitizer has its own report");
    check_overflow((struct deep){.proc = 1}, "stack of 256 KiB");
    /* On a P that is not the caller's thread. */
    check_overflow((struct deep){.stack_bytes = 32 << 10, .proc = 2}, "stack of 32 KiB");
}

RN_TEST(debug_builds_check_the_stack_at_each_call)
{
#ifdef RN_DEBUG
    check_overflow((struct deep){.proc = 1, .with_calls = true}, "stack of 256 KiB");
#else
    RN_TEST_SKIP("not a debug build");
#endif
}

static atomic_int alive;

static void be_alive(void *arg)
{
    atomic_fetch_add(&alive, 1);
    (void)rn_waitgroup_wait(arg);
}

static int run_200000(void *arg)
{
    static rn_waitgroup end;

    (void)arg;
    rn_waitgroup_add(&end, 1);
    for (int i = 0; i < 200000; i++)
        CHECK_OK(rn_go(be_alive, &end));
    while (atomic_load(&alive) < 200000)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    rn_waitgroup_done(&end);
    return 0;
}

RN_TEST_TIMEOUT(two_hundred_thousand_guarded_coroutines_are_alive_at_once, 60)
{
    if (rntest_sanitized() || rntest_on_valgrind())
        RN_TEST_SKIP("release build only: shadow memory");
    if (!rn__stack_has_markers())
        RN_TEST_SKIP("no MADV_GUARD_INSTALL before Linux 6.13");
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, run_200000, NULL));
}

static int spawn_past_budget(void *arg)
{
    static rn_waitgroup end;
    int i, r = 0;

    (void)arg;
    rn_waitgroup_add(&end, 1);
    for (i = 0; i < 100000 && r == 0; i++)
        r = rn_go_with(&(rn_go_options){.stack_bytes = 16 << 10}, be_alive, &end);
    CHECK_EQ(r, -ENOMEM);
    CHECK(i > 10000);
    rn_waitgroup_done(&end);
    return 0;
}

RN_TEST_TIMEOUT(without_guard_markers_the_budget_ends_in_enomem_and_names_the_sysctl, 60)
{
    if (rntest_sanitized() || rntest_on_valgrind())
        RN_TEST_SKIP("release build only: shadow memory");
    rn__stack_no_markers(true);
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .log = log_to_memory}, spawn_past_budget, NULL));
    CHECK(strstr(logged, "vm.max_map_count") != NULL);
    CHECK(strstr(logged, "sysctl -w") != NULL);
}

RN_TEST(overflow_is_caught_by_a_mapping_guard_too)
{
    if (rntest_sanitized())
        RN_TEST_SKIP("the sanitizer has its own report");
    rn__stack_no_markers(true);
    check_overflow((struct deep){.proc = 2}, "stack of 256 KiB");
}

static int fail_stacks(void *arg)
{
    bool markers = *(bool *)arg;

    for (int i = 0; i < 2; i++) { /* locked memory has its limit: never -EAGAIN */
        CHECK_OK(rn__sys_fail("mmap", i == 0 ? ENOMEM : EAGAIN, 1, 1));
        CHECK_EQ(rn_go_with(&(rn_go_options){.stack_bytes = 1 << 20}, count_one, NULL), -ENOMEM);
        rn__sys_clear();
    }
    if (markers) {
        CHECK_OK(rn__sys_fail("madvise", ENOMEM, 2, 1)); /* the first is for huge pages */
        CHECK_EQ(rn_go_with(&(rn_go_options){.stack_bytes = 1 << 20}, count_one, NULL), -ENOMEM);
        rn__sys_clear();
    }
    CHECK_OK(rn__sys_fail("madvise", EINVAL, 1, 2)); /* a kernel that knows neither */
    CHECK_OK(rn__sys_fail("mprotect", ENOMEM, 1, 1));
    CHECK_EQ(rn_go_with(&(rn_go_options){.stack_bytes = 2 << 20}, count_one, NULL), -ENOMEM);
    rn__sys_clear();
    CHECK_OK(rn_go_with(&(rn_go_options){.stack_bytes = 2 << 20}, count_one, NULL));
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_go_with(&(rn_go_options){.stack_bytes = 4 << 20}, count_one, NULL), -ENOMEM);
    rn__mem_fail(0, 0);
    return 0;
}

RN_TEST(without_memory_for_a_stack_rn_go_says_so_and_runs_nothing)
{
    bool markers = rn__stack_has_markers();

    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, fail_stacks, &markers));
    CHECK_EQ(atomic_load(&counted), 1);
}

RN_CORO_TEST_ON(without_memory_for_a_timer_sleep_says_so, 1)
{
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_sleep(RN_MILLISECOND), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK_OK(rn_sleep(RN_MILLISECOND));
}

/* ---- which poller ---- */

static char poller_log[512], poller_said[128];

static void keep_line(void *arg, const char *line)
{
    (void)arg;
    (void)snprintf(poller_log, sizeof poller_log, "%s", line);
}

static int say_poller(void *arg)
{
    (void)arg;
    (void)snprintf(poller_said, sizeof poller_said, "%s", rn_poller());
    return (int)rn_sleep(RN_MILLISECOND); /* it works, too */
}

static int run_on_poller(const char *name)
{
    rn_run_options o = {.poller = name, .procs = 2, .log = keep_line, .watchdog_ns = -1};

    poller_log[0] = '\0';
    return rn_run(&o, say_poller, NULL);
}

RN_TEST(rn_poller_says_which_and_why)
{
    CHECK_STR(rn_poller(), "");
    CHECK_OK(unsetenv("RN_POLLER"));
    CHECK_OK(run_on_poller(NULL));
    CHECK_STR(poller_said, "epoll: the default");
    CHECK_OK(run_on_poller("select"));
    CHECK_STR(poller_said, "select: asked for");
    CHECK_STR(poller_log, "");
    CHECK_STR(rn_poller(), "");
    CHECK_EQ(run_on_poller("kqueue"), -EINVAL);
    CHECK(strstr(poller_log, "epoll, poll, select") != NULL);
}

/* As a container's seccomp filter, or a kernel before 5.13, would have it. */
RN_TEST(an_io_uring_that_is_refused_makes_way_for_epoll)
{
    static const int errors[] = {EPERM, ENOSYS};

    if (rn__poller_by_name("io_uring") == NULL)
        RN_TEST_SKIP("built without liburing");
    for (size_t i = 0; i < RN_COUNT_OF(errors); i++) {
        CHECK_OK(rn__sys_fail("io_uring_setup", errors[i], 1, 3));
        CHECK_OK(run_on_poller("io_uring"));
        rn__sys_clear();
        CHECK(strncmp(poller_said, "epoll: io_uring: ", 17) == 0);
        CHECK(strstr(poller_log, rn_error_name(-errors[i])) != NULL);
    }
    CHECK_OK(rn__sys_fail("io_uring_setup", ENOMEM, 1, 1));
    CHECK_EQ(run_on_poller("io_uring"), -ENOMEM); /* that says nothing about io_uring */
}
