/*
 * trace_symbols.c - what code lies at an address of another process: file, and function
 *
 * A process's mappings are read when it maps code, and kept: its calls may be told of after its
 * end. Files are read through /proc/PID/root, for a container's are its own; each once, and kept
 * open for nothing: only their functions, sorted by address, stay.
 */
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define MAX_PATH 4096

struct symbol {
    uint64_t address, len;
    char *name;
};

/* Where a piece of a file is meant to lie in memory. */
struct segment {
    uint64_t offset, len, address;
};

struct file {
    struct file *next;
    char *path;
    struct symbol *symbols; /* sorted by address */
    size_t n_symbols;
    struct segment *segments;
    size_t n_segments;
    uint64_t layout; /* where rn__gdb_layout is; 0: it is not on runnel */
};

struct mapping {
    uint64_t from, to, offset;
    struct file *file;
};

struct process {
    struct process *next;
    pid_t pid;
    struct mapping *mappings;
    size_t n_mappings;
    bool has_told; /* of its layout */
};

struct trace_symbols {
    struct file *files;
    struct process *processes;
};

/* ---- files ---- */

static int by_address(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

/* Appends one; what there is no memory for is left out. */
static void *append(void *array, size_t n, size_t each, const void *one)
{
    char *more = (n & (n - 1)) == 0 ? realloc(array, (n == 0 ? 1 : 2 * n) * each) : array;

    if (more != NULL)
        memcpy(more + n * each, one, each);
    return more;
}

static void read_symbols(struct file *f, Elf *elf, Elf_Scn *section, const GElf_Shdr *head)
{
    Elf_Data *data = elf_getdata(section, NULL);
    size_t n = head->sh_entsize == 0 || data == NULL ? 0 : head->sh_size / head->sh_entsize;

    for (size_t i = 0; i < n; i++) {
        struct symbol one, *more;
        const char *name;
        GElf_Sym sym;

        if (gelf_getsym(data, (int)i, &sym) == NULL || sym.st_value == 0 ||
            (name = elf_strptr(elf, head->sh_link, sym.st_name)) == NULL || *name == '\0')
            continue;
        if (strcmp(name, "rn__gdb_layout") == 0)
            f->layout = sym.st_value;
        if (GELF_ST_TYPE(sym.st_info) != STT_FUNC)
            continue;
        one = (struct symbol){sym.st_value, sym.st_size, strdup(name)};
        if (one.name == NULL)
            return;
        more = append(f->symbols, f->n_symbols, sizeof one, &one);
        if (more == NULL) {
            free(one.name);
            return;
        }
        f->symbols = more;
        f->n_symbols++;
    }
}

static void read_elf(struct file *f, Elf *elf)
{
    size_t n_segments = 0;

    for (Elf_Scn *s = elf_nextscn(elf, NULL); s != NULL; s = elf_nextscn(elf, s)) {
        GElf_Shdr head;

        if (gelf_getshdr(s, &head) != NULL &&
            (head.sh_type == SHT_SYMTAB || head.sh_type == SHT_DYNSYM))
            read_symbols(f, elf, s, &head);
    }
    if (f->n_symbols > 0)
        qsort(f->symbols, f->n_symbols, sizeof *f->symbols, by_address);
    elf_getphdrnum(elf, &n_segments);
    for (size_t i = 0; i < n_segments; i++) {
        struct segment one, *more;
        GElf_Phdr head;

        if (gelf_getphdr(elf, (int)i, &head) == NULL || head.p_type != PT_LOAD)
            continue;
        one = (struct segment){head.p_offset, head.p_filesz, head.p_vaddr};
        more = append(f->segments, f->n_segments, sizeof one, &one);
        if (more == NULL)
            return;
        f->segments = more;
        f->n_segments++;
    }
}

/* The file, read now or before; NULL: no memory. One that cannot be read has no symbols. */
static struct file *find_file(struct trace_symbols *s, pid_t pid, const char *path)
{
    char through[MAX_PATH + 32];
    struct file *f;
    Elf *elf;
    int fd;

    for (f = s->files; f != NULL; f = f->next)
        if (strcmp(f->path, path) == 0)
            return f;
    f = calloc(1, sizeof *f);
    if (f == NULL || (f->path = strdup(path)) == NULL) {
        free(f);
        return NULL;
    }
    f->next = s->files;
    s->files = f;
    snprintf(through, sizeof through, "/proc/%d/root%s", (int)pid, path);
    fd = *path == '/' ? open(through, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return f;
    elf = elf_begin(fd, ELF_C_READ, NULL);
    if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
        read_elf(f, elf);
    elf_end(elf);
    close(fd);
    return f;
}

/* ---- processes ---- */

static struct process *find_process(struct trace_symbols *s, pid_t pid)
{
    struct process *p = s->processes;

    while (p != NULL && p->pid != pid)
        p = p->next;
    return p;
}

static struct process *add_process(struct trace_symbols *s, pid_t pid)
{
    struct process *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->pid = pid;
    p->next = s->processes;
    s->processes = p;
    return p;
}

static size_t read_mappings(struct trace_symbols *s, pid_t pid, FILE *maps, struct mapping **ret)
{
    char line[MAX_PATH + 128], path[MAX_PATH + 1], rights[5];
    struct mapping *all = NULL, *more, one;
    size_t n = 0;

    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %4096[^\n]", &one.from,
                   &one.to, rights, &one.offset, path) != 5 ||
            rights[2] != 'x')
            continue;
        one.file = find_file(s, pid, path);
        more = one.file == NULL ? NULL : append(all, n, sizeof one, &one);
        if (more == NULL)
            break;
        all = more;
        n++;
    }
    *ret = all;
    return n;
}

