"""gdb commands for runnel's coroutines, on a live process and on a core file.

    (gdb) source runnel-gdb.py          # by itself where librunnel.so is installed with it
    (gdb) info coroutines               # number, name, P, state, what it waits in, where started
    (gdb) coroutine 257 bt              # any command, in the context of a coroutine
    (gdb) coroutine all bt

No debug information of runnel is needed: its library carries a table of offsets (rn__gdb_layout).
A parked coroutine is shown by an unwinder that, while the command runs, says that the caller of the
newest frame is what the coroutine saved when it left; no register is written, so it works on a core.
"""
import re
import struct

import gdb
import gdb.unwinder

VERSION = 1
FIELDS = """slabs runtime io_interrupt wait_interrupt slab_next slab_cut slab_coros coro_size
    sp proc state wait wait_obj id name site kind_name kind_interrupt io_fd wait_of
    n_procs procs proc_current proc_index proc_tid""".split()
FREE, RUNNABLE, PARKED = 0, 1, 2

# Where rn__switch leaves each register, from the saved stack pointer; and how much it takes.
X86_64 = ({"r15": 8, "r14": 16, "r13": 24, "r12": 32, "rbx": 40, "rbp": 48, "rip": 56}, "rsp", 64)
AARCH64 = ({"x29": 0, "pc": 8, **{f"x{19 + i}": 16 + 8 * i for i in range(10)}}, "sp", 176)


def memory(at, size):
    return bytes(gdb.selected_inferior().read_memory(at, size))


def u64(at):
    return struct.unpack("<Q", memory(at, 8))[0]


def s32(at):
    return struct.unpack("<i", memory(at, 4))[0]


def text(at):
    out = b""
    while at and len(out) < 200:
        c = memory(at + len(out), 1)
        if c == b"\0":
            break
        out += c
    return out.decode(errors="replace")


def symbol(at):
    """The function an address lies in, or the address."""
    said = gdb.execute(f"info symbol {at:#x}", to_string=True)
    known = re.match(r"(\S+)(?: \+ (\d+))? in section", said)
    return f"{at:#x}" if known is None else f"{at:#x} ({known.group(1)})"


class Layout:
    def __init__(self):
        try:
            at = int(gdb.parse_and_eval("(unsigned long)&rn__gdb_layout"))
            magic = memory(at, 8)
        except gdb.error as e:
            raise gdb.GdbError("no runnel in this program, or it is stripped: "
                               "there is no rn__gdb_layout to be read") from e
        if magic != b"runnel\0\0":
            raise gdb.GdbError("rn__gdb_layout is not runnel's, or the program has not started")
        if u64(at + 8) != VERSION:
            raise gdb.GdbError(f"this script knows version {VERSION} of runnel's layout, "
                               f"the program has {u64(at + 8)}: take the script that came with it")
        for i, name in enumerate(FIELDS):
            setattr(self, name, u64(at + 16 + 8 * i))


class Coroutine:
    """What is there of one control block."""

    def __init__(self, lay, at, running):
        self.at = at
        self.id = u64(at + lay.id)
        self.state = memory(at + lay.state, 1)[0]
        self.name = text(u64(at + lay.name))
        self.sp = u64(at + lay.sp)
        self.site = u64(at + lay.site)
        self.tid = running.get(at)
        proc = u64(at + lay.proc)
        self.proc = s32(proc + lay.proc_index) + 1 if proc else 0
        self.what = self.describe(lay)

    def describe(self, lay):
        if self.tid is not None:
            return "running"
        if self.state != PARKED:
            return "runnable"
        kind, obj = u64(self.at + lay.wait), u64(self.at + lay.wait_obj)
        if kind == 0:
            return "parked"
        said = "parked in " + text(u64(kind + lay.kind_name))
        interrupt = u64(kind + lay.kind_interrupt)
        if interrupt == lay.io_interrupt and obj:
            return f"{said} (fd {s32(obj + lay.io_fd)})"
        if interrupt == lay.wait_interrupt and obj:
            obj = u64(obj + lay.wait_of)
        return f"{said} ({obj:#x})" if obj else said

    def __str__(self):
        name = f' "{self.name}"' if self.name else ""
        return f"{self.id}{name} on P {self.proc}: {self.what}, started at {symbol(self.site)}"


