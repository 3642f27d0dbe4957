/*
 * test_dns.c - names by DNS: the cache, merged questions, deadlines, and servers that are silent
 */
#include "base/sys.h"
#include "dns/dns.h"
#include "dns_test.h"

static struct server server, second;

/* Starts `server`, and uses nothing else. */
static void use_server(bool (*answer)(const struct query *, struct message *), rn_dns_options o)
{
    start_server(&server, 0, answer);
    o.servers = server.address;
    if (o.search == NULL)
        o.search = "";
    CHECK_OK(rn_dns_use(&o));
}

/* As servers do, by what the name says: ttl7.test, none.test, fail.test, v4.test. */
static bool answer_by_name(const struct query *q, struct message *m)
{
    unsigned ttl = 300;

    (void)sscanf(q->name, "ttl%u", &ttl);
    if (strncmp(q->name, "none", 4) == 0)
        set_rcode(m, NXDOMAIN);
    else if (strncmp(q->name, "fail", 4) == 0)
        set_rcode(m, SERVFAIL);
    else if (q->type == TYPE_A)
        put_a(m, "127.0.0.7", ttl);
    else if (q->type == TYPE_AAAA && strncmp(q->name, "v4", 2) != 0)
        put_aaaa(m, "::1", ttl);
    return true;
}

RN_CORO_TEST(both_families_are_asked_for_at_once_and_the_answer_is_remembered)
{
    rn_ip ips[4];
    char ports[2][64];

    use_server(answer_by_name, (rn_dns_options){.timeout_ms = 0});
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rn_lookup_host(i == 1 ? "SOME.Test" : "some.test", NULL, ips, 4), 2);
        CHECK_EQ(ips[0].family + ips[1].family, 10);
        check_ip(&ips[ips[0].family == 4 ? 0 : 1], "127.0.0.7");
        check_ip(&ips[ips[0].family == 4 ? 1 : 0], "::1");
    }
    CHECK_EQ(atomic_load(&server.asked), 2);
    CHECK_EQ(dns_stats().hits, 2);
    CHECK_EQ(dns_stats().misses, 1);
    CHECK_EQ(dns_stats().entries, 1);
    CHECK_EQ(rn_lookup_host("some.test", NULL, ips, 1), 1);
    CHECK_EQ(rn_lookup_host("some.test", &(rn_lookup_options){.family = 4}, ips, 4), 1);
    CHECK_EQ(atomic_load(&server.asked), 3);
    CHECK_EQ(rn_lookup_host("v4.test", NULL, ips, 4), 1);
    check_ip(&ips[0], "127.0.0.7");
    CHECK_EQ(rn_lookup_host("v4.test", &(rn_lookup_options){.family = 6}, ips, 4), -RN_ENOHOST);
    /* localhost is in /etc/hosts, which comes first. */
    snprintf(ports[0], sizeof ports[0], "%d", atomic_load(&server.asked));
    CHECK_EQ(rn_lookup_host("localhost", NULL, ips, 1), 1);
    snprintf(ports[1], sizeof ports[1], "%d", atomic_load(&server.asked));
    CHECK_STR(ports[0], ports[1]);
}

RN_CORO_TEST(a_dial_finds_its_way_by_dns)
{
    char address[64], port[64];
    rn_listener *ln;
    rn_conn *c;

    use_server(answer_by_name, (rn_dns_options){.timeout_ms = 0});
    CHECK_OK(rn_listen("tcp", "127.0.0.7:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, port, sizeof port));
    snprintf(address, sizeof address, "v4.test%s", strchr(port, ':'));
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    rn_close(c);
    rn_listener_close(ln);
    CHECK_EQ(rn_dial("tcp", "none.test:80", NULL, &c), -RN_ENOHOST);
}

RN_CORO_TEST(nothing_is_remembered_for_longer_than_it_holds)
{
    rn_ip ip;

    use_server(answer_by_name, (rn_dns_options){.negative_ttl_s = 1, .max_ttl_s = 2});
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_lookup_host("ttl0.v4.test", &(rn_lookup_options){.family = 4}, &ip, 1), 1);
        CHECK_EQ(rn_lookup_host("fail.test", &(rn_lookup_options){.family = 4}, &ip, 1), -RN_EDNS);
    }
    CHECK_EQ(dns_stats().misses, 4);
    CHECK_EQ(dns_stats().entries, 0);
    CHECK_EQ(rn_lookup_host("none.test", NULL, &ip, 1), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("ttl300.test", NULL, &ip, 1), 1);
    CHECK_EQ(dns_stats().entries, 2);
    CHECK_OK(rn_sleep(2010 * MS));
    CHECK_EQ(rn_lookup_host("none.test", NULL, &ip, 1), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("ttl300.test", NULL, &ip, 1), 1);
    CHECK_EQ(dns_stats().hits, 0);
    CHECK_EQ(dns_stats().entries, 2);
}

