/*
 * mux.c - from the path of a request to its handler
 *
 * A tree of segments for each host. A node has children by name, one for any name, and the routes
 * that end at it:
 *
 *      "/a/b"  exact     "/a/b/{$}"  slash     "/a/b/", "/a/b/{rest...}"  below
 *
 * The search goes down first by name, then by wildcard, and takes what ends below on its way back:
 * depth first, with a stack of its own. It is read-only once the mux serves.
 */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/token.h"

#define DEEPEST 32 /* segments of a pattern */
#define ALLOW_ROOM 256

struct rn__route {
    struct rn__route *next; /* same end */
    const char *method;     /* NULL: any */
    rn_http_handler fn;
    void *arg;
    int n_names;
    const char *names[DEEPEST];
    bool has_rest; /* the last name is that of "{name...}" */
    char text[];   /* the pattern, cut up */
};

enum end { EXACT, SLASH, BELOW, N_ENDS };

struct node {
    struct node *sibling, *children; /* by name */
    struct node *any;
    struct rn__route *ends[N_ENDS];
    size_t len;
    char name[];
};

struct host {
    struct host *next;
    struct node *root;
    char name[];
};

struct rn_http_mux {
    struct host *hosts; /* the one without a name last */
};

/* ---- building ---- */

static struct node *new_node(const char *name, size_t len)
{
    struct node *n = rn__calloc(1, sizeof *n + len + 1);

    if (n != NULL) {
        n->len = len;
        memcpy(n->name, name, len);
    }
    return n;
}

static struct host *new_host(const char *name, size_t len)
{
    struct host *h = rn__calloc(1, sizeof *h + len + 1);

    if (h == NULL)
        return NULL;
    memcpy(h->name, name, len);
    h->root = new_node("", 0);
    if (h->root == NULL) {
        rn__free(h);
        return NULL;
    }
    return h;
}

int rn_http_mux_new(rn_http_mux **ret)
{
    rn_http_mux *mux = rn__calloc(1, sizeof *mux);

    if (mux == NULL)
        return -ENOMEM;
    mux->hosts = new_host("", 0);
    if (mux->hosts == NULL) {
        rn__free(mux);
        return -ENOMEM;
    }
    *ret = mux;
    return 0;
}

static void free_routes(struct node *n)
{
    for (int i = 0; i < N_ENDS; i++) {
        struct rn__route *route;

        while ((route = n->ends[i]) != NULL) {
            n->ends[i] = route->next;
            rn__free(route);
        }
    }
}

/* Takes the tree apart from its leaves: no recursion on a coroutine's stack. */
static void free_tree(struct node *root)
{
    struct node *todo = root;

    root->sibling = NULL;
    while (todo != NULL) {
        struct node *n = todo, *last;

        if (n->children != NULL || n->any != NULL) { /* they first */
            if (n->any != NULL) {
                n->any->sibling = n->children;
                n->children = n->any;
            }
            for (last = n->children; last->sibling != NULL; last = last->sibling)
                continue;
            last->sibling = n;
            todo = n->children;
            n->children = n->any = NULL;
            continue;
        }
        todo = n->sibling;
        free_routes(n);
        rn__free(n);
    }
}

void rn_http_mux_free(rn_http_mux *mux)
{
    struct host *h;

    if (mux == NULL)
        return;
    while ((h = mux->hosts) != NULL) {
        mux->hosts = h->next;
        free_tree(h->root);
        rn__free(h);
    }
    rn__free(mux);
}

static struct host *find_host(rn_http_mux *mux, const char *name, size_t len)
{
    struct host *h = mux->hosts;

    while (h != NULL && !(strlen(h->name) == len && strncasecmp(h->name, name, len) == 0))
        h = h->next;
    return h;
}

static struct node *find_child(const struct node *n, const char *name, size_t len)
{
    struct node *child = n->children;

    while (child != NULL && !(child->len == len && memcmp(child->name, name, len) == 0))
        child = child->sibling;
    return child;
}

