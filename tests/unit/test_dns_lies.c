/*
 * test_dns_lies.c - name servers that lie, and answers that are not what they should be
 */
#include "dns/dns.h"
#include "dns_test.h"

static struct server server, second;

static void use_server(bool (*answer)(const struct query *, struct message *), int timeout_ms)
{
    start_server(&server, 0, answer);
    CHECK_OK(rn_dns_use(&(rn_dns_options){
        .servers = server.address, .search = "", .timeout_ms = timeout_ms, .tries = 1}));
}

static const rn_lookup_options v4 = {.family = 4};

/* ---- lies ---- */

enum lie { WRONG_ID, WRONG_QUESTION, WRONG_PORT, SHORT, GARBAGE, LIES };

static _Atomic int lie; /* which one comes first */
static atomic_bool truth_follows;

static bool lie_first(const struct query *q, struct message *m)
{
    struct message said = *m;
    int fd = q->server->udp, other = -1;

    if (lie == WRONG_PORT) {
        struct sockaddr_in sin = {.sin_family = AF_INET};

        fd = other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK_EQ(bind(fd, (void *)&sin, sizeof sin), 0);
    }
    if (lie == WRONG_ID)
        said.bytes[1] ^= 1;
    if (lie == WRONG_QUESTION)
        said.bytes[13] ^= 1; /* the first letter of the name */
    put_a(&said, "127.6.6.6", 300);
    if (lie == SHORT)
        said.len = 11;
    if (lie == GARBAGE)
        memset(said.bytes + 2, 0xff, (size_t)said.len - 2);
    send_message(q, &said, fd);
    if (other >= 0)
        close(other);
    put_a(m, "127.0.0.7", 300);
    return atomic_load(&truth_follows);
}

RN_CORO_TEST(who_is_lied_to_waits_for_the_truth)
{
    char name[32];
    rn_ip ip;

    use_server(lie_first, 10000);
    atomic_store(&truth_follows, true);
    for (int i = 0; i < LIES; i++) {
        atomic_store(&lie, i);
        snprintf(name, sizeof name, "name%d.test", i);
        CHECK_EQ(rn_lookup_host(name, &v4, &ip, 1), 1);
        check_ip(&ip, "127.0.0.7");
    }
    CHECK_EQ(atomic_load(&server.asked), LIES);
}

RN_CORO_TEST(lies_alone_are_no_answer_and_not_remembered)
{
    rn_ip ip;

    use_server(lie_first, 50);
    for (int i = 0; i < LIES; i++) {
        atomic_store(&lie, i);
        CHECK_EQ(rn_lookup_host("some.test", &v4, &ip, 1), -RN_EDNS);
    }
    CHECK_EQ(dns_stats().entries, 0);
}

/* ---- answers that are wrong in themselves ---- */

static bool answer_badly(const struct query *q, struct message *m)
{
    if (strcmp(q->name, "loop.test") == 0) {
        put_named(m, TYPE_CNAME, 300, "pool.test");
        put_named(m, TYPE_CNAME, 300, "loop.test");
    } else if (strcmp(q->name, "self.test") == 0) {
        put_named(m, TYPE_CNAME, 300, "self.test");
    } else if (strcmp(q->name, "pointer.test") == 0) {
        m->bytes[7]++;
        put16(m, 0xc000 | (unsigned)m->len); /* a name that is at its own end */
        put_bytes(m, "\0\1\0\1\0\0\1\0\0\4\1\2\3\4", 14);
    } else if (strcmp(q->name, "cut.test") == 0) {
        put_a(m, "127.0.0.1", 300);
        m->len -= 3;
    } else if (strcmp(q->name, "more.test") == 0) {
        put_a(m, "127.0.0.1", 300);
        m->bytes[6] = 0xff; /* 65 281 answers */
    } else if (strcmp(q->name, "none.test") == 0) {
        m->bytes[7] = 3; /* answers that are not there */
    } else {
        CHECK_STR(q->name, "size.test");
        put_record(m, TYPE_A, 300, 16);
        put_bytes(m, "0123456789abcdef", 16);
    }
    return true;
}

RN_CORO_TEST(answers_that_make_no_sense_are_errors_and_nothing_hangs)
{
    static const char *const names[] = {"loop.test", "self.test", "pointer.test", "cut.test",
                                        "more.test", "none.test", "size.test"};
    rn_ip ips[4];
    int r;

    use_server(answer_badly, 500);
    for (size_t i = 0; i < RN_COUNT_OF(names); i++) {
        r = rn_lookup_host(names[i], &v4, ips, 4);
        if (r != -RN_ENOHOST && r != -RN_EDNS)
            rntest_fail_at(__FILE__, __LINE__, "%s: %d", names[i], r);
    }
}

/* ---- what is merely unusual ---- */

