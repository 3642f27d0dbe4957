/*
 * symbols.h - names of the program's functions, for backtraces
 *
 * dladdr knows only what is exported: a program's static functions, and its others unless it was
 * linked with -rdynamic, have no names. Their table is in its file, unless that was stripped.
 */
#ifndef RN_TASK_SYMBOLS_H
#define RN_TASK_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct rn__symbols;

/* From an ELF file that lies `base` bytes above its own addresses; NULL: it has none, or there is
 * no memory. Nobody frees one that is in use. */
struct rn__symbols *rn__symbols_read(const char *path, uintptr_t base);
void rn__symbols_free(struct rn__symbols *s);

/* The function at an address, and the offset in it; NULL: not known. */
const char *rn__symbols_find(const struct rn__symbols *s, const void *pc, size_t *offset);

/* Once in a process: those of its own program are known from now on, if they can be. Any thread. */
void rn__symbols_load(void);

/* Likewise of these. A signal handler may call it. */
const char *rn__symbol(const void *pc, size_t *offset);

#endif
