#!/usr/bin/env python3
"""test_install.py BUILD_DIR [NAME...] - what meson install leaves serves C and C++, shared and static."""
import os
import re
import shutil
import subprocess
import tempfile

from e2e import BUILD, LIMIT, SANITIZED, Skip, main

C_PROGRAM = """#include <runnel/runnel.h>
static int run(void *arg) { (void)arg; return rn_sleep(1); }
int main() { rn_run_options o = RN_RUN_OPTIONS_INIT; return rn_run(&o, run, 0); }
"""


def compile_and_run(folder, compiler, name, source, *flags):
    path, program = os.path.join(folder, name), os.path.join(folder, name + ".bin")
    with open(path, "w", encoding="ascii") as f:
        f.write(source)
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", path, "-o", program, *flags], check=True)
    subprocess.run([program], check=True, timeout=LIMIT / 2)


def check_dns(root, env):
    """The library beside it: shared, and static together with a shared c-ares."""
    use = C_PROGRAM.replace("return rn_sleep(1)", "return rn_dns_use(0)").replace(
        "runnel.h>", "runnel.h>\n#include <runnel/dns.h>", 1)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "runnel-dns"], env=env, check=True,
                           capture_output=True, text=True).stdout.split()
    assert "-lrunnel-dns" in flags and "-lrunnel" in flags and "-lcares" not in flags, flags
    compile_and_run(root, "cc", "dns.c", use, *flags)
    compile_and_run(root, "c++", "dns.cc", use, "-std=c++17", *flags)
    static = subprocess.run(["pkg-config", "--static", "--libs", "runnel-dns"], env=env, check=True,
                            capture_output=True, text=True).stdout
    archives = re.sub(r"-l(runnel(-dns)?)\b(?!-)", r"-l:lib\1.a", static)
    compile_and_run(root, "cc", "dns-static.c", use, *flags[:1], *archives.split())


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
        if os.path.exists(os.path.join(os.path.dirname(lib), "librunnel-dns.so")):
            check_dns(root, env)
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
        assert names and all(re.match(r"rn_[a-z]|rn__gdb_layout$|rn__runs$|rn__sys_", n) for n in names), names
    finally:
        os.environ.pop("LD_LIBRARY_PATH", None)
        shutil.rmtree(root)


main(globals())
