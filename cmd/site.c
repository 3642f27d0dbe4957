/*
 * site.c - the options of `runnel serve` about files, log, time and rights
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "site.h"

#define HEADERS_MOST 8192 /* of --header; the library takes 12 KiB */

const char site_help[] =
    "\n"
    "Files:\n"
    "      --index NAME           the page of a directory; may be given again, the first that is\n"
    "                             there counts (default: index.html)\n"
    "      --list                 list a directory that has no such page; as JSON for who asks "
    "for\n"
    "                             application/json\n"
    "      --precompressed        send FILE.br, .zst or .gz in place of FILE to who takes that,\n"
    "                             where it is no older\n"
    "      --cache-control PATTERN=VALUE\n"
    "                             for files that PATTERN fits, \"*.css\" or \"/assets/*\"; may be "
    "given\n"
    "                             again, the first that fits counts\n"
    "      --error-page STATUS=NAME\n"
    "                             a file below DIR for answers of that status, 400 to 599, or * "
    "for\n"
    "                             all others; may be given again\n"
    "      --fallback NAME        a file below DIR that is sent in place of what is not there\n"
    "      --header 'NAME: VALUE'\n"
    "                             a field of each answer to a request that could be read; may be\n"
    "                             given again\n"
    "      --mime FILE            types by extension (default: /etc/mime.types)\n"
    "      --dotfiles             serve also what begins with a dot (.well-known always is)\n"
    "      --no-links             follow no symbolic links (default: those that stay in DIR)\n"
    "      --shared-etags         entity tags by length and date alone, which machines with the "
    "same\n"
    "                             files agree on\n"
    "\n"
    "Log and limits:\n"
    "      --access-log FILE      a line for each request; SIGUSR1 and SIGHUP open FILE\n"
    "                             anew; -: to standard output\n"
    "      --log-format HOW       combined (the default) or json\n"
    "      --log-peer FIELD       who asked, by the last of a header field that a proxy sets, as\n"
    "                             X-Forwarded-For (default: who is connected)\n"
    "      --max-head BYTES       of a request's head (16384)\n"
    "      --idle SECONDS         a connection may say nothing for so long (75); 0: no limit\n"
    "      --head SECONDS         from a request's first byte to the end of its head (10)\n"
    "      --write SECONDS        for the peer to take each 256 KiB (60)\n"
    "      --drain SECONDS        for requests under way, when it ends (default: no limit)\n"
    "\n"
    "Rights:\n"
    "      --user USER[:GROUP]    who to be once the sockets and the log are open\n"
    "      --no-sandbox           leave out landlock, which else lets this process read DIR and\n"
    "                             little more, where the kernel has it\n"
    "      --seccomp[=HOW]        let only those system calls through that serving needs; others\n"
    "                             fail (refuse, the default), are logged and made (log), or end\n"
    "                             this process (kill)\n";

static bool count_one(const char *option, size_t n)
{
    if (n < SITE_MOST)
        return true;
    cmd_error("%s may be given %d times", option, SITE_MOST);
    return false;
}

static bool add_index(struct site *s, const char *name)
{
    if (!count_one("--index", (size_t)s->n_index))
        return false;
    if (*name == '\0' || strchr(name, '/') != NULL || strlen(name) > 255) {
        cmd_error("--index wants the name of a file, not \"%s\"", name);
        return false;
    }
    s->index[s->n_index++] = name;
    s->files.index = s->index;
    return true;
}

static bool is_value(const char *value)
{
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return *value != '\0';
}

static bool add_rule(struct site *s, char *text)
{
    char *equals = strchr(text, '=');

    if (!count_one("--cache-control", s->files.n_cache_rules))
        return false;
    if (equals == NULL || equals == text || !is_value(equals + 1) || strlen(equals + 1) > 200) {
        cmd_error("--cache-control wants PATTERN=VALUE, not \"%s\"", text);
        return false;
    }
    *equals = '\0';
    s->rules[s->files.n_cache_rules++] = (rn_http_cache_rule){text, equals + 1};
    s->files.cache_rules = s->rules;
    return true;
}

static bool add_page(struct site *s, char *text)
{
    char *equals = strchr(text, '=');
    long status = 0;

    if (!count_one("--error-page", s->files.n_error_pages))
        return false;
    if (equals == NULL || equals[1] == '\0' || equals[1] == '/' || strlen(equals + 1) > 1000) {
        cmd_error("--error-page wants STATUS=NAME, a name below DIR, not \"%s\"", text);
        return false;
    }
    *equals = '\0';
    if (strcmp(text, "*") != 0 && !cmd_number("--error-page", text, 400, 599, &status))
        return false;
    s->pages[s->files.n_error_pages++] = (rn_http_error_page){.status = (int)status,
                                                              .name = equals + 1};
    s->files.error_pages = s->pages;
    return true;
}

