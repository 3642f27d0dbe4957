/*
 * parse_reply.c - a strict parser for heads of responses
 *
 *     VERSION -> STATUS -> PHRASE -> FIELDS (fieldline.h) --empty line--> DONE
 *     any of them -> BAD
 *
 * Invariants as in parse.c. Numbers in comments are sections of RFC 9112 unless another RFC is
 * named.
 */
#include "http/parse_reply.h"

#define DEFAULT_HEAD_LEN (16 * 1024)
#define MOST_HEAD_LEN (1u << 30) /* offsets are 32 bits */
#define VERSION_LEN 9            /* "HTTP/1.1 " */
#define STATUS_LEN 3

enum state { VERSION, STATUS, PHRASE, FIELDS, DONE, BAD };

/* head->seen */
enum { SEEN_LENGTH = 1, SEEN_CODING = 2, ASKED_CLOSE = 4, ASKED_KEEP = 8 };

static int refuse(struct rn__reply_head *head, const char *reason)
{
    head->state = BAD;
    head->reason = reason;
    return RN__HTTP_BAD;
}

/* 2.3, 4: "HTTP/1." DIGIT SP, case-sensitive. */
static int scan_version(struct rn__reply_head *head, const char *buf, uint32_t end)
{
    static const char want[VERSION_LEN + 1] = "HTTP/1.d "; /* d: 0 or 1 */

    for (; head->scanned < end && head->scanned < VERSION_LEN; head->scanned++) {
        char c = buf[head->scanned], w = want[head->scanned];

        if (w == 'd' ? c != '0' && c != '1' : c != w)
            return refuse(head, head->scanned < 5 ? "response does not start with HTTP/"
                                                  : "version is neither 1.0 nor 1.1");
    }
    if (head->scanned < VERSION_LEN)
        return RN__HTTP_INCOMPLETE;
    head->minor = buf[VERSION_LEN - 2] == '1';
    head->state = STATUS;
    return 1;
}

/* 4: 3DIGIT SP; RFC 9110 15: from 100 on. Those above 599 are the client's to take for a 5xx. */
static int scan_status(struct rn__reply_head *head, const char *buf, uint32_t end)
{
    for (; head->scanned < VERSION_LEN + STATUS_LEN; head->scanned++) {
        if (head->scanned == end)
            return RN__HTTP_INCOMPLETE;
        if (!rn__is_digit(buf[head->scanned]))
            return refuse(head, "status is no number of three digits");
        head->status = head->status * 10 + (buf[head->scanned] - '0');
    }
    if (head->status < 100)
        return refuse(head, "status below 100");
    if (head->scanned == end)
        return RN__HTTP_INCOMPLETE;
    /* The space must be there even before an empty phrase, but many leave it out with the phrase,
     * and nobody can read that in another way. */
    if (buf[head->scanned] != ' ' && buf[head->scanned] != '\r')
        return refuse(head, "status is no number of three digits");
    head->state = PHRASE;
    return 1;
}

/* 4: *( HTAB / SP / VCHAR / obs-text ), for people who look. CR LF ends it (2.2). */
static int scan_phrase(struct rn__reply_head *head, const char *buf, uint32_t end)
{
    uint32_t i = (uint32_t)(rn__skip_value(buf + head->scanned, buf + end) - buf);

    head->scanned = i;
    if (i == end)
        return RN__HTTP_INCOMPLETE;
    if (buf[i] != '\r')
        return refuse(head, buf[i] == '\n' ? "bare LF after the status line"
                                           : "control byte in the status line");
    if (end - i < 2)
        return RN__HTTP_INCOMPLETE;
    if (buf[i + 1] != '\n')
        return refuse(head, "bare CR in the status line");
    head->scanned = head->field.line = i + 2;
    head->state = FIELDS;
    return 1;
}

static int take_length(struct rn__reply_head *head, const struct rn__http_field *f)
{
    const char *wrong;

    if (head->seen & SEEN_CODING)
        return refuse(head, "Content-Length with Transfer-Encoding"); /* 6.1, 6.3 item 3 */
    if (head->seen & SEEN_LENGTH)
        return refuse(head, "Content-Length more than once"); /* 6.3 item 5 */
    wrong = rn__take_digits(f, &head->content_length);
    if (wrong != NULL)
        return refuse(head, wrong);
    head->seen |= SEEN_LENGTH;
    head->has_content_length = true;
    return 1;
}

