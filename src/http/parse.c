/*
 * parse.c - a strict HTTP/1 request parser that never looks at a byte twice
 *
 * Owns nothing: all state is in the caller's struct rn__http_request.
 *
 *     LEAD -> METHOD -> TARGET -> VERSION -> FIELDS (fieldline.h) --empty line--> DONE
 *     any of them -> BAD
 *
 * Invariant: the bytes before `scanned` are judged, and what was concluded from them is in the
 * request. Each state's scanner starts at `scanned`, moves it, and returns 1 (state changed),
 * RN__HTTP_INCOMPLETE or RN__HTTP_BAD. Every decision is made at a byte position and from the bytes
 * up to it, never from `len`, so how the input was cut cannot change the outcome. A scanner that
 * must see two bytes (CR LF) stays on the first until the second is there.
 *
 * Numbers in comments are sections of RFC 9112 unless another RFC is named.
 */
#include "http/parse.h"

#include <arpa/inet.h>
#include <string.h>

#include "http/token.h"

#define DEFAULT_TARGET_LEN 8000
#define DEFAULT_HEAD_LEN (16 * 1024)
#define MOST_HEAD_LEN (1u << 30) /* offsets are 32 bits */
#define MOST_METHOD_LEN 32
#define MOST_EMPTY_LINES 2

enum state { LEAD, METHOD, TARGET, VERSION, FIELDS, DONE, BAD };

/* req->seen */
enum {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_CODING = 4,
    SEEN_UPGRADE = 8,
    ASKED_CLOSE = 16,
    ASKED_KEEP = 32,
    ASKED_UPGRADE = 64,
    ASKED_CONTINUE = 128
};

/* What a scanner needs besides the request: the bytes in sight, cut off at the head's limit. */
struct input {
    const char *buf;
    uint32_t end;
    uint32_t max_target_len;
    unsigned max_fields;
};

static int refuse(struct rn__http_request *req, int status, const char *reason)
{
    req->state = BAD;
    req->status = status;
    req->reason = reason;
    return RN__HTTP_BAD;
}

/* The caller's buffer grew or was compacted. The old one may be gone: its address is a number. */
static void rebase(struct rn__http_request *req, const char *buf)
{
    uintptr_t old = (uintptr_t)req->base;

    req->base = buf;
    if (old == 0)
        return;
    rn__slice_move(&req->method_name, old, buf);
    rn__slice_move(&req->target, old, buf);
    rn__slice_move(&req->path, old, buf);
    rn__slice_move(&req->query, old, buf);
    rn__slice_move(&req->host, old, buf);
    rn__fields_move(req->fields, req->n_fields, old, buf);
}

/* 2.2: empty lines before a request are skipped (old clients send one after a body). A few. */
static int scan_lead(struct rn__http_request *req, const struct input *in)
{
    while (req->scanned < in->end) {
        if (in->buf[req->scanned] != '\r') {
            req->mark = req->scanned;
            req->state = METHOD;
            return 1;
        }
        if (req->empty_lines == MOST_EMPTY_LINES)
            return refuse(req, 400, "too many empty lines before the request");
        if (in->end - req->scanned < 2)
            break;
        if (in->buf[req->scanned + 1] != '\n')
            return refuse(req, 400, "bare CR before the request");
        req->scanned += 2;
        req->empty_lines++;
    }
    return RN__HTTP_INCOMPLETE;
}

static enum rn__http_method find_method(const char *s, size_t len)
{
    static const struct {
        uint8_t len, method;
        char name[8];
    } known[] = {
        {3, RN__HTTP_GET, "GET"},         {4, RN__HTTP_HEAD, "HEAD"},
        {4, RN__HTTP_POST, "POST"},       {3, RN__HTTP_PUT, "PUT"},
        {6, RN__HTTP_DELETE, "DELETE"},   {7, RN__HTTP_OPTIONS, "OPTIONS"},
        {7, RN__HTTP_CONNECT, "CONNECT"}, {5, RN__HTTP_TRACE, "TRACE"},
        {5, RN__HTTP_PATCH, "PATCH"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].len == len && memcmp(known[i].name, s, len) == 0)
            return known[i].method;
    return RN__HTTP_OTHER;
}

/* The end of what is there, or of the first byte that is too many. */
static const char *most_of(const char *start, const struct input *in, uint32_t most)
{
    const char *end = in->buf + in->end;

    return end - start > most ? start + most + 1 : end;
}

