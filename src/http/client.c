/*
 * client.c - clients, and the connections they keep
 *
 *      dialled --> the reply's --read to its end--> idle, on the reader's P
 *                   |    ^                           |    |
 *                   |    +-------next request--------+    +--too long, too many, closed by its
 *                   +--error, "close"--> closed                   server--> closed
 *
 * A pool for each P, and no lock: a coroutine never changes thread, so who takes a connection, uses
 * it and gives it back is on one P, the one whose poller knows it. Where another P reads the reply
 * to its end, that one keeps it.
 *
 * While some rest, a coroutine of their P looks after them once a second, and closes those whose
 * time is over and those that their peer has ended. Before one is used again it is asked once more
 * whether its peer has closed it, or said something that nobody asked for. Between that look and
 * the request lies the window in which only a repetition helps (client_call.c).
 *
 * With max_conns_per_host each P counts its connections to a host in a gate, under the place's
 * lock. One is signalled for each connection that comes free; it looks again, and who comes later
 * queues behind those who wait.
 */
#include "http/client.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include <runnel/task.h>

#define DIAL_TIME (30 * RN_SECOND)
#define HEAD_TIME (60 * RN_SECOND)
#define WHOLE_TIME (600 * RN_SECOND)
#define CONTINUE_TIME RN_SECOND
#define IDLE_TIME (90 * RN_SECOND)
#define HEAD_BYTES ((size_t)16 << 10)
#define HEAD_MOST ((size_t)1 << 20)
#define IDLE_MOST 128
#define IDLE_HOST_MOST 32
#define SPARES 16
#define LOOK_EVERY RN_SECOND

/* ---- clients ---- */

static int choose_span(rn_time asked, rn_time normal, rn_time *ret)
{
    if (asked < -1)
        return -EINVAL;
    *ret = asked == 0 ? normal : asked < 0 ? 0 : asked;
    return 0;
}

static int choose_limits(rn_http_client *c, rn_http_client_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    o->max_head_bytes = o->max_head_bytes == 0 ? HEAD_BYTES : o->max_head_bytes;
    o->max_idle = o->max_idle == 0 ? IDLE_MOST : o->max_idle;
    o->max_idle_per_host = o->max_idle_per_host == 0 ? IDLE_HOST_MOST : o->max_idle_per_host;
    o->max_redirects = o->max_redirects == 0 ? 10 : o->max_redirects < 0 ? 0 : o->max_redirects;
    c->in_room = o->max_head_bytes + RN__BODY_ROOM;
    if (o->max_head_bytes > HEAD_MOST || choose_span(o->dial_ns, DIAL_TIME, &c->dial_ns) < 0 ||
        choose_span(o->head_ns, HEAD_TIME, &c->head_ns) < 0 ||
        choose_span(o->whole_ns, WHOLE_TIME, &c->whole_ns) < 0 ||
        choose_span(o->continue_ns, CONTINUE_TIME, &c->continue_ns) < 0 ||
        choose_span(o->idle_ns, IDLE_TIME, &c->idle_ns) < 0)
        return -EINVAL;
    return 0;
}

/* What the options point to is copied. */
static int copy_texts(rn_http_client *c, const rn_http_client_options *o)
{
    const char *agent = o->agent == NULL ? "runnel" : o->agent;

    if (!rn__is_value_text(agent))
        return -EINVAL;
    if (*agent != '\0') {
        c->agent = rn__malloc(strlen(agent) + 1);
        if (c->agent == NULL)
            return -ENOMEM;
        strcpy(c->agent, agent);
    }
    return o->proxy == NULL ? 0 : rn__url_parse(o->proxy, strlen(o->proxy), &c->proxy);
}

static void free_client(rn_http_client *c)
{
    rn__free(c->agent);
    rn__free(c->proxy);
    rn__free(c);
}

