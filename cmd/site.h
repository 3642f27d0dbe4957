/*
 * site.h - what `runnel serve` can be told of files, log, and rights: the options, and who does it
 */
#ifndef RN_CMD_SITE_H
#define RN_CMD_SITE_H

#include <getopt.h>

#include "cmd.h"
#include <runnel/http.h>

#define SITE_MOST 32 /* of each option that may be given again */

struct access_log;

enum seccomp_mode { SECCOMP_OFF, SECCOMP_REFUSE, SECCOMP_LOG, SECCOMP_KILL };

struct site_header {
    const char *name, *value;
};

struct site {
    rn_http_files_options files;
    rn_http_server_options *server; /* its time limits */
    const char *index[SITE_MOST + 1];
    int n_index;
    rn_http_cache_rule rules[SITE_MOST];
    rn_http_error_page pages[SITE_MOST];
    struct site_header headers[SITE_MOST]; /* of each answer */
    int n_headers;
    size_t headers_len;
    const char *log_path;
    bool log_json;
    const char *log_peer; /* a header field; NULL: the connection's address */
    const char *user;
    bool no_sandbox;
    enum seccomp_mode seccomp;
};

/* ---- site.c: options ---- */

/* Entries for getopt_long, whose values none of the caller's has. */
enum {
    SITE_INDEX = 1000,
    SITE_LIST,
    SITE_PRECOMPRESSED,
    SITE_DOTFILES,
    SITE_NO_LINKS,
    SITE_SHARED_ETAGS,
    SITE_MIME,
    SITE_CACHE_CONTROL,
    SITE_ERROR_PAGE,
    SITE_FALLBACK,
    SITE_HEADER,
    SITE_ACCESS_LOG,
    SITE_LOG_FORMAT,
    SITE_LOG_PEER,
    SITE_MAX_HEAD,
    SITE_IDLE,
    SITE_HEAD,
    SITE_WRITE,
    SITE_DRAIN,
    SITE_USER,
    SITE_NO_SANDBOX,
    SITE_SECCOMP
};

/* clang-format off */
#define SITE_LONGS                                                                                 \
    {"index", required_argument, NULL, SITE_INDEX},                                                \
    {"list", no_argument, NULL, SITE_LIST},                                                        \
    {"precompressed", no_argument, NULL, SITE_PRECOMPRESSED},                                      \
    {"dotfiles", no_argument, NULL, SITE_DOTFILES},                                                \
    {"no-links", no_argument, NULL, SITE_NO_LINKS},                                                \
    {"shared-etags", no_argument, NULL, SITE_SHARED_ETAGS},                                        \
    {"mime", required_argument, NULL, SITE_MIME},                                                  \
    {"cache-control", required_argument, NULL, SITE_CACHE_CONTROL},                                \
    {"error-page", required_argument, NULL, SITE_ERROR_PAGE},                                      \
    {"fallback", required_argument, NULL, SITE_FALLBACK},                                          \
    {"header", required_argument, NULL, SITE_HEADER},                                              \
    {"access-log", required_argument, NULL, SITE_ACCESS_LOG},                                      \
    {"log-format", required_argument, NULL, SITE_LOG_FORMAT},                                      \
    {"log-peer", required_argument, NULL, SITE_LOG_PEER},                                          \
    {"max-head", required_argument, NULL, SITE_MAX_HEAD},                                          \
    {"idle", required_argument, NULL, SITE_IDLE},                                                  \
    {"head", required_argument, NULL, SITE_HEAD},                                                  \
    {"write", required_argument, NULL, SITE_WRITE},                                                \
    {"drain", required_argument, NULL, SITE_DRAIN},                                                \
    {"user", required_argument, NULL, SITE_USER},                                                  \
    {"no-sandbox", no_argument, NULL, SITE_NO_SANDBOX},                                            \
    {"seccomp", optional_argument, NULL, SITE_SECCOMP}
/* clang-format on */

extern const char site_help[];

/* One of the options above; false, with a message, where its argument is wrong, or it is none. */
bool site_option(struct site *s, int c, char *arg);

/* ---- access_log.c ---- */

/* Opens the file, to append to; before rn_run, so that it is done with the rights of who started
 * this. 0 or -errno, with a message. */
int access_log_open(const char *path, bool json, const char *peer_from, struct access_log **ret);

/* Begins to write, and to listen to SIGUSR1 and SIGHUP: in a coroutine. */
int access_log_begin(struct access_log *log);

/* For rn_http_server_options.done. */
void access_log_done(const rn_http_done *done, void *log);

/* Writes what is left and closes; in a coroutine where it was begun, else anywhere. NULL is
 * allowed. */
void access_log_end(struct access_log *log);

/* ---- rights.c: all three before any other thread runs ---- */

/* Becomes USER[:GROUP], for good. 0, or -errno with a message. */
int rights_become(const char *user);

/*
 * Landlock: from now on this process reads below dir and what libc and runnel need, makes and
 * writes files where its log is, and removes them where its unix sockets are (n paths, NULL for
 * none).
 * Where the kernel has no landlock nothing changes. 0, or -errno with a message.
 */
int rights_confine(const char *dir, const struct site *s, const char *const *sockets, int n);

/* Seccomp: from now on only calls that serving needs are let through. 0, or -errno with a
 * message. */
int rights_filter_calls(enum seccomp_mode mode);

#endif
