/*
 * dump.h - lists of all coroutines, one by one or by where they are
 */
#ifndef RN_TASK_DUMP_H
#define RN_TASK_DUMP_H

/* Reads what others may change meanwhile: sanitizers are told to look away. */
#define RN__UNCHECKED __attribute__((no_sanitize_address, no_sanitize_thread, noinline))

#define RN__FRAMES_MOST 32

struct rn__coro;
struct rn__runtime;

/* The backtrace of a parked one, innermost first; how many frames. */
int rn__dump_frames(struct rn__coro *co, const void *frames[RN__FRAMES_MOST]);

/* Like rn_dump, with those that are at the same place counted together, the most numerous first,
 * for at most so many places. The runtime must not end meanwhile. Returns 0; -ENOMEM; what write(2)
 * says. */
int rn__dump_groups(int fd, unsigned most);

/* All Ps are quiet: reports, once in a runtime's life, where nothing can ever wake a coroutine. */
void rn__asleep_check(struct rn__runtime *rt);

/* All coroutines, as lines of the log. */
void rn__dump_to_log(struct rn__runtime *rt);

void rn__dump_install(void);

/* After rn__runtime is NULL; then nobody looks at the runtime any more. */
void rn__dump_uninstall(void);

#endif
