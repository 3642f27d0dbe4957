/*
 * dump.h - SIGQUIT lists the coroutines
 */
#ifndef RN_TASK_DUMP_H
#define RN_TASK_DUMP_H

void rn__dump_install(void);

/* After rn__runtime is NULL; then nobody looks at the runtime any more. */
void rn__dump_uninstall(void);

#endif
