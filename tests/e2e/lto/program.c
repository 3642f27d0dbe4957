/*
 * program.c - what is kept for each thread stays right across parks
 *
 * errno, a _Thread_local here and one in a shared library, and OpenSSL's error queue, used by many
 * coroutines on two Ps, some of them stolen before they run. Built by test_lto.py together with all
 * of runnel, with and without link-time optimisation, by gcc and clang: nothing hides from them.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <runnel/runnel.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COROUTINES 60
#define ROUNDS 40
#define PROCS 2

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "line %d: %s\n", __LINE__, #cond);                                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

long library_add(long n);

static _Thread_local long count;
static rn_chan *ch;

/* Another way to be away each time. */
static int nothing(void *arg)
{
    errno = EXDEV; /* of the pool's thread */
    return arg != NULL;
}

static void be_away(int how)
{
    int item = 0;

    switch (how % 4) {
    case 0:
        rn_yield();
        break;
    case 1:
        CHECK(rn_sleep(RN_MICROSECOND) == 0);
        break;
    case 2:
        CHECK(rn_chan_send(ch, &item) == 0 && rn_chan_recv(ch, &item) == 0);
        break;
    default:
        CHECK(rn_offload(nothing, NULL, NULL) == 0);
    }
}

/* ---- errno and _Thread_local ---- */

__attribute__((noinline)) static int *where_errno_is(void)
{
    __asm__ volatile("" ::: "memory");
    return &errno;
}

/* Not more than one read of a thread-local's address is needed, so compilers make it one. */
static int use_thread_locals(void *arg)
{
    int seed = (int)(intptr_t)arg;
    pthread_t me = pthread_self();
    int *mine = &errno;

    for (int i = 0; i < ROUNDS; i++) {
        long before = count;

        count = before + 1;
        (void)library_add(1);
        errno = seed;
        CHECK(errno == seed);
        be_away(seed + i);
        errno = seed + i;
        CHECK(*mine == seed + i && *where_errno_is() == seed + i && mine == where_errno_is());
        CHECK(pthread_equal(me, pthread_self()));
        count++;
        (void)library_add(1);
    }
    return 0;
}

static _Atomic long sum, library_sum;

static void collect(void *wg)
{
    sum += count;
    library_sum += library_add(0);
    rn_waitgroup_done(wg);
}

static void check_thread_locals(void)
{
    rn_waitgroup wg = RN_WAITGROUP_INIT;
    rn_group g = RN_GROUP_INIT;

    for (intptr_t i = 0; i < COROUTINES; i++)
        CHECK(rn_group_go(&g, use_thread_locals, (void *)(i + 1)) == 0);
    CHECK(rn_group_wait(&g, 0) == 0);
    rn_waitgroup_add(&wg, PROCS);
    for (int i = 1; i <= PROCS; i++)
        CHECK(rn_go_with(&(rn_go_options){.proc = i}, collect, &wg) == 0);
    CHECK(rn_waitgroup_wait(&wg) == 0);
    CHECK(sum == 2L * COROUTINES * ROUNDS && library_sum == sum);
}

/* ---- OpenSSL's queue: cleared before each call, read before anything that may park ---- */

static int fail_in_pem(void *arg)
{
    int seed = (int)(intptr_t)arg;

    for (int i = 0; i < ROUNDS; i++) {
        BIO *garbage = BIO_new_mem_buf("no certificate", -1);
        unsigned long e;

        be_away(seed + i);
        ERR_clear_error();
        CHECK(PEM_read_bio_X509(garbage, NULL, NULL, NULL) == NULL);
        e = ERR_get_error();
        be_away(seed + i + 1);
        CHECK(ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE);
        BIO_free(garbage);
    }
    return 0;
}

static SSL_CTX *ctx;

static unsigned give_key(SSL *ssl, unsigned char *key, unsigned room)
{
    CHECK(room >= 16);
    memset(key, SSL_get_app_data(ssl) != NULL ? 7 : 1, 16); /* the wrong one, or the right one */
    return 16;
}

static unsigned client_key(SSL *ssl, const char *hint, char *id, unsigned id_room,
                           unsigned char *key, unsigned room)
{
    (void)hint;
    snprintf(id, id_room, "client");
    return give_key(ssl, key, room);
}

static unsigned server_key(SSL *ssl, const char *id, unsigned char *key, unsigned room)
{
    (void)id;
    return give_key(ssl, key, room);
}

struct end {
    rn_conn *conn;
    SSL *ssl;
};

