/*
 * test_steer.c - SO_REUSEPORT groups: who gets what comes, and leaving one without loss
 */
#include <sched.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "netns.h"
#include "rntest_coro.h"

#define GROUP 3

static const rn_listen_options shared = {.reuse_port = true};

/* ---- datagrams ---- */

static void open_packet_group(rn_conn *group[GROUP], char *address, size_t len)
{
    CHECK_OK(rn_listen_packet("udp", "127.0.0.1:0", &shared, &group[0]));
    CHECK_OK(rn_local_addr(group[0], address, len));
    for (int i = 1; i < GROUP; i++)
        CHECK_OK(rn_listen_packet("udp", address, &shared, &group[i]));
}

/* Sends one, and says which socket has it. */
static int send_one(rn_conn *group[GROUP], const char *address)
{
    rn_conn *c;
    char byte;
    int got = -1;

    CHECK_OK(rn_dial("udp", address, NULL, &c));
    CHECK_EQ(rn_write(c, "x", 1), 1);
    while (got < 0) {
        for (int i = 0; i < GROUP; i++)
            if (rn_recv(group[i], &byte, 1, RN_MSG_DONTWAIT) == 1)
                got = i;
        rn_yield();
    }
    rn_close(c);
    return got;
}

/* On loopback a packet is taken in by the CPU that sent it. */
RN_CORO_TEST_ON(datagrams_are_steered_by_cpu, 1)
{
    rn_conn *group[GROUP];
    char address[128];
    cpu_set_t all, one;

    open_packet_group(group, address, sizeof address);
    CHECK_OK(sched_getaffinity(0, sizeof all, &all));
    CHECK_OK(rn_reuse_port_steer(rn_conn_fd(group[2]), RN_STEER_CPU, GROUP, -1));
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_OK(sched_setaffinity(0, sizeof one, &one));
        for (int i = 0; i < 4; i++)
            CHECK_EQ(send_one(group, address), (int)cpu % GROUP);
    }
    for (int i = 0; i < GROUP; i++)
        rn_close(group[i]);
}

RN_CORO_TEST(datagrams_are_steered_at_random_and_around_one)
{
    rn_conn *group[GROUP];
    char address[128];

    open_packet_group(group, address, sizeof address);
    for (int without = -1; without < GROUP; without++) {
        int got[GROUP] = {0};

        CHECK_OK(rn_reuse_port_steer(rn_conn_fd(group[0]), RN_STEER_RANDOM, GROUP, without));
        for (int i = 0; i < 100; i++)
            got[send_one(group, address)]++;
        for (int i = 0; i < GROUP; i++)
            CHECK((got[i] > 0) == (i != without)); /* by chance otherwise: once in 10^17 runs */
    }
    for (int i = 0; i < GROUP; i++)
        rn_close(group[i]);
}

/* One flow stays with its socket when the kernel's hash is back in force. */
RN_CORO_TEST(steering_by_hash_keeps_a_flow_together)
{
    rn_conn *group[GROUP], *c;
    char address[128], byte;
    int got[GROUP] = {0}, sum = 0;

    open_packet_group(group, address, sizeof address);
    CHECK_OK(rn_reuse_port_steer(rn_conn_fd(group[0]), RN_STEER_HASH, GROUP, -1)); /* it is */
    CHECK_OK(rn_reuse_port_steer(rn_conn_fd(group[0]), RN_STEER_RANDOM, GROUP, -1));
    CHECK_OK(rn_reuse_port_steer(rn_conn_fd(group[1]), RN_STEER_HASH, GROUP, -1));
    CHECK_OK(rn_dial("udp", address, NULL, &c));
    for (int i = 0; i < 60; i++)
        CHECK_EQ(rn_write(c, "x", 1), 1);
    for (; sum < 60; rn_yield())
        for (int i = 0; i < GROUP; i++)
            if (rn_recv(group[i], &byte, 1, RN_MSG_DONTWAIT) == 1)
                got[i]++, sum++;
    CHECK(got[0] == 60 || got[1] == 60 || got[2] == 60);
    rn_close(c);
    for (int i = 0; i < GROUP; i++)
        rn_close(group[i]);
}

