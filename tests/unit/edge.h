/*
 * edge.h - bytes whose last one stands before an unreadable page: who reads beyond them is caught
 */
#ifndef EDGE_H
#define EDGE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDGE_LEN ((size_t)256 * 1024)

/* Room for len bytes whose end is the end of readable memory. Each call gives the same room. */
static inline char *edge_alloc(size_t len)
{
    static char *edge;

    if (edge == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *room = mmap(NULL, EDGE_LEN + page, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (room == MAP_FAILED || mprotect(room + EDGE_LEN, page, PROT_NONE) != 0)
            abort();
        edge = room + EDGE_LEN;
    }
    return edge - len;
}

static inline const char *edge_copy(const char *bytes, size_t len)
{
    return len == 0 ? edge_alloc(0) : memcpy(edge_alloc(len), bytes, len);
}

#endif
