/*
 * text.c - dates and reason phrases: tables
 */
#include "http/text.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "http/token.h"

static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void rn__http_date(time_t at, char text[RN__HTTP_DATE_LEN + 1])
{
    /* Room for any int, so that the compiler need not believe what gmtime_r promises. */
    char room[96];
    struct tm tm;

    /* A file system may hand out any 64-bit time; the format has four digits for the year. */
    if (gmtime_r(&at, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) {
        at = 0;
        (void)gmtime_r(&at, &tm);
    }
    (void)snprintf(room, sizeof room, "%.3s, %02d %s %04d %02d:%02d:%02d GMT",
                   days[(unsigned)tm.tm_wday % 7], tm.tm_mday, months[(unsigned)tm.tm_mon % 12],
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(text, room, RN__HTTP_DATE_LEN);
    text[RN__HTTP_DATE_LEN] = '\0';
}

/* A shape says what stands where: 'a' the day's first three letters, 'A' all of them, 'd' its
 * number, 'e' likewise with a space for a first zero, 'm' the month, 'Y' and 'y' the year by four
 * or two digits, 'H' 'M' 'S' the time, 'Z' "GMT"; all else stands for itself. */
struct date {
    int year, month, day, hour, minute, second;
    bool short_year;
};

static int take_number(const char **at, const char *end, int digits, int *ret)
{
    int n = 0;

    for (int i = 0; i < digits; i++, (*at)++) {
        if (*at == end || !rn__is_digit(**at))
            return -1;
        n = n * 10 + **at - '0';
    }
    *ret = n;
    return 0;
}

static int take_name(const char **at, const char *end, const char *name, size_t len)
{
    if ((size_t)(end - *at) < len || memcmp(*at, name, len) != 0)
        return -1;
    *at += len;
    return 0;
}

static int take_day(const char **at, const char *end, bool whole)
{
    for (size_t i = 0; i < RN_COUNT_OF(days); i++)
        if (take_name(at, end, days[i], whole ? strlen(days[i]) : 3) == 0)
            return 0;
    return -1;
}

static int take_month(const char **at, const char *end, int *ret)
{
    for (size_t i = 0; i < RN_COUNT_OF(months); i++)
        if (take_name(at, end, months[i], 3) == 0) {
            *ret = (int)i + 1;
            return 0;
        }
    return -1;
}

static int take(const char **at, const char *end, char shape, struct date *d)
{
    switch (shape) {
    case 'a':
    case 'A':
        return take_day(at, end, shape == 'A');
    case 'e':
        if (*at < end && **at == ' ') {
            (*at)++;
            return take_number(at, end, 1, &d->day);
        }
        return take_number(at, end, 2, &d->day);
    case 'd':
        return take_number(at, end, 2, &d->day);
    case 'm':
        return take_month(at, end, &d->month);
    case 'Y':
        return take_number(at, end, 4, &d->year);
    case 'y':
        d->short_year = true;
        return take_number(at, end, 2, &d->year);
    case 'H':
        return take_number(at, end, 2, &d->hour);
    case 'M':
        return take_number(at, end, 2, &d->minute);
    case 'S':
        return take_number(at, end, 2, &d->second);
    case 'Z':
        return take_name(at, end, "GMT", 3);
    default:
        return take_name(at, end, &shape, 1);
    }
}

static bool parse_shape(const char *text, size_t len, const char *shape, struct date *d)
{
    const char *end = text + len;

    *d = (struct date){0};
    for (; *shape != '\0'; shape++)
        if (take(&text, end, *shape, d) < 0)
            return false;
    return text == end;
}

/* RFC 9110 5.6.7: what seems to be more than 50 years ahead was in the century before. */
static void choose_century(struct date *d, time_t now)
{
    struct tm tm;
    int this_year = gmtime_r(&now, &tm) == NULL ? 1970 : tm.tm_year + 1900;

    d->year += this_year - this_year % 100;
    if (d->year > this_year + 50)
        d->year -= 100;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool is_date(const struct date *d)
{
    static const int most[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return d->day >= 1 && d->day <= most[d->month - 1] + (d->month == 2 && is_leap(d->year)) &&
           d->hour < 24 && d->minute < 60 && d->second <= 60; /* there are leap seconds */
}

bool rn__http_parse_date(const char *text, size_t len, time_t now, time_t *ret)
{
    struct date d;
    struct tm tm;

    if (!parse_shape(text, len, "a, d m Y H:M:S Z", &d) &&
        !parse_shape(text, len, "A, d-m-y H:M:S Z", &d) &&
        !parse_shape(text, len, "a m e H:M:S Y", &d))
        return false;
    if (d.short_year)
        choose_century(&d, now);
    if (!is_date(&d))
        return false;
    tm = (struct tm){.tm_year = d.year - 1900,
                     .tm_mon = d.month - 1,
                     .tm_mday = d.day,
                     .tm_hour = d.hour,
                     .tm_min = d.minute,
                     .tm_sec = d.second};
    *ret = timegm(&tm);
    return true;
}

/* The register of IANA, and 418. */
static const struct {
    int status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
};

const char *rn__http_reason(int status)
{
    for (size_t i = 0; i < RN_COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}
