/*
 * response.c - the answer under way
 *
 *      STAGED --set_length and a write, a flush, more than the stage holds--> HEAD OUT
 *      STAGED, HEAD OUT --the handler returns--> COMPLETE
 *
 * As long as the body is staged its length is not said, and all can still be taken back for an
 * error page. Then the framing is decided (RFC 9112 6.3): a length where it is known, else chunks,
 * or for HTTP/1.0 the end of the connection.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/token.h"

void rn__response_begin(rn_http_response *w)
{
    memset(w, 0, offsetof(rn_http_response, fields_room));
}

/* ---- header fields ---- */

static int set_fields_room(rn_http_response *w, size_t room)
{
    char *grown;

    if (room <= w->fields_room)
        return 0;
    if (room > RN__FIELDS_MOST)
        return -EMSGSIZE;
    room = room < RN__FIELDS_MOST / 2 ? room * 2 : RN__FIELDS_MOST;
    grown = rn__realloc(w->fields, room);
    if (grown == NULL)
        return -ENOMEM;
    w->fields = grown;
    w->fields_room = room;
    return 0;
}

static void remove_fields(rn_http_response *w, const char *name)
{
    size_t name_len = strlen(name), at = 0;

    while (at < w->fields_len) {
        char *line = w->fields + at, *end = memchr(line, '\n', w->fields_len - at);
        size_t len = (size_t)(end - line) + 1;

        if (len > name_len && strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            memmove(line, line + len, w->fields_len - at - len);
            w->fields_len -= len;
        } else {
            at += len;
        }
    }
}

static int append_field(rn_http_response *w, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    int r = value_len > RN__FIELDS_MOST || name_len > RN__FIELDS_MOST
                ? -EMSGSIZE
                : set_fields_room(w, w->fields_len + name_len + value_len + 4);
    char *at;

    if (r < 0)
        return r;
    at = w->fields + w->fields_len;
    at = mempcpy(at, name, name_len);
    at = mempcpy(at, ": ", 2);
    at = mempcpy(at, value, value_len);
    at = mempcpy(at, "\r\n", 2);
    w->fields_len = (size_t)(at - w->fields);
    return 0;
}

static int parse_length(const char *value, uint64_t *ret)
{
    uint64_t n = 0;

    if (*value == '\0')
        return -EINVAL;
    for (; *value != '\0'; value++)
        if (!rn__is_digit(*value) || __builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*value - '0'), &n))
            return -EINVAL;
    *ret = n;
    return 0;
}

static int take_length(rn_http_response *w, const char *value)
{
    uint64_t length;
    int r;

    if (value == NULL) {
        w->has_length = false;
        return 1;
    }
    r = parse_length(value, &length);
    r = r < 0 ? r : rn_http_set_length(w, length);
    return r < 0 ? r : 1;
}

/* Fields that are the server's: 1 when it has been dealt with, 0 for any other. The name is a token
 * of len bytes. */
static int take_special(rn_http_response *w, const char *name, size_t len, const char *value)
{
    switch (len) {
    case 4:
        w->has_date = rn__is_word(name, "date", 4) ? value != NULL : w->has_date;
        return 0;
    case 6:
        w->has_server = rn__is_word(name, "server", 6) ? value != NULL : w->has_server;
        return 0;
    case 10:
        if (!rn__is_word(name, "connection", 10))
            return 0;
        if (value == NULL || strcasecmp(value, "close") != 0)
            return -EINVAL;
        rn__exchange_of_w(w)->close = true;
        return 1;
    case 14:
        return rn__is_word(name, "content-length", 14) ? take_length(w, value) : 0;
    case 17:
        return rn__is_word(name, "transfer-encoding", 17) ? -EINVAL : 0;
    default:
        return 0;
    }
}

static int set_field(rn_http_response *w, const char *name, const char *value, bool replace)
{
    int r;

    if (!rn__is_token_text(name) || (value != NULL && !rn__is_value_text(value)))
        return -EINVAL;
    if (w->head_out)
        return -EALREADY;
    r = take_special(w, name, strlen(name), value);
    if (r != 0)
        return r < 0 ? r : 0;
    if (replace)
        remove_fields(w, name);
    return value == NULL ? 0 : append_field(w, name, value);
}

int rn_http_set_header(rn_http_response *w, const char *name, const char *value)
{
    return set_field(w, name, value, true);
}

int rn_http_add_header(rn_http_response *w, const char *name, const char *value)
{
    return set_field(w, name, value, false);
}

