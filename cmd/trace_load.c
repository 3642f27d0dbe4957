/*
 * trace_load.c - bringing the programs of bpf/trace.bpf.c into the kernel, or saying why not
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "trace.h"
#include "trace_kernel.h"

#define FIRST_PID_NS 0xEFFFFFFCU /* PROC_PID_INIT_INO */
#define CAP_SYS_ADMIN 21
#define CAP_PERFMON 38
#define CAP_BPF 39

/* ---- why it cannot be ---- */

/* What libbpf said last; it says more than an errno where the verifier refuses. */
static char complaint[512];

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level,
                                                                const char *format, va_list ap)
{
    if (level == LIBBPF_WARN && *complaint == '\0')
        return vsnprintf(complaint, sizeof complaint, format, ap);
    return 0;
}

static uint64_t read_capabilities(void)
{
    unsigned long long bits = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "CapEff:", 7) == 0)
            bits = strtoull(line + 7, NULL, 16);
    fclose(f);
    return bits;
}

/* What is known to be missing, before anything is tried. */
static int check_needs(void)
{
    uint64_t caps = read_capabilities(), both = 1ULL << CAP_BPF | 1ULL << CAP_PERFMON;

    if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
        cmd_error("trace: this kernel does not describe its types: no /sys/kernel/btf/vmlinux\n"
                  "  use a kernel with CONFIG_DEBUG_INFO_BTF=y, as Debian's is since version 11");
        return -ENOENT;
    }
    if ((caps & both) != both && (caps & 1ULL << CAP_SYS_ADMIN) == 0) {
        cmd_error("trace: this needs CAP_BPF and CAP_PERFMON\n"
                  "  either: sudo runnel trace ...\n"
                  "  or, once: sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep "
                  "\"$(command -v runnel)\"");
        return -EPERM;
    }
    return 0;
}

/* The first one maps all numbers to themselves. In another, capabilities are not the machine's. */
static bool is_user_ns(void)
{
    unsigned long inside, outside, n;
    FILE *f = fopen("/proc/self/uid_map", "re");
    bool is = f != NULL && fscanf(f, "%lu %lu %lu", &inside, &outside, &n) == 3 &&
              (inside != 0 || outside != 0 || n != UINT32_MAX);

    if (f != NULL)
        fclose(f);
    return is;
}

static void explain(const char *what, int r)
{
    cmd_error("trace: cannot %s: %s", what, strerror(-r));
    if (*complaint != '\0')
        fprintf(stderr, "  %s", complaint);
    if (r == -EPERM && is_user_ns())
        fputs("  the rights of this user namespace (a rootless container) are not the machine's: "
              "run it outside, as root\n",
              stderr);
    else if (r == -EPERM)
        fputs("  a container's seccomp filter may forbid bpf(2) (docker: --cap-add BPF --cap-add "
              "PERFMON --security-opt seccomp=unconfined), or the kernel is locked down (cat "
              "/sys/kernel/security/lockdown)\n",
              stderr);
    else if (r == -ENOENT || r == -ESRCH)
        fputs("  the kernel was built without these tracepoints: it wants CONFIG_FTRACE_SYSCALLS=y "
              "and CONFIG_BPF_EVENTS=y\n",
              stderr);
}

/* ---- loading ---- */

/* Ours, unless it is the first one: there the kernel's own numbers do, and cost less. */
static void choose_namespace(struct trace_config *config)
{
    struct stat st;

    if (stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == FIRST_PID_NS)
        return;
    config->ns_ino = st.st_ino;
    config->ns_dev = minor(st.st_dev); /* as the kernel has it: its major number is 0 */
}

static void choose(struct trace_kernel *k, const struct trace_options *o)
{
    k->bpf->rodata->config = (struct trace_config){
        .execve = SYS_execve,
        .mmap = SYS_mmap,
        .some = o->some,
        .count = o->mode == TRACE_SUMMARY || o->mode == TRACE_LATENCY,
        .conns = o->mode == TRACE_CONNECTIONS,
        .slow_ns = (uint64_t)o->slow_ns,
    };
    choose_namespace(&k->bpf->rodata->config);
    for (int i = 0; i < TRACE_CALLS; i++)
        k->bpf->rodata->only[i] = o->only[i];
    trace_fill_kinds((uint8_t *)k->bpf->rodata->kinds);
    trace_fill_shapes((uint8_t *)k->bpf->rodata->shapes);
    bpf_program__set_autoload(k->bpf->progs.on_fork, o->follow);
    bpf_program__set_autoload(k->bpf->progs.on_tcp, o->mode == TRACE_CONNECTIONS);
    if (o->mode != TRACE_CONNECTIONS) { /* 14 MB */
        (void)bpf_map__set_max_entries(k->bpf->maps.conns, 1);
        (void)bpf_map__set_max_entries(k->bpf->maps.early, 1);
    }
}