RN_CORO_TEST(the_cache_has_a_bound_and_forgets_what_was_used_least_lately)
{
    char name[32];
    rn_ip ip;

    use_server(answer_by_name, (rn_dns_options){.cache_entries = 4});
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "v4-%d.test", i);
        CHECK_EQ(rn_lookup_host(name, NULL, &ip, 1), 1);
        CHECK_EQ(rn_lookup_host("v4-0.test", NULL, &ip, 1), 1);
    }
    CHECK_EQ(dns_stats().misses, 10);
    CHECK_EQ(dns_stats().entries, 4);
    CHECK_EQ(dns_stats().evicted, 6);
    rn_dns_flush();
    CHECK_EQ(dns_stats().entries, 0);
    CHECK_EQ(rn_lookup_host("v4-0.test", NULL, &ip, 1), 1);
    CHECK_EQ(dns_stats().misses, 11);
    CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = server.address, .cache_entries = -1}));
    CHECK_EQ(rn_lookup_host("v4-0.test", NULL, &ip, 1), 1);
    CHECK_EQ(rn_lookup_host("v4-0.test", NULL, &ip, 1), 1);
    CHECK_EQ(dns_stats().misses, 2);
}

RN_CORO_TEST(a_name_is_tried_in_the_domains_of_the_search_list)
{
    rn_ip ip;

    use_server(answer_by_name, (rn_dns_options){.search = "none.example,v4.example"});
    CHECK_EQ(rn_lookup_host("none", NULL, &ip, 1), -RN_ENOHOST);
    atomic_store(&server.asked, 0);
    CHECK_EQ(rn_lookup_host("some", &(rn_lookup_options){.family = 4}, &ip, 1), 1);
    CHECK_EQ(atomic_load(&server.asked), 1); /* some.none.example is an answer */
    CHECK_EQ(rn_lookup_host("some.test.", &(rn_lookup_options){.family = 4}, &ip, 1), 1);
}

static bool answer_in_second_domain(const struct query *q, struct message *m)
{
    if (q->type != TYPE_A || strcmp(q->name, "host.b.example") != 0)
        set_rcode(m, NXDOMAIN);
    else
        put_a(m, "127.0.0.9", 300);
    return true;
}

RN_CORO_TEST(the_search_goes_on_where_a_domain_does_not_know_the_name)
{
    rn_ip ip;

    use_server(answer_in_second_domain, (rn_dns_options){.search = "a.example,b.example"});
    CHECK_EQ(rn_lookup_host("host", NULL, &ip, 1), 1);
    check_ip(&ip, "127.0.0.9");
    CHECK_EQ(rn_lookup_host("other", NULL, &ip, 1), -RN_ENOHOST);
}

/* ---- many who ask ---- */

static atomic_bool may_answer;

static bool answer_later(const struct query *q, struct message *m)
{
    while (!atomic_load(&may_answer))
        usleep(1000);
    return answer_by_name(q, m);
}

static bool stay_silent(const struct query *q, struct message *m)
{
    (void)q, (void)m;
    return false;
}

/* Until so many wait, or ask. */
static void await_stats(uint64_t merged, uint64_t in_flight)
{
    while (dns_stats().merged < merged || dns_stats().in_flight != in_flight)
        CHECK_OK(rn_sleep(MS));
}

RN_CORO_TEST(questions_for_one_name_are_merged)
{
    static struct lookup ls[50];
    rn_group g = {0};

    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    for (int i = 0; i < 50; i++) {
        ls[i].name = "some.test";
        CHECK_OK(rn_group_go(&g, look_up, &ls[i]));
    }
    await_stats(49, 1);
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    for (int i = 0; i < 50; i++)
        CHECK_EQ(ls[i].result, 2);
    CHECK_EQ(atomic_load(&server.asked), 2);
    CHECK_EQ(dns_stats().misses, 1);
    CHECK_EQ(dns_stats().in_flight, 0);
}

