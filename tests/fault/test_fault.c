/*
 * test_fault.c - each system call of each scenario fails in turn, in each way it can
 *
 * A dry run counts how often a scenario makes each call. Then it is run again and again, in a child
 * process each time, with one failure: a row's nth call says one of its errnos (errnos.c) or moves
 * fewer bytes, or the nth allocation finds no memory. Every time it must end; the error must
 * arrive, in a result or in the log, unless errnos.c says that it may pass; data must be right; and
 * nothing may be left over: descriptors, memory, slots, coroutines, threads.
 *
 * All of that takes minutes, and is done where RNTEST_LONG is set. Else a sample is: RNTEST_SEED
 * (printed) chooses it, RNTEST_FAULT_MS says how long it may take for each scenario.
 * RNTEST_FAULT=recv:ECONNRESET:3 does this one only, and shows the log; "recv:short:3" and
 * "memory::3" are the other kinds.
 */
#include "fault.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "rntest.h"
#include "rntest_coro.h"
#include "task/iowait.h"
#include "task/offload.h"
#include "task/proc.h"

#define PROCS 2
#define NOTES 256
#define LOG_ROOM 8192
#define SHORT_BYTES 3
#define LASTING 4 /* allocations past the hooks, which are not counted */
#define FIRST 40  /* calls of a row, all of which fail in turn; of those after them so many */

struct scenario {
    const char *name;
    int (*run)(void);
    uint32_t keeps;
    int flags;
};

/* What fails. */
struct plan {
    enum { NOTHING, ERROR, SHORT, MEMORY } how;
    int row;
    int error;
    unsigned nth;
    double order; /* in the sample */
};

/* What became of it; in memory shared with the child. */
static struct outcome {
    bool told; /* else the child crashed */
    bool hit;  /* the scenario came to the nth call */
    int result;
    char wrong[300]; /* "": nothing */
    uint64_t calls[RN__SYS_COUNT];
    unsigned allocations;
} * outcome;

static int notes[NOTES];
static atomic_int n_notes;
static char log_text[LOG_ROOM]; /* rn__log's lock guards it */
static atomic_int blocks;       /* of memory, not yet freed */
static atomic_uint allocations;
static bool verbose;

ssize_t fault_note(ssize_t r)
{
    if (r < 0) {
        int i = atomic_fetch_add(&n_notes, 1);

        if (i < NOTES)
            notes[i] = (int)r;
    }
    return r;
}

static int scale(void)
{
    const char *text = getenv("RNTEST_TIMEOUT_SCALE");
    int by = text == NULL ? 1 : atoi(text);

    return (by < 1 ? 1 : by) * (rntest_sanitized() ? 6 : 1);
}

rn_time fault_limit(void)
{
    return rn_after(15 * RN_SECOND * scale());
}

/* ---- in the child ---- */

static __attribute__((format(printf, 1, 2))) void wrong(const char *format, ...)
{
    va_list ap;

    if (outcome->wrong[0] != '\0')
        return;
    va_start(ap, format);
    vsnprintf(outcome->wrong, sizeof outcome->wrong, format, ap);
    va_end(ap);
}

static void *count_alloc(void *arg, size_t bytes)
{
    void *ptr = malloc(bytes);

    (void)arg;
    atomic_fetch_add(&allocations, 1);
    atomic_fetch_add(&blocks, ptr != NULL);
    return ptr;
}

static void *count_realloc(void *arg, void *ptr, size_t bytes)
{
    void *new = realloc(ptr, bytes);

    (void)arg;
    atomic_fetch_add(&allocations, 1);
    atomic_fetch_add(&blocks, ptr == NULL && new != NULL);
    return new;
}

static void count_free(void *arg, void *ptr)
{
    (void)arg;
    atomic_fetch_sub(&blocks, ptr != NULL);
    free(ptr);
}

static void keep_log(void *arg, const char *line)
{
    size_t used = strlen(log_text);

    (void)arg;
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
    if (verbose)
        fprintf(stderr, "log: %s\n", line);
}

static void count_slot(struct rn__iowait *w, void *arg)
{
    (void)w;
    ++*(uint32_t *)arg;
}

static bool is_settled(const struct scenario *s, const struct rn__runtime *rt, uint32_t *slots)
{
    *slots = 0;
    rn__slot_each(count_slot, slots);
    return *slots <= s->keeps && rn__alive(rt) <= 1 && atomic_load(&rt->lingering) == 0;
}

