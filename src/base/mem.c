/*
 * mem.c - allocation behind hooks, with failures on demand
 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *libc_alloc(void *arg, size_t bytes)
{
    (void)arg;
    return malloc(bytes);
}

static void *libc_realloc(void *arg, void *ptr, size_t bytes)
{
    (void)arg;
    return realloc(ptr, bytes);
}

static void libc_free(void *arg, void *ptr)
{
    (void)arg;
    free(ptr);
}

static const struct rn__mem_hooks libc_hooks = {
    .alloc = libc_alloc, .realloc = libc_realloc, .free = libc_free};

static struct rn__mem_hooks hooks = {
    .alloc = libc_alloc, .realloc = libc_realloc, .free = libc_free}; /* [C] while Ps run */

/* Failures on demand: calls still to pass, then calls to fail. The flag keeps the usual path to
 * one load. */
static atomic_bool fail_set;
static atomic_int fail_after;
static atomic_int fail_count;
static atomic_uint failed;

static bool told_to_fail(void)
{
    if (RN_LIKELY(!atomic_load_explicit(&fail_set, memory_order_relaxed)))
        return false;
    if (atomic_fetch_sub(&fail_after, 1) > 1)
        return false;
    if (atomic_fetch_sub(&fail_count, 1) <= 0)
        return false;
    atomic_fetch_add(&failed, 1);
    return true;
}

void *rn__malloc(size_t bytes)
{
    return told_to_fail() ? NULL : hooks.alloc(hooks.arg, bytes);
}

void *rn__calloc(size_t n, size_t bytes)
{
    size_t total;
    void *ptr;

    if (__builtin_mul_overflow(n, bytes, &total))
        return NULL;
    ptr = rn__malloc(total);
    return ptr == NULL ? NULL : memset(ptr, 0, total);
}

void *rn__realloc(void *ptr, size_t bytes)
{
    return told_to_fail() ? NULL : hooks.realloc(hooks.arg, ptr, bytes);
}

void rn__free(void *ptr)
{
    if (ptr != NULL)
        hooks.free(hooks.arg, ptr);
}

void *rn__malloc_lasting(size_t bytes)
{
    return told_to_fail() ? NULL : malloc(bytes);
}

void rn__free_lasting(void *ptr)
{
    free(ptr);
}

void rn__mem_set_hooks(const struct rn__mem_hooks *set)
{
    hooks = set == NULL ? libc_hooks : *set;
}

void rn__mem_fail(unsigned nth, unsigned count)
{
    atomic_store(&fail_after, (int)nth);
    atomic_store(&fail_count, (int)count);
    atomic_store(&failed, 0);
    atomic_store(&fail_set, nth != 0);
}

unsigned rn__mem_failures(void)
{
    return atomic_load(&failed);
}