def coroutines():
    """All that are alive, by number."""
    lay = Layout()
    runtime = u64(lay.runtime)
    if runtime == 0:
        raise gdb.GdbError("there is no runtime at present: rn_run has not begun, or has returned")
    procs, running = u64(runtime + lay.procs), {}
    for i in range(s32(runtime + lay.n_procs)):
        proc = u64(procs + 8 * i)
        running[u64(proc + lay.proc_current)] = s32(proc + lay.proc_tid)
    found, slab = [], u64(lay.slabs)
    while slab:
        for i in range(s32(slab + lay.slab_cut)):
            at = slab + lay.slab_coros + i * lay.coro_size
            if memory(at + lay.state, 1)[0] != FREE and u64(at + lay.id) != 0:
                found.append(Coroutine(lay, at, running))
        slab = u64(slab + lay.slab_next)
    return sorted(found, key=lambda co: co.id)


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Unwinder(gdb.unwinder.Unwinder):
    """While `sp` is set, the newest frame's caller is the coroutine that left its registers there."""

    def __init__(self):
        super().__init__("runnel")
        self.sp = None

    def __call__(self, pending):
        if self.sp is None or pending.level() != 0:
            return None
        name = pending.architecture().name()
        places, stack_pointer, size = AARCH64 if "aarch64" in name else X86_64
        word = gdb.lookup_type("unsigned long")
        # Further in than all frames of the coroutine: gdb refuses a stack that goes back.
        info = pending.create_unwind_info(FrameId(gdb.Value(self.sp - 128).cast(word),
                                                  gdb.Value(0).cast(word)))
        for register, offset in places.items():
            info.add_saved_register(register, gdb.Value(u64(self.sp + offset)).cast(word))
        info.add_saved_register(stack_pointer, gdb.Value(self.sp + size).cast(word))
        return info


unwinder = Unwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def without_first_frame(said):
    """A backtrace that begins at the coroutine's own frame."""
    at = re.search(r"^#1 ", said, re.M)
    if at is None:
        return said
    return re.sub(r"^#(\d+)( ?)", lambda m: f"#{int(m.group(1)) - 1}".ljust(len(m.group(0))),
                  said[at.start():], flags=re.M)


def on_thread_of(co, command):
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == co.tid or thread.ptid[2] == co.tid:
            thread.switch()
            gdb.execute(command)
            return
    raise gdb.GdbError(f"coroutine {co.id} runs on thread {co.tid}, which gdb does not know")


def in_context(co, command):
    """Runs the command; whatever happens, gdb then looks where it looked before."""
    thread, frame = gdb.selected_thread(), gdb.selected_frame()
    level = frame.level()
    try:
        if co.tid is not None:
            on_thread_of(co, command)
            return
        if not any(memory(co.sp, 64)):
            raise gdb.GdbError(f"the stack of coroutine {co.id} is not in this core; gdb's own "
                               "generate-core-file leaves it out, the kernel's cores have it")
        unwinder.sp = co.sp
        gdb.invalidate_cached_frames()
        gdb.newest_frame().older().select()
        if re.match(r"(bt|backtrace|where)\b", command):
            gdb.write(without_first_frame(gdb.execute(command, to_string=True)))
        else:
            gdb.execute(command)
    finally:
        unwinder.sp = None
        gdb.invalidate_cached_frames()
        thread.switch()
        gdb.execute(f"frame level {level}", to_string=True)


class InfoCoroutines(gdb.Command):
    """List runnel's coroutines: number, name, P, state, and where they were started."""

    def __init__(self):
        super().__init__("info coroutines", gdb.COMMAND_STACK)

    def invoke(self, _arg, _from_tty):
        for co in coroutines():
            gdb.write(f"{co}\n")


class CoroutineCommand(gdb.Command):
    """Run a command in the context of a coroutine.
coroutine NUMBER|all COMMAND, as in: coroutine 257 bt"""

    def __init__(self):
        super().__init__("coroutine", gdb.COMMAND_STACK)

    def invoke(self, arg, _from_tty):
        which, _, command = arg.strip().partition(" ")
        if not command or not (which == "all" or which.isdigit()):
            raise gdb.GdbError("coroutine NUMBER|all COMMAND; `info coroutines` lists the numbers")
        chosen = [co for co in coroutines() if which == "all" or co.id == int(which)]
        if not chosen:
            raise gdb.GdbError(f"there is no coroutine {which}")
        for co in chosen:
            if which == "all":
                gdb.write(f"\n{co}\n")
            in_context(co, command.strip())


InfoCoroutines()
CoroutineCommand()
