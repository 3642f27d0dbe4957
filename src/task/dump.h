/*
 * dump.h - SIGQUIT lists the coroutines
 */
#ifndef RN_TASK_DUMP_H
#define RN_TASK_DUMP_H

struct rn__runtime;

/* All Ps are quiet: reports, once in a runtime's life, where nothing can ever wake a coroutine. */
void rn__asleep_check(struct rn__runtime *rt);

/* All coroutines, as lines of the log. */
void rn__dump_to_log(struct rn__runtime *rt);

void rn__dump_install(void);

/* After rn__runtime is NULL; then nobody looks at the runtime any more. */
void rn__dump_uninstall(void);

#endif