RN_CORO_TEST(steering_that_makes_no_sense_is_refused)
{
    rn_listener *ln, *unix_ln;
    rn_conn *alone;
    char name[64];
    int fd;

    CHECK_OK(rn_listen_packet("udp", "127.0.0.1:0", NULL, &alone)); /* in no group */
    CHECK_EQ(rn_reuse_port_steer(rn_conn_fd(alone), RN_STEER_CPU, 2, -1), -EINVAL);
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &shared, &ln));
    fd = rn_listener_fd(ln);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_CPU, 0, -1), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_CPU, 65536, -1), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_CPU, 2, 2), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_CPU, 2, -2), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_CPU, 1, 0), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, RN_STEER_HASH, 2, 0), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(fd, 3, 2, -1), -EINVAL);
    CHECK_EQ(rn_reuse_port_steer(-1, RN_STEER_CPU, 2, -1), -EBADF);
    CHECK_EQ(rn_reuse_port_leave(ln, 1, 0, 0, 0), -EINVAL);
    CHECK_EQ(rn_reuse_port_leave(ln, 2, 2, 0, 0), -EINVAL);
    CHECK_EQ(rn_reuse_port_leave(ln, 2, -1, 0, 0), -EINVAL);
    CHECK_EQ(rn_reuse_port_leave(ln, 2, 0, -1, 0), -EINVAL);
    CHECK_OK(rn__sys_fail("setsockopt", EPERM, 1, 1));
    CHECK_EQ(rn_reuse_port_leave(ln, 2, 0, 0, 0), -EPERM);
    CHECK_OK(rn__sys_fail("getsockopt", ENOBUFS, 1, 1));
    CHECK_EQ(rn_reuse_port_leave(ln, 2, 0, 0, 0), -ENOBUFS);
    rn__sys_clear();
    snprintf(name, sizeof name, "@test-steer-%d", getpid());
    CHECK_OK(rn_listen("unix", name, NULL, &unix_ln));
    CHECK_EQ(rn_reuse_port_leave(unix_ln, 2, 0, 0, 0), -ENOTSUP);
    rn_listener_close(unix_ln);
    rn_listener_close(ln);
    rn_close(alone);
}

/* ---- leaving ---- */

#define WAITING 40
#define DIALLERS 8

static void open_group(rn_listener *group[GROUP], char *address, size_t len)
{
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &shared, &group[0]));
    CHECK_OK(rn_listener_addr(group[0], address, len));
    for (int i = 1; i < GROUP; i++)
        CHECK_OK(rn_listen("tcp", address, &shared, &group[i]));
}

static int queued(rn_listener *ln)
{
    rn_listener_stats s;

    CHECK_OK(rn_get_listener_stats(ln, &s));
    return s.queued;
}

/* What the drain is there for: connections that wait at a listener are lost with it. */
static int lose_by_closing(void *arg)
{
    rn_conn *in[WAITING];
    rn_listener *group[GROUP];
    char address[128], byte;
    bool is_lost[WAITING] = {false};
    int lost = 0, at_the_closed;

    (void)arg;
    open_group(group, address, sizeof address);
    for (int i = 0; i < WAITING; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &in[i]));
    while (queued(group[0]) + queued(group[1]) + queued(group[2]) < WAITING)
        rn_yield();
    at_the_closed = queued(group[1]);
    CHECK(at_the_closed > 0);
    rn_listener_close(group[1]);
    while (lost < at_the_closed) { /* or the test's time is up */
        for (int i = 0; i < WAITING; i++)
            if (!is_lost[i] && rn_recv(in[i], &byte, 1, RN_MSG_DONTWAIT) == -ECONNRESET) {
                is_lost[i] = true;
                lost++;
            }
        rn_yield();
    }
    CHECK_EQ(lost, at_the_closed);
    for (int i = 0; i < WAITING; i++)
        rn_close(in[i]);
    rn_listener_close(group[0]);
    rn_listener_close(group[2]);
    return 0;
}

static void enter_network(void)
{
    rntest_new_network();
    rntest_loopback_up();
    rntest_write_sysctl("/proc/sys/net/ipv4/tcp_migrate_req", "0\n");
}

RN_TEST(closing_a_listener_of_a_group_loses_what_waits_there)
{
    enter_network();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, lose_by_closing, NULL), 0);
}

static struct {
    char address[128];
    rn_listener *group[GROUP];
    atomic_int served[GROUP];
    atomic_bool stop;
    rn_waitgroup accepting, dialling;
} flood;