/* 3.1: method = token, case-sensitive. 3: one SP after it, nothing else. */
static int scan_method(struct rn__http_request *req, const struct input *in)
{
    const char *start = in->buf + req->mark, *at = in->buf + req->scanned;
    const char *stop = most_of(start, in, MOST_METHOD_LEN);

    at = stop - start >= 4 && memcmp(start, "GET ", 4) == 0 /* nearly all */
             ? start + 3
             : rn__skip_class(at, stop, RN__CLASS_TOKEN);
    req->scanned = (uint32_t)(at - in->buf);
    if (at - start > MOST_METHOD_LEN)
        return refuse(req, 501, "method too long"); /* 3: longer than any implemented: 501 */
    if (at == stop)
        return RN__HTTP_INCOMPLETE;
    if (at == start)
        return refuse(req, 400, "request does not start with a method");
    if (*at != ' ')
        return refuse(req, 400, "bad byte in the method");
    req->method_name = (struct rn__http_slice){start, (size_t)(at - start)};
    req->method = (uint8_t)find_method(start, (size_t)(at - start));
    req->mark = ++req->scanned;
    req->state = TARGET;
    return 1;
}

/* "[" IPv6address "]" (RFC 3986 3.2.2): what comes after it, or s. */
static const char *skip_address(const char *s, const char *end)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = memchr(s, ']', (size_t)(end - s));
    size_t len = close == NULL ? 0 : (size_t)(close - s) - 1;

    if (len == 0 || len >= sizeof text)
        return s;
    memcpy(text, s + 1, len);
    text[len] = '\0';
    /* no NUL inside: refused when scanned */
    return inet_pton(AF_INET6, text, &address) == 1 ? close + 1 : s;
}

/*
 * host [ ":" port ] (RFC 9110 4.2, RFC 3986 3.2.2 and 3.2.3). An empty host is no host at all
 * (RFC 9110 4.2.1), user information is an attack (4.2.4); both are refused.
 */
static bool check_authority(const char *s, size_t len, bool needs_port)
{
    const char *at = s, *end = s + len;
    unsigned port = 0;

    if (len > 0 && *s == '[') {
        at = skip_address(s, end);
    } else {
        at = rn__skip_class(s, end, RN__CLASS_LITERAL);
        for (; at < end && rn__is_class(*at, RN__CLASS_HOST); at++)
            if (*at == '%' &&
                (end - at < 3 || rn__hex_value(at[1]) < 0 || rn__hex_value(at[2]) < 0))
                return false;
    }
    if (at == s)
        return false;
    if (at == end)
        return !needs_port;
    if (*at++ != ':')
        return false;
    if (at == end) /* RFC 3986 3.2.3: "host:" is the default port; RFC 9110 9.3.6: not in CONNECT */
        return !needs_port;
    for (; at < end; at++) {
        if (!rn__is_digit(*at))
            return false;
        port = port * 10 + (unsigned)(*at - '0');
        if (port > 65535)
            return false;
    }
    return port > 0 || !needs_port;
}

/* 3.2.2. Cuts the target into host, path and query; the host overrides the Host field. */
static int split_absolute(struct rn__http_request *req)
{
    const char *s = req->target.at, *end = s + req->target.len, *host;

    if (req->target.len > 7 && rn__is_word(s, "http://", 7))
        host = s + 7;
    else if (req->target.len > 8 && rn__is_word(s, "https://", 8))
        host = s + 8;
    else
        return refuse(req, 400, "target is no path and no http URI");
    for (s = host; s < end && *s != '/' && *s != '?'; s++)
        continue;
    if (!check_authority(host, (size_t)(s - host), false))
        return refuse(req, 400, "bad host in the target");
    req->host = (struct rn__http_slice){host, (size_t)(s - host)};
    req->path = (struct rn__http_slice){s, (size_t)(end - s)};
    req->form = RN__HTTP_ABSOLUTE;
    return 1;
}