/* The one who asked first drives the question; the next takes over. */
RN_CORO_TEST(who_gives_up_leaves_the_others_unharmed)
{
    struct lookup first = {.name = "some.test"}, patient = first, late = first, too_late = first;
    rn_group g = {0}, to_cancel = {0};

    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    CHECK_OK(rn_group_go(&to_cancel, look_up, &first));
    await_stats(0, 1);
    CHECK_OK(rn_group_go(&g, look_up, &patient));
    await_stats(1, 1);
    late.deadline = rn_after(20 * MS); /* does not drive */
    CHECK_EQ(look_up(&late), 0);
    CHECK_EQ(late.result, -ETIME);
    rn_group_cancel(&to_cancel);
    CHECK_OK(rn_group_wait(&to_cancel, 0));
    CHECK_EQ(first.result, -ECANCELED);
    CHECK_EQ(dns_stats().in_flight, 1);
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(patient.result, 2);
    CHECK_EQ(atomic_load(&server.asked), 2);
    /* And the one who drives, by his deadline. */
    atomic_store(&may_answer, false);
    rn_dns_flush();
    too_late.deadline = rn_after(100 * MS);
    CHECK_OK(rn_group_go(&to_cancel, look_up, &too_late));
    CHECK_OK(rn_sleep(10 * MS));
    CHECK_OK(rn_group_go(&g, look_up, &patient));
    CHECK_OK(rn_group_wait(&to_cancel, 0));
    CHECK_EQ(too_late.result, -ETIME);
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(patient.result, 2);
    CHECK_EQ(dns_stats().in_flight, 0);
}

RN_CORO_TEST(what_nobody_waits_for_any_more_is_given_up)
{
    struct lookup l = {.name = "some.test"};
    rn_group g = {0};
    int fds;

    use_server(stay_silent, (rn_dns_options){.timeout_ms = 20000});
    do { /* until it has come as far as to ask */
        l.deadline = rn_after(20 * MS);
        CHECK_EQ(look_up(&l), 0);
        CHECK_EQ(l.result, -ETIME);
    } while (dns_stats().misses == 0);
    CHECK_EQ(dns_stats().in_flight, 0);
    fds = rntest_count_fds();
    l.deadline = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(rn_group_go(&g, look_up, &l));
        await_stats(0, 1);
        CHECK_OK(rn_sleep(5 * MS));
        rn_group_cancel(&g);
        CHECK_OK(rn_group_wait(&g, 0));
        CHECK_EQ(l.result, -ECANCELED);
        CHECK_EQ(dns_stats().in_flight, 0);
    }
    CHECK_EQ(rntest_count_fds(), fds);
    l.deadline = rn_now();
    CHECK_EQ(look_up(&l), 0);
    CHECK_EQ(l.result, -ETIME);
}

/* field.md 20: DNS stalls everything. */
RN_CORO_TEST(a_silent_server_stops_nobody_else)
{
    static struct lookup ls[200];
    static char names[200][32];
    int n = rntest_on_valgrind() ? 20 : 200;
    rn_group g = {0};
    char buf[8];
    rn_conn *a, *b;

    use_server(stay_silent, (rn_dns_options){.timeout_ms = 20000});
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "name%d.test", i);
        ls[i].name = names[i];
        CHECK_OK(rn_group_go(&g, look_up, &ls[i]));
    }
    await_stats(0, (uint64_t)n);
    rntest_pair(&a, &b);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(rn_write(a, "request", 7), 7);
        rntest_read_full(b, buf, 7);
        CHECK_EQ(rn_write(b, "answer!", 7), 7);
        rntest_read_full(a, buf, 7);
    }
    CHECK_EQ(dns_stats().in_flight, n); /* they all still wait */
    rn_close(a);
    rn_close(b);
    rn_group_cancel(&g);
    CHECK_OK(rn_group_wait(&g, 0));
    for (int i = 0; i < n; i++)
        CHECK_EQ(ls[i].result, -ECANCELED);
    CHECK_EQ(dns_stats().in_flight, 0);
}

RN_CORO_TEST(a_server_that_does_not_answer_is_given_up_for_the_next)
{
    char both[80];
    rn_ip ip;

    start_server(&server, 0, stay_silent);
    start_server(&second, 0, answer_by_name);
    snprintf(both, sizeof both, "%s,%s", server.address, second.address);
    CHECK_OK(rn_dns_use(
        &(rn_dns_options){.servers = both, .search = "", .timeout_ms = 200, .tries = 6}));
    CHECK_EQ(rn_lookup_host("v4.test", NULL, &ip, 1), 1);
    CHECK_OK(rn_dns_use(
        &(rn_dns_options){.servers = server.address, .search = "", .timeout_ms = 30, .tries = 2}));
    atomic_store(&server.asked, 0);
    CHECK_EQ(rn_lookup_host("v4.test", &(rn_lookup_options){.family = 4}, &ip, 1), -RN_EDNS);
    while (atomic_load(&server.asked) < 2) /* it may not have looked yet */
        CHECK_OK(rn_sleep(MS));
}

