/*
 * text.h - dates and reason phrases
 */
#ifndef RN_HTTP_TEXT_H
#define RN_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define RN__HTTP_DATE_LEN 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* IMF-fixdate (RFC 9110 5.6.7) into 29 bytes and a NUL; whatever the locale. */
void rn__http_date(time_t at, char text[RN__HTTP_DATE_LEN + 1]);

/* One of the three formats of RFC 9110 5.6.7; `now` says which century a year of two digits is in.
 * False, and *ret as it was, where it is none. */
bool rn__http_parse_date(const char *text, size_t len, time_t now, time_t *ret);

/* "Not Found" for 404; "Unknown" where there is none. */
const char *rn__http_reason(int status);

#endif
