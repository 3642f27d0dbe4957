/*
 * netlink.h - lists that the kernel gives out by netlink
 */
#ifndef RN_NET_NETLINK_H
#define RN_NET_NETLINK_H

#include <linux/netlink.h>

/*
 * Sends a request of NLM_F_DUMP and calls `each` for every message of the answer, until it returns
 * below 0. Does not wait: the kernel makes the answer while it is read. 0; 1: something changed
 * meanwhile, and the list may be inconsistent; -errno, each's result too.
 */
int rn__netlink_dump(int protocol, const struct nlmsghdr *request,
                     int (*each)(const struct nlmsghdr *m, void *arg), void *arg);

#endif