RN_CORO_TEST(a_flush_does_not_hurt_those_who_wait)
{
    struct lookup before = {.name = "some.test"}, after = before;
    rn_group g = {0};

    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    CHECK_OK(rn_group_go(&g, look_up, &before));
    await_stats(0, 1);
    rn_dns_flush();
    CHECK_OK(rn_group_go(&g, look_up, &after));
    await_stats(0, 2); /* it asks anew */
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(before.result, 2);
    CHECK_EQ(after.result, 2);
    CHECK_EQ(dns_stats().entries, 1);
    CHECK_EQ(dns_stats().in_flight, 0);
}

RN_CORO_TEST(it_can_be_replaced_while_somebody_waits)
{
    struct lookup l = {.name = "some.test"};
    rn_dns_stats stats;
    rn_group g = {0};
    rn_dns_srv srv;

    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    CHECK_OK(rn_group_go(&g, look_up, &l));
    await_stats(0, 1);
    CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = "127.0.0.1:1"}));
    CHECK_EQ(dns_stats().in_flight, 0);
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(l.result, 2);
    CHECK_OK(rn_resolver_set(NULL));
    CHECK_EQ(rn_dns_stats_get(&stats), -EINVAL);
    CHECK_EQ(rn_dns_lookup_srv("_a._tcp.test", NULL, &srv, 1), -EINVAL);
    rn_dns_flush();
}

static atomic_bool replacing;

static void *find_one(void *arg)
{
    rn_dns_stats stats;

    while (atomic_load(&replacing))
        CHECK_OK(rn_dns_stats_get(&stats));
    return arg;
}

RN_TEST(there_is_always_one_while_it_is_replaced)
{
    pthread_t thread;

    CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = "127.0.0.1:1"}));
    atomic_store(&replacing, true);
    CHECK_EQ(pthread_create(&thread, NULL, find_one, NULL), 0);
    for (int i = 0; i < 200; i++)
        CHECK_OK(rn_dns_use(&(rn_dns_options){.servers = "127.0.0.1:1"}));
    atomic_store(&replacing, false);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* The cache outlives a run, and so does the resolver. */
static int look_up_in_a_run(void *arg)
{
    rn_ip ip;

    (void)arg;
    return rn_lookup_host("v4.test", NULL, &ip, 1);
}

RN_TEST(it_stays_when_the_run_ends)
{
    use_server(answer_by_name, (rn_dns_options){.timeout_ms = 0});
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rn_run(NULL, look_up_in_a_run, NULL), 1);
    CHECK_EQ(dns_stats().hits, 2);
}

static void look_up_shielded(void *arg)
{
    rn_ip ip;

    (void)arg;
    rn_shield_begin();
    (void)rn_lookup_host("some.test", NULL, &ip, 1);
}

/* One that drives, and one that waits for its turn. */
static int leave_two_behind(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_OK(rn_go(look_up_shielded, NULL));
    await_stats(1, 1);
    return 0;
}

static int look_up_again(void *arg)
{
    struct lookup l = {.name = "some.test", .deadline = rn_after(10 * RN_SECOND)};

    (void)arg;
    atomic_store(&may_answer, true);
    CHECK_EQ(look_up(&l), 0);
    CHECK_EQ(l.result, 2);
    CHECK_EQ(dns_stats().in_flight, 0);
    return 0;
}

RN_TEST(what_an_abandoned_coroutine_asked_is_asked_anew)
{
    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    CHECK_OK(rn_run(&(rn_run_options){.grace_ns = 10 * MS}, leave_two_behind, NULL));
    CHECK_OK(rn_run(NULL, look_up_again, NULL));
}

