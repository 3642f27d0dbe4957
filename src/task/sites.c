/*
 * sites.c - how deep the stacks get, by where their coroutines were started
 *
 * A table that only grows, filled by whoever ends a coroutine: open addressing, an entry is claimed
 * by one compare-exchange. Depth is counted in pages: what mincore says is resident.
 */
#include "task/sites.h"

#include <sys/mman.h>

#include "base/sys.h"
#include "task/stack.h"

#define PAGE ((size_t)4096)
#define PAGES_A_LOOK 256

static struct rn__site sites[RN__SITES];

static struct rn__site *find(const void *pc)
{
    size_t h = ((uintptr_t)pc >> 2) * 0x9e3779b97f4a7c15U >> 32;

    for (size_t i = 0; i < RN__SITES; i++) {
        struct rn__site *s = &sites[(h + i) % RN__SITES];
        const void *there = NULL;

        if (atomic_load(&s->pc) == pc || atomic_compare_exchange_strong(&s->pc, &there, pc) ||
            there == pc)
            return s;
    }
    return NULL;
}

/* The stack's usable part; its top may be staggered within the last page. */
static char *usable(const struct rn__coro *co, size_t *len)
{
    uintptr_t end = ((uintptr_t)co->top + PAGE - 1) & ~(PAGE - 1);

    *len = rn__stack_bytes(co->size_class) - rn__stack_guard(co->size_class);
    return (char *)(end - *len);
}

void rn__site_prepare(struct rn__coro *co)
{
    size_t len;
    char *low = usable(co, &len);

    /* But for the page that every start writes to. */
    co->measured = rn__sys_madvise(low, len - PAGE, MADV_DONTNEED) == 0;
}

/* Bytes from the top down to the lowest page that has been touched. */
static size_t depth(const struct rn__coro *co)
{
    unsigned char resident[PAGES_A_LOOK];
    size_t len, at = 0;
    char *low = usable(co, &len);

    while (at < len) {
        size_t n = len - at < PAGES_A_LOOK * PAGE ? len - at : PAGES_A_LOOK * PAGE;

        if (rn__sys_mincore(low + at, n, resident) < 0)
            return 0;
        for (size_t i = 0; i < n / PAGE; i++)
            if (resident[i] & 1)
                return len - at - i * PAGE;
        at += n;
    }
    return 0;
}

void rn__site_measure(const struct rn__coro *co)
{
    struct rn__site *s = find(co->site);
    size_t now = depth(co);
    uint64_t deepest;

    if (s == NULL || now == 0)
        return;
    atomic_fetch_add(&s->measured, 1);
    deepest = atomic_load(&s->deepest);
    while (now > deepest && !atomic_compare_exchange_weak(&s->deepest, &deepest, now))
        ;
}

void rn__sites_each(void (*fn)(const struct rn__site *s, void *arg), void *arg)
{
    for (size_t i = 0; i < RN__SITES; i++)
        if (atomic_load(&sites[i].pc) != NULL && atomic_load(&sites[i].measured) > 0)
            fn(&sites[i], arg);
}

void rn__sites_reset(void)
{
    for (size_t i = 0; i < RN__SITES; i++) {
        atomic_store(&sites[i].pc, NULL);
        atomic_store(&sites[i].measured, 0);
        atomic_store(&sites[i].deepest, 0);
    }
}
