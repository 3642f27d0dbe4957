/*
 * trace_kernel.h - the loaded programs, for those files of `runnel trace` that read their maps
 */
#ifndef RN_CMD_TRACE_KERNEL_H
#define RN_CMD_TRACE_KERNEL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "trace.h"

#include <trace_bpf.skel.h> /* bpftool made it; as a system header, for it is not by our rules */

struct trace_kernel {
    struct trace_bpf *bpf;
    struct ring_buffer *ring;
    int n_cpus;
    struct trace_call *per_cpu; /* room for what one call has on each CPU */
};

#endif
