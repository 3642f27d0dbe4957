/*
 * framing.c - where we end a request, line by line: `framing`, or `framing rows`
 *
 * Each line of stdin is a request in hex; for each a line says "more", "ended AT LENGTH HASH" (the
 * byte behind it, its body's length and FNV-1a), or "refused WHY". `framing rows` prints the rows
 * of http_strict_rows.h as such lines, each with a request behind it. For test_llhttp.py, which
 * asks llhttp.js the same.
 */
#include "fuzz/framing.h"
#include "unit/http_strict_rows.h"

#include <inttypes.h>

static struct rn__http_request req;

static void put_hex(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static void put_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_hex(rows[i].bytes, rows[i].len);
        put_hex(NEXT, sizeof NEXT - 1);
        putchar('\n');
    }
}

/* In place: two digits become a byte. */
static size_t read_hex(char *line, size_t len)
{
    size_t n = 0;

    for (; n < len / 2; n++)
        MUST(sscanf(line + 2 * n, "%2hhx", (unsigned char *)line + n) == 1);
    return n;
}

static void put_verdict(const char *buf, size_t len)
{
    struct framed f = frame_ours(&req, buf, len);

    if (f.verdict == NEEDS_MORE)
        puts("more");
    else if (f.verdict == REFUSED)
        printf("refused %s\n", f.reason);
    else
        printf("ended %zu %" PRIu64 " %08" PRIx32 "\n", f.at, f.body_len, f.body_hash);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    if (argc == 2 && strcmp(argv[1], "rows") == 0) {
        put_rows(lines, sizeof lines / sizeof *lines);
        put_rows(targets, sizeof targets / sizeof *targets);
        put_rows(fields, sizeof fields / sizeof *fields);
        put_rows(framing, sizeof framing / sizeof *framing);
        put_rows(chunks, sizeof chunks / sizeof *chunks);
        return 0;
    }
    if (argc != 1)
        return fprintf(stderr, "Usage: %s [rows]\n", argv[0]), 2;
    while ((len = getline(&line, &room, stdin)) > 0)
        put_verdict(line, read_hex(line, (size_t)len));
    free(line);
    return 0;
}
