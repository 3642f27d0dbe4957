#!/usr/bin/env python3
"""test_lto.py BUILD_DIR - thread-locals across parks, with all of runnel under one optimiser's eyes."""
import glob
import os
import platform
import shutil
import subprocess
import tempfile

from e2e import Skip, main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests/e2e/lto")
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", '-DRN_VERSION="lto"', "-O2", "-I" + os.path.join(ROOT, "include"),
         "-I" + os.path.join(ROOT, "src"), "-fvisibility=hidden", "-fstack-clash-protection"]


def sources():
    files = [f for layer in ("base", "poll", "task", "sync", "net")
             for f in sorted(glob.glob(os.path.join(ROOT, "src", layer, "*.c")))
             if not f.endswith("poller_uring.c")]  # as a build without liburing
    return [*files, os.path.join(ROOT, "src/task", f"switch_{platform.machine()}.S")]


def check(compiler, *more):
    if shutil.which(compiler) is None:
        raise Skip(f"no {compiler}")
    if not os.path.exists("/usr/include/openssl/ssl.h"):
        raise Skip("no libssl-dev")
    with tempfile.TemporaryDirectory() as folder:
        library, program = os.path.join(folder, "liblocal.so"), os.path.join(folder, "program")
        subprocess.run([compiler, "-O2", "-fPIC", "-shared", os.path.join(HERE, "library.c"), "-o", library],
                       check=True)
        subprocess.run([compiler, *FLAGS, *more, os.path.join(HERE, "program.c"), *sources(), library,
                        "-o", program, f"-Wl,-rpath,{folder}", "-lssl", "-lcrypto", "-pthread"], check=True)
        for _ in range(3):
            out = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False)
            assert out.returncode == 0 and out.stdout == "right\n", out.stdout + out.stderr


def test_gcc():
    check("gcc")


def test_gcc_with_lto():
    check("gcc", "-flto=2")


def test_clang():
    check("clang")


def test_clang_with_lto():
    if shutil.which("ld.lld") is None:
        raise Skip("no lld")
    check("clang", "-flto", "-fuse-ld=lld")


main(globals())