/* What is not used after a failure stays in the tree without routes, and is found next time. */
static int enter(struct node **n, struct node **where, const char *name, size_t len)
{
    struct node *child = where != NULL ? *where : find_child(*n, name, len);

    if (child == NULL) {
        child = new_node(name, len);
        if (child == NULL)
            return -ENOMEM;
        if (where != NULL) {
            *where = child;
        } else {
            child->sibling = (*n)->children;
            (*n)->children = child;
        }
    }
    *n = child;
    return 0;
}

static bool is_name(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!rn__is_digit(s[i]) && s[i] != '_' && (rn__lower(s[i]) < 'a' || rn__lower(s[i]) > 'z'))
            return false;
    return len > 0 && !rn__is_digit(s[0]);
}

static int add_name(struct rn__route *route, char *name, size_t len)
{
    if (!is_name(name, len) || route->n_names == DEEPEST)
        return -EINVAL;
    name[len] = '\0';
    for (int i = 0; i < route->n_names; i++)
        if (strcmp(route->names[i], name) == 0)
            return -EINVAL;
    route->names[route->n_names++] = name;
    return 0;
}

/* A segment in braces: 0 and on to the next, 1 and *end: it was the last one. */
static int add_wildcard(struct rn__route *route, struct node **n, char *s, size_t len, bool last,
                        enum end *end)
{
    int r;

    if (len < 3 || s[len - 1] != '}')
        return -EINVAL;
    if (len == 3 && s[1] == '$') {
        *end = SLASH;
        return last ? 1 : -EINVAL;
    }
    if (len > 5 && memcmp(s + len - 4, "...}", 4) == 0) {
        *end = BELOW;
        route->has_rest = true;
        r = last ? add_name(route, s + 1, len - 5) : -EINVAL;
        return r < 0 ? r : 1;
    }
    r = add_name(route, s + 1, len - 2);
    return r < 0 ? r : enter(n, &(*n)->any, "", 0);
}

