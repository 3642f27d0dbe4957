/*
 * log.h - one line to the user's log
 */
#ifndef RN_TASK_LOG_H
#define RN_TASK_LOG_H

/* At most ten lines a second, without newline; any thread. See rn_run_options.log. */
void rn__log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line of a report, whose writer limits itself. */
void rn__log_line(const char *line);

#endif