/* 3.2: which of the four forms, and is it one this method may have. */
static int split_target(struct rn__http_request *req, const struct input *in)
{
    const struct rn__http_slice t = req->target;

    if (req->method == RN__HTTP_CONNECT) { /* 3.2.3 */
        if (!check_authority(t.at, t.len, true))
            return refuse(req, 400, "CONNECT wants host:port");
        req->host = t;
        req->form = RN__HTTP_AUTHORITY;
        return 1;
    }
    if (t.at[0] == '/') { /* 3.2.1 */
        req->path = t;
        req->form = RN__HTTP_ORIGIN;
    } else if (t.len == 1 && t.at[0] == '*') { /* 3.2.4 */
        if (req->method != RN__HTTP_OPTIONS)
            return refuse(req, 400, "target * is for OPTIONS only");
        req->form = RN__HTTP_ASTERISK;
    } else if (split_absolute(req) < 0) {
        return RN__HTTP_BAD;
    }
    if (req->question != 0) {
        const char *q = in->buf + req->question + 1;

        req->query = (struct rn__http_slice){q, (size_t)(t.at + t.len - q)};
        req->path.len = (size_t)(q - 1 - req->path.at);
    }
    return 1;
}

/* The byte that ended the target is not the SP that should; say why. */
static int refuse_target(struct rn__http_request *req, char c)
{
    if (c == '#') /* 3.2: no form has a fragment */
        return refuse(req, 400, "fragment in the target");
    if (c == '\r' || c == '\n') /* HTTP/0.9, or a line cut short: 2.3, 3 */
        return refuse(req, 400, "request line without a version");
    return refuse(req, 400, "bad byte in the target"); /* 3.2: white space and such */
}

static int scan_target(struct rn__http_request *req, const struct input *in)
{
    const char *start = in->buf + req->mark, *at = in->buf + req->scanned;
    const char *stop = most_of(start, in, in->max_target_len);

    if (req->question == 0) {
        at = rn__skip_class(at, stop, RN__CLASS_PATH);
        if (at < stop && *at == '?')
            req->question = (uint32_t)(at - in->buf);
    }
    if (req->question != 0)
        at = rn__skip_class(at, stop, RN__CLASS_QUERY);
    req->scanned = (uint32_t)(at - in->buf);
    if (at - start > in->max_target_len)
        return refuse(req, 414, "target too long"); /* 3 */
    if (at == stop)
        return RN__HTTP_INCOMPLETE;
    if (*at != ' ')
        return refuse_target(req, *at);
    if (at == start)
        return refuse(req, 400, "more than one space in the request line"); /* 3 */
    req->target = (struct rn__http_slice){start, (size_t)(at - start)};
    if (split_target(req, in) < 0)
        return RN__HTTP_BAD;
    req->mark = ++req->scanned;
    req->state = VERSION;
    return 1;
}

/* 2.3: "HTTP/" DIGIT "." DIGIT, case-sensitive, then CR LF at once (2.2, 3). */
static int scan_version(struct rn__http_request *req, const struct input *in)
{
    static const char want[] = "HTTP/d.d\r\n"; /* d: a digit */
    const char *s = in->buf + req->mark;

    if (in->end - req->mark >= 10 && memcmp(s, "HTTP/1.1\r\n", 10) == 0) {
        req->scanned = req->mark + 10;
    } else {
        for (; req->scanned < in->end && req->scanned - req->mark < 10; req->scanned++) {
            uint32_t i = req->scanned - req->mark;

            if (i == 0 && s[0] == ' ')
                return refuse(req, 400, "more than one space in the request line"); /* 3 */
            if (want[i] == 'd' ? !rn__is_digit(s[i]) : s[i] != want[i])
                return refuse(req, 400, i < 8 ? "bad version" : "request line must end in CR LF");
            if (i == 7 && (s[5] != '1' || s[7] > '1'))
                return refuse(req, 505, "version is neither 1.0 nor 1.1"); /* RFC 9110 15.6.6 */
        }
        if (req->scanned - req->mark < 10)
            return RN__HTTP_INCOMPLETE;
    }
    req->minor = s[7] == '1';
    req->field.line = req->scanned;
    req->state = FIELDS;
    return 1;
}

/* 6.1, 6.2: the length of the body, as digits and nothing else. */
static int take_length(struct rn__http_request *req, const struct rn__http_field *f)
{
    const char *wrong;

    if (req->seen & SEEN_CODING)
        return refuse(req, 400, "Content-Length with Transfer-Encoding"); /* 6.1, 6.3 item 3 */
    if (req->seen & SEEN_LENGTH)
        return refuse(req, 400, "Content-Length more than once"); /* 6.3 item 5, RFC 9110 8.6 */
    wrong = rn__take_digits(f, &req->content_length);
    if (wrong != NULL)
        return refuse(req, 400, wrong);
    req->seen |= SEEN_LENGTH;
    req->has_content_length = true;
    return 1;
}