/* 6.1, 7: no request of ours has a TE field, so a server has no right to any other coding. */
static int take_coding(struct rn__reply_head *head, const struct rn__http_field *f)
{
    if (head->minor == 0)
        return refuse(head, "Transfer-Encoding in HTTP/1.0"); /* 6.1 */
    if (head->seen & SEEN_LENGTH)
        return refuse(head, "Content-Length with Transfer-Encoding");
    if (head->seen & SEEN_CODING)
        return refuse(head, "Transfer-Encoding more than once");
    if (f->value_len != 7 || !rn__is_word(f->value, "chunked", 7))
        return refuse(head, "transfer coding that is not chunked");
    head->seen |= SEEN_CODING;
    head->chunked = true;
    return 1;
}

/* 9.3, 9.6 */
static void take_connection(struct rn__reply_head *head, const struct rn__http_field *f)
{
    struct rn__http_slice rest = {f->value, f->value_len}, item;

    while (rn__next_item(&rest, &item)) {
        if (rn__is_item(&item, "close"))
            head->seen |= ASKED_CLOSE;
        else if (rn__is_item(&item, "keep-alive"))
            head->seen |= ASKED_KEEP;
    }
}

static int take_field(struct rn__reply_head *head, const struct rn__http_field *f)
{
    if (f->name_len == 10 && rn__is_word(f->name, "connection", 10))
        take_connection(head, f);
    else if (f->name_len == 14 && rn__is_word(f->name, "content-length", 14))
        return take_length(head, f);
    else if (f->name_len == 17 && rn__is_word(f->name, "transfer-encoding", 17))
        return take_coding(head, f);
    return 1;
}

static int scan_field(struct rn__reply_head *head, const char *buf, uint32_t end)
{
    bool full = head->n_fields == RN__HTTP_MAX_FIELDS;
    struct rn__http_field *f = &head->fields[head->n_fields];
    const char *reason = NULL;
    int r = rn__field_next(&head->field, buf, &head->scanned, end, full, f, &reason);

    switch (r) {
    case RN__FIELD_LINE:
        head->n_fields++;
        return take_field(head, f);
    case RN__FIELD_END:
        head->keep_alive = !(head->seen & ASKED_CLOSE) &&
                           (head->minor == 1 || (head->seen & ASKED_KEEP));
        head->state = DONE;
        return 1;
    case RN__FIELD_FULL:
        head->too_long = true;
        return refuse(head, "too many fields");
    case RN__HTTP_BAD:
        return refuse(head, reason);
    default:
        return r;
    }
}

static int step(struct rn__reply_head *head, const char *buf, uint32_t end)
{
    switch ((enum state)head->state) {
    case VERSION:
        return scan_version(head, buf, end);
    case STATUS:
        return scan_status(head, buf, end);
    case PHRASE:
        return scan_phrase(head, buf, end);
    case FIELDS:
        return scan_field(head, buf, end);
    case DONE:
    case BAD:
        break;
    }
    return RN__HTTP_BAD;
}

ssize_t rn__reply_parse(struct rn__reply_head *head, const char *buf, size_t len, size_t max_len)
{
    size_t most = rn__choose_limit(max_len, DEFAULT_HEAD_LEN, MOST_HEAD_LEN);
    uint32_t end = (uint32_t)(len < most ? len : most);

    if (head->base != buf && head->base != NULL)
        rn__fields_move(head->fields, head->n_fields, (uintptr_t)head->base, buf);
    head->base = buf;
    while (head->state < DONE) {
        int r = step(head, buf, end);

        if (r == RN__HTTP_INCOMPLETE && end < most)
            return r;
        if (r == RN__HTTP_INCOMPLETE) {
            head->too_long = true;
            (void)refuse(head, "head too long");
        }
    }
    return head->state == DONE ? (ssize_t)head->scanned : RN__HTTP_BAD;
}

enum rn__reply_body rn__reply_framing(const struct rn__reply_head *head, bool head_only)
{
    if (head_only || head->status < 200 || head->status == 204 || head->status == 304)
        return RN__REPLY_NO_BODY; /* 6.3 items 1 and 2, whatever the fields say */
    if (head->chunked)
        return RN__REPLY_CHUNKED;                                               /* item 4 */
    return head->has_content_length ? RN__REPLY_LENGTH : RN__REPLY_UNTIL_CLOSE; /* items 6, 8 */
}
