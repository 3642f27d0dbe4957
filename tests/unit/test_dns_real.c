/*
 * test_dns_real.c - names by a real dnsmasq, and by /etc/resolv.conf as it changes
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "dns/dns.h"
#include "dns_test.h"
#include "netns.h"

/* ---- dnsmasq ---- */

/* One that is free for both kinds of socket; 0: not this time. */
static int free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof sin;
    bool both;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(udp, (void *)&sin, sizeof sin), 0);
    CHECK_EQ(getsockname(udp, (void *)&sin, &len), 0);
    both = bind(tcp, (void *)&sin, sizeof sin) == 0;
    close(udp);
    close(tcp);
    return both ? ntohs(sin.sin_port) : 0;
}

static _Noreturn void be_dnsmasq(int port)
{
    static const char program[] = "/usr/sbin/dnsmasq";
    char at[32];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(at, sizeof at, "--port=%d", port);
    /* As another user it would outlive the test. */
    execl(program, program, "--keep-in-foreground", at, "--listen-address=127.0.0.1",
          "--bind-interfaces", "--conf-file=/dev/null",
          "--pid-file=", "--user=", "--group=", "--no-resolv", "--no-hosts",
          "--log-facility=/dev/null", "--local=/test/", "--local=/in-addr.arpa/", "--local-ttl=60",
          "--host-record=both.test,127.0.0.7,::1", "--host-record=v4.test,127.0.0.8",
          "--host-record=in.deep.test,127.0.0.9", "--cname=alias.test,both.test",
          "--srv-host=_echo._tcp.test,both.test,7,10,1",
          "--srv-host=_echo._tcp.test,v4.test,8,20,1", (char *)NULL);
    _exit(127);
}

/* Until it serves: true; false where it ended, because somebody else got the port. */
static bool start_dnsmasq(int port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    pid_t pid = fork();
    bool serves = false;

    if (pid == 0)
        be_dnsmasq(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (!serves && waitpid(pid, NULL, WNOHANG) == 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        serves = connect(fd, (void *)&sin, sizeof sin) == 0;
        close(fd);
        usleep(5000);
    }
    return serves;
}

/* Until the test ends. Sets the resolver. */
static void use_dnsmasq(const char *search)
{
    rn_dns_options o = {.search = search, .timeout_ms = 5000};
    char address[32];
    int port;

    if (access("/usr/sbin/dnsmasq", X_OK) < 0)
        RN_TEST_SKIP("no dnsmasq");
    do
        port = free_port();
    while (port == 0 || !start_dnsmasq(port));
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    o.servers = address;
    CHECK_OK(rn_dns_use(&o));
}

static int ask_dnsmasq(void *arg)
{
    rn_dns_name name;
    rn_dns_srv srv[4];
    rn_dns_stats before;
    rn_ip ips[4];

    (void)arg;
    CHECK_EQ(rn_lookup_host("both.test", NULL, ips, 4), 2);
    CHECK_EQ(ips[0].family + ips[1].family, 10);
    CHECK_EQ(rn_lookup_host("both.test", &(rn_lookup_options){.family = 6}, ips, 4), 1);
    check_ip(ips, "::1");
    CHECK_EQ(rn_lookup_host("v4.test", NULL, ips, 4), 1);
    check_ip(ips, "127.0.0.8");
    CHECK_EQ(rn_lookup_host("v4.test", &(rn_lookup_options){.family = 6}, ips, 4), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("alias.test", NULL, ips, 4), 2);
    CHECK_EQ(rn_lookup_host("no.such.test", NULL, ips, 4), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("in", NULL, ips, 4), 1); /* by the search list */
    check_ip(ips, "127.0.0.9");
    CHECK_EQ(rn_dns_lookup_srv("_echo._tcp.test", NULL, srv, 4), 2);
    CHECK_STR(srv[0].target, "both.test");
    CHECK_EQ(srv[0].port, 7);
    CHECK_STR(srv[1].target, "v4.test");
    CHECK_EQ(rn_dns_lookup_srv("_none._tcp.test", NULL, srv, 4), -RN_ENOHOST);
    ips[0] = (rn_ip){.family = 4, .bytes = {127, 0, 0, 8}};
    CHECK_EQ(rn_dns_lookup_addr(ips, NULL, &name, 1), 1);
    CHECK_STR(name.text, "v4.test");
    ips[0].bytes[3] = 99;
    CHECK_EQ(rn_dns_lookup_addr(ips, NULL, &name, 1), -RN_ENOHOST);
    before = dns_stats();
    CHECK_EQ(rn_lookup_host("both.test", NULL, ips, 4), 2);
    CHECK_EQ(rn_lookup_host("no.such.test", NULL, ips, 4), -RN_ENOHOST);
    CHECK_EQ(dns_stats().hits, before.hits + 2);
    return 0;
}

RN_TEST(dnsmasq_answers)
{
    use_dnsmasq("deep.test");
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, ask_dnsmasq, NULL), 0);
}