static void add_calls(const struct rn__sys_block *b)
{
    for (int i = 0; i < RN__SYS_COUNT; i++)
        outcome->calls[i] += atomic_load_explicit(&b->counts[i].calls, memory_order_relaxed);
}

/* The scenario, and then nothing of it may be there any more. */
static int run_scenario(void *arg)
{
    const struct scenario *s = arg;
    const struct rn__runtime *rt = atomic_load(&rn__runtime);
    rn_time until;
    uint32_t slots;
    int r = s->run();

    until = fault_limit();
    while (!is_settled(s, rt, &slots) && rn_now() < until)
        if (rn_sleep(100 * RN_MICROSECOND) < 0)
            rn_yield();
    if (!is_settled(s, rt, &slots))
        wrong("left over: %u slots, %d coroutines, %u closes that linger", slots,
              (int)rn__alive(rt) - 1, atomic_load(&rt->lingering));
    for (int i = 0; i < rt->n_procs; i++)
        add_calls(&rt->procs[i]->counters);
    return r;
}

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = -2; /* "." and ".." */

    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* Threads of the pool stay for a while, and those just joined may still be listed; a sanitizer has
 * one of its own. */
static void check_threads(int before)
{
    for (int i = 0; i < 1000 * scale(); i++) {
        if (count_threads() <= before + rn__offload_threads())
            return;
        usleep(1000);
    }
    wrong("%d threads left over", count_threads() - before - rn__offload_threads());
}

static bool holds(const int *list, int error)
{
    for (; *list != 0; list++)
        if (*list == error)
            return true;
    return false;
}

/* Did somebody hear of it, as a result or in the log? */
static bool has_arrived(int error)
{
    for (int i = 0; i < NOTES && i < atomic_load(&n_notes); i++)
        if (notes[i] == -error)
            return true;
    return strstr(log_text, rn_strerror(-error)) != NULL;
}

/* What a failure that nobody is told of may look like: nothing; or, at the other end, the end of a
 * connection. */
static bool looks_away(int r)
{
    return r == 0 || r == -ECONNRESET || r == -EPIPE || r == -ECONNREFUSED || r == -RN_EPARTIAL;
}

/* What errors are called in results, where that is not their name. */
static int translate(const struct plan *p)
{
    if (p->how == MEMORY)
        return ENOMEM;
    if (p->row == RN__SYS_connect && p->error == EAGAIN && !has_arrived(EAGAIN))
        return EADDRNOTAVAIL; /* no free port; of a unix listener it is another matter */
    if ((p->row == RN__SYS_mmap || p->row == RN__SYS_madvise || p->row == RN__SYS_mprotect) &&
        !has_arrived(p->error))
        return ENOMEM;
    return p->error;
}

/* ALL is -1. */
static bool may_pass(const struct scenario *s, const struct plan *p)
{
    const int *pass = fault_errnos[p->row].pass;

    return p->how != ERROR || (s->flags & FAULT_MAY_PASS) || *pass < 0 || holds(pass, p->error);
}

/* No thread, or no process. */
static bool may_say_again(const struct plan *p)
{
    return p->how == ERROR && (p->row == RN__SYS_clone || p->row == RN__SYS_posix_spawn);
}

static void judge(const struct scenario *s, const struct plan *p, int r)
{
    int error = translate(p);

    if (strstr(log_text, "abandoned") != NULL)
        wrong("coroutines were abandoned");
    for (int i = 0; i < NOTES && i < atomic_load(&n_notes); i++)
        if (notes[i] == FAULT_WRONG)
            wrong("wrong data");
        else if (notes[i] == -EINTR || (notes[i] == -EAGAIN && !may_say_again(p)))
            wrong("%s is no result", rn_error_name(notes[i]));
    if (r == FAULT_WRONG)
        wrong("wrong data");
    if (has_arrived(ETIME) && error != ETIME)
        wrong("hung until its time limit");
    if (r < 0 && !outcome->hit)
        wrong("%s without any failure", rn_error_name(r));
    else if (r < 0 && p->how == SHORT)
        wrong("%s after a short call", rn_error_name(r));
    else if (outcome->hit && !has_arrived(error) && !(may_pass(s, p) && looks_away(r)))
        wrong(r < 0 ? "%s came in its place" : "passed unnoticed", rn_error_name(r));
}

static void inject(const struct plan *p)
{
    if (p->how == ERROR)
        CHECK_OK(rn__sys_fail(rn__sys_name((enum rn__sys_row)p->row), p->error, p->nth, 1));
    else if (p->how == SHORT)
        CHECK_OK(rn__sys_short(rn__sys_name((enum rn__sys_row)p->row), SHORT_BYTES, p->nth, 1));
    else if (p->how == MEMORY)
        rn__mem_fail(p->nth, 1);
}

