/*
 * doctor_print.c - what was found: a table with advice for people, JSON for programs
 */
#include <string.h>
#include <unistd.h>

#include "doctor.h"

static const struct {
    const char *name, *colour;
} states[] = {[DOC_OK] = {"ok", "32"},
              [DOC_UNKNOWN] = {"unknown", "36"},
              [DOC_WARN] = {"warn", "33"},
              [DOC_FAIL] = {"fail", "31"}};

const char *doc_state_name(enum doc_state state)
{
    return states[state].name;
}

static void print_state(FILE *out, enum doc_state state, bool colour)
{
    if (colour)
        fprintf(out, "\033[%sm%-7s\033[0m", states[state].colour, states[state].name);
    else
        fprintf(out, "%-7s", states[state].name);
}

void doc_print_advice(FILE *out, const struct doc_finding *f, bool colour)
{
    putc('\n', out);
    print_state(out, f->state, colour);
    fprintf(out, "  %s\n         found      %s\n", f->check->name, f->read);
    if (f->source[0] != '\0')
        fprintf(out, "         in         %s\n", f->source);
    fprintf(out, "         wanted     %s\n         why        %s\n", f->wanted, f->check->why);
    if (f->temporary[0] != '\0')
        fprintf(out, "         now        %s\n", f->temporary);
    if (f->permanent[0] != '\0')
        fprintf(out, "         for good   %s\n", f->permanent);
    if (f->note[0] != '\0')
        fprintf(out, "         note       %s\n", f->note);
}

void doc_print_table(const struct doctor *d, bool colour)
{
    int counts[DOC_FAIL + 1] = {0};

    printf("%-7s  %-22s %-36s %s\n", "STATE", "CHECK", "FOUND", "WANTED");
    for (int i = 0; i < d->n; i++) {
        const struct doc_finding *f = &d->findings[i];

        counts[f->state]++;
        print_state(stdout, f->state, colour);
        printf("  %-22s %-36s %s\n", f->check->name, f->read, f->wanted);
    }
    for (int i = 0; i < d->n; i++)
        if (d->findings[i].state >= DOC_WARN)
            doc_print_advice(stdout, &d->findings[i], colour);
    printf("\nFor %ld connections, %ld new ones a second: %d ok, %d warn, %d fail, %d unknown.\n",
           d->connections, d->rate, counts[DOC_OK], counts[DOC_WARN], counts[DOC_FAIL],
           counts[DOC_UNKNOWN]);
    if (counts[DOC_WARN] + counts[DOC_FAIL] > 0 && geteuid() != 0)
        puts("The commands are for a shell of root (sudo -s); sudo runnel doctor --fix sets the "
             "sysctls.");
}

static void print_names(const struct doc_check *checks, int n)
{
    for (int i = 0; i < n; i++)
        printf("%-22s  %-52s  %s\n", checks[i].name, checks[i].reads, checks[i].why);
}

void doc_print_list(void)
{
    print_names(doc_net_checks, doc_n_net_checks);
    print_names(doc_host_checks, doc_n_host_checks);
}

/* ---- JSON ---- */

/* Valid JSON, whatever the bytes: those above ASCII are taken for Latin-1. */
static void print_string(const char *text, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c >= 127)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_member(const char *name, const char *text)
{
    printf(", \"%s\": ", name);
    print_string(text, strlen(text));
}

static void print_finding(const struct doc_finding *f)
{
    printf("    {\"check\": ");
    print_string(f->check->name, strlen(f->check->name));
    print_member("state", states[f->state].name);
    print_member("found", f->read);
    print_member("source", f->source);
    print_member("wanted", f->wanted);
    print_member("why", f->check->why);
    print_member("temporary", f->temporary);
    print_member("permanent", f->permanent);
    print_member("note", f->note);
    if (f->value[0] != '\0') {
        print_member("sysctl", f->check->key);
        print_member("value", f->value);
    }
    putchar('}');
}

void doc_print_json(const struct doctor *d, const char *changes)
{
    const char *comma = "";

    printf("{\n  \"version\": \"%s\",\n  \"connections\": %ld,\n  \"rate\": %ld,\n  \"pid\": ",
           rn_version(), d->connections, d->rate);
    if (d->pid == 0)
        printf("null");
    else
        printf("%ld", d->pid);
    printf(",\n  \"changes\": [");
    for (const char *line = changes; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        printf("%s", comma);
        print_string(line, len);
        comma = ", ";
        line += len + (line[len] == '\n');
    }
    printf("],\n  \"checks\": [");
    for (int i = 0; i < d->n; i++) {
        printf("%s\n", i == 0 ? "" : ",");
        print_finding(&d->findings[i]);
    }
    printf("\n  ]\n}\n");
}
