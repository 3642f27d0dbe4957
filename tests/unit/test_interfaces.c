/*
 * test_interfaces.c - interfaces and addresses, as the program ip sees them
 */
#include <arpa/inet.h>
#include <net/if_arp.h>

#include "base/sys.h"
#include "net/interfaces.h"
#include "netns.h"
#include "rntest_coro.h"

#define PAIRS 20 /* so many that netlink needs more than one datagram */
#define ROOM 64

static void run(const char *command)
{
    if (system(command) != 0)
        RN_TEST_SKIP("ip(8) cannot make interfaces here");
}

/* A network with a loopback, a bridge that is down, and pairs of Ethernets. */
static void make_network(void)
{
    static const char *const steps[] = {
        "link set lo up",
        "link add v0 type veth peer name v1",
        "link set v0 addrgenmode none mtu 1400 address 02:00:00:00:00:07 up",
        "link set v1 addrgenmode none up",
        "addr add 198.51.100.1/24 dev v0",
        "addr add 198.51.100.9/32 dev v0 label v0:x",
        "addr add 198.51.100.10/25 dev v0 label v0:x",
        "addr add 198.51.100.129 peer 198.51.100.130/32 dev v1",
        "addr add 169.254.7.7/16 scope link dev v1",
        "addr add 2001:db8::7/64 dev v0 nodad",
        "addr add fe80::7/64 dev v0 nodad",
        "link add br0 type bridge",
    };
    char command[160];

    rntest_new_network();
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        snprintf(command, sizeof command, "ip %s 2>/dev/null", steps[i]);
        run(command);
    }
    snprintf(command, sizeof command,
             "for i in $(seq %d); do echo link add w$i type veth peer name x$i; done | ip -batch -",
             PAIRS);
    run(command);
}

/* ---- what ip says ---- */

static bool same_flag(const char *flags, const char *name, const rn_interface *i, unsigned flag)
{
    return (strstr(flags, name) != NULL) == ((i->flags & flag) != 0);
}

static void check_link(const char *line, const rn_interface *list, int n)
{
    char name[32], flags[128], hardware[32] = "", text[32] = "";
    const char *ether = strstr(line, "link/ether ");
    const rn_interface *i = list;
    int index, mtu;

    CHECK_EQ(sscanf(line, "%d: %31[^:@]%*[^<]<%127[^>]> mtu %d", &index, name, flags, &mtu), 4);
    while (i < list + n && i->index != index)
        i++;
    CHECK(i < list + n);
    CHECK_STR(i->name, name);
    CHECK_EQ(i->mtu, mtu);
    CHECK(same_flag(flags, "LOOPBACK", i, RN_IF_LOOPBACK));
    CHECK(same_flag(flags, "BROADCAST", i, RN_IF_BROADCAST));
    CHECK(same_flag(flags, "MULTICAST", i, RN_IF_MULTICAST));
    CHECK(same_flag(flags, ",UP", i, RN_IF_UP)); /* never the first of them */
    if (ether != NULL)
        CHECK_EQ(sscanf(ether, "link/ether %31s", hardware), 1);
    for (int k = 0; k < i->hardware_len; k++)
        sprintf(text + strlen(text), "%s%02x", k == 0 ? "" : ":", i->hardware[k]);
    CHECK_STR(text, hardware);
    for (size_t k = 0; k < sizeof i->reserved / sizeof i->reserved[0]; k++)
        CHECK_EQ(i->reserved[k], 0);
}

static const char *scope_name(int scope)
{
    return scope == RN_SCOPE_GLOBAL ? "global"
           : scope == RN_SCOPE_SITE ? "site"
           : scope == RN_SCOPE_LINK ? "link"
           : scope == RN_SCOPE_HOST ? "host"
                                    : "?";
}

