/*
 * test_http_client_rest.c - connections of a client that nobody uses any more
 */
#include "base/sys.h"
#include "calls.h"
#include "client_test.h"
#include "task/proc.h"

static const char last[] = "!HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char *const yes = last + 1;

/* All its connections are closed at both ends: the server's ends when it has seen ours close. */
static void await_all_closed(const struct fake *f)
{
    for (int i = 0; f->open > 1; i++) {
        CHECK(i < 5000);
        CHECK_OK(rn_sleep(2 * MS));
    }
}

RN_CORO_TEST(what_has_rested_too_long_is_closed_though_nobody_asks)
{
    for (unsigned limit = 0; limit < 2; limit++) {
        rn_http_client *c = new_client(
            &(rn_http_client_options){.idle_ns = 20 * MS, .max_conns_per_host = limit});
        struct fake *f = FAKE(yes, yes, yes);

        for (int i = 0; i < 3; i++) {
            CHECK_OK(try_get(c, f->url));
            await_all_closed(f);
        }
        CHECK_EQ(f->conns, 3);
        rn_http_client_free(c);
        end_fake(f);
    }
}

RN_CORO_TEST(what_its_server_has_ended_is_closed_though_nobody_asks)
{
    rn_http_client *c = new_client(&(rn_http_client_options){.idle_ns = -1});
    struct fake *f = FAKE(last, yes), *stays = FAKE(yes, yes);

    CHECK_OK(try_get(c, stays->url));
    CHECK_OK(try_get(c, f->url));
    await_all_closed(f);
    CHECK_OK(try_get(c, f->url));
    CHECK_OK(try_get(c, stays->url)); /* and only those */
    CHECK_EQ(f->conns, 2);
    CHECK_EQ(stays->conns, 1);
    rn_http_client_free(c);
    end_fake(f);
    end_fake(stays);
}

/* Where the poller tells by itself what happens. */
RN_CORO_TEST(watching_what_rests_costs_no_system_call)
{
    rn_http_client *c = new_client(NULL);
    struct fake *f = FAKE(yes, yes);
    uint64_t recvs;

    if (!rntest_on_epoll())
        RN_TEST_SKIP("for epoll");
    CHECK_OK(try_get(c, f->url));
    CHECK_OK(rn_sleep(1100 * MS)); /* once it may be asked, for an edge of before */
    recvs = calls_on_procs(RN__SYS_recv);
    CHECK_OK(rn_sleep(2100 * MS));
    CHECK_EQ(calls_on_procs(RN__SYS_recv), recvs);
    CHECK_OK(try_get(c, f->url));
    CHECK_EQ(f->conns, 1);
    rn_http_client_free(c);
    end_fake(f);
}