/* Walks a pattern's path, which begins with a slash, to the node where it ends. */
static int add_path(struct rn__route *route, struct node **n, char *path, enum end *end)
{
    *end = EXACT;
    for (int depth = 0; *path != '\0'; depth++) {
        char *s = path + 1, *slash = strchr(s, '/');
        size_t len = slash == NULL ? strlen(s) : (size_t)(slash - s);
        int r;

        path = s + len;
        if (depth == DEEPEST)
            return -EINVAL;
        if (len == 0) { /* "/" at the end stands for all below */
            *end = BELOW;
            return slash == NULL ? 0 : -EINVAL;
        }
        if (s[0] == '{')
            r = add_wildcard(route, n, s, len, slash == NULL, end);
        else if (memchr(s, '{', len) != NULL || memchr(s, '}', len) != NULL ||
                 (len <= 2 && strncmp(s, "..", len) == 0))
            r = -EINVAL;
        else
            r = enter(n, NULL, s, len);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return 0;
}

static bool same_method(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static int add_route(rn_http_mux *mux, struct rn__route *route)
{
    char *path = strchr(route->text, '/'), *space = strchr(route->text, ' '), *host = route->text;
    struct host *h;
    struct node *n;
    enum end end;
    int r;

    if (path == NULL)
        return -EINVAL;
    if (space != NULL && space < path) {
        route->method = route->text;
        for (const char *m = route->text; m < space; m++)
            if (!rn__is_class(*m, RN__CLASS_TOKEN))
                return -EINVAL;
        *space = '\0';
        for (host = space + 1; *host == ' '; host++)
            continue;
    }
    if (route->method != NULL && *route->method == '\0')
        return -EINVAL;
    for (const char *c = host; c < path; c++)
        if (!rn__is_class(*c, RN__CLASS_HOST))
            return -EINVAL;
    h = find_host(mux, host, (size_t)(path - host));
    if (h == NULL) {
        h = new_host(host, (size_t)(path - host));
        if (h == NULL)
            return -ENOMEM;
        h->next = mux->hosts; /* the one without a name, which was there first, stays last */
        mux->hosts = h;
    }
    n = h->root;
    RN_ASSERT(n != NULL);
    r = add_path(route, &n, path, &end);
    if (r < 0)
        return r;
    for (struct rn__route *other = n->ends[end]; other != NULL; other = other->next)
        if (same_method(other->method, route->method))
            return -EEXIST;
    route->next = n->ends[end];
    n->ends[end] = route;
    return 0;
}

int rn_http_handle(rn_http_mux *mux, const char *pattern, rn_http_handler fn, void *arg)
{
    size_t len = strlen(pattern) + 1;
    struct rn__route *route = rn__calloc(1, sizeof *route + len);
    int r;

    if (route == NULL)
        return -ENOMEM;
    memcpy(route->text, pattern, len);
    route->fn = fn;
    route->arg = arg;
    r = add_route(mux, route);
    if (r < 0)
        rn__free(route);
    return r;
}

/* ---- finding ---- */

struct search {
    rn_http_request *r;
    struct rn__http_slice segments[DEEPEST + 1]; /* decoded */
    const char *starts[DEEPEST + 1];             /* encoded, at the slash before each */
    int n;                                       /* more than DEEPEST: and more */
    bool slash;                                  /* the path ends in one */
    struct node *nodes[DEEPEST + 1];             /* the way down; nodes[0] is the root */
    uint8_t tried[DEEPEST + 1];                  /* at each of them */
    int depth;                                   /* where the route was found */
    enum end end;
    char allow[ALLOW_ROOM]; /* methods of routes that would have fitted */
};

static void allow(struct search *s, const char *method)
{
    size_t used = strlen(s->allow), len = strlen(method);
    const char *at = s->allow;

    while (at != NULL && !(strncmp(at, method, len) == 0 && (at[len] == ',' || at[len] == '\0'))) {
        at = strchr(at, ' '); /* not within a longer one's name */
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL && used + len + sizeof ", " <= sizeof s->allow)
        strcpy(stpcpy(s->allow + used, used > 0 ? ", " : ""), method);
    if (strcmp(method, "GET") == 0)
        allow(s, "HEAD");
}

/* Of the routes that end here, the one for the request's method. */
static const struct rn__route *pick(struct search *s, const struct rn__route *routes)
{
    const struct rn__http_slice *m = &s->r->head.method_name;
    const struct rn__route *any = NULL, *get = NULL;

    for (const struct rn__route *route = routes; route != NULL; route = route->next) {
        if (route->method == NULL)
            any = route;
        else if (strlen(route->method) == m->len && memcmp(route->method, m->at, m->len) == 0)
            return route;
        else if (s->r->head.method == RN__HTTP_HEAD && strcmp(route->method, "GET") == 0)
            get = route;
        else
            allow(s, route->method);
    }
    return get != NULL ? get : any;
}

static bool push(struct search *s, struct node *n)
{
    if (n == NULL)
        return false;
    s->nodes[++s->depth] = n;
    s->tried[s->depth] = 0;
    return true;
}

/* The next thing to try at the present node; NULL: nothing was found by it. */
static const struct rn__route *try_next(struct search *s)
{
    struct node *n = s->nodes[s->depth];
    bool more = s->depth < s->n;
    const struct rn__http_slice *segment = &s->segments[s->depth];

    switch (s->tried[s->depth]++) {
    case 0:
        if (!more) {
            s->end = s->slash ? SLASH : EXACT;
            return pick(s, n->ends[s->end]);
        }
        if (s->depth < DEEPEST)
            (void)push(s, find_child(n, segment->at, segment->len));
        return NULL;
    case 1:
        if (more && s->depth < DEEPEST && segment->len > 0)
            (void)push(s, n->any);
        return NULL;
    case 2:
        s->end = BELOW;
        return more || s->slash ? pick(s, n->ends[BELOW]) : NULL;
    default:
        s->depth--;
        return NULL;
    }
}

static const struct rn__route *find_below(struct search *s, struct node *root)
{
    s->depth = 0;
    s->nodes[0] = root;
    s->tried[0] = 0;
    while (s->depth >= 0) {
        const struct rn__route *route = try_next(s);

        if (route != NULL)
            return route;
    }
    return NULL;
}

static const struct rn__route *find(struct search *s, const rn_http_mux *mux)
{
    struct rn__http_slice host = s->r->head.host;
    const char *colon = host.len > 0 ? memrchr(host.at, ':', host.len) : NULL;

    if (colon != NULL && memchr(colon, ']', host.len - (size_t)(colon - host.at)) == NULL)
        host.len = (size_t)(colon - host.at);
    for (const struct host *h = mux->hosts; h != NULL; h = h->next) {
        bool fits = h->name[0] == '\0' ||
                    (strlen(h->name) == host.len && strncasecmp(h->name, host.at, host.len) == 0);
        const struct rn__route *route = fits ? find_below(s, h->root) : NULL;

        if (route != NULL)
            return route;
    }
    return NULL;
}

/* ---- the path ---- */

/* 0; 1: it is not in its shortest form; -EINVAL: dots in disguise; -ENOMEM. */
static int split(struct search *s)
{
    struct rn__http_slice path = s->r->head.path;
    const char *at = path.at, *end = path.at + path.len;
    int r = 0;

    while (at < end) {
        const char *from = at + 1, *slash = memchr(from, '/', (size_t)(end - from));
        struct rn__http_slice raw = {from, (size_t)((slash == NULL ? end : slash) - from)}, plain;

        plain = raw;
        if (memchr(raw.at, '%', raw.len) != NULL) {
            plain.at = rn__request_decode(s->r, raw, false);
            if (plain.at == NULL)
                return -ENOMEM;
            plain.len = strlen(plain.at);
        }
        if (plain.len <= 2 && plain.len > 0 && strncmp(plain.at, "..", plain.len) == 0) {
            if (plain.at != raw.at)
                return -EINVAL;
            r = 1;
        }
        if (raw.len == 0) {
            s->slash = slash == NULL;
            r = slash == NULL ? r : 1;
        }
        if (s->n <= DEEPEST && !s->slash) {
            s->segments[s->n] = plain;
            s->starts[s->n++] = at;
        }
        at = slash == NULL ? end : slash;
    }
    return r;
}

/* Away with empty segments and dots, as RFC 3986 5.2.4 has it; then the query. */
static void redirect_clean(rn_http_response *w, rn_http_request *r, bool add_slash)
{
    struct rn__http_slice path = r->head.path, query = r->head.query;
    char *out = rn_http_alloc(r, path.len + query.len + 4), *to = out;
    const char *at = path.at, *end = path.at + path.len;
    bool is_dir = true;
    bool safe = r->head.method == RN__HTTP_GET || r->head.method == RN__HTTP_HEAD;

    if (out == NULL) {
        (void)rn_http_error(w, 503, "The server is short of memory.");
        return;
    }
    while (at < end) {
        const char *from = at + 1, *slash = memchr(from, '/', (size_t)(end - from));
        size_t len = (size_t)((slash == NULL ? end : slash) - from);

        is_dir = len == 0 || (len <= 2 && strncmp(from, "..", len) == 0);
        if (!is_dir)
            to = mempcpy(to, at, len + 1);
        else if (len == 2)
            while (to > out && *--to != '/')
                continue;
        at = slash == NULL ? end : slash;
    }
    if (is_dir || add_slash || to == out)
        *to++ = '/';
    if (query.at != NULL) {
        *to++ = '?';
        to = mempcpy(to, query.at, query.len);
    }
    *to = '\0';
    (void)rn_http_redirect(w, safe ? 301 : 308, out);
}

/* What stands for the route's wildcards: segments that were entered by one, and the rest. */
static int keep_values(struct search *s, const struct rn__route *route)
{
    struct rn__http_slice path = s->r->head.path;
    int n = 0;

    s->r->route = route;
    if (s->end == BELOW && path.len == 0) {
        s->r->rest = (struct rn__http_slice){"/", 1}; /* RFC 9110 4.2.3 */
    } else if (s->end == BELOW) {
        const char *at = s->depth < s->n ? s->starts[s->depth] : path.at + path.len - 1;

        s->r->rest = (struct rn__http_slice){at, (size_t)(path.at + path.len - at)};
    }
    if (route->n_names == 0)
        return 0;
    s->r->path_values = rn_http_alloc(s->r, (size_t)route->n_names * sizeof(const char *));
    if (s->r->path_values == NULL)
        return -ENOMEM;
    for (int i = 0; i < s->depth; i++) {
        struct rn__http_slice segment = s->segments[i];
        char *copy;

        if (s->nodes[i]->any != s->nodes[i + 1])
            continue;
        copy = rn_http_alloc(s->r, segment.len + 1);
        if (copy == NULL)
            return -ENOMEM;
        *(char *)mempcpy(copy, segment.at, segment.len) = '\0';
        s->r->path_values[n++] = copy;
    }
    if (route->has_rest) {
        struct rn__http_slice rest = {s->r->rest.at + 1, s->r->rest.len - 1};

        s->r->path_values[n] = rn__request_decode(s->r, rest, false);
        if (s->r->path_values[n] == NULL)
            return -ENOMEM;
    }
    return 0;
}

const char *rn_http_get_path_value(rn_http_request *r, const char *name)
{
    for (int i = 0; r->route != NULL && i < r->route->n_names; i++)
        if (strcmp(r->route->names[i], name) == 0)
            return r->path_values[i];
    return NULL;
}

/* "/dir", and only "/dir/" is known. */
static bool wants_slash(struct search *s, const rn_http_mux *mux)
{
    bool found;

    s->slash = true;
    found = find(s, mux) != NULL && s->depth == s->n;
    s->slash = false;
    return found;
}

static void answer_none(rn_http_response *w, const struct search *s)
{
    if (s->allow[0] == '\0') {
        (void)rn_http_error(w, 404, "There is nothing here by that name.");
    } else if (s->r->head.method == RN__HTTP_OTHER) {
        (void)rn_http_error(w, 501, "This method is not known here.");
    } else {
        (void)rn_http_set_header(w, "Allow", s->allow);
        (void)rn_http_error(w, 405, "This cannot be done here.");
    }
}

void rn_http_mux_handler(rn_http_response *w, rn_http_request *r, void *mux)
{
    /* Without a path: "http://host", which is "/" (RFC 9110 4.2.3), or a CONNECT. */
    struct search s = {.r = r, .slash = r->head.path.len == 0};
    const struct rn__route *route;
    int split_up = r->head.path.at == NULL ? 0 : split(&s);

    if (r->head.form == RN__HTTP_ASTERISK) {
        (void)rn_http_set_status(w, 204);
        return;
    }
    if (split_up == -EINVAL) {
        (void)rn_http_error(w, 400, "The address is malformed.");
        return;
    }
    if (split_up == 1) {
        redirect_clean(w, r, false);
        return;
    }
    route = split_up < 0 ? NULL : find(&s, mux);
    if (split_up == 0 && !s.slash && (route == NULL || s.depth < s.n)) {
        if (wants_slash(&s, mux)) {
            redirect_clean(w, r, true);
            return;
        }
        route = find(&s, mux); /* the search went another way */
    }
    if (route == NULL && split_up == 0) {
        answer_none(w, &s);
    } else if (route == NULL || keep_values(&s, route) < 0) {
        (void)rn_http_error(w, 503, "The server is short of memory.");
    } else {
        route->fn(w, r, route->arg);
    }
}