static void check_addr(const char *line, const rn_interface_address *list, int n)
{
    char family[8], own[64], word[32], peer[64], scope[16], text[64], *slash;
    const rn_interface_address *a = list;
    int index, prefix;

    CHECK_EQ(sscanf(line, "%d: %*s %7s %63s %31s %63s", &index, family, own, word, peer), 5);
    CHECK_EQ(sscanf(strstr(line, " scope "), " scope %15s", scope), 1);
    slash = strchr(strcmp(word, "peer") == 0 ? peer : own, '/');
    CHECK(slash != NULL);
    prefix = atoi(slash + 1);
    own[strcspn(own, "/")] = '\0';
    for (; a < list + n; a++) {
        inet_ntop(a->ip.family == 4 ? AF_INET : AF_INET6, a->ip.bytes, text, sizeof text);
        if (a->index == index && strcmp(text, own) == 0)
            break;
    }
    CHECK(a < list + n);
    CHECK_EQ(a->ip.family, strcmp(family, "inet") == 0 ? 4 : 6);
    CHECK_EQ(a->prefix_len, prefix);
    CHECK_STR(scope_name(a->scope), scope);
    CHECK_EQ(a->ip.scope, strncmp(own, "fe80:", 5) == 0 ? index : 0);
}

/* Each line of a list of ip's is one of ours, and there are no others. */
static void check_against_ip(void)
{
    rn_interface links[ROOM];
    rn_interface_address addrs[ROOM];
    int n_links = rn_interfaces(links, ROOM), n_addrs = rn_interface_addresses(0, addrs, ROOM);
    char line[512];
    FILE *out = popen("ip -o link", "r");
    int n = 0;

    for (; fgets(line, sizeof line, out) != NULL; n++)
        check_link(line, links, n_links);
    CHECK_EQ(pclose(out), 0);
    CHECK_EQ(n, n_links);
    out = popen("ip -o addr", "r");
    for (n = 0; fgets(line, sizeof line, out) != NULL; n++)
        check_addr(line, addrs, n_addrs);
    CHECK_EQ(pclose(out), 0);
    CHECK_EQ(n, n_addrs);
    CHECK_EQ(n, 9);
}

/* ---- tests ---- */

static int list_all(void *arg)
{
    rn_interface i, some[2];
    rn_interface_address a[ROOM];

    (void)arg;
    check_against_ip();
    CHECK_EQ(rn_interfaces(NULL, 0), 4 + 2 * PAIRS);
    some[1].index = 77;
    CHECK_EQ(rn_interfaces(some, 1), 4 + 2 * PAIRS);
    CHECK_EQ(some[1].index, 77);
    CHECK_OK(rn_interface_by_name("v0", &i));
    CHECK_STR(i.name, "v0");
    CHECK_EQ(i.mtu, 1400);
    CHECK_EQ(i.hardware_len, 6);
    CHECK_MEM(i.hardware, "\x02\0\0\0\0\x07", 6);
    CHECK((i.flags & (RN_IF_UP | RN_IF_RUNNING)) == (RN_IF_UP | RN_IF_RUNNING));
    CHECK_EQ(rn_interface_addresses(i.index, a, ROOM), 5);
    for (int k = 0; k < 5; k++)
        CHECK_EQ(a[k].index, i.index);
    CHECK_OK(rn_interface_by_name("lo", &i));
    CHECK_EQ(i.hardware_len, 0);
    CHECK_OK(rn_interface_by_name("br0", &i));
    CHECK_EQ(i.flags & RN_IF_UP, 0);
    CHECK_EQ(rn_interface_addresses(i.index, a, ROOM), 0);
    return 0;
}

RN_TEST(interfaces_and_addresses_are_those_that_ip_lists)
{
    make_network();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, list_all, NULL), 0);
}

static void refuse_netlink(void)
{
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("socket", EPERM, 1, 1));
}

RN_TEST(without_netlink_the_list_is_the_same)
{
    static rn_interface links[ROOM], same[ROOM];
    static rn_interface_address addrs[ROOM], alike[ROOM];
    int n, m;

    make_network();
    n = rn_interfaces(links, ROOM);
    refuse_netlink();
    CHECK_EQ(rn_interfaces(same, ROOM), n);
    for (int i = 0, k = 0; i < n; i++) {
        for (k = 0; k < n && same[k].index != links[i].index; k++)
            continue;
        CHECK(k < n);
        links[i].flags &= 0xffff; /* as many as an ifreq has */
        CHECK_MEM(&links[i], &same[k], sizeof links[i]);
    }
    m = rn_interface_addresses(0, addrs, ROOM);
    refuse_netlink();
    CHECK_EQ(rn_interface_addresses(0, alike, ROOM), m);
    for (int i = 0, k = 0; i < m; i++) {
        for (k = 0; k < m && memcmp(&alike[k].ip, &addrs[i].ip, sizeof addrs[i].ip) != 0; k++)
            continue;
        CHECK(k < m);
        CHECK_MEM(&addrs[i], &alike[k], sizeof addrs[i]);
    }
    refuse_netlink();
    CHECK_OK(rn_interface_by_name("v0", &same[0]));
    CHECK_EQ(same[0].mtu, 1400);
    refuse_netlink();
    CHECK_EQ(rn_interface_addresses(same[0].index, alike, ROOM), 5);
    rn__sys_clear();
}

