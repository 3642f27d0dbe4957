/*
 * bufio.h - reading by lines and writing by spoonfuls, with few system calls
 *
 * One coroutine reads and one writes, which may be the same. Nothing is flushed by itself: whoever
 * waits for an answer flushes first.
 */
#ifndef RUNNEL_BUFIO_H
#define RUNNEL_BUFIO_H

#include <runnel/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Two buffers on a connection, which it does not own. It has one owner itself. */
typedef struct rn_bufio rn_bufio;

/* How buffers are set up. All zero is the default. */
typedef struct rn_bufio_options {
    size_t read_bytes;    /* of the read buffer, and so the longest line; 0: 4096 */
    size_t write_bytes;   /* of the write buffer; 0: 4096 */
    void *read_buffer;    /* read_bytes, the caller's until rn_bufio_free; NULL: allocated */
    void *write_buffer;   /* write_bytes, likewise */
    uint64_t reserved[4]; /* zero */
} rn_bufio_options;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_BUFIO_OPTIONS_INIT RN_INIT

/*
 * rn_bufio_new - put buffers on a connection
 *   conn     open stream; stays the caller's, who reads and writes through the buffers from here on
 *   options  NULL for the defaults
 *   ret      the buffers; the caller's to free, before conn is closed
 * Returns 0; -EINVAL a bad option, among them a buffer without its size; -ENOMEM. *ret is untouched
 * on failure.
 * Effects: does not switch. Source: src/net/bufio.c
 */
RN_API int rn_bufio_new(rn_conn *conn, const rn_bufio_options *options, rn_bufio **ret);

/*
 * rn_bufio_free - take the buffers off again
 *   b  the owner's, once; not valid afterwards. NULL is allowed
 * What was read and not asked for goes back to the connection by rn_unread. What was written and
 * not flushed is dropped: flush first.
 * Returns 0; the errors of rn_unread, with which that rest is lost; b is freed in any case.
 * Effects: does not switch. Source: src/net/bufio.c
 */
RN_API int rn_bufio_free(rn_bufio *b);

/* ---- reading ---- */

/*
 * rn_bufio_read - read what is there, or wait for it
 *   b    buffers
 *   buf  room for len bytes
 *   len  bytes, 0..SSIZE_MAX
 * Returns as rn_read: what is buffered, else one read.
 * Effects: as rn_read. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_read(rn_bufio *b, void *buf, size_t len);

/*
 * rn_bufio_read_full - read so many bytes
 *   b, buf  as for rn_bufio_read
 *   len     bytes, 0..SSIZE_MAX
 * Returns len; 0 when the stream ends before the first byte. -RN_EPARTIAL it ends after that; else
 * the errors of rn_read. After an error nothing is consumed, and it may be tried again; -ENOMEM
 * means that this failed, and bytes are lost.
 * Effects: as rn_read. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_read_full(rn_bufio *b, void *buf, size_t len);

/*
 * rn_bufio_read_line - read up to and with the next newline
 *   b      buffers
 *   limit  the most bytes of a line, its newline included; 0, or more than there is room for in the
 *          read buffer: that
 *   ret    the line, in the buffer, until the next call that reads; not terminated by a zero
 * Returns its bytes, newline included; only the last line of a stream may lack one. 0 at the end of
 * the stream. -RN_ELONG no newline within limit; else the errors of rn_read. After an error nothing
 * is consumed; *ret is set only when more than 0 is returned.
 * Effects: as rn_read. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_read_line(rn_bufio *b, size_t limit, const char **ret);

/*
 * rn_bufio_peek - look at bytes without consuming them
 *   b    buffers
 *   n    bytes, 1..read_bytes; waits until they are there
 *   ret  the bytes, in the buffer, until the next call that reads
 * Returns n; less when the stream ends before, 0 at its end. -EINVAL for n out of range; the errors
 * of rn_read. *ret is set only when more than 0 is returned.
 * Effects: as rn_read. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_peek(rn_bufio *b, size_t n, const char **ret);

/*
 * rn_bufio_skip - consume bytes without looking at them
 *   b  buffers
 *   n  bytes, 0..SSIZE_MAX
 * Returns n; less when the stream ends before; the errors of rn_read, after some of them.
 * Effects: as rn_read. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_skip(rn_bufio *b, size_t n);

/*
 * rn_bufio_buffered - how much can be read without a system call
 *   b  buffers
 * Returns bytes that were read from the connection and not asked for yet.
 * Effects: does not switch. Source: src/net/bufio.c
 */
RN_API size_t rn_bufio_buffered(const rn_bufio *b);

/* ---- writing ---- */

/*
 * rn_bufio_write - write, some time
 *   b    buffers
 *   buf  len bytes
 *   len  0..SSIZE_MAX; what does not fit goes out at once, with all that was buffered, as one unit
 * Returns len. The errors of rn_write; the first one is returned by every later write and flush.
 * Effects: as rn_write. Source: src/net/bufio.c
 */
RN_API ssize_t rn_bufio_write(rn_bufio *b, const void *buf, size_t len);

/*
 * rn_bufio_flush - write what is buffered
 *   b  buffers
 * Returns 0; the errors of rn_write, and the first one again, as said there.
 * Effects: as rn_write. Source: src/net/bufio.c
 */
RN_API int rn_bufio_flush(rn_bufio *b);

/*
 * rn_bufio_unflushed - how much waits for a flush
 *   b  buffers
 * Returns bytes; after an error, those that were never sent, or not known to be.
 * Effects: does not switch. Source: src/net/bufio.c
 */
RN_API size_t rn_bufio_unflushed(const rn_bufio *b);

#ifdef __cplusplus
}
#endif

#endif
