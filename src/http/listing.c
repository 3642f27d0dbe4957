/*
 * listing.c - what is in a directory
 *
 * A name may hold any byte but '/' and zero. In an address all but the plainest are %XX; in HTML
 * the five special ones are escaped, in JSON quotes and what is below a space; there, what is no
 * UTF-8 becomes U+FFFD, and "href" has the bytes.
 */
#include "http/listing.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

#define DENTS_LEN 32768

struct entry {
    off_t size;
    time_t modified;
    bool is_dir;
    char name[];
};

struct listing {
    struct entry **entries;
    size_t n, room;
    bool more; /* than are listed */
};

struct text {
    char *at;
    size_t len, room;
    bool failed; /* no memory */
};

/* ---- reading ---- */

static int add_entry(struct listing *l, const char *name, const struct stat *st)
{
    size_t len = strlen(name) + 1;
    struct entry *e;

    if (l->n == l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        struct entry **grown = rn__realloc(l->entries, room * sizeof(struct entry *));

        if (grown == NULL)
            return -ENOMEM;
        l->entries = grown;
        l->room = room;
    }
    e = rn__malloc(sizeof *e + len);
    if (e == NULL)
        return -ENOMEM;
    e->size = st->st_size;
    e->modified = st->st_mtim.tv_sec;
    e->is_dir = S_ISDIR(st->st_mode);
    memcpy(e->name, name, len);
    l->entries[l->n++] = e;
    return 0;
}

/* What a name leads to, by the rules that a request for it would be under: 0, or it is not there. A
 * link is followed from the root down: it may lead up and down again within it. */
static int stat_entry(const struct rn__files_policy *p, int dir, const char *folder,
                      const char *name, struct stat *st)
{
    char path[RN__FILE_NAME + 256];
    int fd, r = rn__sys_fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW);

    if (r == 0 && S_ISLNK(st->st_mode)) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        fd = rn__files_open(p, path, O_PATH);
        if (fd < 0)
            return fd;
        r = rn__sys_fstat(fd, st);
        (void)rn__sys_close(fd);
    }
    return r < 0 || S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ? r : -ENOENT;
}

/* Those of one buffer of directory entries. */
static int take_entries(struct listing *l, const struct rn__files_policy *p, int dir,
                        const char *folder, const char *buf, ssize_t len)
{
    int r = 0;

    for (ssize_t at = 0; at < len && r == 0 && !l->more;) {
        const struct dirent64 *d = (const void *)(buf + at);
        const char *name = d->d_name;
        struct stat st;

        at += d->d_reclen;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (*name == '.' && !p->dotfiles) ||
            stat_entry(p, dir, folder, name, &st) < 0)
            continue;
        l->more = l->n == RN__LISTING_MOST;
        if (!l->more)
            r = add_entry(l, name, &st);
    }
    return r;
}

static int read_entries(struct listing *l, const struct rn__files_policy *p, const char *folder)
{
    int dir = rn__files_open(p, folder, O_RDONLY | O_DIRECTORY), r = 0;
    char *buf;
    ssize_t n;

    if (dir < 0)
        return rn__files_translate(dir);
    buf = rn__malloc(DENTS_LEN);
    if (buf == NULL)
        r = -ENOMEM;
    while (r == 0 && (n = rn__sys_getdents64(dir, buf, DENTS_LEN)) != 0)
        r = n < 0 ? (int)n : take_entries(l, p, dir, folder, buf, n);
    rn__free(buf);
    (void)rn__sys_close(dir);
    return r;
}

static void free_entries(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        rn__free(l->entries[i]);
    rn__free(l->entries);
}

static int compare(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;

    return (*x)->is_dir != (*y)->is_dir ? (*y)->is_dir - (*x)->is_dir
                                        : strcmp((*x)->name, (*y)->name);
}

/* ---- writing ---- */

static void put(struct text *t, const char *what, size_t len)
{
    if (!t->failed && t->len + len > t->room) {
        size_t room = (t->len + len) * 2;
        char *grown = rn__realloc(t->at, room);

        t->failed = grown == NULL;
        t->at = t->failed ? t->at : grown;
        t->room = t->failed ? t->room : room;
    }
    if (t->failed)
        return;
    memcpy(t->at + t->len, what, len);
    t->len += len;
}