/*
 * 6.1, 7: only chunked is implemented. Anything before it is a coding not implemented (501);
 * anything after it, or a list that does not parse, leaves the body without an end (6.3: 400).
 */
static int take_coding(struct rn__http_request *req, const struct rn__http_field *f)
{
    struct rn__http_slice rest = {f->value, f->value_len}, item;
    bool chunked = false;

    if (req->minor == 0)
        return refuse(req, 400, "Transfer-Encoding in HTTP/1.0"); /* 6.1 */
    if (req->seen & SEEN_LENGTH)
        return refuse(req, 400, "Content-Length with Transfer-Encoding"); /* 6.1, 6.3 item 3 */
    if (req->seen & SEEN_CODING)
        return refuse(req, 400, "Transfer-Encoding more than once"); /* 6.1: chunked twice */
    req->seen |= SEEN_CODING;
    if (f->value_len == 7 && rn__is_word(f->value, "chunked", 7)) {
        req->chunked = true;
        return 1;
    }
    while (rn__next_item(&rest, &item)) {
        for (size_t i = 0; i < item.len; i++)
            if (!rn__is_class(item.at[i], RN__CLASS_TOKEN))
                return refuse(req, 400, "malformed Transfer-Encoding");
        if (item.len == 0)
            return refuse(req, 400, "malformed Transfer-Encoding");
        if (chunked)
            return refuse(req, 400, "chunked is not the last transfer coding"); /* 6.1 */
        chunked = rn__is_item(&item, "chunked");
    }
    return refuse(req, 501, "transfer coding not implemented"); /* 6.1 */
}

/* 9.3, 9.6: options are a list, over all Connection lines; close wins at the end. */
static void take_connection(struct rn__http_request *req, const struct rn__http_field *f)
{
    struct rn__http_slice rest = {f->value, f->value_len}, item;

    while (rn__next_item(&rest, &item)) {
        if (rn__is_item(&item, "close"))
            req->seen |= ASKED_CLOSE;
        else if (rn__is_item(&item, "keep-alive"))
            req->seen |= ASKED_KEEP;
        else if (rn__is_item(&item, "upgrade"))
            req->seen |= ASKED_UPGRADE;
    }
}

/* RFC 9110 10.1.1. Other expectations are left to the server, which may answer 417. */
static void take_expect(struct rn__http_request *req, const struct rn__http_field *f)
{
    struct rn__http_slice rest = {f->value, f->value_len}, item;

    while (rn__next_item(&rest, &item))
        if (rn__is_item(&item, "100-continue"))
            req->seen |= ASKED_CONTINUE;
}

/* 3.2, RFC 9110 7.2. Checked even where the target overrides it: someone on the way may not. */
static int take_host(struct rn__http_request *req, const struct rn__http_field *f)
{
    if (req->seen & SEEN_HOST)
        return refuse(req, 400, "Host more than once");
    if (!check_authority(f->value, f->value_len, false))
        return refuse(req, 400, "malformed Host");
    req->seen |= SEEN_HOST;
    if (req->host.at == NULL)
        req->host = (struct rn__http_slice){f->value, f->value_len};
    return 1;
}

/* A field line is complete: does it say anything of framing, or change how a file is answered? */
static int take_field(struct rn__http_request *req, const struct rn__http_field *f)
{
    const char *name = f->name;

    switch (f->name_len) {
    case 4:
        return rn__is_word(name, "host", 4) ? take_host(req, f) : 1;
    case 5:
        req->asks |= rn__is_word(name, "range", 5) ? RN__ASK_RANGE : 0;
        return 1;
    case 6:
        if (rn__is_word(name, "expect", 6))
            take_expect(req, f);
        return 1;
    case 7:
        req->seen |= rn__is_word(name, "upgrade", 7) ? SEEN_UPGRADE : 0;
        return 1;
    case 8:
        req->asks |= rn__is_word(name, "if-match", 8) ? RN__ASK_IF_MATCH : 0;
        req->asks |= rn__is_word(name, "if-range", 8) ? RN__ASK_IF_RANGE : 0;
        return 1;
    case 10:
        if (rn__is_word(name, "connection", 10))
            take_connection(req, f);
        return 1;
    case 13:
        req->asks |= rn__is_word(name, "if-none-match", 13) ? RN__ASK_IF_NONE_MATCH : 0;
        return 1;
    case 14:
        return rn__is_word(name, "content-length", 14) ? take_length(req, f) : 1;
    case 15:
        req->asks |= rn__is_word(name, "accept-encoding", 15) ? RN__ASK_ACCEPT_ENCODING : 0;
        return 1;
    case 17:
        req->asks |= rn__is_word(name, "if-modified-since", 17) ? RN__ASK_IF_MODIFIED : 0;
        return rn__is_word(name, "transfer-encoding", 17) ? take_coding(req, f) : 1;
    case 19:
        req->asks |= rn__is_word(name, "if-unmodified-since", 19) ? RN__ASK_IF_UNMODIFIED : 0;
        return 1;
    default:
        return 1;
    }
}