RN_TEST(bad_options_are_refused)
{
    static const rn_dns_options bad[] = {
        {.servers = ""},
        {.servers = "nonsense"},
        {.search = ","},
        {.search = "a.test,,b"},
        {.timeout_ms = -1},
        {.timeout_ms = 60001},
        {.tries = -1},
        {.tries = 11},
        {.cache_entries = -2},
        {.max_ttl_s = -1},
        {.negative_ttl_s = -1},
        {.reserved = {1}},
        {.servers = "127.0.0.1:53,"
                    "127.0.0.1:99999999"},
    };
    rn_dns_stats stats;
    rn_dns_srv srv;
    rn_dns_name name;
    rn_ip ip = {.family = 4};

    for (size_t i = 0; i < RN_COUNT_OF(bad) - 1; i++)
        CHECK_EQ(rn_dns_use(&bad[i]), -EINVAL);
    CHECK_EQ(rn_dns_stats_get(&stats), -EINVAL); /* nothing has changed */
    CHECK_OK(rn_dns_use(NULL));
    CHECK_EQ(rn_dns_lookup_srv("_a._tcp.test", NULL, &srv, 1), -EDEADLK);
    CHECK_EQ(rn_dns_lookup_srv("", NULL, &srv, 1), -RN_EADDRESS);
    CHECK_EQ(rn_dns_lookup_srv("a", NULL, &srv, 0), -EINVAL);
    CHECK_EQ(rn_dns_lookup_srv("a", &(rn_lookup_options){.reserved = {1}}, &srv, 1), -EINVAL);
    CHECK_EQ(rn_dns_lookup_addr(&ip, NULL, &name, 1), -EDEADLK);
    CHECK_EQ(rn_dns_lookup_addr(&ip, NULL, &name, 0), -EINVAL);
    ip.family = 5;
    CHECK_EQ(rn_dns_lookup_addr(&ip, NULL, &name, 1), -EAFNOSUPPORT);
    CHECK_OK(rn_resolver_set(NULL));
}

/* ---- what the kernel may refuse ---- */

RN_CORO_TEST_ON(what_the_kernel_refuses_is_told, 1)
{
    static const struct {
        const char *call;
        int error, result;
    } rows[] = {
        {"socket", EMFILE, -EMFILE},         {"epoll_ctl", ENOMEM, -ENOMEM},
        {"connect", ENETUNREACH, -RN_EDNS},  {"sendmsg", EPERM, -RN_EDNS},
        {"recvmsg", ECONNREFUSED, -RN_EDNS}, {"epoll_wait", EINTR, 1},
    };
    const rn_lookup_options v4 = {.family = 4};
    rn_ip ip;
    int fds;

    use_server(answer_by_name, (rn_dns_options){.timeout_ms = 300, .tries = 4});
    CHECK_EQ(rn_lookup_host("v4.test", &v4, &ip, 1), 1);
    fds = rntest_count_fds();
    for (size_t i = 0; i < RN_COUNT_OF(rows); i++) {
        rn_dns_flush();
        CHECK_OK(rn__sys_fail(rows[i].call, rows[i].error, 1, rows[i].result == 1 ? 1 : 1000));
        CHECK_EQ(rn_lookup_host("v4.test", &v4, &ip, 1), rows[i].result);
        rn__sys_clear();
        CHECK_EQ(rn_lookup_host("v4.test", &v4, &ip, 1), 1); /* nothing of that is remembered */
        CHECK_EQ(rntest_count_fds(), fds);
    }
    /* The second try gets through. */
    for (size_t i = 2; i < 5; i++) {
        rn_dns_flush();
        CHECK_OK(rn__sys_fail(rows[i].call, rows[i].error, 1, 1));
        CHECK_EQ(rn_lookup_host("v4.test", &v4, &ip, 1), 1);
        rn__sys_clear();
    }
    CHECK_OK(rn__sys_fail("epoll_create1", EMFILE, 1, 1));
    CHECK_EQ(rn_dns_use(&(rn_dns_options){.servers = server.address}), -EMFILE);
    CHECK_EQ(rn_lookup_host("v4.test", &v4, &ip, 1), 1); /* by the one before */
    CHECK_EQ(rntest_count_fds(), fds);
    rn__sys_clear();
}

RN_CORO_TEST_ON(a_lookup_without_a_line_fails_alone, 1)
{
    struct lookup l = {.name = "a.test"}, m = {.name = "b.test"};
    rn_group g = {0};

    use_server(answer_later, (rn_dns_options){.timeout_ms = 20000});
    CHECK_OK(rn_group_go(&g, look_up, &l)); /* has the idle line */
    await_stats(0, 1);
    CHECK_OK(rn__sys_fail("epoll_create1", EMFILE, 1, 1));
    CHECK_EQ(look_up(&m), 0);
    CHECK_EQ(m.result, -EMFILE);
    rn__sys_clear();
    CHECK_EQ(dns_stats().in_flight, 1);
    atomic_store(&may_answer, true);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(l.result, 2);
}
