/*
 * trace_none.c - `runnel trace` of a program that was built without BPF
 */
#include "trace.h"

int trace_by_bpf(struct trace *t)
{
    cmd_error("trace: this program was built without BPF\n"
              "  build again with clang, bpftool and libbpf: apt-get install clang bpftool "
              "libbpf-dev\n"
              "  meson setup --wipe build -Dbpf=enabled && meson compile -C build");
    trace_fall_back(t);
    return CMD_FAILED;
}