/* Many coroutines on both Ps, few names, a cache too small for them: all paths at once. */
static int look_names_up(void *arg)
{
    static const char *const names[] = {"both.test", "v4.test", "alias.test", "no.such.test"};
    static const int found[] = {2, 1, 2, -RN_ENOHOST};
    uintptr_t start = (uintptr_t)arg;
    rn_ip ips[4];

    for (uintptr_t i = 0; i < 20; i++) {
        CHECK_EQ(rn_lookup_host(names[(start + i) % 4], NULL, ips, 4), found[(start + i) % 4]);
        if (i % 7 == 0)
            rn_dns_flush();
    }
    return 0;
}

static int ask_in_a_crowd(void *arg)
{
    rn_group g = {0};

    (void)arg;
    for (uintptr_t i = 0; i < 40; i++)
        CHECK_OK(rn_group_go(&g, look_names_up, (void *)i));
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(dns_stats().in_flight, 0);
    return 0;
}

RN_TEST(dnsmasq_answers_a_crowd)
{
    use_dnsmasq("");
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, ask_in_a_crowd, NULL), 0);
}

/* ---- resolv.conf ---- */

static char resolv_conf[] = "/tmp/rntest-resolv-XXXXXX";

static void write_config(const char *text)
{
    int fd = open(resolv_conf, O_WRONLY | O_TRUNC | O_CLOEXEC);

    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A network and an /etc/resolv.conf of its own. */
static void own_config(const char *text)
{
    int fd;

    rntest_new_network();
    rntest_loopback_up();
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
        RN_TEST_SKIP("not permitted to make a mount namespace");
    fd = mkstemp(resolv_conf);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(mount(resolv_conf, "/etc/resolv.conf", "none", MS_BIND, NULL), 0);
    write_config(text);
}

static bool answer_one(const struct query *q, struct message *m)
{
    if (strcmp(q->name, "host.one.test") == 0)
        put_a(m, "127.0.0.1", 300);
    else if (strcmp(q->name, "host.two.test") == 0)
        put_a(m, "127.0.0.2", 300);
    else
        set_rcode(m, NXDOMAIN);
    return true;
}

static int watch_config(void *arg)
{
    const rn_lookup_options v4 = {.family = 4};
    rn_ip ip;

    (void)arg;
    CHECK_EQ(rn_lookup_host("host", &v4, &ip, 1), 1);
    check_ip(&ip, "127.0.0.1");
    CHECK_EQ(rn_lookup_host("host", &v4, &ip, 1), 1);
    CHECK_EQ(dns_stats().hits, 1);
    write_config("search two.test example.test\nnameserver 127.0.0.1\n");
    while (ip.bytes[3] != 2) {
        CHECK_OK(rn_sleep(10 * MS));
        CHECK_EQ(rn_lookup_host("host", &v4, &ip, 1), 1);
    }
    return 0;
}

RN_TEST(a_change_of_resolv_conf_is_noticed)
{
    static struct server server;

    own_config("search one.test\nnameserver 127.0.0.1\n");
    start_server(&server, 53, answer_one);
    rn__dns_look_ns = 100 * MS;
    CHECK_OK(rn_dns_use(&(rn_dns_options){.timeout_ms = 5000}));
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, watch_config, NULL), 0);
    unlink(resolv_conf);
}