static bool answer_by_tcp(const struct query *q, struct message *m)
{
    char ip[32];

    if (strcmp(q->name, "oversized.test") == 0) { /* nobody asked for more than 512 bytes */
        for (int i = 0; i < 400; i++)
            put_a(m, "127.0.0.1", 300);
        m->bytes[6] = 400 >> 8;
        m->bytes[7] = 400 & 0xff;
        return true;
    }
    if (!q->by_tcp) {
        m->bytes[2] |= 2; /* truncated */
        return true;
    }
    for (int i = 0; i < 100; i++) {
        snprintf(ip, sizeof ip, "127.0.0.%d", i + 1);
        put_a(m, ip, 300);
    }
    return true;
}

RN_CORO_TEST(what_is_too_long_for_a_datagram_comes_by_tcp)
{
    rn_ip ips[16];

    use_server(answer_by_tcp, 10000);
    CHECK_EQ(rn_lookup_host("some.test", &v4, ips, 16), 16);
    CHECK_EQ(atomic_load(&server.asked_by_tcp), 1);
    CHECK_EQ(rn_lookup_host("some.test", &v4, ips, 16), 16);
    CHECK_EQ(atomic_load(&server.asked), 2);
    CHECK_EQ(rn_lookup_host("oversized.test", &v4, ips, 16), 16);
    CHECK_EQ(atomic_load(&server.asked_by_tcp), 2);
}

static bool promise_tcp(const struct query *q, struct message *m)
{
    m->bytes[2] |= 2;
    return !q->by_tcp; /* there it hangs up */
}

RN_CORO_TEST(a_server_that_hangs_up_is_one_that_failed)
{
    rn_ip ip;

    use_server(promise_tcp, 1000);
    CHECK_EQ(rn_lookup_host("some.test", &v4, &ip, 1), -RN_EDNS);
    CHECK(atomic_load(&server.asked_by_tcp) > 0);
}

static bool refuse(const struct query *q, struct message *m)
{
    set_rcode(m, strcmp(q->name, "refused.test") == 0 ? REFUSED : SERVFAIL);
    return true;
}

static bool answer_well(const struct query *q, struct message *m)
{
    (void)q;
    put_named(m, TYPE_CNAME, 1, "alias.test");
    m->bytes[7]++;
    put16(m, 0xc000 | (unsigned)(m->len - 12)); /* of alias.test */
    put_bytes(m, "\0\1\0\1\0\0\1\0\0\4\177\0\0\10", 14);
    return true;
}

RN_CORO_TEST(where_a_server_fails_the_next_is_asked)
{
    char both[80];
    rn_ip ip;

    use_server(refuse, 10000);
    CHECK_EQ(rn_lookup_host("some.test", &v4, &ip, 1), -RN_EDNS);
    CHECK_EQ(rn_lookup_host("refused.test", &v4, &ip, 1), -RN_EDNS);
    start_server(&second, 0, answer_well);
    snprintf(both, sizeof both, "%s,%s", server.address, second.address);
    CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = both, .search = "", .timeout_ms = 10000}));
    CHECK_EQ(rn_lookup_host("some.test", &v4, &ip, 1), 1);
    check_ip(&ip, "127.0.0.8");
    /* Nobody listens on port 1: the kernel says so, and nobody waits. */
    snprintf(both, sizeof both, "127.0.0.1:1,%s", second.address);
    CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = both, .search = "", .timeout_ms = 10000}));
    CHECK_EQ(rn_lookup_host("some.test", &v4, &ip, 1), 1);
}

/* ---- services ---- */

static bool answer_services(const struct query *q, struct message *m)
{
    if (strcmp(q->name, "_none._tcp.test") == 0) {
        put_srv(m, 300, 0, 0, 0, ""); /* not offered */
    } else if (strcmp(q->name, "_many._tcp.test") == 0) {
        for (unsigned i = 0; i < 100; i++)
            put_srv(m, 300, 100 - i, 0, i, "host.test");
    } else if (strcmp(q->name, "_cut._tcp.test") == 0) {
        put_srv(m, 300, 1, 2, 3, "host.test");
        m->len -= 4;
    } else if (q->type == TYPE_SRV) {
        put_srv(m, 300, 10, 0, 80, "c.test");
        put_srv(m, 300, 5, 3, 81, "a.test");
        put_srv(m, 300, 5, 1, 82, "b.test");
    } else if (strcmp(q->name, "7.0.0.127.in-addr.arpa") == 0) {
        put_named(m, TYPE_PTR, 300, "seven.test");
        put_named(m, TYPE_PTR, 300, "vii.test");
    } else {
        CHECK_EQ(q->type, TYPE_PTR);
        CHECK_STR(q->name, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
                           ".ip6.arpa");
        put_named(m, TYPE_PTR, 300, "six.test");
    }
    return true;
}