RN_CORO_TEST(an_interface_that_is_not_there_is_told)
{
    rn_interface i = {.index = 77};
    rn_interface_address a;

    CHECK_EQ(rn_interface_by_name("no-such-0", &i), -ENODEV);
    CHECK_EQ(rn_interface_by_name("a-name-that-no-interface-can-have", &i), -ENODEV);
    CHECK_EQ(rn_interface_by_name("", &i), -ENODEV);
    CHECK_EQ(i.index, 77);
    CHECK_EQ(rn_interface_addresses(1 << 30, &a, 1), 0);
    CHECK_EQ(rn_interface_addresses(-1, &a, 1), -EINVAL);
    CHECK_EQ(rn_interface_addresses(0, &a, -1), -EINVAL);
    CHECK_EQ(rn_interfaces(&i, -1), -EINVAL);
    CHECK_OK(rn_interface_by_name("lo", &i));
    CHECK_STR(i.name, "lo");
}

/* What fails leaves nothing open. */
RN_TEST(failures_of_a_list_are_told)
{
    static const struct {
        const char *call;
        int error;
    } fatal[] = {{"socket", EMFILE}, {"send", ENOBUFS}, {"recv", ENOBUFS}},
      after[] = {{"socket", EMFILE}, {"ioctl", ENXIO}, {"openat", EMFILE}};
    int fds = rntest_count_fds();
    rn_interface links[ROOM];
    rn_interface_address addrs[ROOM];

    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        CHECK_OK(rn__sys_fail(fatal[i].call, fatal[i].error, 1, 1));
        CHECK_EQ(rn_interfaces(links, ROOM), -fatal[i].error);
        rn__sys_clear();
        CHECK_OK(rn__sys_fail(fatal[i].call, fatal[i].error, 1, 1));
        CHECK_EQ(rn_interface_addresses(0, addrs, ROOM), -fatal[i].error);
        rn__sys_clear();
    }
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
        bool links_say = strcmp(after[i].call, "ioctl") != 0;  /* an interface that is gone */
        bool addrs_say = strcmp(after[i].call, "openat") != 0; /* no IPv6 */
        int r;

        refuse_netlink();
        CHECK_OK(rn__sys_fail(after[i].call, after[i].error, i == 0 ? 2 : 1, 100));
        r = rn_interfaces(links, ROOM);
        CHECK(links_say ? r < 0 : r == 0);
        refuse_netlink();
        CHECK_OK(rn__sys_fail(after[i].call, after[i].error, i == 0 ? 2 : 1, 100));
        r = rn_interface_addresses(0, addrs, ROOM);
        CHECK(addrs_say ? r == -after[i].error : r > 0);
        rn__sys_clear();
    }
    CHECK_EQ(rntest_count_fds(), fds);
}

RN_TEST(the_ends_of_a_tunnel_are_no_hardware_addresses)
{
    static const uint8_t zeros[40], ones[40] = {1, 1, 1, 1, 1, 1};
    rn_interface i = {.index = 1};

    rn__if_set_hardware(&i, ARPHRD_IPGRE, ones, 4);
    rn__if_set_hardware(&i, ARPHRD_SIT, ones, 4);
    rn__if_set_hardware(&i, ARPHRD_TUNNEL6, ones, 16);
    rn__if_set_hardware(&i, ARPHRD_ETHER, zeros, 6);
    rn__if_set_hardware(&i, ARPHRD_ETHER, ones, 33);
    CHECK_EQ(i.hardware_len, 0);
    rn__if_set_hardware(&i, ARPHRD_INFINIBAND, ones, 20);
    CHECK_EQ(i.hardware_len, 20);
    CHECK_MEM(i.hardware, ones, 20);
}
