/*
 * lookup.c - look many names up at once, by DNS, without a thread
 *
 *     ./lookup example.org localhost ::1 no.such.host.invalid
 *     ./lookup -s 127.0.0.1:5353 -s [::1]:53 _imaps._tcp.example.org example.org
 *
 * A coroutine for each name, 5 s for all. A name that begins with _ is a service.
 */
#include <runnel/dns.h>
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>

static rn_lookup_options limit;

static int look_up(void *arg)
{
    const char *name = arg;
    rn_dns_srv services[16];
    rn_ip ips[16];
    char text[64];
    int n;

    if (name[0] == '_')
        n = rn_dns_lookup_srv(name, &limit, services, 16);
    else
        n = rn_lookup_host(name, &limit, ips, 16);
    if (n < 0)
        printf("%s: %s\n", name, rn_strerror(n));
    for (int i = 0; i < n && name[0] == '_'; i++)
        printf("%s %s:%d\n", name, services[i].target, services[i].port);
    for (int i = 0; i < n && name[0] != '_'; i++)
        if (rn_ip_text(&ips[i], text, sizeof text) == 0)
            printf("%s %s\n", name, text);
    return 0;
}

static int look_all_up(void *names)
{
    rn_group g = RN_GROUP_INIT;
    int r = 0, end;

    limit.deadline = rn_after(5 * RN_SECOND);
    for (char **name = names; r == 0 && *name != NULL; name++)
        r = rn_group_go(&g, look_up, *name);
    end = rn_group_wait(&g, 0);
    return r < 0 ? r : end;
}

int main(int argc, char **argv)
{
    char servers[256] = "";
    rn_dns_options options = RN_DNS_OPTIONS_INIT;
    int r;

    for (; argc > 2 && strcmp(argv[1], "-s") == 0; argc -= 2, argv += 2) {
        size_t len = strlen(servers);

        snprintf(servers + len, sizeof servers - len, "%s%s", len > 0 ? "," : "", argv[2]);
        options.servers = servers;
    }
    r = argc < 2 || argv[1][0] == '-' ? -EINVAL : rn_dns_use(&options);
    if (r < 0) {
        fprintf(stderr, "Usage: lookup [-s SERVER:PORT]... NAME... (%s)\n", rn_strerror(r));
        return 2;
    }
    return rn_run(NULL, look_all_up, argv + 1) < 0;
}
