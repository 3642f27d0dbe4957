/*
 * procfs.h - what /proc tells
 */
#ifndef RN_NET_PROCFS_H
#define RN_NET_PROCFS_H

#include "base/base.h"
#include "base/clock.h"

/* The first `most` bytes of a file, with a NUL; the caller's to rn__free. NULL where there is none,
 * or no memory. */
char *rn__proc_read(const char *path, size_t most);

struct rn__holder {
    pid_t pid;     /* the lowest; 0: none was found */
    int processes; /* how many */
    bool late;     /* not all were looked at */
    char name[32]; /* of that process */
};

/* How long the search may take: a machine may have millions of descriptors. Tests set another. */
extern rn_time rn__proc_find_ns;

/* Which processes have the socket with that inode open, as far as this one may look. Blocks. */
void rn__proc_find_holder(uint64_t inode, struct rn__holder *ret);

#endif