/* Those that say how long and of what kind an answer is, of which version, and where it ends. */
static bool is_our_own(const char *name)
{
    static const char *const names[] = {"Accept-Ranges", "Allow",    "Cache-Control",
                                        "Connection",    "Date",     "ETag",
                                        "Last-Modified", "Location", "Transfer-Encoding"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return strncasecmp(name, "Content-", 8) == 0 &&
           strcasecmp(name, "Content-Security-Policy") != 0 &&
           strcasecmp(name, "Content-Security-Policy-Report-Only") != 0;
}

static bool add_header(struct site *s, char *text)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "!#$%&'*+-.^_`|~";
    size_t len = strspn(text, token);
    char *value = text + len + 1;

    if (!count_one("--header", (size_t)s->n_headers))
        return false;
    if (len == 0 || text[len] != ':' || !is_value(value += strspn(value, " "))) {
        cmd_error("--header wants \"NAME: VALUE\", not \"%s\"", text);
        return false;
    }
    text[len] = '\0';
    if (is_our_own(text)) {
        cmd_error("--header: %s is the server's to say", text);
        return false;
    }
    s->headers_len += len + strlen(value);
    if (s->headers_len > HEADERS_MOST) {
        cmd_error("--header may be given %d bytes in all", HEADERS_MOST);
        return false;
    }
    s->headers[s->n_headers++] = (struct site_header){text, value};
    return true;
}

static bool set_max_head(struct site *s, const char *text)
{
    long n;

    if (!cmd_number("--max-head", text, 1024, 1 << 20, &n))
        return false;
    s->server->max_head_bytes = (size_t)n;
    return true;
}

static bool set_fallback(struct site *s, const char *name)
{
    if (*name == '\0' || *name == '/' || strlen(name) > 1000) {
        cmd_error("--fallback wants a name below DIR, not \"%s\"", name);
        return false;
    }
    s->files.fallback = name;
    return true;
}

static bool set_seconds(const char *option, const char *text, rn_time none, rn_time *ret)
{
    long n;

    if (!cmd_number(option, text, 0, 1000000, &n))
        return false;
    *ret = n == 0 ? none : n * RN_SECOND;
    return true;
}

static bool set_format(struct site *s, const char *how)
{
    s->log_json = strcmp(how, "json") == 0;
    if (s->log_json || strcmp(how, "combined") == 0)
        return true;
    cmd_error("--log-format wants combined or json, not \"%s\"", how);
    return false;
}

static bool set_seccomp(struct site *s, const char *how)
{
    s->seccomp = how == NULL || strcmp(how, "refuse") == 0 ? SECCOMP_REFUSE
                 : strcmp(how, "log") == 0                 ? SECCOMP_LOG
                 : strcmp(how, "kill") == 0                ? SECCOMP_KILL
                                                           : SECCOMP_OFF;
    if (s->seccomp == SECCOMP_OFF)
        cmd_error("--seccomp wants refuse, log or kill, not \"%s\"", how);
    return s->seccomp != SECCOMP_OFF;
}

bool site_option(struct site *s, int c, char *arg)
{
    switch (c) {
    case SITE_INDEX:
        return add_index(s, arg);
    case SITE_LIST:
        return s->files.list = true;
    case SITE_PRECOMPRESSED:
        return s->files.precompressed = true;
    case SITE_DOTFILES:
        return s->files.dotfiles = true;
    case SITE_NO_LINKS:
        return s->files.no_links = true;
    case SITE_SHARED_ETAGS:
        return s->files.shared_tags = true;
    case SITE_MIME:
        s->files.mime_file = arg;
        return true;
    case SITE_CACHE_CONTROL:
        return add_rule(s, arg);
    case SITE_ERROR_PAGE:
        return add_page(s, arg);
    case SITE_FALLBACK:
        return set_fallback(s, arg);
    case SITE_HEADER:
        return add_header(s, arg);
    case SITE_ACCESS_LOG:
        s->log_path = arg;
        return true;
    case SITE_LOG_FORMAT:
        return set_format(s, arg);
    case SITE_LOG_PEER:
        s->log_peer = arg;
        return true;
    case SITE_MAX_HEAD:
        return set_max_head(s, arg);
    case SITE_IDLE:
        return set_seconds("--idle", arg, -1, &s->server->idle_ns);
    case SITE_HEAD:
        return set_seconds("--head", arg, -1, &s->server->head_ns);
    case SITE_WRITE:
        return set_seconds("--write", arg, -1, &s->server->write_ns);
    case SITE_DRAIN:
        return set_seconds("--drain", arg, 0, &s->server->serve.drain_ns);
    case SITE_USER:
        s->user = arg;
        return true;
    case SITE_NO_SANDBOX:
        return s->no_sandbox = true;
    case SITE_SECCOMP:
        return set_seccomp(s, arg);
    default:
        return false;
    }
}