RN_CORO_TEST(services_come_by_priority_and_then_by_weight)
{
    rn_dns_srv srv[64];
    int a_first = 0;

    use_server(answer_services, 10000);
    for (int i = 0; i < 400; i++) {
        CHECK_EQ(rn_dns_lookup_srv("_some._tcp.test", NULL, srv, 64), 3);
        CHECK_STR(srv[2].target, "c.test");
        CHECK_EQ(srv[2].port, 80);
        CHECK_EQ(srv[2].priority, 10);
        CHECK_EQ(srv[0].priority, 5);
        CHECK_EQ(srv[0].weight + srv[1].weight, 4);
        a_first += strcmp(srv[0].target, "a.test") == 0;
    }
    CHECK(a_first > 240 && a_first < 360); /* of 400 about 300: 7 standard deviations */
    CHECK_EQ(atomic_load(&server.asked), 1);
    CHECK_EQ(rn_dns_lookup_srv("_some._tcp.test", NULL, srv, 1), 1);
    CHECK_EQ(srv[0].priority, 5);
    CHECK_EQ(rn_dns_lookup_srv("_none._tcp.test", NULL, srv, 1), -RN_ENOHOST);
    CHECK_EQ(rn_dns_lookup_srv("_cut._tcp.test", NULL, srv, 1), -RN_EDNS);
    CHECK_EQ(
        rn_dns_lookup_srv("_some._tcp.test", &(rn_lookup_options){.deadline = rn_now()}, srv, 1),
        -ETIME);
}

RN_CORO_TEST(of_very_many_services_some_are_dropped)
{
    static rn_dns_srv srv[100];

    use_server(answer_services, 10000);
    CHECK_EQ(rn_dns_lookup_srv("_many._tcp.test", NULL, srv, 100), 64);
    for (int i = 1; i < 64; i++)
        CHECK(srv[i - 1].priority < srv[i].priority);
}

RN_CORO_TEST(an_address_has_its_names)
{
    rn_ip v4_ip = {.family = 4, .bytes = {127, 0, 0, 7}};
    rn_ip v6_ip = {.family = 6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
    rn_dns_name names[4];

    use_server(answer_services, 10000);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_dns_lookup_addr(&v4_ip, NULL, names, 4), 2);
        CHECK(strcmp(names[0].text, "seven.test") == 0 || strcmp(names[1].text, "seven.test") == 0);
        CHECK_EQ(rn_dns_lookup_addr(&v4_ip, NULL, names, 1), 1);
        CHECK_EQ(rn_dns_lookup_addr(&v6_ip, NULL, names, 4), 1);
        CHECK_STR(names[0].text, "six.test");
    }
    CHECK_EQ(atomic_load(&server.asked), 2);
}

/* ---- times to live, in messages as they are ---- */

static void put_soa(struct message *m, unsigned ttl, unsigned minimum)
{
    put_record(m, TYPE_SOA, ttl, 2 + 20);
    m->bytes[7]--;
    m->bytes[9]++;           /* it is authority */
    put_bytes(m, "\0\0", 2); /* two roots */
    for (int i = 0; i < 8; i++)
        put16(m, 0);
    put16(m, minimum >> 16);
    put16(m, minimum & 0xffff);
}

RN_TEST(the_least_time_to_live_of_a_message_counts)
{
    static const uint8_t question[] = "\0\0\201\200\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1";
    const struct query q = {.bytes = question, .len = sizeof question - 1};
    struct message m;
    uint32_t ttl = 77;

    begin_answer(&q, &m);
    CHECK(!rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 77);
    put_a(&m, "127.0.0.1", 500);
    put_a(&m, "127.0.0.2", 300);
    put_a(&m, "127.0.0.3", 400);
    CHECK(rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 300);
    put_soa(&m, 5, 5); /* is not about the answers */
    CHECK(rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 300);
    put_a(&m, "127.0.0.1", 0x80000000); /* RFC 2181 8 */
    m.bytes[m.len] = 0;
    begin_answer(&q, &m);
    put_a(&m, "127.0.0.1", 0x80000000);
    CHECK(rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 0);
    begin_answer(&q, &m);
    put_soa(&m, 60, 20); /* RFC 2308 5 */
    CHECK(rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 20);
    begin_answer(&q, &m);
    put_soa(&m, 10, 20);
    CHECK(rn__dns_ttl(m.bytes, m.len, &ttl));
    CHECK_EQ(ttl, 10);
    /* However it is cut, nothing beyond it is read: the copy has nothing there. */
    for (int len = 0; len < m.len; len++) {
        uint8_t *copy = malloc((size_t)len + 1);

        memcpy(copy + 1, m.bytes, (size_t)len);
        CHECK(!rn__dns_ttl(copy + 1, len, &ttl));
        free(copy);
    }
}
