/*
 * negotiate.c - lists of "what;q=weight"
 */
#include "http/negotiate.h"

#include <string.h>
#include <strings.h>

#include "http/token.h"

#define UNSAID (-1)

/* "0", "0.5", "1.000": thousandths; what is malformed weighs nothing (RFC 9110 12.4.2). */
static int parse_weight(const char *at, const char *end)
{
    int weight = 0, unit = 1000;

    if (at == end || (*at != '0' && *at != '1'))
        return 0;
    weight = *at++ == '1' ? 1000 : 0;
    if (at < end && *at++ != '.')
        return 0;
    for (; at < end; at++) {
        unit /= 10;
        if (!rn__is_digit(*at) || unit == 0)
            return 0;
        weight += unit * (*at - '0');
    }
    return weight <= 1000 ? weight : 0;
}

static struct rn__http_slice trim(struct rn__http_slice s)
{
    while (s.len > 0 && rn__is_space(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && rn__is_space(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* What stands before the first `mark`, trimmed; *s is what stands behind it, or nothing. */
static struct rn__http_slice take_until(struct rn__http_slice *s, char mark)
{
    const char *at = s->len == 0 ? NULL : memchr(s->at, mark, s->len);
    size_t n = at == NULL ? s->len : (size_t)(at - s->at), skip = n + (at != NULL);
    struct rn__http_slice first = {s->at, n};

    *s = (struct rn__http_slice){s->at + skip, s->len - skip};
    return trim(first);
}

/* Cuts the parameters off what a member names, and reads its weight: 1000 where it has none. */
static int take_weight(struct rn__http_slice *member)
{
    struct rn__http_slice rest = *member;
    int weight = 1000;

    *member = take_until(&rest, ';');
    while (rest.len > 0) {
        struct rn__http_slice one = take_until(&rest, ';');

        if (one.len > 1 && rn__lower(one.at[0]) == 'q' && one.at[1] == '=')
            weight = parse_weight(one.at + 2, one.at + one.len);
    }
    return weight;
}

static bool is_text(struct rn__http_slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

/* Calls fn with each member of each field of that name. */
static void each_member(const struct rn__http_request *head, const char *name,
                        void (*fn)(struct rn__http_slice what, int weight, int *weights),
                        int *weights)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct rn__http_field *f = &head->fields[i];
        struct rn__http_slice rest = {f->value, f->value_len}, member;

        if (f->name_len != strlen(name) || strncasecmp(f->name, name, f->name_len) != 0)
            continue;
        while (rn__http_next_member(&rest, &member)) {
            int weight = take_weight(&member);

            fn(member, weight, weights);
        }
    }
}

bool rn__http_next_member(struct rn__http_slice *rest, struct rn__http_slice *ret)
{
    do {
        if (rest->len == 0)
            return false;
        *ret = take_until(rest, ',');
    } while (ret->len == 0);
    return true;
}

/* ---- codings ---- */

enum { IDENTITY = RN__N_CODINGS, STAR, N_WEIGHTS };

static void weigh_coding(struct rn__http_slice what, int weight, int *weights)
{
    static const char *const names[N_WEIGHTS] = {"br", "zstd", "gzip", "identity", "*"};

    for (int i = 0; i < N_WEIGHTS; i++)
        if (is_text(what, names[i]))
            weights[i] = weight;
    if (is_text(what, "x-gzip")) /* RFC 9110 8.4.1.3 */
        weights[2] = weight;
}

unsigned rn__http_choose_coding(const struct rn__http_request *head, unsigned there)
{
    int weights[N_WEIGHTS] = {UNSAID, UNSAID, UNSAID, UNSAID, UNSAID}, best;
    unsigned choice = 0;

    each_member(head, "accept-encoding", weigh_coding, weights);
    best = weights[IDENTITY] == UNSAID ? 0 : weights[IDENTITY] - 1; /* a tie is ours to break */
    for (int i = 0; i < RN__N_CODINGS; i++) {
        int weight = weights[i] == UNSAID ? weights[STAR] : weights[i];

        if ((there & 1U << i) != 0 && weight > 0 && weight > best) {
            best = weight;
            choice = 1U << i;
        }
    }
    return choice;
}

/* ---- types ---- */

static void weigh_type(struct rn__http_slice what, int weight, int *weights)
{
    if (is_text(what, "application/json"))
        weights[0] = weight;
    else if (is_text(what, "text/html"))
        weights[1] = weight;
}

bool rn__http_likes_json(const struct rn__http_request *head)
{
    int weights[2] = {UNSAID, UNSAID};

    each_member(head, "accept", weigh_type, weights);
    return weights[0] > 0 && weights[0] >= weights[1];
}
