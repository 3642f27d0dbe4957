/*
 * admin.c - the pages of the admin address
 *
 * Owns no state but `ready`. Snapshots and dumps are made by rn_offload: they look at each
 * coroutine, and the P that was asked is to go on meanwhile.
 */
#include <runnel/admin.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/sys.h"
#include "observe/page.h"
#include "task/dump.h"
#include "task/symbols.h"
#include <runnel/task.h>

#define GROUPS_MOST 1024 /* of coroutines: 0.3 MB while they are counted */

struct rn_admin {
    rn_http_mux *mux; /* [C] of the pages alone */
    atomic_bool ready;
};

static void say(rn_http_response *w, const char *type, const void *body, size_t len)
{
    (void)rn_http_set_header(w, "Content-Type", type);
    (void)rn_http_set_header(w, "Cache-Control", "no-store");
    (void)rn_http_set_header(w, "X-Content-Type-Options", "nosniff");
    (void)rn_http_set_length(w, len);
    (void)rn_http_write(w, body, len); /* the connection ends where that fails */
}

static void say_text(rn_http_response *w, const char *text)
{
    say(w, "text/plain; charset=utf-8", text, strlen(text));
}

static void fail(rn_http_response *w, int r)
{
    (void)rn_http_error(w, 500, rn_strerror(r));
}

/* ---- snapshots ---- */

struct snapshot {
    int (*format)(const rn_stats *stats, char **ret);
    char *text;
};

static int take(void *arg)
{
    struct snapshot *s = arg;
    rn_stats *stats;
    int r = rn_stats_get(&stats);

    if (r < 0)
        return r;
    r = s->format(stats, &s->text);
    rn_stats_free(stats);
    return r;
}

static void answer_snapshot(rn_http_response *w, const char *type,
                            int (*format)(const rn_stats *stats, char **ret))
{
    struct snapshot s = {.format = format};
    int r = rn_offload(take, &s, NULL);

    if (r < 0) {
        fail(w, r);
        return;
    }
    say(w, type, s.text, strlen(s.text));
    rn_stats_text_free(s.text);
}

static void answer_metrics(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    answer_snapshot(w, "text/plain; version=0.0.4; charset=utf-8", rn_stats_prometheus);
}

static void answer_json(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    answer_snapshot(w, "application/json", rn_stats_json);
}

/* ---- coroutines ---- */

struct dump {
    int fd;
    bool grouped;
};

/* On a thread of the pool: while the coroutine that asked waits for it, the runtime cannot end. */
static int dump(void *arg)
{
    struct dump *d = arg;

    return d->grouped ? rn__dump_groups(d->fd, GROUPS_MOST) : rn_dump(d->fd);
}

static void answer_dump(rn_http_response *w, rn_http_request *req, void *arg)
{
    int fd = rn__sys_memfd_create("coroutines", MFD_CLOEXEC), r = fd;
    struct dump d = {.fd = fd, .grouped = rn_http_get_query(req, "grouped") != NULL};
    struct stat st;

    (void)arg;
    if (fd >= 0) {
        r = rn_offload(dump, &d, NULL);
        if (r == 0)
            r = rn__sys_fstat(fd, &st);
    }
    if (r == 0) {
        (void)rn_http_set_header(w, "Content-Type", "text/plain; charset=utf-8");
        (void)rn_http_set_header(w, "Cache-Control", "no-store");
        (void)rn_http_send_file(w, fd, 0, (size_t)st.st_size);
    } else {
        fail(w, r);
    }
    if (fd >= 0)
        (void)rn__sys_close(fd);
}

/* ---- health ---- */

static void answer_health(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    say_text(w, "ok\n");
}

static void answer_ready(rn_http_response *w, rn_http_request *r, void *arg)
{
    rn_admin *a = arg;
    bool ready = atomic_load(&a->ready);

    (void)r;
    if (!ready)
        (void)rn_http_set_status(w, 503);
    say_text(w, ready ? "ready\n" : "draining\n");
}

/* ---- the dashboard ---- */

static void answer_page(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)r;
    (void)arg;
    (void)rn_http_set_header(w, "Content-Security-Policy",
                             "default-src 'none'; script-src 'unsafe-inline'; "
                             "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    say(w, "text/html; charset=utf-8", rn__page, rn__page_len);
}

/* ---- all of them ---- */

static const struct {
    const char *pattern;
    rn_http_handler fn;
} routes[] = {
    {"GET /metrics", answer_metrics},       {"GET /debug/stats.json", answer_json},
    {"GET /debug/coroutines", answer_dump}, {"GET /healthz", answer_health},
    {"GET /readyz", answer_ready},          {"GET /{$}", answer_page}, /* the last */
};

int rn_admin_mount(rn_admin *admin, rn_http_mux *mux, bool dashboard)
{
    size_t n = RN_COUNT_OF(routes) - (dashboard ? 0 : 1);
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = rn_http_handle(mux, routes[i].pattern, routes[i].fn, admin);
    return r;
}

int rn_admin_new(rn_admin **ret)
{
    rn_admin *a = rn__calloc(1, sizeof *a);
    int r;

    if (a == NULL)
        return -ENOMEM;
    rn__symbols_load(); /* for the coroutines' backtraces */
    atomic_store(&a->ready, true);
    r = rn_http_mux_new(&a->mux);
    if (r == 0)
        r = rn_admin_mount(a, a->mux, true);
    if (r < 0)
        rn_admin_free(a);
    else
        *ret = a;
    return r;
}

void rn_admin_free(rn_admin *admin)
{
    if (admin == NULL)
        return;
    rn_http_mux_free(admin->mux);
    rn__free(admin);
}

void rn_admin_set_ready(rn_admin *admin, bool ready)
{
    atomic_store(&admin->ready, ready);
}

void rn_admin_handler(rn_http_response *w, rn_http_request *r, void *admin)
{
    rn_http_mux_handler(w, r, ((rn_admin *)admin)->mux);
}