int rn_http_client_new(const rn_http_client_options *options, rn_http_client **ret)
{
    int n = rn_procs(), r;
    rn_http_client *c;

    if (rn__self() == NULL)
        return -EDEADLK;
    c = rn__calloc(1, sizeof *c + (size_t)n * sizeof c->places[0]);
    if (c == NULL)
        return -ENOMEM;
    c->n_places = n;
    for (int i = 0; i < n; i++) {
        rn__list_init(&c->places[i].idle);
        c->places[i].client = c;
    }
    if (options != NULL)
        c->options = *options;
    r = choose_limits(c, &c->options);
    if (r == 0)
        r = copy_texts(c, &c->options);
    if (r < 0)
        free_client(c);
    else
        *ret = c;
    return r;
}

static void free_reply(rn_http_reply *x)
{
    rn__free(x->out);
    rn__free(x);
}

void rn_http_client_free(rn_http_client *client)
{
    if (client == NULL)
        return;
    for (int i = 0; i < client->n_places; i++)
        rn_sem_release(&client->places[i].stop, 1);
    rn_shield_begin();
    (void)rn_waitgroup_wait(&client->watchers);
    rn_shield_end();
    for (int i = 0; i < client->n_places; i++) {
        struct rn__client_place *place = &client->places[i];
        struct rn__list *node;
        rn_http_reply *x;

        while ((node = rn__list_pop(&place->idle)) != NULL)
            rn__link_drop(RN_CONTAINER(node, struct rn__link, node));
        while ((x = place->spare) != NULL) {
            place->spare = x->next;
            free_reply(x);
        }
    }
    free_client(client);
}

static struct rn__client_place *here(rn_http_client *c)
{
    return &c->places[rn_proc_id() - 1];
}

rn_time rn__earlier(rn_time deadline, rn_time span_ns)
{
    rn_time at = span_ns == 0 ? 0 : rn__time_add(rn__now_cached(), span_ns);

    return at == 0 || (deadline != 0 && deadline < at) ? deadline : at;
}

/* ---- replies ---- */

rn_http_reply *rn__reply_new(rn_http_client *client)
{
    struct rn__client_place *place = here(client);
    rn_http_reply *x = place->spare;

    if (x != NULL) {
        place->spare = x->next;
        place->n_spare--;
        return x;
    }
    x = rn__malloc(sizeof *x + client->in_room);
    if (x == NULL)
        return NULL;
    memset(x, 0, offsetof(rn_http_reply, head));
    x->client = client;
    return x;
}

void rn__reply_free(rn_http_reply *x)
{
    struct rn__client_place *place = here(x->client);

    rn__exchange_begin(x, false); /* frees what the last one left */
    rn__free(x->url);
    x->url = NULL;
    if (place->n_spare == SPARES) {
        free_reply(x);
        return;
    }
    x->next = place->spare;
    place->spare = x;
    place->n_spare++;
}

/* ---- gates ---- */

/* Under the lock. NULL: no memory. */
static struct rn__gate *find_gate(struct rn__client_place *place, const char *address)
{
    struct rn__gate *g = place->gates;

    while (g != NULL && strcmp(g->address, address) != 0)
        g = g->next;
    if (g != NULL)
        return g;
    g = rn__calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    strcpy(g->address, address);
    g->place = place;
    g->next = place->gates;
    place->gates = g;
    return g;
}

/* Under the lock: somebody may look again, or nobody needs it any more. */
static void pass_gate(struct rn__gate *g)
{
    struct rn__gate **at = &g->place->gates;

    if (g->waiting > 0)
        rn_cond_signal(&g->cond);
    if (g->waiting > 0 || g->n > 0)
        return;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    rn__free(g);
}

static void leave_gate(struct rn__gate *g)
{
    struct rn__client_place *place = g->place;

    (void)rn_mutex_lock(&place->lock);
    g->n--;
    pass_gate(g);
    rn_mutex_unlock(&place->lock);
}

/* ---- links ---- */

rn_conn *rn__link_detach(struct rn__link *link)
{
    rn_conn *conn = link->conn;

    if (link->gate != NULL)
        leave_gate(link->gate);
    rn__free(link);
    return conn;
}

