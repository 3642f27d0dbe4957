/*
 * cmd.h - the subcommands of `runnel`, and what they share
 */
#ifndef RN_CMD_CMD_H
#define RN_CMD_CMD_H

#include <runnel/runnel.h>

/* Exit codes: 0 done, 1 failed at run time, 2 called wrongly. */
enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

int cmd_bench(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_echo(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_trace(int argc, char **argv);

/* Handlers of `runnel echo`: until the end of stream; and, for when_readable, one read's worth,
 * then the conn rests again. */
void cmd_echo_conn(rn_conn *conn, void *arg);
void cmd_echo_once(rn_conn *conn, void *arg);

/* One line to standard error, "runnel: " before it. */
void cmd_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* getopt_long, whose complaints begin as cmd_error's, and tell where the command's help is. */
struct option;
int cmd_option(const char *command, int argc, char **argv, const char *shorts,
               const struct option *longs);

/* A whole number within bounds; false, with a message that names the option, where text is none. */
bool cmd_number(const char *option, const char *text, long least, long most, long *ret);

/* "12.3 us", "4.56 s": three digits, in buf. */
const char *cmd_span(uint64_t ns, char buf[static 16]);

/* "host:port", ":port", or a path (anything with a slash, or starting with '@'): the network. */
const char *cmd_network(const char *address);

/* rn_listen, with a line that says why it failed, and who holds the address. A unix socket that
 * nobody listens on any more is replaced. */
int cmd_listen(const char *address, const rn_listen_options *options, rn_listener **ret);

/*
 * SIGINT, SIGTERM: a coroutine that waits for the first and then calls fn; a second one ends the
 * process at once. cmd_block_signals, before rn_run, keeps those that come before there is one.
 * After cmd_end_signals fn is not called, nor being called, any more; harmless where nothing has
 * begun. cmd_fill_signals: the two, for who waits for them without the runtime.
 */
void cmd_fill_signals(sigset_t *set);
void cmd_block_signals(void);
int cmd_on_signal(void (*fn)(int signo, void *arg), void *arg);
void cmd_end_signals(void);

/*
 * The admin address of a command: the pages of <runnel/admin.h> on a listener of their own. Opened
 * in one run of the runtime and served in the next, as serve.c's sockets: cmd_admin_open says, in a
 * line, where they are, or why not; an address that others than this machine reach is refused
 * unless it is to be public; so is a request that names another host. In coroutines.
 */
struct cmd_admin;
int cmd_admin_open(const char *address, bool is_public, int *fd);
int cmd_admin_begin(int fd, bool is_public, struct cmd_admin **ret);
void cmd_admin_draining(struct cmd_admin *a); /* /readyz says so; NULL is allowed */
void cmd_admin_end(struct cmd_admin *a);      /* NULL is allowed */

#endif