static __attribute__((format(printf, 2, 3))) void print(struct text *t, const char *format, ...)
{
    char line[256];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    put(t, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void put_text(struct text *t, const char *what)
{
    put(t, what, strlen(what));
}

/* Behind "./", lest "a:b" be taken for another scheme. */
static void put_address(struct text *t, const struct entry *e)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    put_text(t, "./");
    for (const char *at = e->name; *at != '\0'; at++)
        if (strchr(plain, *at) != NULL)
            put(t, at, 1);
        else
            print(t, "%%%02X", (unsigned)(unsigned char)*at);
    put_text(t, e->is_dir ? "/" : "");
}

static void put_html(struct text *t, const char *what)
{
    for (; *what != '\0'; what++)
        switch (*what) {
        case '<':
            put_text(t, "&lt;");
            break;
        case '>':
            put_text(t, "&gt;");
            break;
        case '&':
            put_text(t, "&amp;");
            break;
        case '"':
            put_text(t, "&quot;");
            break;
        case '\'':
            put_text(t, "&#39;");
            break;
        default:
            put(t, what, 1);
        }
}

static bool is_trail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at s, which a zero ends; 0: it is none (RFC 3629 4). */
static size_t utf8_len(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return is_trail(s[1]) ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef)
        return is_trail(s[1]) && is_trail(s[2]) && !(s[0] == 0xe0 && s[1] < 0xa0) &&
                       !(s[0] == 0xed && s[1] > 0x9f)
                   ? 3
                   : 0;
    if (s[0] >= 0xf0 && s[0] <= 0xf4)
        return is_trail(s[1]) && is_trail(s[2]) && is_trail(s[3]) &&
                       !(s[0] == 0xf0 && s[1] < 0x90) && !(s[0] == 0xf4 && s[1] > 0x8f)
                   ? 4
                   : 0;
    return 0;
}

static void put_json(struct text *t, const char *what)
{
    const unsigned char *at = (const unsigned char *)what;

    put_text(t, "\"");
    while (*at != '\0') {
        size_t len = utf8_len(at);

        if (*at < 0x20 || *at == 0x7f)
            print(t, "\\u%04x", (unsigned)*at);
        else if (*at == '"' || *at == '\\')
            print(t, "\\%c", *at);
        else if (len == 0)
            put_text(t, "\\ufffd");
        else
            put(t, (const char *)at, len);
        at += len == 0 ? 1 : len;
    }
    put_text(t, "\"");
}

static void put_time(struct text *t, time_t at, const char *format)
{
    char text[96] = "";
    struct tm tm;

    if (gmtime_r(&at, &tm) != NULL)
        (void)strftime(text, sizeof text, format, &tm);
    put_text(t, text);
}

static void write_page(struct text *t, const struct listing *l, const char *folder)
{
    bool is_root = strcmp(folder, ".") == 0;

    put_text(t, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>/");
    put_html(t, is_root ? "" : folder);
    put_text(t, "</title><style>td{padding-right:2em}td+td{text-align:right}</style><h1>/");
    put_html(t, is_root ? "" : folder);
    put_text(t, is_root ? "</h1>\n<table>\n"
                        : "/</h1>\n<table>\n<tr><td><a href=\"../\">..</a><td><td>\n");
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = l->entries[i];

        put_text(t, "<tr><td><a href=\"");
        put_address(t, e);
        put_text(t, "\">");
        put_html(t, e->name);
        put_text(t, e->is_dir ? "/</a><td>" : "</a><td>");
        if (!e->is_dir)
            print(t, "%lld", (long long)e->size);
        put_text(t, "<td>");
        put_time(t, e->modified, "%Y-%m-%d %H:%M:%S");
        put_text(t, "\n");
    }
    put_text(t, l->more ? "</table>\n<p>… and more.</p></html>\n" : "</table></html>\n");
}

static void write_json(struct text *t, const struct listing *l)
{
    put_text(t, "[");
    for (size_t i = 0; i < l->n; i++) {
        const struct entry *e = l->entries[i];

        put_text(t, i == 0 ? "\n{\"name\":" : ",\n{\"name\":");
        put_json(t, e->name);
        print(t, ",\"type\":\"%s\",\"size\":%lld,\"modified\":\"", e->is_dir ? "directory" : "file",
              (long long)(e->is_dir ? 0 : e->size));
        put_time(t, e->modified, "%Y-%m-%dT%H:%M:%SZ");
        put_text(t, "\",\"href\":\"");
        put_address(t, e);
        put_text(t, "\"}");
    }
    put_text(t, "\n]\n");
}

int rn__listing_make(const struct rn__files_policy *policy, const char *name, bool json,
                     char **text, size_t *len)
{
    struct listing l = {0};
    struct text t = {0};
    int r = read_entries(&l, policy, name);

    if (r == 0) {
        if (l.n > 0)
            qsort(l.entries, l.n, sizeof(struct entry *), compare);
        if (json)
            write_json(&t, &l);
        else
            write_page(&t, &l, name);
        r = t.failed ? -ENOMEM : 0;
    }
    free_entries(&l);
    if (r < 0) {
        rn__free(t.at);
        return r;
    }
    *text = t.at;
    *len = t.len;
    return 0;
}