void rn__link_drop(struct rn__link *link)
{
    rn_conn *conn = link->conn;

    if (conn != NULL) {
        rn_cancel(conn); /* what still comes nobody will read: no lingering */
        rn_close(conn);
    }
    (void)rn__link_detach(link);
}

/* The latest idle one for an address. */
static struct rn__link *find_idle(struct rn__client_place *place, const char *address)
{
    struct rn__list *n;

    for (n = place->idle.prev; n != &place->idle; n = n->prev) {
        struct rn__link *link = RN_CONTAINER(n, struct rn__link, node);

        if (strcmp(link->address, address) == 0)
            return link;
    }
    return NULL;
}

static void take_out(struct rn__client_place *place, struct rn__link *link)
{
    rn__list_remove(&link->node);
    place->n_idle--;
}

/* Nothing to read, and no end: both would be there before we have asked for anything. */
static bool is_quiet(rn_conn *conn)
{
    char byte;

    return rn__conn_pending(conn) == 0 &&
           rn__sys_recv(conn->w.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -EAGAIN;
}

static bool is_too_old(const rn_http_client *c, const struct rn__link *link, rn_time now)
{
    return c->idle_ns != 0 && now - link->idle_since >= c->idle_ns;
}

/* Where the poller tells by itself, nobody asks before it has: by an edge, or by a flag that came
 * along with the last bytes. */
static bool has_ended(rn_conn *conn)
{
    struct rn__iowait *w = &conn->w;

    if (rn__iowait_has_edges() && atomic_load(&w->home) != NULL && !rn__iowait_ready(w, RN__READ) &&
        rn__iowait_seen(w) == 0)
        return false;
    rn__iowait_clear(w, RN__READ);
    return !is_quiet(conn);
}

/* Closes those that nobody could use any more, `all` of them, or only those that are too old. First
 * it takes them out: the list may change while a close parks. */
static void close_useless(rn_http_client *c, struct rn__client_place *place, rn_time now, bool all)
{
    struct rn__list useless, *n = place->idle.next;

    rn__list_init(&useless);
    while (n != &place->idle) {
        struct rn__link *link = RN_CONTAINER(n, struct rn__link, node);

        n = n->next;
        if (is_too_old(c, link, now) || (all && has_ended(link->conn))) {
            take_out(place, link);
            rn__list_push(&useless, &link->node);
        } else if (!all) {
            break; /* the oldest are in front */
        }
    }
    while ((n = rn__list_pop(&useless)) != NULL)
        rn__link_drop(RN_CONTAINER(n, struct rn__link, node));
}

/* Of its P, while there are idle ones. By the clock that deadlines are compared with: the cached
 * one may lag behind one that has passed, and stands still until somebody parks. */
static void watch_idle(void *arg)
{
    struct rn__client_place *place = arg;
    rn_http_client *c = place->client;

    while (!rn__list_empty(&place->idle)) {
        rn_time next = rn_now() + LOOK_EVERY;

        if (c->idle_ns != 0) {
            struct rn__link *oldest = RN_CONTAINER(place->idle.next, struct rn__link, node);
            rn_time end = rn__time_add(oldest->idle_since, c->idle_ns);

            next = end < next ? end : next;
        }
        if (rn_sem_acquire(&place->stop, 1, next) != -ETIME)
            break;
        close_useless(c, place, rn_now(), true);
    }
    place->watched = false;
    rn_waitgroup_done(&c->watchers);
}

/* Where there is no memory for that, the next one that comes to rest tries again. */
static void watch(struct rn__client_place *place)
{
    const rn_go_options o = {.name = "http client", .proc = rn_proc_id()};

    if (place->watched)
        return;
    rn_waitgroup_add(&place->client->watchers, 1);
    place->watched = rn_go_with(&o, watch_idle, place) == 0;
    if (!place->watched)
        rn_waitgroup_done(&place->client->watchers);
}

static struct rn__link *take_idle(struct rn__client_place *place, const char *address)
{
    struct rn__link *link;

    while ((link = find_idle(place, address)) != NULL) {
        take_out(place, link);
        if (is_quiet(link->conn)) {
            link->reused = true;
            return link;
        }
        rn_cancel(link->conn);
        rn_close(link->conn);
        link->conn = NULL;
        if (link->gate != NULL)
            return link; /* its place at the gate is ours: for a new connection */
        rn__free(link);
    }
    return NULL;
}

/* A link for an address that may have no connection yet, but is counted. */
static int get_counted(rn_http_reply *x, const char *address, bool fresh, struct rn__link **ret)
{
    rn_http_client *c = x->client;
    struct rn__client_place *place = here(c);
    struct rn__link *link = NULL;
    struct rn__gate *g;
    bool waited = false;
    int r = 0;

    (void)rn_mutex_lock(&place->lock);
    g = find_gate(place, address);
    while (g != NULL && r == 0) {
        bool mine = waited || g->waiting == 0;

        link = mine ? take_idle(place, address) : NULL;
        if (link != NULL || (mine && g->n < c->options.max_conns_per_host))
            break;
        g->waiting++;
        r = rn_cond_wait(&g->cond, &place->lock, x->deadline);
        g->waiting--;
        waited = true;
    }
    if (link == NULL && g != NULL && r == 0) {
        link = rn__calloc(1, sizeof *link);
        if (link != NULL) {
            link->gate = g;
            g->n++;
        }
    } else if (fresh && link != NULL && link->conn != NULL) {
        rn_cancel(link->conn);
        rn_close(link->conn);
        link->conn = NULL;
    }
    if (link == NULL && g != NULL)
        pass_gate(g); /* the signal that woke us may have been the one */
    rn_mutex_unlock(&place->lock);
    *ret = link;
    return r < 0 ? r : link == NULL ? -ENOMEM : 0;
}

static int dial(rn_http_client *c, struct rn__link *link, rn_time deadline)
{
    rn_dial_options o = c->options.dial;

    o.deadline = rn__earlier(deadline, c->dial_ns);
    link->reused = false;
    return rn_dial("tcp", link->address, &o, &link->conn);
}

int rn__link_get(rn_http_reply *x, bool fresh)
{
    rn_http_client *c = x->client;
    const char *address = c->proxy == NULL ? x->url->address : c->proxy->address;
    struct rn__link *link = NULL;
    int r = 0;

    close_useless(c, here(c), rn__now_cached(), false);
    if (c->options.max_conns_per_host > 0) {
        r = get_counted(x, address, fresh, &link);
    } else {
        link = fresh ? NULL : take_idle(here(c), address);
        if (link == NULL)
            link = rn__calloc(1, sizeof *link);
        r = link == NULL ? -ENOMEM : 0;
    }
    if (r < 0)
        return r;
    if (link->conn == NULL) {
        rn__list_init(&link->node);
        strcpy(link->address, address);
        r = dial(c, link, x->deadline);
    }
    if (r < 0)
        rn__link_drop(link);
    else
        x->link = link;
    return r;
}

static unsigned count_idle(struct rn__client_place *place, const char *address)
{
    unsigned count = 0;

    for (struct rn__list *n = place->idle.next; n != &place->idle; n = n->next)
        count += strcmp(RN_CONTAINER(n, struct rn__link, node)->address, address) == 0;
    return count;
}

void rn__link_put(struct rn__link *link, rn_http_client *c)
{
    struct rn__client_place *place = here(c);
    const rn_http_client_options *o = &c->options;

    if ((link->gate != NULL && link->gate->place != place) ||
        count_idle(place, link->address) >= o->max_idle_per_host) {
        rn__link_drop(link);
        return;
    }
    rn_set_deadline(link->conn, 0);
    link->idle_since = rn__now_cached();
    rn__list_push(&place->idle, &link->node);
    place->n_idle++;
    if (link->gate != NULL) {
        struct rn__gate *g = link->gate;

        (void)rn_mutex_lock(&place->lock);
        pass_gate(g);
        rn_mutex_unlock(&place->lock);
    }
    if (place->n_idle > o->max_idle) {
        link = RN_CONTAINER(place->idle.next, struct rn__link, node);
        take_out(place, link);
        rn__link_drop(link);
    }
    watch(place);
}
