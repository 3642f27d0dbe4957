/*
 * spare.h - buffers and pipes for copies, kept for the next one
 */
#ifndef RN_NET_SPARE_H
#define RN_NET_SPARE_H

#include <stdbool.h>
#include <stddef.h>

#define RN__SPARE_BUFFER ((size_t)64 << 10)

/* In a coroutine. NULL: no memory. */
void *rn__spare_buffer(void);
void rn__spare_buffer_back(void *buf);

/* An empty, non-blocking pipe: {read, write}. 0 or the errors of pipe2. */
int rn__spare_pipe(int fds[2]);

/* Not empty: bytes are left in it, which must not reach the next user. It is closed. */
void rn__spare_pipe_back(const int fds[2], bool empty);

#endif
