/*
 * dump.h - SIGQUIT lists the coroutines
 */
#ifndef RN_TASK_DUMP_H
#define RN_TASK_DUMP_H

void rn__dump_install(void);
void rn__dump_uninstall(void);

#endif
