#!/usr/bin/env python3
"""test_install.py BUILD_DIR [NAME...] - what meson install leaves serves C and C++, shared and static."""
import os
import re
import shutil
import subprocess
import tempfile

from e2e import BUILD, SANITIZED, Skip, main

C_PROGRAM = """#include <runnel/runnel.h>
static int run(void *arg) { (void)arg; return rn_sleep(1); }
int main() { rn_run_options o = RN_RUN_OPTIONS_INIT; return rn_run(&o, run, 0); }
"""


def compile_and_run(folder, compiler, name, source, *flags):
    path, program = os.path.join(folder, name), os.path.join(folder, name + ".bin")
    with open(path, "w", encoding="ascii") as f:
        f.write(source)
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", path, "-o", program, *flags], check=True)
    subprocess.run([program], check=True, timeout=20)


def test_installed_it_serves_c_and_cxx_shared_and_static():
    if SANITIZED:
        raise Skip("a sanitized library is for its own tests")
    root = tempfile.mkdtemp()
    try:
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root],
                       check=True, capture_output=True)
        lib = subprocess.run(["find", root, "-name", "librunnel.so"], capture_output=True, text=True,
                             check=True).stdout.strip()
        env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=root,
                   PKG_CONFIG_PATH=os.path.join(os.path.dirname(lib), "pkgconfig"))
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "runnel"], env=env, check=True,
                               capture_output=True, text=True).stdout.split()
        os.environ["LD_LIBRARY_PATH"] = os.path.dirname(lib)
        compile_and_run(root, "cc", "shared.c", C_PROGRAM, *flags)
        compile_and_run(root, "c++", "shared.cc", C_PROGRAM, "-std=c++17", *flags)
        static = subprocess.run(["pkg-config", "--static", "--cflags", "--libs", "runnel"], env=env,
                                check=True, capture_output=True, text=True).stdout.split()
        compile_and_run(root, "cc", "static.c", C_PROGRAM, "-static", *static)
        for header in os.listdir(os.path.join(root, "usr/local/include/runnel")):
            source = f"#include <runnel/{header}>\nint main() {{ return 0; }}\n"
            compile_and_run(root, "cc", "alone.c", source, *flags)
            compile_and_run(root, "c++", "alone.cc", source, "-std=c++17", *flags)
        # gdb looks for the script by the library's real path.
        script = os.path.join(root, "usr/local/share/gdb/auto-load",
                              os.path.relpath(os.path.realpath(lib), root) + "-gdb.py")
        assert os.path.exists(script), script
        dynamic = subprocess.run(["readelf", "-d", lib], capture_output=True, text=True,
                                 check=True).stdout
        assert re.search(r"SONAME.*librunnel\.so\.0\.\d+\]", dynamic), dynamic
        needed = re.findall(r"NEEDED.*\[(.*?)\]", dynamic)
        assert all(re.match(r"libc\.|ld-linux|liburing\.", n) for n in needed), needed
        names = subprocess.run(["nm", "-D", "--defined-only", lib], capture_output=True, text=True,
                               check=True).stdout.split()[2::3]
        assert names and all(re.match(r"rn_[a-z]|rn__gdb_layout$", n) for n in names), names
    finally:
        os.environ.pop("LD_LIBRARY_PATH", None)
        shutil.rmtree(root)


main(globals())
