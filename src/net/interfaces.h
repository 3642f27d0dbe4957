/*
 * interfaces.h - a list of interfaces or addresses that is being made
 */
#ifndef RN_NET_INTERFACES_H
#define RN_NET_INTERFACES_H

#include <runnel/interfaces.h>

struct rn__if_list {
    rn_interface *links;         /* either these */
    rn_interface_address *addrs; /* or those are wanted */
    bool want_addrs;
    int room;
    int n;            /* found so far, also where there is no room */
    const char *name; /* links: this one only; NULL: all */
    int index;        /* addrs: of this one only; 0: of all */
};

/* Appends, where it is wanted. */
void rn__if_add_link(struct rn__if_list *l, const rn_interface *i);
void rn__if_add_addr(struct rn__if_list *l, const rn_interface_address *a);
/* A hardware address, unless it is none, or a tunnel's end; type is one of ARPHRD_. */
void rn__if_set_hardware(rn_interface *i, unsigned type, const void *at, size_t len);

/* ifioctl.c: without netlink. Blocks. 0, or -errno. */
int rn__if_by_ioctl(struct rn__if_list *l);

#endif