/* The empty line: what could only be told once all fields were there. */
static int finish_head(struct rn__http_request *req)
{
    unsigned seen = req->seen;

    if (req->minor == 1 && !(seen & SEEN_HOST))
        return refuse(req, 400, "HTTP/1.1 request without Host"); /* 3.2 */
    /* RFC 9110 9.3.6: it has none, what follows is the tunnel's; but its fields say otherwise. */
    if (req->method == RN__HTTP_CONNECT && (req->chunked || req->content_length > 0))
        return refuse(req, 400, "CONNECT with content");
    req->keep_alive = !(seen & ASKED_CLOSE) && (req->minor == 1 || (seen & ASKED_KEEP)); /* 9.3 */
    /* RFC 9110 10.1.1 and 7.8: in a 1.0 request both are to be ignored. */
    req->expect_continue = req->minor == 1 && (seen & ASKED_CONTINUE);
    req->upgrade = req->minor == 1 && (seen & SEEN_UPGRADE) && (seen & ASKED_UPGRADE);
    req->state = DONE;
    return 1;
}

static int scan_field(struct rn__http_request *req, const struct input *in)
{
    bool full = req->n_fields == in->max_fields;
    struct rn__http_field *f = &req->fields[req->n_fields];
    const char *reason = NULL;
    int r = rn__field_next(&req->field, in->buf, &req->scanned, in->end, full, f, &reason);

    switch (r) {
    case RN__FIELD_LINE:
        req->n_fields++;
        return take_field(req, f);
    case RN__FIELD_END:
        return finish_head(req);
    case RN__FIELD_FULL:
        return refuse(req, 431, "too many fields"); /* RFC 6585 5 */
    case RN__HTTP_BAD:
        return refuse(req, 400, reason);
    default:
        return r;
    }
}

/* On, as far as the bytes reach. */
static int scan(struct rn__http_request *req, const struct input *in)
{
    int r = req->state == BAD ? RN__HTTP_BAD : 1;

    if (r > 0 && req->state == LEAD)
        r = scan_lead(req, in);
    if (r > 0 && req->state == METHOD)
        r = scan_method(req, in);
    if (r > 0 && req->state == TARGET)
        r = scan_target(req, in);
    if (r > 0 && req->state == VERSION)
        r = scan_version(req, in);
    while (r > 0 && req->state == FIELDS)
        r = scan_field(req, in);
    return r;
}

ssize_t rn__http_parse(struct rn__http_request *req, const char *buf, size_t len,
                       const struct rn__http_limits *limits)
{
    size_t max_head_len = DEFAULT_HEAD_LEN;
    struct input in = {buf, 0, DEFAULT_TARGET_LEN, RN__HTTP_MAX_FIELDS};
    int r;

    if (limits != NULL) {
        max_head_len = rn__choose_limit(limits->max_head_len, DEFAULT_HEAD_LEN, MOST_HEAD_LEN);
        in.max_target_len = (uint32_t)rn__choose_limit(limits->max_target_len, DEFAULT_TARGET_LEN,
                                                       MOST_HEAD_LEN);
        in.max_fields = (unsigned)rn__choose_limit(limits->max_fields, RN__HTTP_MAX_FIELDS,
                                                   RN__HTTP_MAX_FIELDS);
    }
    in.end = (uint32_t)(len < max_head_len ? len : max_head_len);
    if (req->base != buf)
        rebase(req, buf);
    r = scan(req, &in);
    if (r > 0)
        return (ssize_t)req->scanned;
    if (r < 0 || in.end < max_head_len)
        return r;
    /* As many bytes as a head may have, and no end: which part is too long? (3, RFC 6585 5) */
    return req->state <= TARGET ? refuse(req, 414, "target too long")
                                : refuse(req, 431, "head too long");
}

const struct rn__http_field *rn__http_header(const struct rn__http_request *req, const char *name)
{
    return rn__fields_find(req->fields, req->n_fields, name);
}