int rn_http_set_status(rn_http_response *w, int status)
{
    if (status < 200 || status > 999)
        return -EINVAL;
    if (w->head_out)
        return -EALREADY;
    w->status = status;
    return 0;
}

int rn_http_set_length(rn_http_response *w, uint64_t len)
{
    if (w->head_out)
        return -EALREADY;
    if (len < w->said) /* who reads so many bytes would take the rest for the next answer */
        return -EMSGSIZE;
    w->has_length = true;
    w->length = len;
    return 0;
}

/* ---- the head ---- */

static void put_number(struct rn__exchange *x, uint64_t n)
{
    char text[20];
    size_t at = sizeof text;

    do
        text[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    rn__out_put(x, text + at, sizeof text - at);
}

/* Once a second, and no more often looked for than the P looks around. */
static void renew_start(const rn_http_server *s, struct rn__http_place *p)
{
    char *at = p->start, date[RN__HTTP_DATE_LEN + 1];
    struct timespec ts;

    p->renewed = rn__now_cached();
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec == p->second)
        return;
    p->second = ts.tv_sec;
    rn__http_date(ts.tv_sec, date);
    at = mempcpy(at, RN__OK_LINE, sizeof RN__OK_LINE - 1);
    at = mempcpy(at, s->fixed, s->fixed_len);
    at += sprintf(at, "Date: %s\r\n", date);
    p->start_len = (size_t)(at - p->start);
}

/* RFC 9110 9.3.6: to the peer this is a tunnel now, and what it sends there no request. */
static bool opens_tunnel(const struct rn__exchange *x, int status)
{
    return x->r.head.method == RN__HTTP_CONNECT && status < 300;
}

/* As far as the handler has not said otherwise, by way of what stands ready. */
static void put_start(struct rn__exchange *x, int status)
{
    const size_t status_len = sizeof RN__OK_LINE - 1, server_len = x->server->fixed_len;
    struct rn__http_place *p = x->place;
    rn_http_response *w = &x->w;

    if (p->renewed != rn__now_cached() || p->start_len == 0)
        renew_start(x->server, p);
    if (RN_LIKELY(status == 200 && !w->has_server && !w->has_date)) {
        rn__out_put(x, p->start, p->start_len);
        return;
    }
    rn__out_text(x, "HTTP/1.1 ");
    put_number(x, (uint64_t)status);
    rn__out_text(x, " ");
    rn__out_text(x, rn__http_reason(status));
    rn__out_text(x, "\r\n");
    if (!w->has_server)
        rn__out_put(x, p->start + status_len, server_len);
    if (!w->has_date)
        rn__out_put(x, p->start + status_len + server_len, RN__DATE_LINE);
}

void rn__response_start(struct rn__exchange *x, int status)
{
    rn_http_response *w = &x->w;

    x->close |= !rn__body_is_short(x) || rn__serve_draining(x->conn) || opens_tunnel(x, status);
    put_start(x, status);
    if (x->close)
        rn__out_text(x, "Connection: close\r\n");
    else if (x->r.head.minor == 0)
        rn__out_text(x, "Connection: keep-alive\r\n");
    w->status = status;
    w->head_out = true;
}

static bool has_no_body(const struct rn__exchange *x, int status)
{
    return x->r.head.method == RN__HTTP_HEAD || status == 204 || status == 304;
}

/* RFC 9110 8.6: no Content-Length in a 204; in a 304 only what a 200 would have said. */
static void put_framing(struct rn__exchange *x)
{
    rn_http_response *w = &x->w;

    if (w->framing == RN__FRAME_LENGTH && w->status != 204 && (w->status != 304 || w->length > 0)) {
        rn__out_text(x, "Content-Length: ");
        put_number(x, w->length);
        rn__out_text(x, "\r\n");
    } else if (w->framing == RN__FRAME_CHUNKED && !w->no_body) {
        rn__out_text(x, "Transfer-Encoding: chunked\r\n");
    }
}

/* The head into the output buffer; `body` bytes will follow there if there is room. */
static int put_head(struct rn__exchange *x, enum rn__framing framing, size_t body)
{
    rn_http_response *w = &x->w;
    int status = w->status == 0 ? 200 : w->status;
    size_t head = RN__HEAD_ROOM + w->fields_len;
    int r = rn__out_reserve(x, head + body <= RN__OUT_ROOM ? head + body : head);

    if (r < 0)
        return r;
    w->no_body = has_no_body(x, status);
    w->framing = opens_tunnel(x, status) ? RN__FRAME_CLOSE : framing; /* RFC 9110 8.6 */
    x->close |= w->framing == RN__FRAME_CLOSE && !w->no_body;
    rn__response_start(x, status);
    put_framing(x);
    rn__out_put(x, w->fields, w->fields_len);
    rn__out_text(x, "\r\n");
    return 0;
}