static void add_cpu(struct trace_figures *f, const struct trace_call *call)
{
    f->count += call->count;
    f->errors += call->errors;
    f->total_ns += call->total_ns;
    if (call->max_ns > f->max_ns)
        f->max_ns = call->max_ns;
    for (int i = 0; i < TRACE_BUCKETS; i++)
        f->hist.buckets[i] += call->buckets[i];
}

/* The sum over all CPUs. */
static bool read_call(struct trace *t, int nr, struct trace_figures *ret)
{
    struct trace_kernel *kernel = t->kernel;
    struct trace_figures f = {.nr = nr};
    uint32_t key = (uint32_t)nr;

    if (bpf_map_lookup_elem(bpf_map__fd(kernel->bpf->maps.calls), &key, kernel->per_cpu) < 0)
        return false;
    for (int i = 0; i < kernel->n_cpus; i++)
        add_cpu(&f, &kernel->per_cpu[i]);
    if (f.count == 0)
        return false;
    *ret = f;
    return true;
}

static int take_event(void *t, void *event, size_t len)
{
    (void)len;
    trace_take(t, event);
    return 0;
}

int trace_load(struct trace *t)
{
    const struct trace_options *options = &t->options;
    struct trace_kernel *k;
    int r = check_needs();

    if (r < 0) {
        trace_fall_back(t);
        return r;
    }
    libbpf_set_print(keep_complaint);
    k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    k->n_cpus = libbpf_num_possible_cpus();
    r = k->n_cpus < 0 ? k->n_cpus : 0;
    if (r == 0) {
        k->per_cpu = calloc((size_t)k->n_cpus, sizeof *k->per_cpu);
        k->bpf = trace_bpf__open();
        r = k->per_cpu == NULL ? -ENOMEM : k->bpf == NULL ? -errno : 0;
    }
    if (r == 0) {
        choose(k, options);
        r = trace_bpf__load(k->bpf);
    }
    if (r == 0) {
        k->ring = ring_buffer__new(bpf_map__fd(k->bpf->maps.events), take_event, t, NULL);
        r = k->ring == NULL ? -errno : 0;
    }
    if (r < 0) {
        explain("load its programs into the kernel", r);
        trace_fall_back(t);
        trace_unload(k);
        return r;
    }
    t->kernel = k;
    t->read_call = read_call;
    return 0;
}

void trace_unload(struct trace_kernel *kernel)
{
    ring_buffer__free(kernel->ring);
    trace_bpf__destroy(kernel->bpf);
    free(kernel->per_cpu);
    free(kernel);
}

int trace_add_target(struct trace_kernel *kernel, pid_t pid, uint32_t state)
{
    uint32_t key = (uint32_t)pid;

    return bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.targets), &key, &state, BPF_ANY);
}

int trace_attach(struct trace *t)
{
    int r = trace_bpf__attach(t->kernel->bpf);

    if (r < 0) {
        explain("attach to the system calls", r);
        trace_fall_back(t);
    }
    return r;
}

int trace_count_targets(const struct trace_kernel *kernel)
{
    int map = bpf_map__fd(kernel->bpf->maps.targets), n = 0;
    uint32_t key;

    for (void *at = NULL; bpf_map_get_next_key(map, at, &key) == 0; at = &key)
        n++;
    return n;
}

uint64_t trace_lost(const struct trace_kernel *kernel)
{
    return kernel->bpf->bss->lost;
}

int trace_take_events(struct trace *t, rn_time deadline)
{
    int r = rn_wait_fd(ring_buffer__epoll_fd(t->kernel->ring), RN_READABLE, deadline);

    if (r >= 0 || r == -ETIME)
        r = ring_buffer__consume(t->kernel->ring);
    return r < 0 ? r : 0;
}

void trace_set_layout(struct trace_kernel *kernel, pid_t pid, const struct trace_layout *layout)
{
    uint32_t key = (uint32_t)pid;

    (void)bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.layouts), &key, layout, BPF_ANY);
}

bool trace_next_pending(const struct trace_kernel *kernel, uint64_t *key, struct trace_pending *ret)
{
    int map = bpf_map__fd(kernel->bpf->maps.pending);
    uint64_t next;

    while (bpf_map_get_next_key(map, *key == 0 ? NULL : key, &next) == 0) {
        *key = next;
        if (bpf_map_lookup_elem(map, &next, ret) == 0)
            return true;
    }
    return false;
}

bool trace_next_conn(struct trace_kernel *kernel, struct trace_conn *ret)
{
    int map = bpf_map__fd(kernel->bpf->maps.conns);
    uint64_t key;

    while (bpf_map_get_next_key(map, NULL, &key) == 0) {
        bool found = bpf_map_lookup_elem(map, &key, ret) == 0;

        (void)bpf_map_delete_elem(map, &key);
        if (found)
            return true;
    }
    return false;
}
