/*
 * copy.h - from one connection, or a file, to another connection, by the shortest way
 *
 * A proxy is two copies, each of which passes the end of its stream on:
 *
 *     up:    rn_copy(server, client, NULL), then rn_close_write(server)
 *     down:  rn_copy(client, server, NULL), then rn_close_write(client)
 *
 * in two coroutines; one that failed cancels both connections, and so ends the other. They are
 * closed when both have returned: see examples/proxy.c.
 */
#ifndef RUNNEL_COPY_H
#define RUNNEL_COPY_H

#include <runnel/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whose error ended a copy. */
enum rn_copy_side {
    RN_COPY_NEITHER = 0, /* no error, or want of memory */
    RN_COPY_SRC,         /* reading: what rn_read would have said */
    RN_COPY_DST          /* writing: what rn_write would have said */
};

/* What a copy did, in bytes. */
typedef struct rn_copy_report {
    int64_t bytes;         /* handed to dst's kernel: the sum of the next three */
    int64_t by_read_write; /* through a buffer */
    int64_t by_splice;     /* through a pipe, or right out of one or into one */
    int64_t by_sendfile;   /* from the page cache */
    int64_t lost;          /* read from src, and not handed to dst when that failed; then dst is
                              poisoned as by a write that failed half-way */
    int failed;            /* an enum rn_copy_side */
    uint64_t reserved[4];  /* zero */
} rn_copy_report;

/*
 * rn_copy - copy until the end of the stream
 *   dst     open stream; each piece of what arrives is one unit among its writers
 *   src     open stream without a reader; may be dst. The copy is its reader until it returns
 *   report  filled in any case; NULL: none
 * Unread bytes go first. Small pieces are read and written, because that costs less; where the
 * buffer fills again and again it goes on with splice, if both are sockets or pipes, and comes back
 * when the pieces become small. A copy that waits for src holds neither buffer nor pipe. A message
 * of a packet socket is one piece, cut to 64 KiB.
 * Returns the bytes copied. On failure the errors of rn_read on src, or of rn_write on dst, and the
 * report tells whose it is; -EBUSY src has a reader; -ENOMEM.
 * Effects: as said in net.h. Ends neither stream and closes nothing. A cancel of either connection
 * ends it; both must stay open until it has returned. Source: src/net/copy.c
 */
RN_API ssize_t rn_copy(rn_conn *dst, rn_conn *src, rn_copy_report *report);

/*
 * rn_copy_n - copy so many bytes
 *   dst, src  as for rn_copy
 *   n         bytes, 0..SSIZE_MAX; what comes after them stays unread in src
 *   report    as for rn_copy
 * Returns n, or less where the stream ended before; errors as rn_copy; -EINVAL for n out of range.
 * Effects: as rn_copy. Source: src/net/copy.c
 */
RN_API ssize_t rn_copy_n(rn_conn *dst, rn_conn *src, size_t n, rn_copy_report *report);

/*
 * rn_copy_file - rn_send_file, and what became of it
 *   dst                  open stream: a socket, pipe or terminal; queues with other writers
 *   fd, offset, len      as for rn_send_file
 *   report               filled in any case; NULL: none
 * Returns as rn_send_file. Of what was sent before an error the report knows how much dst's kernel
 * has taken.
 * Effects: as rn_send_file. Source: src/net/sendfile.c
 */
RN_API ssize_t rn_copy_file(rn_conn *dst, int fd, off_t offset, size_t len, rn_copy_report *report);

#ifdef __cplusplus
}
#endif

#endif