static void run_case(const struct scenario *s, const struct plan *p)
{
    static const rn_alloc counted = {count_alloc, count_realloc, count_free, NULL};
    rn_run_options o = {.procs = PROCS,
                        .alloc = &counted,
                        .log = keep_log,
                        .grace_ns = 10 * RN_SECOND * scale(),
                        .dump_on_sigquit = true};
    int fds = rntest_count_fds(), threads = count_threads(), r;

    inject(p);
    r = (int)fault_note(rn_run(&o, run_scenario, (void *)(uintptr_t)s));
    outcome->hit = p->how == MEMORY    ? rn__mem_failures() > 0
                   : p->how != NOTHING ? rn__sys_hits() > 0
                                       : false;
    rn__sys_clear();
    rn__mem_fail(0, 0);
    add_calls(rn__sys_shared_block());
    outcome->allocations = atomic_load(&allocations);
    outcome->result = r;
    judge(s, p, r);
    if (rntest_count_fds() != fds)
        wrong("%d descriptors left over", rntest_count_fds() - fds);
    if (atomic_load(&blocks) != 0)
        wrong("%d blocks of memory left over", atomic_load(&blocks));
    check_threads(threads);
    outcome->told = true;
}

/* ---- in the driver ---- */

static void describe(const struct plan *p, char *text, size_t len)
{
    const char *row = p->how == MEMORY ? "memory" : rn__sys_name((enum rn__sys_row)p->row);

    if (p->how == NOTHING)
        snprintf(text, len, "dry run");
    else
        snprintf(text, len, "%s:%s:%u", row,
                 p->how == SHORT   ? "short"
                 : p->how == ERROR ? rn_error_name(-p->error)
                                   : "",
                 p->nth);
}

/* The child's end, seen by the pipe that ends with it; false where it took too long. */
static bool await_child(int fd, int seconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, seconds * 1000) == 1;
}