/* ---- the body ---- */

/* Some of the body, behind the head. */
static int put_body(struct rn__exchange *x, const void *buf, size_t len)
{
    rn_http_response *w = &x->w;
    char size[24];
    int r, n;

    if (w->no_body || len == 0)
        return 0;
    w->body_out += len;
    if (w->framing != RN__FRAME_CHUNKED)
        return rn__out_write(x, buf, len);
    r = rn__out_reserve(x, sizeof size);
    if (r < 0)
        return r;
    n = snprintf(size, sizeof size, "%zx\r\n", len);
    rn__out_put(x, size, (size_t)n);
    r = rn__out_write(x, buf, len);
    return r < 0 ? r : rn__out_write(x, "\r\n", 2);
}

static enum rn__framing open_framing(const struct rn__exchange *x)
{
    if (x->w.has_length)
        return RN__FRAME_LENGTH;
    return x->r.head.minor == 0 ? RN__FRAME_CLOSE : RN__FRAME_CHUNKED;
}

/* The head goes out, and with it what was staged. */
static int commit_as(struct rn__exchange *x, enum rn__framing framing)
{
    rn_http_response *w = &x->w;
    int r = put_head(x, framing, w->staged);

    if (r == 0)
        r = put_body(x, w->stage, w->staged);
    w->staged = 0;
    return r;
}

static int commit(struct rn__exchange *x)
{
    return commit_as(x, open_framing(x));
}

static int check_write(const rn_http_response *w, size_t len)
{
    if (w->error != 0)
        return w->error;
    if (w->complete)
        return -EALREADY;
    if (len > SSIZE_MAX)
        return -EINVAL;
    if (len > 0 && (w->status == 204 || w->status == 205 || w->status == 304))
        return -EMSGSIZE; /* RFC 9110 15.3.5, 15.3.6, 15.4.5 */
    return w->has_length && len > w->length - w->said ? -EMSGSIZE : 0;
}

/* True when it is in the stage. */
static bool stage(rn_http_response *w, const void *buf, size_t len)
{
    if (w->head_out || w->has_length || w->staged + len > RN__STAGE_ROOM)
        return false;
    if (w->stage == NULL)
        w->stage = rn__malloc(RN__STAGE_ROOM);
    if (w->stage == NULL)
        return false; /* then it goes out at once */
    memcpy(w->stage + w->staged, buf, len);
    w->staged += len;
    return true;
}

ssize_t rn_http_write(rn_http_response *w, const void *buf, size_t len)
{
    struct rn__exchange *x = rn__exchange_of_w(w);
    int r = check_write(w, len);

    if (r < 0)
        return r;
    w->status = w->status == 0 ? 200 : w->status;
    if (len == 0)
        return 0;
    if (!stage(w, buf, len)) {
        if (!w->head_out)
            r = commit(x);
        if (r == 0)
            r = put_body(x, buf, len);
    }
    if (r < 0)
        return r;
    w->said += len;
    return (ssize_t)len;
}

ssize_t rn_http_printf(rn_http_response *w, const char *format, ...)
{
    char small[512], *text = small;
    va_list args;
    ssize_t r;
    int n;

    va_start(args, format);
    n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n >= sizeof small) {
        text = rn__malloc((size_t)n + 1);
        if (text == NULL)
            return -ENOMEM;
        va_start(args, format);
        (void)vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
    }
    r = rn_http_write(w, text, (size_t)n);
    if (text != small)
        rn__free(text);
    return r;
}

ssize_t rn_http_send_file(rn_http_response *w, int fd, off_t offset, size_t len)
{
    struct rn__exchange *x = rn__exchange_of_w(w);
    int r;

    if (!w->head_out && !w->has_length && w->error == 0)
        (void)rn_http_set_length(w, w->said + len);
    r = check_write(w, len);
    if (r == 0 && w->framing == RN__FRAME_CHUNKED)
        r = -EINVAL;
    if (r == 0 && !w->head_out)
        r = commit(x);
    if (r == 0 && !w->no_body) {
        r = rn__out_file(x, fd, offset, len, false);
        w->body_out += r == 0 ? len : 0;
    }
    if (r < 0)
        return r;
    w->said += len;
    return (ssize_t)len;
}

int rn_http_flush(rn_http_response *w)
{
    struct rn__exchange *x = rn__exchange_of_w(w);
    int r = check_write(w, 0);

    if (r == 0 && !w->head_out)
        r = commit(x);
    return r < 0 ? r : rn__out_flush(x, 0);
}

