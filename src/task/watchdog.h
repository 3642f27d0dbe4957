/*
 * watchdog.h - names the coroutine that does not let others run
 */
#ifndef RN_TASK_WATCHDOG_H
#define RN_TASK_WATCHDOG_H

#include <runnel/base.h>

struct rn__runtime;

/* Watches the Ps of rt, all of which exist. 0, or why there is no thread for it. */
int rn__watchdog_begin(struct rn__runtime *rt, rn_time limit_ns);

/* Harmless where it has not begun. */
void rn__watchdog_end(void);

/* 1 while it watches, else 0. */
int rn__watchdog_threads(void);

/* Each P's thread, once, before its first coroutine. */
void rn__watchdog_adopt_thread(void);

#endif
