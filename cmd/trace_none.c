/*
 * trace_none.c - `runnel trace` of a program that was built without it
 */
#include "cmd.h"

int cmd_trace(int argc, char **argv)
{
    (void)argc, (void)argv;
    cmd_error("trace: this program was built without it\n"
              "  build again with clang, bpftool and libbpf: apt-get install clang bpftool "
              "libbpf-dev\n"
              "  meson setup --wipe build -Dbpf=enabled && meson compile -C build");
    return CMD_FAILED;
}
