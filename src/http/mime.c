/*
 * mime.c - the type of a file by the end of its name
 */
#include "http/mime.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/sys.h"

#define MOST ((size_t)4 << 20)

static const struct rn__mime_row built_in[] = {
    {"html", "text/html"},        {"htm", "text/html"},
    {"css", "text/css"},          {"js", "text/javascript"},
    {"mjs", "text/javascript"},   {"json", "application/json"},
    {"map", "application/json"},  {"webmanifest", "application/manifest+json"},
    {"txt", "text/plain"},        {"md", "text/markdown"},
    {"csv", "text/csv"},          {"xml", "application/xml"},
    {"svg", "image/svg+xml"},     {"png", "image/png"},
    {"jpg", "image/jpeg"},        {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},         {"webp", "image/webp"},
    {"avif", "image/avif"},       {"ico", "image/x-icon"},
    {"woff", "font/woff"},        {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},          {"otf", "font/otf"},
    {"mp3", "audio/mpeg"},        {"ogg", "audio/ogg"},
    {"wav", "audio/wav"},         {"mp4", "video/mp4"},
    {"webm", "video/webm"},       {"pdf", "application/pdf"},
    {"wasm", "application/wasm"}, {"zip", "application/zip"},
    {"gz", "application/gzip"},   {"tar", "application/x-tar"},
};

static int read_text(const char *path, char **ret)
{
    int fd = rn__sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    struct stat st;
    size_t len = 0;
    ssize_t n = 1;
    char *text;
    int r;

    if (fd < 0)
        return fd;
    r = rn__sys_fstat(fd, &st);
    if (r == 0 && (!S_ISREG(st.st_mode) || (size_t)st.st_size > MOST))
        r = -EINVAL;
    text = r < 0 ? NULL : rn__malloc((size_t)st.st_size + 1);
    if (r == 0 && text == NULL)
        r = -ENOMEM;
    while (r == 0 && n > 0 && len < (size_t)st.st_size) {
        n = rn__sys_pread(fd, text + len, (size_t)st.st_size - len, (off_t)len);
        r = n < 0 ? (int)n : 0;
        len += n > 0 ? (size_t)n : 0;
    }
    (void)rn__sys_close(fd);
    if (r < 0) {
        rn__free(text);
        return r;
    }
    text[len] = '\0';
    *ret = text;
    return 0;
}

/* Into a header field it goes, so it must be made of what those are made of. */
static bool is_type(const char *type)
{
    size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "!#$&-^_.+/");

    return len <= RN__MIME_LONGEST && type[len] == '\0' && strchr(type, '/') != NULL;
}

static int add_row(struct rn__mime *m, size_t *room, const char *extension, const char *type)
{
    if (m->n == *room) {
        size_t grown = *room == 0 ? 1024 : *room * 2;
        struct rn__mime_row *rows = rn__realloc(m->rows, grown * sizeof *rows);

        if (rows == NULL)
            return -ENOMEM;
        m->rows = rows;
        *room = grown;
    }
    m->rows[m->n++] = (struct rn__mime_row){extension, type};
    return 0;
}

static int cut_line(struct rn__mime *m, size_t *room, char *line)
{
    char *rest = line, *type, *extension;
    int r = 0;

    line[strcspn(line, "#")] = '\0';
    type = strtok_r(line, " \t\r", &rest);
    if (type == NULL || !is_type(type))
        return 0;
    while (r == 0 && (extension = strtok_r(NULL, " \t\r", &rest)) != NULL)
        r = add_row(m, room, extension, type);
    return r;
}

static int compare(const void *a, const void *b)
{
    const struct rn__mime_row *x = a, *y = b;

    return strcasecmp(x->extension, y->extension);
}

int rn__mime_load(struct rn__mime *m, const char *path)
{
    size_t room = 0;
    char *line, *rest;
    int r = read_text(path, &m->text);

    rest = m->text;
    while (r == 0 && (line = strsep(&rest, "\n")) != NULL)
        r = cut_line(m, &room, line);
    if (r < 0) {
        rn__mime_free(m);
        return r;
    }
    if (m->n > 0)
        qsort(m->rows, m->n, sizeof *m->rows, compare);
    return 0;
}

void rn__mime_free(struct rn__mime *m)
{
    rn__free(m->rows);
    rn__free(m->text);
    *m = (struct rn__mime){0};
}

const char *rn__mime_type(const struct rn__mime *m, const char *name)
{
    const char *base = strrchr(name, '/'), *dot;
    struct rn__mime_row key;
    const struct rn__mime_row *row = NULL;

    base = base == NULL ? name : base + 1;
    dot = strrchr(base, '.');
    if (dot == NULL || dot == base)
        return "application/octet-stream";
    key.extension = dot + 1;
    if (m->n > 0)
        row = bsearch(&key, m->rows, m->n, sizeof key, compare);
    for (size_t i = 0; row == NULL && i < RN_COUNT_OF(built_in); i++)
        if (compare(&key, &built_in[i]) == 0)
            row = &built_in[i];
    return row == NULL ? "application/octet-stream" : row->type;
}
