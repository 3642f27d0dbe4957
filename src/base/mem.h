/*
 * mem.h - the one place memory on the heap comes from
 *
 * So that a user can hand in an allocator (rn_run_options.alloc) and a test can make the third
 * allocation fail. The hooks are set before any thread runs and then only read.
 */
#ifndef RN_BASE_MEM_H
#define RN_BASE_MEM_H

#include "base/base.h"

struct rn__mem_hooks {
    void *(*alloc)(void *arg, size_t bytes);
    void *(*realloc)(void *arg, void *ptr, size_t bytes);
    void (*free)(void *arg, void *ptr);
    void *arg;
};

void *rn__malloc(size_t bytes);
void *rn__calloc(size_t n, size_t bytes); /* zeroed; NULL where n * bytes overflows */
void *rn__realloc(void *ptr, size_t bytes);
void rn__free(void *ptr);

/* Past the hooks: for the little that may outlive a runtime, and with it the user's functions. */
void *rn__malloc_lasting(size_t bytes);
void rn__free_lasting(void *ptr);

/* NULL restores malloc(3) and its kin. */
void rn__mem_set_hooks(const struct rn__mem_hooks *hooks);

/* Tests: the nth allocation from now, and the count - 1 after it, return NULL. 0, 0 ends it. */
void rn__mem_fail(unsigned nth, unsigned count);
unsigned rn__mem_failures(void); /* allocations that failed since then, by its word */

#endif