void trace_symbols_read(struct trace_symbols *s, pid_t pid)
{
    struct process *p = find_process(s, pid);
    struct mapping *mappings;
    char path[64];
    size_t n;
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    maps = fopen(path, "re");
    if (maps == NULL)
        return;
    n = read_mappings(s, pid, maps, &mappings);
    fclose(maps);
    if (n > 0 && p == NULL)
        p = add_process(s, pid);
    if (n == 0 || p == NULL) { /* it has ended since */
        free(mappings);
        return;
    }
    free(p->mappings);
    p->mappings = mappings;
    p->n_mappings = n;
    p->has_told = false;
}

static const struct mapping *find_mapping(struct trace_symbols *s, pid_t pid, uint64_t address)
{
    struct process *p = find_process(s, pid);

    for (size_t i = 0; p != NULL && i < p->n_mappings; i++)
        if (address >= p->mappings[i].from && address < p->mappings[i].to)
            return &p->mappings[i];
    return NULL;
}

/* ---- names ---- */

/* The last function that begins at or before; of two that begin there, any. */
static const struct symbol *find_symbol(const struct file *f, uint64_t address)
{
    size_t low = 0, high = f->n_symbols;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (f->symbols[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    /* One written in assembly may have no length. */
    if (f->symbols[low - 1].len != 0 &&
        address - f->symbols[low - 1].address >= f->symbols[low - 1].len)
        return NULL;
    return &f->symbols[low - 1];
}

static uint64_t address_in_file(const struct file *f, uint64_t offset)
{
    for (size_t i = 0; i < f->n_segments; i++)
        if (offset >= f->segments[i].offset && offset - f->segments[i].offset < f->segments[i].len)
            return offset - f->segments[i].offset + f->segments[i].address;
    return offset;
}

void trace_symbols_name(struct trace_symbols *s, pid_t pid, uint64_t address, char *text,
                        size_t len)
{
    const struct mapping *m = find_mapping(s, pid, address);
    const struct symbol *symbol;
    const char *base;
    uint64_t at;

    if (m == NULL) { /* seen for the first time, or code was mapped since */
        trace_symbols_read(s, pid);
        m = find_mapping(s, pid, address);
    }
    if (m == NULL) {
        snprintf(text, len, "?");
        return;
    }
    at = address_in_file(m->file, address - m->from + m->offset);
    symbol = find_symbol(m->file, at);
    base = strrchr(m->file->path, '/') == NULL ? m->file->path : strrchr(m->file->path, '/') + 1;
    if (symbol != NULL)
        snprintf(text, len, "%s+%#" PRIx64 " in %s+%#" PRIx64, symbol->name, at - symbol->address,
                 base, at);
    else
        snprintf(text, len, "in %s+%#" PRIx64, base, at);
}

void trace_symbols_each_layout(struct trace_symbols *s,
                               bool (*fn)(pid_t pid, uint64_t address, void *arg), void *arg)
{
    for (struct process *p = s->processes; p != NULL; p = p->next) {
        for (size_t i = 0; i < p->n_mappings && !p->has_told; i++) {
            const struct mapping *m = &p->mappings[i];

            if (m->file->layout != 0)
                p->has_told = fn(
                    p->pid, m->from - address_in_file(m->file, m->offset) + m->file->layout, arg);
        }
    }
}

struct trace_symbols *trace_symbols_new(void)
{
    elf_version(EV_CURRENT);
    return calloc(1, sizeof(struct trace_symbols));
}

void trace_symbols_free(struct trace_symbols *s)
{
    struct process *p;
    struct file *f;

    while ((p = s->processes) != NULL) {
        s->processes = p->next;
        free(p->mappings);
        free(p);
    }
    while ((f = s->files) != NULL) {
        s->files = f->next;
        for (size_t i = 0; i < f->n_symbols; i++)
            free(f->symbols[i].name);
        free(f->symbols);
        free(f->segments);
        free(f->path);
        free(f);
    }
    free(s);
}