/* Runs one case; false, and told, where something was wrong. */
static bool try_case(const struct scenario *s, const struct plan *p)
{
    char text[100];
    int fds[2], status;
    bool ended;
    pid_t pid;

    *outcome = (struct outcome){.told = false};
    CHECK_OK(pipe2(fds, O_CLOEXEC));
    fflush(NULL);
    pid = fork();
    CHECK_OK(pid);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_case(s, p);
        exit(0); /* so that leak checkers run */
    }
    close(fds[1]);
    ended = await_child(fds[0], 60 * scale());
    if (!ended) {
        kill(pid, SIGQUIT); /* shows its coroutines */
        (void)await_child(fds[0], 1);
        kill(pid, SIGKILL);
    }
    close(fds[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    describe(p, text, sizeof text);
    if (!ended)
        printf("%s: %s: hung\n", s->name, text);
    else if (!outcome->told || status != 0)
        printf("%s: %s: ended by %s %d\n", s->name, text, WIFSIGNALED(status) ? "signal" : "exit",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    else if (outcome->wrong[0] != '\0')
        printf("%s: %s: %s (%s)\n", s->name, text, outcome->wrong, rn_error_name(outcome->result));
    else
        return true;
    return false;
}

static uint64_t random_state;

static double random_unit(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / (double)(1ULL << 53);
}

struct plans {
    struct plan *list;
    size_t n, room;
};

/* Of `among` plans of its row: rows that are called a lot come no sooner than others. */
static void add_plan(struct plans *all, struct plan p, double among)
{
    if (all->n == all->room) {
        all->room = all->room == 0 ? 1024 : all->room * 2;
        all->list = realloc(all->list, all->room * sizeof *all->list);
        CHECK(all->list != NULL);
    }
    p.order = random_unit() * among;
    all->list[all->n++] = p;
}

static size_t length_of(const int *list)
{
    size_t n = 0;

    while (list[n] != 0)
        n++;
    return n;
}

static bool moves_bytes(int row)
{
    static const bool bytes[RN__SYS_COUNT] = {
#define BYTES(name, retry, count) [RN__SYS_##name] = count,
        RN__SYS_ROWS(BYTES)
#undef BYTES
    };

    return bytes[row];
}

static bool may_be_short(const struct scenario *s, int row)
{
    if (row == RN__SYS_recv && !(s->flags & FAULT_CUT_RECV))
        return false;
    return moves_bytes(row) && !(s->flags & FAULT_RECORDS);
}

static void plan_row(struct plans *all, const struct scenario *s, int row, unsigned calls)
{
    const struct fault_errnos *e = &fault_errnos[row];
    double among = (double)calls * (double)(length_of(e->man) + 1);

    for (unsigned nth = 1; nth <= calls; nth += nth < FIRST ? 1 : 1 + calls / FIRST) {
        for (const int *error = e->man; *error != 0; error++)
            if (!holds(e->never, *error))
                add_plan(all, (struct plan){ERROR, row, *error, nth, 0}, among);
        if (may_be_short(s, row))
            add_plan(all, (struct plan){SHORT, row, 0, nth, 0}, among);
    }
}

static int compare(const void *a, const void *b)
{
    double x = ((const struct plan *)a)->order, y = ((const struct plan *)b)->order;

    return x < y ? -1 : x > y;
}

/* What the dry run has counted, in the order of the sample. */
static void plan_all(struct plans *all, const struct scenario *s)
{
    struct outcome counted = *outcome;

    for (int row = 0; row < RN__SYS_COUNT; row++)
        plan_row(all, s, row, (unsigned)counted.calls[row]);
    for (unsigned nth = 1; nth <= counted.allocations + LASTING; nth++)
        add_plan(all, (struct plan){MEMORY, 0, 0, nth, 0}, counted.allocations);
    qsort(all->list, all->n, sizeof *all->list, compare);
}

static uint64_t choose_seed(void)
{
    const char *text = getenv("RNTEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)rn_now() % 1000000;

    return seed == 0 ? 1 : seed;
}

/* How long the sample may take: less on the other pollers, which have their conformance suite. */
static rn_time sample_ns(void)
{
    const char *text = getenv("RNTEST_FAULT_MS");

    if (text != NULL)
        return atoi(text) * RN_MILLISECOND;
    if (getenv("RNTEST_LONG") != NULL)
        return INT64_MAX / 2;
    return (rntest_on_epoll() ? 300 : 80) * RN_MILLISECOND;
}

/* "recv:ECONNRESET:3" */
static bool is_asked_for(const struct plan *p)
{
    const char *asked = getenv("RNTEST_FAULT");
    char text[100];

    describe(p, text, sizeof text);
    return asked == NULL || strcmp(asked, text) == 0;
}

static void run_plans(const struct scenario *s, uint64_t seed)
{
    rn_time until = rn_now() + sample_ns();
    struct plans all = {.n = 0};
    unsigned tried = 0, failed = 0, hit = 0;

    plan_all(&all, s);
    for (size_t i = 0; i < all.n && rn_now() < until; i++) {
        if (!is_asked_for(&all.list[i]))
            continue;
        tried++;
        failed += !try_case(s, &all.list[i]);
        hit += outcome->hit;
    }
    free(all.list);
    printf("%s: seed %llu: %u of %zu cases, %u hit, %u failed\n", s->name, (unsigned long long)seed,
           tried, all.n, hit, failed);
    CHECK_EQ(failed, 0);
}

static void run_matrix(const struct scenario *s)
{
    static const struct plan dry;
    uint64_t seed = choose_seed();

    outcome = mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                   0);
    CHECK(outcome != MAP_FAILED);
    random_state = seed;
    verbose = getenv("RNTEST_FAULT") != NULL;
    CHECK(try_case(s, &dry));
    CHECK_EQ(outcome->result, 0);
    run_plans(s, seed);
}

#define LIMIT_S 3000

#define SCENARIO_TEST(ident, k, f)                                                                 \
    RN_TEST_TIMEOUT(ident, LIMIT_S)                                                                \
    {                                                                                              \
        run_matrix(&(struct scenario){                                                             \
            .name = #ident, .run = fault_run_##ident, .keeps = (k), .flags = (f)});                \
    }
FAULT_SCENARIOS(SCENARIO_TEST)

/* Who adds a row says how it can fail. */
RN_TEST(every_row_has_its_errnos)
{
    for (int row = 0; row < RN__SYS_COUNT; row++) {
        const struct fault_errnos *e = &fault_errnos[row];

        if (e->man == NULL)
            rntest_fail_at(__FILE__, __LINE__, "%s has no line in errnos.c",
                           rn__sys_name((enum rn__sys_row)row));
        CHECK(e->man[0] != 0);
        for (const int *error = e->pass; *error > 0; error++)
            CHECK(holds(e->man, *error) && !holds(e->never, *error));
        for (const int *error = e->never; *error != 0; error++)
            CHECK(holds(e->man, *error));
    }
}
