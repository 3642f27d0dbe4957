/*
 * test_admin.c - the pages of the admin address
 */
#include "base/mem.h"
#include "base/sys.h"
#include "http_test.h"
#include "task/symbols.h"

#define PAGE(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

struct pages {
    struct site site;
    rn_admin *admin;
};

static struct pages *open_pages(void)
{
    struct pages *p = calloc(1, sizeof *p);

    CHECK_OK(rn_admin_new(&p->admin));
    open_site(&p->site, NULL, rn_admin_handler, p->admin);
    return p;
}

static void close_pages(struct pages *p)
{
    close_site(&p->site);
    rn_admin_free(p->admin);
    free(p);
}

RN_CORO_TEST(each_page_is_there_and_says_what_it_is)
{
    struct pages *p = open_pages();
    const char *a = ask(&p->site, PAGE("/metrics"));

    CHECK_HAS(a, "HTTP/1.1 200 ");
    CHECK_HAS(a, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    CHECK_HAS(a, "\n# TYPE runnel_syscalls_total counter\n");
    a = ask(&p->site, PAGE("/debug/stats.json"));
    CHECK_HAS(a, "Content-Type: application/json\r\n");
    CHECK_HAS(a, "\"procs\":[{");
    a = ask(&p->site, PAGE("/debug/coroutines"));
    CHECK_HAS(a, "Content-Type: text/plain");
    CHECK_HAS(a, " coroutines on 2 Ps\n");
    CHECK_HAS(a, "\"main\" on P ");
    a = ask(&p->site, PAGE("/"));
    CHECK_HAS(a, "Content-Type: text/html; charset=utf-8\r\n");
    CHECK_HAS(a, "default-src 'none'");
    CHECK_HAS(a, "</script>");
    CHECK_HAS(ask(&p->site, PAGE("/healthz")), "\r\n\r\nok\n");
    CHECK_HAS(ask(&p->site, PAGE("/other")), " 404 ");
    CHECK_HAS(ask(&p->site, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), " 405 ");
    close_pages(p);
}

static void sleep_long(void *arg)
{
    (void)arg;
    (void)rn_sleep(1000 * RN_SECOND);
}

static atomic_bool stop;

static void yield_long(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        rn_yield();
}

RN_CORO_TEST(coroutines_at_the_same_place_are_counted_together)
{
    struct pages *p = open_pages();
    const char *a;

    for (int i = 0; i < 300; i++)
        CHECK_OK(
            rn_go_with(&(rn_go_options){.name = "sleeper", .proc = i % 2 + 1}, sleep_long, NULL));
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "another"}, sleep_long, NULL));
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "yielder"}, yield_long, NULL));
    do
        CHECK_OK(rn_sleep(5 * RN_MILLISECOND)); /* until all of them sleep */
    while (a = ask(&p->site, PAGE("/debug/coroutines?grouped")), strstr(a, "\n300 ") == NULL);
    CHECK_HAS(a, "Content-Type: text/plain");
    CHECK_HAS(a, " places\n300 coroutines \"sleeper\": parked in sleep, for ");
    CHECK_HAS(a, "\n1 coroutine \"another\": parked in sleep, for ");
    CHECK_HAS(a, "\n1 coroutine \"yielder\": run");
    CHECK_HAS(a, "\n    #0 0x");
    atomic_store(&stop, true);
    close_pages(p);
}

RN_CORO_TEST(who_is_not_ready_says_so_and_is_healthy)
{
    struct pages *p = open_pages();

    CHECK_HAS(ask(&p->site, PAGE("/readyz")), "HTTP/1.1 200 ");
    rn_admin_set_ready(p->admin, false);
    CHECK_HAS(ask(&p->site, PAGE("/readyz")), "HTTP/1.1 503 ");
    CHECK_HAS(ask(&p->site, PAGE("/healthz")), "HTTP/1.1 200 ");
    rn_admin_set_ready(p->admin, true);
    CHECK_HAS(ask(&p->site, PAGE("/readyz")), "\r\n\r\nready\n");
    close_pages(p);
}

static void own_page(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    rn_http_printf(w, "own\n");
}

RN_CORO_TEST(pages_are_mounted_beside_others)
{
    struct site *s = calloc(1, sizeof *s);
    rn_admin *admin;
    rn_http_mux *mux;

    CHECK_OK(rn_admin_new(&admin));
    CHECK_OK(rn_http_mux_new(&mux));
    CHECK_OK(rn_http_handle(mux, "/{$}", own_page, NULL));
    CHECK_OK(rn_admin_mount(admin, mux, false));
    CHECK_EQ(rn_admin_mount(admin, mux, false), -EEXIST);
    open_site(s, NULL, rn_http_mux_handler, mux);
    CHECK_HAS(ask(s, PAGE("/")), "own\n");
    CHECK_HAS(ask(s, PAGE("/healthz")), "ok\n");
    close_site(s);
    free(s);
    rn_http_mux_free(mux);
    rn_admin_free(admin);
    rn_admin_free(NULL);
}

/* What cannot be told is answered by a 500, and nothing stays behind. */
RN_CORO_TEST_ON(what_fails_is_answered_for, 1)
{
    struct pages *p = open_pages();
    int fds;

    CHECK_OK(rn__sys_fail("clone", EAGAIN, 1, 1)); /* there is no thread to offload to yet */
    CHECK_HAS(ask(&p->site, PAGE("/metrics")), " 500 ");
    CHECK_HAS(ask(&p->site, PAGE("/debug/coroutines")), " 200 ");
    fds = rntest_count_fds();
    CHECK_OK(rn__sys_fail("memfd_create", EMFILE, 1, 1));
    CHECK_HAS(ask(&p->site, PAGE("/debug/coroutines")), " 500 ");
    if (rntest_on_epoll()) { /* select(2)'s poller calls it too */
        CHECK_OK(rn__sys_fail("fstat", EIO, 1, 1));
        CHECK_HAS(ask(&p->site, PAGE("/debug/coroutines")), " 500 ");
    }
    rn__sys_clear();
    CHECK_EQ(rntest_count_fds(), fds);
    close_pages(p);
}

/* The allocations of a snapshot; those before it are the server's. */
RN_CORO_TEST_ON(without_memory_there_are_no_pages, 1)
{
    rn_admin *admin = NULL;
    int failed = 0, refused = 0;
    struct pages *p;

    rn__symbols_load(); /* once, and not by each attempt */
    for (unsigned nth = 1; admin == NULL; nth++) {
        int r;

        rn__mem_fail(nth, 1);
        r = rn_admin_new(&admin);
        rn__mem_fail(0, 0);
        CHECK(r == 0 ? admin != NULL : r == -ENOMEM && admin == NULL);
        failed += r < 0;
    }
    CHECK(failed > 3);
    rn_admin_free(admin);
    p = open_pages();
    CHECK_HAS(ask(&p->site, PAGE("/metrics")), " 200 ");
    for (unsigned nth = 1; nth < 16; nth++) {
        close_client(&p->site);
        connect_site(&p->site);
        say(&p->site, PAGE("/metrics"));
        (void)rn_close_write(p->site.client);
        rn__mem_fail(nth, 1);
        hear(&p->site, NULL);
        rn__mem_fail(0, 0);
        CHECK(p->site.len == 0 || strncmp(p->site.answer, "HTTP/1.1 ", 9) == 0);
        refused += strstr(p->site.answer, " 500 ") != NULL;
    }
    CHECK(refused >= 6);
    close_pages(p);
}
