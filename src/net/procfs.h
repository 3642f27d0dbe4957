/*
 * procfs.h - what /proc tells
 */
#ifndef RN_NET_PROCFS_H
#define RN_NET_PROCFS_H

#include "base/base.h"

/* The first `most` bytes of a file, with a NUL; the caller's to rn__free. NULL where there is none,
 * or no memory. */
char *rn__proc_read(const char *path, size_t most);

struct rn__holder {
    pid_t pid;     /* the lowest; 0: none was found */
    int processes; /* how many */
    char name[32]; /* of that process */
};

/* Which processes have the socket with that inode open, as far as this one may look. Blocks. */
void rn__proc_find_holder(uint64_t inode, struct rn__holder *ret);

#endif