static void accept_all(void *arg)
{
    int i = (int)(intptr_t)arg;
    rn_conn *c;

    while (rn_accept(flood.group[i], &c) == 0) {
        CHECK_EQ(rn_write(c, "x", 1), 1);
        atomic_fetch_add(&flood.served[i], 1);
        rn_close(c);
        rn_yield(); /* so that there is a queue */
    }
    rn_waitgroup_done(&flood.accepting);
}

/* One connection after the other; each must be served. */
static void dial_all(void *arg)
{
    (void)arg;
    while (!atomic_load(&flood.stop)) {
        rn_conn *c;
        char byte;

        CHECK_OK(rn_dial("tcp", flood.address, NULL, &c));
        CHECK_EQ(rn_read(c, &byte, 1), 1);
        CHECK_OK(rn_set_linger(c, 0)); /* ports are few, and TIME_WAIT is long */
        rn_close(c);
    }
    rn_waitgroup_done(&flood.dialling);
}

static void wait_served(int i, int n)
{
    int from = atomic_load(&flood.served[i]);

    while (atomic_load(&flood.served[i]) < from + n)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
}

static int leave_under_load(void *arg)
{
    rn_time grace = 50 * RN_MILLISECOND;
    int before;

    (void)arg;
    open_group(flood.group, flood.address, sizeof flood.address);
    rn_waitgroup_add(&flood.accepting, GROUP);
    rn_waitgroup_add(&flood.dialling, DIALLERS);
    for (intptr_t i = 0; i < GROUP; i++)
        CHECK_OK(rn_go(accept_all, (void *)i));
    for (int i = 0; i < DIALLERS; i++)
        CHECK_OK(rn_go(dial_all, NULL));
    for (int i = 0; i < GROUP; i++)
        wait_served(i, 20); /* the hash gives each its share */
    CHECK_OK(rn_reuse_port_leave(flood.group[0], GROUP, 0, grace, rn_after(15 * RN_SECOND)));
    before = atomic_load(&flood.served[0]);
    wait_served(1, 20);
    wait_served(2, 20);
    CHECK_EQ(atomic_load(&flood.served[0]), before);
    rn_listener_close(flood.group[0]);
    /* The last one has its number now. */
    CHECK_OK(rn_reuse_port_steer(rn_listener_fd(flood.group[1]), RN_STEER_HASH, 2, -1));
    wait_served(1, 20);
    CHECK_OK(rn_reuse_port_leave(flood.group[1], 2, 1, grace, rn_after(15 * RN_SECOND)));
    rn_listener_close(flood.group[1]);
    wait_served(2, 20);
    atomic_store(&flood.stop, true);
    CHECK_OK(rn_waitgroup_wait(&flood.dialling));
    rn_listener_cancel(flood.group[2]);
    CHECK_OK(rn_waitgroup_wait(&flood.accepting));
    rn_listener_close(flood.group[2]);
    return 0;
}

RN_TEST(a_listener_that_leaves_its_group_loses_nothing)
{
    enter_network();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, leave_under_load, NULL), 0);
}

static int leave_from_thread(void *arg)
{
    return rn_reuse_port_leave(arg, GROUP, 1, 0, 0);
}

static int leave_slowly(void *arg)
{
    return rn_reuse_port_leave(arg, GROUP, 1, 0, 0);
}

RN_CORO_TEST(leaving_waits_for_the_queue_until_the_deadline_or_a_cancel)
{
    rn_listener *group[GROUP];
    rn_conn *in[WAITING], *c;
    rn_group g = RN_GROUP_INIT;
    char address[128];

    open_group(group, address, sizeof address);
    for (int i = 0; i < WAITING; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &in[i]));
    while (queued(group[0]) + queued(group[1]) + queued(group[2]) < WAITING)
        rn_yield();
    CHECK_EQ(rn_reuse_port_leave(group[1], GROUP, 1, 1, rn_after(20 * RN_MILLISECOND)), -ETIME);
    CHECK_OK(rn_group_go(&g, leave_slowly, group[1]));
    rn_group_cancel(&g);
    CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
    CHECK_EQ(rn_offload(leave_from_thread, group[1], NULL), -EDEADLK);
    while (queued(group[1]) > 0) {
        CHECK_OK(rn_accept(group[1], &c));
        rn_close(c);
    }
    CHECK_OK(rn_reuse_port_leave(group[1], GROUP, 1, 1, 0));
    for (int i = 0; i < WAITING; i++)
        rn_close(in[i]);
    for (int i = 0; i < GROUP; i++)
        rn_listener_close(group[i]);
}
