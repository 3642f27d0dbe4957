/*
 * admin.h - requests counted
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

/*
 * rn_http_stats_new - count requests, so that each snapshot has them
 *   name  which server's, the label in the metrics; copied
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

#ifdef __cplusplus
}
#endif

#endif
