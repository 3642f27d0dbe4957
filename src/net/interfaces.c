/*
 * interfaces.c - interfaces and their addresses, by netlink
 *
 * The kernel makes the lists while it holds the lock of its network configuration, for which it may
 * have to wait: on a P that is offloaded. A list that changed while it was read is read again.
 */
#include "net/interfaces.h"

#include <linux/rtnetlink.h>
#include <linux/if_arp.h>
#include <string.h>

#include "net/net.h"
#include "net/netlink.h"
#include <runnel/task.h>

#define TRIES 4

/* ---- one entry ---- */

void rn__if_add_link(struct rn__if_list *l, const rn_interface *i)
{
    if (l->name != NULL && strcmp(l->name, i->name) != 0)
        return;
    if (l->n < l->room)
        l->links[l->n] = *i;
    l->n++;
}

void rn__if_add_addr(struct rn__if_list *l, const rn_interface_address *a)
{
    if (l->index != 0 && l->index != a->index)
        return;
    if (l->n < l->room)
        l->addrs[l->n] = *a;
    l->n++;
}

void rn__if_set_hardware(rn_interface *i, unsigned type, const void *at, size_t len)
{
    static const uint8_t zeros[sizeof i->hardware];

    switch (type) {
    case ARPHRD_TUNNEL: /* the "hardware" address of these is an IP address */
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE:
        return;
    default:
        break;
    }
    if (len > sizeof i->hardware || memcmp(at, zeros, len) == 0)
        return;
    memcpy(i->hardware, at, len);
    i->hardware_len = (int)len;
}

/* ---- netlink ---- */

static int take_link(const struct nlmsghdr *h, struct rn__if_list *l)
{
    const struct ifinfomsg *m = NLMSG_DATA(h);
    rn_interface i = {.index = 0};
    size_t len;

    if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return 0;
    i.index = m->ifi_index;
    i.flags = m->ifi_flags;
    len = IFLA_PAYLOAD(h);
    for (const struct rtattr *a = IFLA_RTA(m); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
        size_t bytes = RTA_PAYLOAD(a);

        if (a->rta_type == IFLA_IFNAME)
            (void)strncpy(i.name, RTA_DATA(a), bytes < sizeof i.name ? bytes : sizeof i.name - 1);
        else if (a->rta_type == IFLA_MTU && bytes == sizeof i.mtu)
            memcpy(&i.mtu, RTA_DATA(a), sizeof i.mtu);
        else if (a->rta_type == IFLA_ADDRESS)
            rn__if_set_hardware(&i, m->ifi_type, RTA_DATA(a), bytes);
    }
    rn__if_add_link(l, &i);
    return 0;
}

static int take_addr(const struct nlmsghdr *h, struct rn__if_list *l)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    rn_interface_address a = {.index = 0};
    const struct rtattr *own = NULL;
    size_t len, bytes;

    if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return 0;
    if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
        return 0;
    len = IFA_PAYLOAD(h);
    /* Where there are both, IFA_ADDRESS is the other end's. */
    for (const struct rtattr *t = IFA_RTA(m); RTA_OK(t, len); t = RTA_NEXT(t, len))
        if (t->rta_type == IFA_LOCAL || (t->rta_type == IFA_ADDRESS && own == NULL))
            own = t;
    bytes = m->ifa_family == AF_INET ? 4 : 16;
    if (own == NULL || RTA_PAYLOAD(own) != bytes)
        return 0;
    a.index = (int)m->ifa_index;
    a.prefix_len = m->ifa_prefixlen;
    a.scope = m->ifa_scope;
    a.ip.family = m->ifa_family == AF_INET ? 4 : 6;
    memcpy(a.ip.bytes, RTA_DATA(own), bytes);
    if (bytes == 16 && a.ip.bytes[0] == 0xfe && (a.ip.bytes[1] & 0xc0) == 0x80) /* fe80::/10 */
        a.ip.scope = m->ifa_index;
    rn__if_add_addr(l, &a);
    return 0;
}

static int take_message(const struct nlmsghdr *h, void *arg)
{
    struct rn__if_list *l = arg;

    return l->want_addrs ? take_addr(h, l) : take_link(h, l);
}

static int by_netlink(struct rn__if_list *l)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = l->want_addrs ? RTM_GETADDR : RTM_GETLINK,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body = {.rtgen_family = AF_UNSPEC}};
    int r = 1;

    for (int i = 0; i < TRIES && r == 1; i++) {
        l->n = 0;
        r = rn__netlink_dump(NETLINK_ROUTE, &request.head, take_message, l);
    }
    return r < 0 ? r : 0; /* one that changes all the time is taken as it comes */
}

static int make(void *arg)
{
    struct rn__if_list *l = arg;
    int r = by_netlink(l);

    /* Refused, by a sandbox or for want of it in this kernel. */
    if (r == -EPERM || r == -EACCES || r == -EAFNOSUPPORT || r == -EPROTONOSUPPORT) {
        l->n = 0;
        r = rn__if_by_ioctl(l);
    }
    return r < 0 ? r : l->n;
}

/* ---- calls ---- */

static int list(struct rn__if_list *l)
{
    return rn__self() == NULL ? make(l) : rn_offload(make, l, NULL);
}

int rn_interfaces(rn_interface *links, int n)
{
    struct rn__if_list l = {.links = links, .room = n};

    return n < 0 ? -EINVAL : list(&l);
}

int rn_interface_by_name(const char *name, rn_interface *ret)
{
    rn_interface one;
    struct rn__if_list l = {.links = &one, .room = 1, .name = name};
    int r = list(&l);

    if (r <= 0)
        return r < 0 ? r : -ENODEV;
    *ret = one;
    return 0;
}

int rn_interface_addresses(int index, rn_interface_address *addrs, int n)
{
    struct rn__if_list l = {.addrs = addrs, .want_addrs = true, .room = n, .index = index};

    return n < 0 || index < 0 ? -EINVAL : list(&l);
}
