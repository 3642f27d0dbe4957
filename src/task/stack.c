/*
 * stack.c - slabs of guarded stacks and their control blocks
 *
 * Owns every slab; `lock` guards the slab list, the central free lists and the cutting of new
 * stacks. Slabs are only unmapped by rn__stack_free_all. See stack.h for the layout.
 */
#include "task/stack.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/sys.h"
#include "task/iowait.h"
#include "task/proc.h"
#include "task/wait.h"

#ifdef RN_VALGRIND
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(from, to) 0U
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#define RUNNING_ON_VALGRIND 0
#endif

/* It shows one frame only where the end of the stack is nearer than this. */
#define VALGRIND_NEAR_END 512

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; older headers lack it */
#endif

#define SLAB_BYTES ((size_t)16 << 20)
#define SLAB_STACKS 64U
#define GUARD_MOST ((size_t)64 << 10)

/* A P keeps this many stacks of a class with their pages; what is above goes to the centre, and its
 * pages to the kernel. */
#define CACHE_KEEP 1024U

/* Where coroutines start on one P and end on another, their stacks come back by way of the centre,
 * with their pages: a P that has more than so many puts a batch there while there is room, one that
 * has none takes a batch. */
#define CACHE_PASS 128U
#define CENTRE_KEEP 256U
#define BATCH 64U

/* So many where nothing has run for a while. */
#define CACHE_QUIET 16U

/* Mappings left for the rest of the process when guards cost two each. */
#define MAPS_RESERVED 4096

