/*
 * offload.h - blocking calls on threads of their own
 */
#ifndef RN_TASK_OFFLOAD_H
#define RN_TASK_OFFLOAD_H

#include <stdbool.h>

#define RN__OFFLOAD_MOST 64 /* threads, by default */

/* A runtime begins, or has ended: calls of an earlier one wake nobody any more. True where some are
 * under way that nobody may forget: they write to what was on their coroutine's stack. Under
 * rn__foreign_lock. */
void rn__offload_begin(int most_threads);
bool rn__offload_end(void);

/* How many there are, at work or idle. */
int rn__offload_threads(void);

/* In the child of a fork without a runtime: the threads that were idle are not there. */
void rn__offload_forked(void);

#endif
