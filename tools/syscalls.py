#!/usr/bin/env python3
"""syscalls.py OUTPUT COMPILER... - the names of the system calls, by number, as rows of a C array.

They are what the compiler finds in <asm/unistd.h> for the machine it compiles for.
"""
import re
import subprocess
import sys


def numbers(defines):
    """{number: name}. On some machines a name's value is another name (__NR3264_fcntl)."""
    values = dict(re.findall(r"^#define (__NR\w+) (\w+)$", defines, re.MULTILINE))
    found = {}
    for name, value in values.items():
        while value in values:
            value = values[value]
        if name.startswith("__NR_") and value.isdigit() and name != "__NR_syscalls":
            # Of two names that older headers have for one number, the shorter is the call's.
            name = name.removeprefix("__NR_")
            found[int(value)] = min(found.get(int(value), name), name, key=len)
    return found


def main():
    output, *compiler = sys.argv[1:]
    defines = subprocess.run([*compiler, "-E", "-dM", "-include", "asm/unistd.h", "-xc", "/dev/null"],
                             check=True, capture_output=True, text=True).stdout
    found = numbers(defines)
    assert found, "no system calls in <asm/unistd.h>"
    with open(output, "w", encoding="utf-8") as f:
        f.writelines(f'[{n}] = "{found[n]}",\n' for n in sorted(found))


if __name__ == "__main__":
    main()
