#!/usr/bin/env python3
"""make_demo.py OUT SRC - copy the demo site to OUT and add big.bin, 12 MiB that do not compress."""
import os
import random
import shutil
import sys

out, src = sys.argv[1], sys.argv[2]
shutil.rmtree(out, ignore_errors=True)
shutil.copytree(src, out)
with open(os.path.join(out, "big.bin"), "wb") as f:
    f.write(random.Random(1).randbytes(12 << 20))
