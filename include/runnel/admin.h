/*
 * admin.h - pages about a running program: metrics, coroutines, health, a dashboard
 *
 *     rn_http_stats_new("site", &stats);
 *     rn_admin_new(&admin);
 *     rn_http_server_new(&(rn_http_server_options){.done = rn_http_stats_done,
 *                                                  .done_arg = stats}, handler, arg, &server);
 *     ...
 *     rn_http_serve("tcp", "127.0.0.1:9090", NULL, rn_admin_handler, admin);
 *
 *     GET /                  the dashboard: one page, nothing from outside
 *     GET /metrics           for Prometheus
 *     GET /debug/stats.json  the same figures, for each P too
 *     GET /debug/coroutines  what rn_dump says; ?grouped counts those that are at the same place
 *     GET /healthz           200 while the program runs
 *     GET /readyz            200; 503 after rn_admin_set_ready(admin, false)
 *
 * They tell much about a program and its users, and ask nobody who they are: listen on loopback or
 * on a unix socket.
 */
#ifndef RUNNEL_ADMIN_H
#define RUNNEL_ADMIN_H

#include <runnel/http.h>
#include <runnel/stats.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts the requests of one or more servers; has one owner. */
typedef struct rn_http_stats rn_http_stats;

/* The pages; has one owner. */
typedef struct rn_admin rn_admin;

/*
 * rn_http_stats_new - count requests, so that each snapshot has them
 *   name  which server's, for the label in the metrics; copied, its first 63 bytes count
 *   ret   counters; the caller's to free
 * Returns 0; -EDEADLK outside of a coroutine; -ENOMEM. *ret is untouched on failure.
 * Effects: none. Source: src/observe/requests.c
 */
RN_API int rn_http_stats_new(const char *name, rn_http_stats **ret);

/*
 * rn_http_stats_free - stop counting
 *   stats  counters of which no server knows any more; NULL is allowed
 * Effects: none. Source: src/observe/requests.c
 */
RN_API void rn_http_stats_free(rn_http_stats *stats);

/*
 * rn_http_stats_done - count a request: for rn_http_server_options.done
 *   done   what the server says
 *   stats  a rn_http_stats: .done_arg
 * Effects: none. Source: src/observe/requests.c
 */
RN_API void rn_http_stats_done(const rn_http_done *done, void *stats);

/*
 * rn_admin_new - make the pages
 *   ret  pages; the caller's to free
 * Returns 0; -ENOMEM. *ret is untouched on failure.
 * Effects: none. Source: src/observe/admin.c
 */
RN_API int rn_admin_new(rn_admin **ret);

/*
 * rn_admin_free - free the pages
 *   admin  pages that no server serves any more; NULL is allowed
 * Effects: none. Source: src/observe/admin.c
 */
RN_API void rn_admin_free(rn_admin *admin);

/*
 * rn_admin_set_ready - say whether this program wants requests
 *   admin  pages
 *   ready  true at first; false: /readyz answers 503, so that a balancer sends no more
 * Effects: none, any thread. Source: src/observe/admin.c
 */
RN_API void rn_admin_set_ready(rn_admin *admin, bool ready);

/*
 * rn_admin_handler - answer requests for the pages: a rn_http_handler
 *   w, r   as a handler gets them
 *   admin  a rn_admin
 * Effects: may switch coroutines; takes its snapshots by rn_offload. Source: src/observe/admin.c
 */
RN_API void rn_admin_handler(rn_http_response *w, rn_http_request *r, void *admin);

/*
 * rn_admin_mount - add the pages to a mux, beside other handlers
 *   admin      pages; stay the caller's
 *   mux        that gets the patterns: /metrics, /debug/..., /healthz, /readyz
 *   dashboard  also the page at "/"
 * Returns 0; the errors of rn_http_handle.
 * Effects: none. Source: src/observe/admin.c
 */
RN_API int rn_admin_mount(rn_admin *admin, rn_http_mux *mux, bool dashboard);

#ifdef __cplusplus
}
#endif

#endif
