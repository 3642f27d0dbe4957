/*
 * interfaces.h - the network interfaces of this machine, and their addresses
 *
 * As Go's net.Interfaces. All is of the moment, and of the network namespace of the caller.
 */
#ifndef RUNNEL_INTERFACES_H
#define RUNNEL_INTERFACES_H

#include <runnel/resolve.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an interface can do, and is doing; the numbers are the kernel's IFF_. */
enum rn_interface_flag {
    RN_IF_UP = 0x1,              /* switched on */
    RN_IF_BROADCAST = 0x2,       /* has a broadcast address */
    RN_IF_LOOPBACK = 0x8,        /* leads back to this machine */
    RN_IF_POINT_TO_POINT = 0x10, /* has one machine at its other end */
    RN_IF_RUNNING = 0x40,        /* can send and receive now: it has a carrier */
    RN_IF_MULTICAST = 0x1000     /* can do multicast */
};

/* A network interface. */
typedef struct rn_interface {
    int index;            /* its number, 1 or more */
    unsigned flags;       /* RN_IF_, or-ed, and whatever else the kernel says */
    int mtu;              /* bytes in a packet */
    char name[16];        /* "eth0" */
    uint8_t hardware[32]; /* its hardware address */
    int hardware_len;     /* bytes of it; 0: it has none */
    uint64_t reserved[4]; /* zero */
} rn_interface;

/* How far an address reaches; the numbers are the kernel's RT_SCOPE_. */
enum rn_address_scope {
    RN_SCOPE_GLOBAL = 0,
    RN_SCOPE_SITE = 200, /* IPv6, fec0::/10 */
    RN_SCOPE_LINK = 253, /* the network at that interface */
    RN_SCOPE_HOST = 254  /* this machine */
};

/* An address of an interface. */
typedef struct rn_interface_address {
    rn_ip ip;             /* a link-local IPv6 address has its scope set */
    int index;            /* of the interface that has it */
    int prefix_len;       /* bits of it that are the network's */
    int scope;            /* RN_SCOPE_, or another number of the administrator's. Without netlink it
                           * is what such an address usually has */
    uint64_t reserved[4]; /* zero */
} rn_interface_address;

/*
 * rn_interfaces - list the network interfaces
 *   list  room for n of them; in no order
 *   n     0 or more
 * Returns how many there are, which may be more than n; -EMFILE, -ENOMEM and whatever else
 * socket(2) and netlink(7) say; list is then in no defined state.
 * Effects: may switch coroutines; any thread. Asks by netlink, on a thread of rn_offload since the
 * kernel may keep it waiting; where that is refused, ioctl(2) and /proc/net.
 * Source: src/net/interfaces.c
 */
RN_API int rn_interfaces(rn_interface *list, int n);

/*
 * rn_interface_by_name - look up one network interface
 *   name  "eth0"
 *   ret   filled in
 * Returns 0; -ENODEV there is none; the errors of rn_interfaces. *ret is untouched on failure.
 * Effects: as rn_interfaces. Source: src/net/interfaces.c
 */
RN_API int rn_interface_by_name(const char *name, rn_interface *ret);

/*
 * rn_interface_addresses - list the addresses of this machine
 *   index  of an interface; 0: of all
 *   list   room for n of them; in no order
 *   n      0 or more
 * Returns how many there are, which may be more than n, and 0 where there is no such interface; the
 * errors of rn_interfaces, and list is then in no defined state.
 * Effects: as rn_interfaces. Source: src/net/interfaces.c
 */
RN_API int rn_interface_addresses(int index, rn_interface_address *list, int n);

#ifdef __cplusplus
}
#endif

#endif
