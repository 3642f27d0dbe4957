/*
 * symbols.c - names of the program's functions, for backtraces
 *
 * Reads .symtab and .strtab into memory that stays for the life of the process: it is asked in
 * signal handlers. What is read is not trusted: each offset is checked.
 */
#include "task/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

#define TABLE_MOST (64u << 20) /* bytes: who has more functions has dladdr alone */

struct symbol {
    uintptr_t at;
    size_t len;
    uint32_t name; /* offset in names */
};

struct rn__symbols {
    char *names;
    size_t n;
    struct symbol symbols[]; /* by address */
};

static _Atomic(struct rn__symbols *) own; /* NULL: not known */

/* ---- reading ---- */

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
    char *next = to;

    while (len > 0) {
        ssize_t n = rn__sys_pread(fd, next, len, (off_t)at);

        if (n <= 0)
            return false;
        next += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* A section's bytes, and one of 0 behind them; NULL: it is too large, not there, or no memory. */
static void *read_section(int fd, const Elf64_Shdr *s)
{
    char *bytes;

    if (s->sh_size > TABLE_MOST || s->sh_offset > INT64_MAX - TABLE_MOST)
        return NULL;
    bytes = rn__malloc_lasting(s->sh_size + 1);
    if (bytes == NULL)
        return NULL;
    bytes[s->sh_size] = '\0';
    if (read_at(fd, bytes, s->sh_size, s->sh_offset))
        return bytes;
    rn__free_lasting(bytes);
    return NULL;
}

/* The table of symbols and that of their names. */
static bool find_sections(int fd, Elf64_Shdr *table, Elf64_Shdr *names)
{
    Elf64_Ehdr head;

    if (!read_at(fd, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof *table ||
        head.e_shoff > INT64_MAX - TABLE_MOST)
        return false;
    for (int i = 0; i < head.e_shnum; i++) {
        if (!read_at(fd, table, sizeof *table, head.e_shoff + (uint64_t)i * sizeof *table))
            return false;
        if (table->sh_type == SHT_SYMTAB)
            return table->sh_link < head.e_shnum &&
                   read_at(fd, names, sizeof *names,
                           head.e_shoff + (uint64_t)table->sh_link * sizeof *names);
    }
    return false;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = ((const struct symbol *)a)->at, y = ((const struct symbol *)b)->at;

    return x < y ? -1 : x > y;
}

static struct rn__symbols *keep_functions(const Elf64_Sym *all, size_t n, size_t names_len,
                                          uintptr_t base)
{
    struct rn__symbols *s = rn__malloc_lasting(sizeof *s + n * sizeof s->symbols[0]);

    if (s == NULL)
        return NULL;
    s->n = 0;
    for (size_t i = 0; i < n; i++)
        if (ELF64_ST_TYPE(all[i].st_info) == STT_FUNC && all[i].st_value != 0 &&
            all[i].st_size > 0 && all[i].st_name < names_len)
            s->symbols[s->n++] = (struct symbol){.at = base + (uintptr_t)all[i].st_value,
                                                 .len = (size_t)all[i].st_size,
                                                 .name = all[i].st_name};
    qsort(s->symbols, s->n, sizeof s->symbols[0], by_address);
    return s;
}

static struct rn__symbols *read_from(int fd, uintptr_t base)
{
    Elf64_Shdr table, names_section;
    struct rn__symbols *s = NULL;
    Elf64_Sym *all;
    char *names;

    if (!find_sections(fd, &table, &names_section))
        return NULL;
    all = read_section(fd, &table);
    names = read_section(fd, &names_section);
    if (all != NULL && names != NULL)
        s = keep_functions(all, table.sh_size / sizeof *all, names_section.sh_size, base);
    rn__free_lasting(all);
    if (s != NULL)
        s->names = names;
    else
        rn__free_lasting(names);
    return s;
}

struct rn__symbols *rn__symbols_read(const char *path, uintptr_t base)
{
    int fd = rn__sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    struct rn__symbols *s;

    if (fd < 0)
        return NULL;
    s = read_from(fd, base);
    (void)rn__sys_close(fd);
    return s;
}

void rn__symbols_free(struct rn__symbols *s)
{
    if (s == NULL)
        return;
    rn__free_lasting(s->names);
    rn__free_lasting(s);
}

/* ---- asking ---- */

const char *rn__symbols_find(const struct rn__symbols *s, const void *pc, size_t *offset)
{
    uintptr_t at = (uintptr_t)pc;
    size_t low = 0, high = s->n;

    while (low < high) { /* the first one above it */
        size_t middle = low + (high - low) / 2;

        if (s->symbols[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || at - s->symbols[low - 1].at >= s->symbols[low - 1].len)
        return NULL;
    *offset = at - s->symbols[low - 1].at;
    return s->names + s->symbols[low - 1].name;
}

/* The program itself is the first. */
static int take_base(struct dl_phdr_info *info, size_t len, void *base)
{
    (void)len;
    *(uintptr_t *)base = info->dlpi_addr;
    return 1;
}

static void load(void)
{
    uintptr_t base = 0;

    (void)dl_iterate_phdr(take_base, &base);
    atomic_store(&own, rn__symbols_read("/proc/self/exe", base));
}

void rn__symbols_load(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, load);
}

const char *rn__symbol(const void *pc, size_t *offset)
{
    const struct rn__symbols *s = atomic_load(&own);

    return s == NULL ? NULL : rn__symbols_find(s, pc, offset);
}
