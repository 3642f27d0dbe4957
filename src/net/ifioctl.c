/*
 * ifioctl.c - interfaces and their addresses, where netlink is refused
 *
 * SIOCGIFCONF knows IPv4 only, and no interface without it; /proc/net has the others.
 */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/mem.h"
#include "base/sys.h"
#include "net/interfaces.h"
#include "net/procfs.h"

#define LIST_MOST (1 << 20)
#define SPARE 8 /* addresses that come while the list is made */

/* /proc/net/if_inet6 has the kernel's IPV6_ADDR_ numbers. */
#define INET6_LOOPBACK 0x10U
#define INET6_LINK 0x20U
#define INET6_SITE 0x40U

/* ---- interfaces ---- */

/* False where it is gone by now. */
static bool fill_link(int fd, const char *name, rn_interface *i)
{
    struct ifreq q = {0};

    memcpy(q.ifr_name, name, strlen(name));
    memcpy(i->name, name, strlen(name));
    if (rn__sys_ioctl(fd, SIOCGIFINDEX, &q) < 0)
        return false;
    i->index = q.ifr_ifindex;
    if (rn__sys_ioctl(fd, SIOCGIFFLAGS, &q) < 0)
        return false;
    i->flags = (unsigned short)q.ifr_flags;
    if (rn__sys_ioctl(fd, SIOCGIFMTU, &q) < 0)
        return false;
    i->mtu = q.ifr_mtu;
    /* Longer ones than an Ethernet's fit only in part: those are left out. */
    if (rn__sys_ioctl(fd, SIOCGIFHWADDR, &q) == 0 && q.ifr_hwaddr.sa_family == ARPHRD_ETHER)
        rn__if_set_hardware(i, q.ifr_hwaddr.sa_family, q.ifr_hwaddr.sa_data, 6);
    return true;
}

/* Two lines of headings, then "  eth0: 1 2 3..." each. */
static int list_links(int fd, struct rn__if_list *l)
{
    char *text = rn__proc_read("/proc/net/dev", LIST_MOST), *save, *line;

    if (text == NULL)
        return -ENOENT;
    for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *name = line + strspn(line, " "), *end = strrchr(name, ':');
        rn_interface i = {.index = 0};

        if (end == NULL || (size_t)(end - name) >= sizeof i.name)
            continue;
        *end = '\0';
        if (fill_link(fd, name, &i))
            rn__if_add_link(l, &i);
    }
    rn__free(text);
    return 0;
}

/* ---- IPv4 ---- */

static int prefix_of(const struct sockaddr *mask)
{
    return __builtin_popcount(((const struct sockaddr_in *)(const void *)mask)->sin_addr.s_addr);
}

static int scope_of(const uint8_t ip[4])
{
    if (ip[0] == 127)
        return RN_SCOPE_HOST;
    return ip[0] == 169 && ip[1] == 254 ? RN_SCOPE_LINK : RN_SCOPE_GLOBAL;
}

/* q is as SIOCGIFCONF has it: a name, perhaps "eth0:1", and an address, which find the mask. */
static void add_inet(int fd, const struct ifreq *q, struct rn__if_list *l)
{
    rn_interface_address a = {.ip.family = 4};
    struct ifreq mask = *q, index = *q;

    if (q->ifr_addr.sa_family != AF_INET || rn__sys_ioctl(fd, SIOCGIFNETMASK, &mask) < 0 ||
        rn__sys_ioctl(fd, SIOCGIFINDEX, &index) < 0)
        return;
    a.index = index.ifr_ifindex;
    a.prefix_len = prefix_of(&mask.ifr_netmask);
    memcpy(a.ip.bytes, &((const struct sockaddr_in *)(const void *)&q->ifr_addr)->sin_addr, 4);
    a.scope = scope_of(a.ip.bytes);
    rn__if_add_addr(l, &a);
}

static int list_inet(int fd, struct rn__if_list *l)
{
    struct ifconf c = {.ifc_buf = NULL};
    int r = rn__sys_ioctl(fd, SIOCGIFCONF, &c); /* how many bytes */

    if (r < 0)
        return r;
    c.ifc_len += SPARE * (int)sizeof(struct ifreq);
    c.ifc_buf = rn__malloc((size_t)c.ifc_len);
    if (c.ifc_buf == NULL)
        return -ENOMEM;
    r = rn__sys_ioctl(fd, SIOCGIFCONF, &c);
    for (size_t i = 0; r == 0 && i < (size_t)c.ifc_len / sizeof(struct ifreq); i++)
        add_inet(fd, &c.ifc_req[i], l);
    rn__free(c.ifc_buf);
    return r;
}

/* ---- IPv6 ---- */

static int scope6_of(unsigned kind)
{
    return kind & INET6_LOOPBACK ? RN_SCOPE_HOST
           : kind & INET6_LINK   ? RN_SCOPE_LINK
           : kind & INET6_SITE   ? RN_SCOPE_SITE
                                 : RN_SCOPE_GLOBAL;
}

/* Lines "fe800000000000000000000000000001 04 40 20 80 eth0": address, index, prefix, kind, flags. A
 * machine without IPv6 has no such file. */
static void list_inet6(struct rn__if_list *l)
{
    char *text = rn__proc_read("/proc/net/if_inet6", LIST_MOST), *save, *line;

    if (text == NULL)
        return;
    for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        rn_interface_address a = {.ip.family = 6};
        unsigned index, prefix, kind;
        bool good = strlen(line) > 32 && sscanf(line + 32, "%x %x %x", &index, &prefix, &kind) == 3;

        for (size_t i = 0; good && i < 16; i++)
            good = sscanf(line + 2 * i, "%2hhx", &a.ip.bytes[i]) == 1;
        if (!good)
            continue;
        a.index = (int)index;
        a.prefix_len = (int)prefix;
        a.scope = scope6_of(kind);
        a.ip.scope = kind & INET6_LINK ? index : 0;
        rn__if_add_addr(l, &a);
    }
    rn__free(text);
}

/* ---- all of it ---- */

int rn__if_by_ioctl(struct rn__if_list *l)
{
    int fd = rn__sys_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

    if (fd < 0)
        return fd;
    r = l->want_addrs ? list_inet(fd, l) : list_links(fd, l);
    if (r == 0 && l->want_addrs)
        list_inet6(l);
    (void)rn__sys_close(fd);
    return r;
}