/* ---- pages ---- */

static size_t escape(const char *text, char *out, size_t room)
{
    size_t n = 0;

    for (; *text != '\0' && n + 8 < room; text++) {
        const char *to = *text == '<'   ? "&lt;"
                         : *text == '>' ? "&gt;"
                         : *text == '&' ? "&amp;"
                         : *text == '"' ? "&quot;"
                                        : NULL;

        if (to == NULL)
            out[n++] = *text;
        else
            n += (size_t)sprintf(out + n, "%s", to);
    }
    out[n] = '\0';
    return n;
}

int rn_http_error(rn_http_response *w, int status, const char *text)
{
    static const char *const about_body[] = {
        "Content-Type", "Content-Encoding", "Content-Range", "Content-Language",
        "ETag",         "Last-Modified",    "Cache-Control"};
    char page[1024], escaped[512];
    int n, r = rn_http_set_status(w, status);

    if (r < 0) {
        rn__exchange_of_w(w)->close |= r == -EALREADY;
        w->error = w->error == 0 && r == -EALREADY ? -RN_EPARTIAL : w->error;
        return r;
    }
    for (size_t i = 0; i < RN_COUNT_OF(about_body); i++)
        (void)rn_http_set_header(w, about_body[i], NULL);
    w->staged = 0;
    w->said = 0;
    w->has_length = false;
    r = rn_http_set_header(w, "Content-Type", "text/html; charset=utf-8");
    if (r < 0)
        return r;
    (void)escape(text == NULL ? "" : text, escaped, sizeof escaped);
    n = snprintf(page, sizeof page,
                 "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width\">"
                 "<title>%d %s</title><h1>%d %s</h1><p>%s</p></html>\n",
                 status, rn__http_reason(status), status, rn__http_reason(status), escaped);
    r = status == 204 || status == 304 ? 0 : (int)rn_http_write(w, page, (size_t)n);
    return r < 0 ? r : 0;
}

int rn_http_redirect(rn_http_response *w, int status, const char *url)
{
    int r = rn_http_set_header(w, "Location", url);

    return r < 0 ? r : rn_http_error(w, status, url);
}

int rn_http_hijack(rn_http_response *w, rn_conn **ret)
{
    struct rn__exchange *x = rn__exchange_of_w(w);
    int r;

    if (w->head_out || w->staged > 0 || x->hijacked)
        return -EALREADY;
    if (x->r.body_begun && !x->r.body_ended)
        return -EBUSY;
    r = rn__out_flush(x, 0);
    if (r == 0)
        r = rn_unread(x->conn, x->in.buf + x->in.at, x->in.len - x->in.at);
    if (r < 0)
        return r;
    rn_set_deadline(x->conn, 0);
    /* The handler may close it and go on: neither may the server end then, nor a late read or
     * write of this request reach what is not ours any more. */
    x->held = rn__serve_hold(x->conn);
    x->hijacked = true;
    w->complete = true;
    x->r.body_error = -EALREADY;
    *ret = x->conn;
    return 0;
}

/* ---- the end ---- */

/* The handler has returned, nothing is out yet, and that will not do. Without memory to stage the
 * page that says so its head is out then. */
static void tell_missing(struct rn__exchange *x)
{
    rn_http_response *w = &x->w;
    bool silent = w->status == 0 && !w->has_length;
    bool broken = w->has_length && w->length > w->staged && !has_no_body(x, w->status);

    if (silent || broken)
        (void)rn_http_error(w, 500, "The server has no answer to this request.");
}

/* What is staged is all. */
static int end_staged(struct rn__exchange *x)
{
    if (!x->w.has_length)
        x->w.length = x->w.staged;
    return commit_as(x, RN__FRAME_LENGTH);
}

void rn__response_end(struct rn__exchange *x)
{
    static const char last_chunk[] = "0\r\n\r\n";
    rn_http_response *w = &x->w;
    int r;

    if (w->complete)
        return;
    if (w->error == 0 && !w->head_out)
        tell_missing(x);
    r = w->error;
    if (r == 0 && !w->head_out)
        r = end_staged(x);
    else if (r == 0 && w->framing == RN__FRAME_CHUNKED && !w->no_body)
        r = rn__out_write(x, last_chunk, sizeof last_chunk - 1);
    else if (r == 0 && w->framing == RN__FRAME_LENGTH && w->said < w->length && !w->no_body)
        r = w->error = -RN_EPARTIAL; /* the length was promised */
    w->complete = true;
    x->close |= r < 0;
}