static void flush(struct end *e)
{
    char buf[4096];
    int n;

    while ((n = BIO_read(SSL_get_wbio(e->ssl), buf, sizeof buf)) > 0)
        if (rn_write(e->conn, buf, (size_t)n) < 0)
            return;
}

/* 0, or 1 for a failure that has its reason in the queue. */
static int drive(struct end *e, int (*call)(SSL *ssl))
{
    char buf[4096];

    for (;;) {
        int r, error;
        unsigned long reason;
        ssize_t n;

        ERR_clear_error();
        r = call(e->ssl);
        error = SSL_get_error(e->ssl, r);
        reason = ERR_peek_last_error();
        flush(e);
        if (r > 0)
            return 0;
        if (error != SSL_ERROR_WANT_READ) {
            CHECK(error == SSL_ERROR_SSL && ERR_GET_LIB(reason) == ERR_LIB_SSL);
            return 1;
        }
        CHECK(reason == 0);
        n = rn_read(e->conn, buf, sizeof buf);
        if (n <= 0)
            return 1;
        CHECK(BIO_write(SSL_get_rbio(e->ssl), buf, (int)n) == n);
    }
}

static int read_text(SSL *ssl)
{
    char text[6];
    int r = SSL_read(ssl, text, 5);

    if (r == 5)
        CHECK(memcmp(text, "hello", 5) == 0);
    return r;
}

static int write_text(SSL *ssl)
{
    return SSL_write(ssl, "hello", 5);
}

static struct end new_end(rn_conn *conn, bool wrong)
{
    struct end e = {.conn = conn, .ssl = SSL_new(ctx)};

    CHECK(e.ssl != NULL);
    SSL_set_bio(e.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(e.ssl, wrong ? &ctx : NULL);
    return e;
}

static void free_end(struct end *e)
{
    SSL_free(e->ssl);
    rn_close(e->conn);
}

static int serve_one(void *conn)
{
    struct end e = new_end(conn, false);

    if (drive(&e, SSL_accept) == 0)
        while (drive(&e, read_text) == 0 && drive(&e, write_text) == 0)
            ;
    free_end(&e);
    return 0;
}

static char address[64];

static int connect_some(void *arg)
{
    int seed = (int)(intptr_t)arg;

    for (int i = 0; i < 10; i++) {
        bool wrong = (seed + i) % 3 == 0;
        struct end e;
        rn_conn *conn;

        CHECK(rn_dial("tcp", address, NULL, &conn) == 0);
        e = new_end(conn, wrong);
        be_away(seed + i);
        CHECK(drive(&e, SSL_connect) == wrong);
        for (int k = 0; k < 5 && !wrong; k++)
            CHECK(drive(&e, write_text) == 0 && drive(&e, read_text) == 0);
        free_end(&e);
    }
    return 0;
}

static void handle(rn_conn *conn, void *arg)
{
    (void)arg;
    (void)serve_one(conn);
}

static void serve(void *ln)
{
    (void)rn_serve_listener(ln, NULL, handle, NULL);
}

static void check_openssl(void)
{
    rn_group g = RN_GROUP_INIT;
    rn_listener *ln;

    ctx = SSL_CTX_new(TLS_method());
    CHECK(ctx != NULL && SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) == 1);
    CHECK(SSL_CTX_set_cipher_list(ctx, "PSK-AES128-GCM-SHA256") == 1);
    SSL_CTX_set_psk_client_callback(ctx, client_key);
    SSL_CTX_set_psk_server_callback(ctx, server_key);
    CHECK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln) == 0);
    CHECK(rn_listener_addr(ln, address, sizeof address) == 0);
    CHECK(rn_go(serve, ln) == 0);
    for (intptr_t i = 0; i < COROUTINES / 2; i++) {
        CHECK(rn_group_go(&g, fail_in_pem, (void *)i) == 0);
        CHECK(rn_group_go(&g, connect_some, (void *)i) == 0);
    }
    CHECK(rn_group_wait(&g, 0) == 0);
    rn_listener_cancel(ln);
}

static int run(void *arg)
{
    (void)arg;
    CHECK(rn_chan_new(sizeof(int), COROUTINES * 2, &ch) == 0);
    check_thread_locals();
    check_openssl();
    puts("right");
    return 0;
}

int main(void)
{
    return rn_run(&(rn_run_options){.procs = PROCS, .stack_bytes = 512 << 10}, run, NULL);
}
