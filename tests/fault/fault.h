/*
 * fault.h - a scenario, and what its parts tell the driver
 *
 * scenarios.c and scenarios_more.c have the scenarios, errnos.c what each system call may say,
 * test_fault.c runs the one against the other: see docs/design/faults.md.
 */
#ifndef FAULT_H
#define FAULT_H

#include <runnel/runnel.h>
#include <stddef.h>

#include "base/sys.h"

/*
 * A use of the public API from its beginning to its end: int fault_run_NAME(void), as a coroutine.
 * It checks the data it gets, releases all it took, and fails rather than waits: each of its parts
 * ends the others when it fails. Returns 0 or the error that ended it.
 *
 * X(name, slots in use until the run ends (of signals, and of buffers for copies), flags)
 */
#define FAULT_RECORDS 1  /* keeps the bounds of messages: a cut one loses bytes */
#define FAULT_MAY_PASS 2 /* what it cannot do it leaves out, or does in another way */

#define FAULT_CUT_RECV                                                                             \
    4 /* recv may leave something: not of TCP, net.md: The read that is skipped */

#define FAULT_SCENARIOS(X)                                                                         \
    X(tcp_echo, 0, 0)                                                                              \
    X(unix_echo, 0, FAULT_CUT_RECV)                                                                \
    X(resting_echo, 0, 0)                                                                          \
    X(port_each, 0, 0)                                                                             \
    X(accepting, 0, 0)                                                                             \
    X(unixpacket_echo, 0, FAULT_RECORDS)                                                           \
    X(udp_exchange, 0, FAULT_RECORDS)                                                              \
    X(dial_name, 0, FAULT_MAY_PASS)                                                                \
    X(lookup_libc, 0, 0)                                                                           \
    X(bufio, 0, 0)                                                                                 \
    X(copy_both_ways, 1, 0)                                                                        \
    X(send_file, 1, 0)                                                                             \
    X(linger, 0, FAULT_MAY_PASS)                                                                   \
    X(spawn, 0, 0)                                                                                 \
    X(spawn_and_leave, 0, 0)                                                                       \
    X(signals, 1, 0)                                                                               \
    X(offload, 0, 0)                                                                               \
    X(wait_fd, 0, 0)                                                                               \
    X(conn_from_fd, 0, FAULT_CUT_RECV)                                                             \
    X(hand_on, 0, 0)                                                                               \
    X(explain, 0, FAULT_MAY_PASS)                                                                  \
    X(http_client, 0, 0)                                                                           \
    X(groups_and_channels, 0, 0)                                                                   \
    X(dump_many, 0, 0)

#define FAULT_DECLARE(name, keeps, flags) int fault_run_##name(void);
FAULT_SCENARIOS(FAULT_DECLARE)
#undef FAULT_DECLARE

/* Each error that a part meets and does not return; hands it back. Any thread. */
ssize_t fault_note(ssize_t r);

/* When a scenario counts as hanging. */
rn_time fault_limit(void);

/* Data that were not what was sent. */
#define FAULT_WRONG (-99999)

/* Returns what went wrong, if it did. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        ssize_t r_ = fault_note(call);                                                             \
        if (r_ < 0)                                                                                \
            return (int)r_;                                                                        \
    } while (0)

/* scenarios.c, for scenarios_more.c */
struct fault_flow {
    rn_listener *ln;
    char address[128];
    const char *network;
    rn_group group;
    const void *arg;
};

/* Listens, runs the two as a group and closes the listener. */
int fault_flow(const char *network, const char *address, int (*server)(void *flow),
               int (*client)(void *flow), const void *arg);
int fault_dial(struct fault_flow *f, rn_conn **ret);
void fault_fill(char *buf, size_t len, unsigned seed);
int fault_check(const char *buf, size_t len, unsigned seed); /* 0, FAULT_WRONG */
int fault_read_full(rn_conn *c, char *buf, size_t len);
int fault_expect_end(rn_conn *c);
int fault_file(size_t len); /* a descriptor of a nameless file with fault_fill(0) */

/* What a row may fail with. Lists end with 0. */
struct fault_errnos {
    const int *man;   /* what its man page lists */
    const int *pass;  /* of these: what runnel may outlive unnoticed, and that is right */
    const int *never; /* of these: what is not injected, for the kernel cannot say it here */
};

extern const struct fault_errnos fault_errnos[RN__SYS_COUNT];

#endif