struct slab {
    _Atomic(struct slab *) next; /* [C] once published; read by the fault handler */
    char *base;                  /* [C] */
    uint32_t size_class;         /* [C] */
    uint32_t n;                  /* [C] stacks that fit */
    _Atomic uint32_t cut;        /* [L] stacks made so far */
    unsigned valgrind_ids[SLAB_STACKS];
    struct rn__coro coros[SLAB_STACKS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct slab *) slabs;                  /* [L] to write */
static struct slab *given_up;                         /* [L] see rn__stack_free_all */
static struct slab *cutting[RN__STACK_CLASSES];       /* [L] the slab with room */
static struct rn__stack_cache centre;                 /* [L] without their pages */
static struct rn__stack_cache warm;                   /* [L] the centre's, with their pages */
static _Atomic uint32_t n_warm[RN__STACK_CLASSES];    /* [L] to write: warm.n */
static enum { UNKNOWN, MARKERS, MAPPINGS } guard_way; /* [L] */
static bool pretend_no_markers;                       /* [L] */
static long guards_left;                              /* [L] by mprotect */
static long map_limit;                                /* [L] what vm.max_map_count said */

int rn__stack_class(size_t stack_bytes)
{
    unsigned bits = RN__STACK_MIN_BITS;

    if (stack_bytes > (size_t)1 << RN__STACK_MAX_BITS)
        return -EINVAL;
    while (((size_t)1 << bits) < stack_bytes)
        bits++;
    return (int)(bits - RN__STACK_MIN_BITS);
}

size_t rn__stack_bytes(unsigned size_class)
{
    return (size_t)1 << (size_class + RN__STACK_MIN_BITS);
}

size_t rn__stack_guard(unsigned size_class)
{
    size_t quarter = rn__stack_bytes(size_class) / 4;

    return quarter < GUARD_MOST ? quarter : GUARD_MOST;
}

static long read_map_limit(void)
{
    char text[32] = "";
    int fd = rn__sys_openat(AT_FDCWD, "/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC, 0);

    if (fd >= 0) {
        (void)rn__sys_read(fd, text, sizeof text - 1);
        (void)rn__sys_close(fd);
    }
    return strtol(text, NULL, 10);
}

/* Guards by mprotect split the mapping: two more for each stack. */
static void count_mappings(void)
{
    map_limit = read_map_limit();
    if (map_limit <= 0)
        map_limit = 65530; /* the kernel's default */
    guards_left = map_limit > MAPS_RESERVED ? (map_limit - MAPS_RESERVED) / 2 : 0;
    guard_way = MAPPINGS;
}

static int guard_by_mapping(char *low, size_t bytes)
{
    int r;

    if (guards_left == 0) {
        rn__log("no more guarded stacks: vm.max_map_count is %ld; "
                "raise it with: sysctl -w vm.max_map_count=%ld",
                map_limit, map_limit * 4);
        return -ENOMEM;
    }
    r = rn__sys_mprotect(low, bytes, PROT_NONE);
    if (r == 0)
        guards_left--;
    return r;
}

/* 0 where the marker stands and works. qemu-user answers 0 to advice that it does not know, so the
 * first one is tried by a call that the kernel answers there, and that valgrind does not look into:
 * a limit that cannot be written is EFAULT. */
static int guard_by_marker(char *low, size_t bytes)
{
    int r = pretend_no_markers ? -EINVAL : rn__sys_madvise(low, bytes, MADV_GUARD_INSTALL);

    if (r == 0 && guard_way == UNKNOWN) {
        if (rn__sys_prlimit(RLIMIT_CORE, NULL, low) != -EFAULT)
            return -EINVAL;
        guard_way = MARKERS;
    }
    return r;
}

static int install_guard(char *low, size_t bytes)
{
    if (guard_way != MAPPINGS) {
        int r = guard_by_marker(low, bytes);

        if (r != -EINVAL)
            return r;
        count_mappings();
    }
    return guard_by_mapping(low, bytes);
}

static int make_slab(unsigned size_class, struct slab **ret)
{
    size_t bytes = rn__stack_bytes(size_class), fit = SLAB_BYTES / bytes;
    struct slab *s = rn__calloc(1, sizeof *s);
    void *base;
    int r;

    if (s == NULL)
        return -ENOMEM;
    s->n = fit > SLAB_STACKS ? SLAB_STACKS : fit == 0 ? 1 : (uint32_t)fit;
    r = rn__sys_mmap(s->n * bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_STACK, &base);
    if (r < 0) {
        rn__free(s);
        return r;
    }
    /* Advice: a kernel without huge pages says EINVAL, and is right. */
    (void)rn__sys_madvise(base, s->n * bytes, MADV_NOHUGEPAGE);
    s->base = base;
    s->size_class = size_class;
    atomic_store(&s->next, atomic_load(&slabs));
    atomic_store(&slabs, s);
    *ret = s;
    return 0;
}

/* Cuts the next stack off the class's slab. */
static int cut(unsigned size_class, struct rn__coro **ret)
{
    size_t bytes = rn__stack_bytes(size_class), guard = rn__stack_guard(size_class);
    struct slab *s = cutting[size_class];
    struct rn__coro *co;
    uint32_t i;
    char *low;
    int r;

    if (s == NULL || s->cut == s->n) {
        r = make_slab(size_class, &s);
        if (r < 0)
            return r;
        cutting[size_class] = s;
    }
    i = s->cut;
    low = s->base + i * bytes;
    r = install_guard(low, guard);
    if (r < 0)
        return r;
    co = &s->coros[i];
    co->size_class = (uint8_t)size_class;
    /* Nobody has touched it; of many, one in a slab is enough. */
    co->measured = i == 0 || atomic_load(&s->next) == NULL;
    /* Tops at the same offset of each page would share one cache set: stagger them. */
    co->top = low + bytes - (size_t)(i % 16) * RN_CACHE_LINE;
    if (RUNNING_ON_VALGRIND)
        co->top -= VALGRIND_NEAR_END;
    rn__san_create(&co->san);
    rn__san_set_stack(&co->san, low + guard, bytes - guard);
    s->valgrind_ids[i] = VALGRIND_STACK_REGISTER(low + guard, low + bytes);
    atomic_store(&s->cut, i + 1);
    *ret = co;
    return 0;
}

static struct rn__coro *take(struct rn__stack_cache *cache, unsigned size_class)
{
    struct rn__snode *n = rn__fifo_pop(&cache->free[size_class]);

    if (n == NULL)
        return NULL;
    cache->n[size_class]--;
    return RN_CONTAINER(n, struct rn__coro, link);
}

/* At most so many, and whatever moves to or from the warm ones goes by here. */
static void move(struct rn__stack_cache *from, struct rn__stack_cache *to, unsigned size_class,
                 uint32_t most)
{
    struct rn__coro *co;

    for (uint32_t i = 0; i < most && (co = take(from, size_class)) != NULL; i++)
        rn__stack_put(to, co);
    atomic_store_explicit(&n_warm[size_class], warm.n[size_class], memory_order_relaxed);
}

static __attribute__((noinline)) int get_central(struct rn__stack_cache *cache, unsigned size_class,
                                                 struct rn__coro **ret)
{
    struct rn__stack_cache *from = cache != NULL ? cache : &centre;
    struct rn__coro *co;
    int r = 0;

    pthread_mutex_lock(&lock);
    move(&warm, from, size_class, cache != NULL ? BATCH : 1);
    co = take(from, size_class);
    if (co == NULL)
        co = take(&centre, size_class);
    if (co != NULL)
        *ret = co;
    else
        r = cut(size_class, ret);
    pthread_mutex_unlock(&lock);
    if (r < 0 && r != -ENOMEM) /* EAGAIN: locked memory has its limit; a seccomp filter's EPERM */
        rn__log("no stack: %s", rn_strerror(r));
    return r < 0 ? -ENOMEM : 0;
}

int rn__stack_get(struct rn__stack_cache *cache, unsigned size_class, struct rn__coro **ret)
{
    struct rn__coro *co = cache == NULL ? NULL : take(cache, size_class);

    if (RN_UNLIKELY(co == NULL))
        return get_central(cache, size_class, ret);
    *ret = co;
    return 0;
}

static void trim_class(struct rn__stack_cache *cache, unsigned size_class, uint32_t keep)
{
    size_t usable = rn__stack_bytes(size_class) - rn__stack_guard(size_class);

    while (cache->n[size_class] > keep) {
        struct rn__coro *co = take(cache, size_class);
        uintptr_t end = ((uintptr_t)co->top + 4095) & ~(uintptr_t)4095;

        (void)rn__sys_madvise((void *)(end - usable), usable, MADV_DONTNEED);
        pthread_mutex_lock(&lock);
        rn__stack_put(&centre, co);
        pthread_mutex_unlock(&lock);
    }
}

static void pass_on(struct rn__stack_cache *cache, unsigned size_class)
{
    pthread_mutex_lock(&lock);
    if (warm.n[size_class] + BATCH <= CENTRE_KEEP)
        move(cache, &warm, size_class, BATCH);
    pthread_mutex_unlock(&lock);
}

void rn__stack_trim(struct rn__stack_cache *cache)
{
    for (unsigned c = 0; c < RN__STACK_CLASSES; c++) {
        if (RN_LIKELY(cache->n[c] <= CACHE_PASS))
            continue;
        if (atomic_load_explicit(&n_warm[c], memory_order_relaxed) + BATCH <= CENTRE_KEEP)
            pass_on(cache, c);
        trim_class(cache, c, CACHE_KEEP);
    }
}

void rn__stack_give_back(struct rn__stack_cache *cache)
{
    for (unsigned c = 0; c < RN__STACK_CLASSES; c++) {
        if (atomic_load_explicit(&n_warm[c], memory_order_relaxed) > 0) {
            pthread_mutex_lock(&lock);
            move(&warm, cache, c, CENTRE_KEEP);
            pthread_mutex_unlock(&lock);
        }
        trim_class(cache, c, CACHE_QUIET);
    }
}

void rn__stack_each(void (*fn)(struct rn__coro *co, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    for (struct slab *s = atomic_load(&slabs); s != NULL; s = atomic_load(&s->next))
        for (uint32_t i = 0; i < s->cut; i++)
            fn(&s->coros[i], arg);
    pthread_mutex_unlock(&lock);
}

void rn__stack_walk(void (*fn)(struct rn__coro *co, void *arg), void *arg)
{
    for (struct slab *s = atomic_load(&slabs); s != NULL; s = atomic_load(&s->next))
        for (uint32_t i = 0, n = atomic_load(&s->cut); i < n; i++)
            fn(&s->coros[i], arg);
}

struct rn__coro *rn__stack_find(const void *at, bool *in_guard)
{
    uintptr_t a = (uintptr_t)at;

    for (struct slab *s = atomic_load(&slabs); s != NULL; s = atomic_load(&s->next)) {
        size_t bytes = rn__stack_bytes(s->size_class);
        uintptr_t base = (uintptr_t)s->base;

        if (a < base || a >= base + s->cut * bytes)
            continue;
        *in_guard = (a - base) % bytes < rn__stack_guard(s->size_class);
        return &s->coros[(a - base) / bytes];
    }
    return NULL;
}

void rn__stack_free_all(bool keep)
{
    struct slab *s, *next;

    pthread_mutex_lock(&lock);
    s = atomic_load(&slabs);
    atomic_store(&slabs, NULL);
    for (; s != NULL; s = next) {
        next = atomic_load(&s->next);
        if (keep) {
            atomic_store(&s->next, given_up);
            given_up = s;
            continue;
        }
        for (uint32_t i = 0; i < s->cut; i++) {
            rn__san_destroy(&s->coros[i].san);
            VALGRIND_STACK_DEREGISTER(s->valgrind_ids[i]);
        }
        rn__san_clear_stack(s->base, s->n * rn__stack_bytes(s->size_class));
        (void)rn__sys_munmap(s->base, s->n * rn__stack_bytes(s->size_class));
        rn__free(s);
    }
    for (unsigned c = 0; c < RN__STACK_CLASSES; c++)
        cutting[c] = NULL;
    centre = warm = (struct rn__stack_cache){0};
    memset(n_warm, 0, sizeof n_warm);
    guard_way = UNKNOWN;
    pthread_mutex_unlock(&lock);
}

void rn__stack_no_markers(bool pretend)
{
    pthread_mutex_lock(&lock);
    pretend_no_markers = pretend;
    guard_way = UNKNOWN;
    pthread_mutex_unlock(&lock);
}

bool rn__stack_has_markers(void)
{
    void *at;
    bool yes = false;

    pthread_mutex_lock(&lock);
    if (rn__sys_mmap(4096, PROT_READ | PROT_WRITE, 0, &at) == 0) {
        guard_way = UNKNOWN;
        yes = guard_by_marker(at, 4096) == 0;
        guard_way = UNKNOWN; /* whoever comes next tries for itself */
        (void)rn__sys_munmap(at, 4096);
    }
    pthread_mutex_unlock(&lock);
    return yes;
}

/* ---- for gdb ---- */

/* What tools/gdb/runnel-gdb.py needs to know where no debug information says it: it finds this by
 * its name, also in a stripped shared library. The order is the script's; a change is a new
 * version. */
struct rn__gdb_layout {
    char magic[8];
    uint64_t version;
    const void *slabs, *runtime, *io_interrupt, *wait_interrupt;
    uint64_t slab_next, slab_cut, slab_coros, coro_size;
    uint64_t sp, proc, state, wait, wait_obj, id, name, site;
    uint64_t kind_name, kind_interrupt, io_fd, wait_of;
    uint64_t n_procs, procs, proc_current, proc_index, proc_tid;
};

RN_API extern const struct rn__gdb_layout rn__gdb_layout;
const struct rn__gdb_layout rn__gdb_layout = {
    .magic = "runnel",
    .version = 1,
    .slabs = &slabs,
    .runtime = &rn__runtime,
    .io_interrupt = (const void *)rn__iowait_interrupt,
    .wait_interrupt = (const void *)rn__wait_interrupt,
    .slab_next = offsetof(struct slab, next),
    .slab_cut = offsetof(struct slab, cut),
    .slab_coros = offsetof(struct slab, coros),
    .coro_size = sizeof(struct rn__coro),
    .sp = offsetof(struct rn__coro, sp),
    .proc = offsetof(struct rn__coro, proc),
    .state = offsetof(struct rn__coro, state),
    .wait = offsetof(struct rn__coro, wait),
    .wait_obj = offsetof(struct rn__coro, wait_obj),
    .id = offsetof(struct rn__coro, id),
    .name = offsetof(struct rn__coro, name),
    .site = offsetof(struct rn__coro, site),
    .kind_name = offsetof(struct rn__wait_kind, name),
    .kind_interrupt = offsetof(struct rn__wait_kind, interrupt),
    .io_fd = offsetof(struct rn__iowait, fd),
    .wait_of = offsetof(struct rn__wait, of),
    .n_procs = offsetof(struct rn__runtime, n_procs),
    .procs = offsetof(struct rn__runtime, procs),
    .proc_current = offsetof(struct rn__proc, front.current),
    .proc_index = offsetof(struct rn__proc, index),
    .proc_tid = offsetof(struct rn__proc, tid),
};
