/*
 * message_test.h - what the tests of messages share
 */
#ifndef MESSAGE_TEST_H
#define MESSAGE_TEST_H

#include <sys/socket.h>

#include "base/sys.h"
#include "calls.h"
#include "rntest_coro.h"
#include "task/proc.h"

/* A packet socket, and where it is. A name is this process's own: tests run side by side. */
static inline rn_conn *listen_packet(const char *network, const char *address, rn_addr *at)
{
    rn_conn *c;
    char text[128];

    if (address[0] == '@') {
        snprintf(text, sizeof text, "%s-%d", address, getpid());
        address = text;
    }
    CHECK_OK(rn_listen_packet(network, address, NULL, &c));
    CHECK_OK(rn_local_addr(c, text, sizeof text));
    CHECK_OK(rn_addr_parse(network, text, at));
    rn_set_deadline(c, rn_after(60 * RN_SECOND));
    return c;
}

/* Two ends of a unix connection: "unix" or "unixpacket". */
static inline void unix_pair(const char *network, rn_conn **a, rn_conn **b)
{
    char address[64];
    rn_listener *ln;

    snprintf(address, sizeof address, "@rntest-msg-%d", getpid());
    CHECK_OK(rn_listen(network, address, NULL, &ln));
    CHECK_OK(rn_dial(network, address, NULL, a));
    CHECK_OK(rn_accept(ln, b));
    rn_listener_close(ln);
    rn_set_deadline(*a, rn_after(60 * RN_SECOND));
    rn_set_deadline(*b, rn_after(60 * RN_SECOND));
}

#endif
