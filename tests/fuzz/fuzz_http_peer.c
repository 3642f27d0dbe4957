/*
 * fuzz_http_peer.c - libFuzzer target: our framing of requests beside that of http-parser
 *
 * The same bytes go to both, and both say where the first message ends and what its body is. That
 * http-parser takes what we refuse is what being strict means. The other way round, and wherever
 * both take a message but end it at different bytes, is how requests are smuggled: it must be one
 * of the classes of docs/design/http-disagreements.md, each of which is a rule in is_explained().
 */
#include "framing.h"

#include <http_parser.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct rn__http_request req;

static int on_body(http_parser *p, const char *at, size_t len)
{
    hash_body(p->data, at, len);
    return 0;
}

static int on_end(http_parser *p)
{
    ((struct framed *)p->data)->verdict = ENDED;
    http_parser_pause(p, 1);
    return 0;
}

static struct framed frame_theirs(const char *buf, size_t len, http_parser *p)
{
    struct framed f = {.body_hash = HASH_START};
    http_parser_settings settings;

    http_parser_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_end;
    http_parser_init(p, HTTP_REQUEST);
    p->data = &f;
    f.at = http_parser_execute(p, &settings, buf, len);
    if (f.verdict != ENDED && HTTP_PARSER_ERRNO(p) != HPE_OK)
        f.verdict = REFUSED;
    return f;
}

/* A field whose name begins so and goes on: another field to us. */
static bool has_longer(const char *name)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < req.n_fields; i++)
        if (req.fields[i].name_len > len && strncasecmp(req.fields[i].name, name, len) == 0)
            return true;
    return false;
}

/* A tab between the value of a field that frames and the end of its line. */
static bool has_tab(void)
{
    for (unsigned i = 0; i < req.n_fields; i++) {
        const struct rn__http_field *f = &req.fields[i];
        const char *end = f->value + f->value_len,
                   *name = f->name_len == 14 ? "content-length" : "transfer-encoding";

        if (f->name_len == strlen(name) && strncasecmp(f->name, name, f->name_len) == 0 &&
            end[strspn(end, " ")] == '\t')
            return true;
    }
    return false;
}

/* Do we take, by one of the list's rules, what http-parser refuses? */
static bool is_explained(const http_parser *p)
{
    switch (HTTP_PARSER_ERRNO(p)) {
    case HPE_INVALID_METHOD: /* 1 */
        return req.method == RN__HTTP_OTHER;
    case HPE_INVALID_TRANSFER_ENCODING: /* 2, 3, 4 */
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return has_longer("transfer-encoding") || (p->flags & F_TRAILING) || has_tab();
    case HPE_INVALID_CONTENT_LENGTH: /* 3, 4 */
        return (p->flags & F_TRAILING) || has_tab();
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *buf = (const char *)data;
    http_parser p;
    struct framed ours = frame_ours(&req, buf, len), theirs = frame_theirs(buf, len, &p);

    if (ours.verdict == REFUSED || (ours.verdict == NEEDS_MORE && theirs.verdict == NEEDS_MORE))
        return 0;
    if (theirs.verdict == REFUSED) {
        if (ours.verdict == NEEDS_MORE || is_explained(&p))
            return 0;
        fprintf(stderr, "theirs: %s\n", http_errno_name(HTTP_PARSER_ERRNO(&p)));
        abort();
    }
    MUST(ours.verdict == theirs.verdict);
    MUST(ours.at == theirs.at);
    MUST(ours.body_len == theirs.body_len && ours.body_hash == theirs.body_hash);
    return 0;
}
