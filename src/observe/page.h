/*
 * page.h - the dashboard, as web/make_dashboard.py puts it together from web/dashboard
 */
#ifndef RN_OBSERVE_PAGE_H
#define RN_OBSERVE_PAGE_H

#include <stddef.h>

extern const unsigned char rn__page[];
extern const size_t rn__page_len;

#endif
