/*
 * copy.h - a copy from inside: what copy.c and splice.c share
 */
#ifndef RN_NET_COPY_H
#define RN_NET_COPY_H

#include <runnel/copy.h>

#include "net/net.h"

/* One piece, on its way to dst: from memory, or from a pipe of ours. */
struct rn__piece {
    const char *buf; /* NULL: it is in pipe */
    int pipe;
    size_t len, done;
};

struct rn__copy {
    rn_conn *dst, *src;
    size_t left; /* SIZE_MAX, in effect: until the end of the stream */
    bool splices, never_splices;
    unsigned streak; /* of pieces that speak for the other way */
    rn_copy_report report;
};

/* copy.c */
ssize_t rn__copy_fail(struct rn__copy *k, enum rn_copy_side side, ssize_t r);

/* With dst's turn: waits until it takes more. 0 or an error, which is in the report. */
int rn__copy_wait_dst(struct rn__copy *k);

/* All of a piece to dst, as one unit. 0 or an error, which is in the report. */
int rn__copy_deliver(struct rn__copy *k, struct rn__piece *p);

/* Each moves what is there: > 0 bytes; 0 end of stream; -EAGAIN nothing there; an error, which is
 * in the report. */
ssize_t rn__copy_by_buffer(struct rn__copy *k);
ssize_t rn__copy_by_splice(struct rn__copy *k); /* splice.c */

/* splice.c: out of our pipe: as a write that may say -EAGAIN. */
ssize_t rn__splice_out(rn_conn *dst, int pipe, size_t len);

/* Is this what the kernel says to "not with these descriptors", or "not at all"? */
bool rn__splice_refused(ssize_t r);

#endif
