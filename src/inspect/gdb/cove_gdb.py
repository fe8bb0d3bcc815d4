"""Coroutines in gdb: `cove list` and `cove bt`, on live processes and on core files.

    $ gdb -p PID                         (or: gdb PROGRAM CORE)
    (gdb) source src/inspect/gdb/cove_gdb.py
    (gdb) cove list                      all coroutines: id, state, wait, name, function
    (gdb) cove bt 17                     the frames of coroutine 17
    (gdb) cove bt all                    those of every coroutine

The program needs its symbols; debug information adds files and lines. Nothing is called or written
in the program. The frames of a suspended coroutine are those of a fictitious caller of the selected
thread's innermost frame: an unwinder puts in the registers that the coroutine was left with. Frames
that are put away from a shared stack cannot be unwound; of those, the return addresses that they
hold are shown, which may include stale ones.

gdb's own `gcore` writes zeros for mappings with MADV_GUARD_INSTALL guards, which private stacks
have: take cores from the kernel, or run the program with COVE_GUARD=protect.

Memory is read by a table in the program (LAYOUT, src/scheduler/registry.rs), and the registers as
src/arch/x86_64.rs and aarch64.rs save them.
"""

import os
import re

import gdb
from gdb.unwinder import Unwinder, register_unwinder

LAYOUT_NAME = "cove::scheduler::registry::LAYOUT"
LAYOUT_MAGIC = b"cove-gd1"

# The fields of struct Layout after its magic, in order; one word each.
LAYOUT_FIELDS = """
    head entry_next entry_scheduler entry_shared shared_thread_id
    scheduler_current scheduler_root scheduler_slots vector_pointer vector_len
    task_context task_vtable task_id task_state task_flags task_kind task_token task_home task_extra
    vtable_main extra_name text_pointer text_len home_stack home_saved shared_top
    flag_away flag_shared flag_started wait_words wait_words_count
""".split()

WORD = 8

# An Arc points at its two counts; the value follows.
ARC_HEADER = 2 * WORD

# enum State in src/scheduler/task.rs.
STATES = ["ready", "running", "parked", "done", "taken"]

# Where a saved frame has each register, in words from the saved stack pointer, and how large it is.
SAVED_FRAMES = {
    "i386:x86-64": ({"rip": 0, "rbp": 1, "rbx": 2}, 3, "rip", "rsp"),
    "aarch64": ({"x19": 0, "x29": 1, "pc": 2}, 4, "pc", "sp"),
}

# No limit is needed for sound memory; a damaged one must not keep gdb busy for ever.
SCHEDULERS_MAX = 10_000
SLOTS_MAX = 1 << 32
FRAMES_MAX = 200
SAVED_WORDS_MAX = 4096


class Memory:
    """Numbers and texts in the program's memory."""

    def __init__(self):
        self.inferior = gdb.selected_inferior()

    def word(self, address, size=WORD):
        return int.from_bytes(self.inferior.read_memory(address, size).tobytes(), "little")

    def words(self, address, count):
        data = self.inferior.read_memory(address, count * WORD).tobytes() if count else b""
        return [int.from_bytes(data[at : at + WORD], "little") for at in range(0, len(data), WORD)]

    def text(self, address, length):
        if length == 0:
            return ""
        return self.inferior.read_memory(address, length).tobytes().decode("utf-8", "replace")


class Layout:
    """The program's own table of what lies where."""

    def __init__(self, memory, address):
        if memory.inferior.read_memory(address, WORD).tobytes() != LAYOUT_MAGIC:
            raise gdb.GdbError("cove: this script is not the one of the program's version of cove")
        for name, value in zip(LAYOUT_FIELDS, memory.words(address + WORD, len(LAYOUT_FIELDS))):
            setattr(self, name, value)
        self.waits = [
            self.fat_text(memory, self.wait_words + number * 2 * WORD)
            for number in range(min(self.wait_words_count, 256))
        ]

    def fat_text(self, memory, address, header=0):
        """The text to which the pointer at `address` points, with its length beside it."""
        pointer = memory.word(address + self.text_pointer)
        if pointer == 0:
            return ""
        return memory.text(pointer + header, memory.word(address + self.text_len))


def layout_addresses():
    """The addresses of the table; more than one if several objects contain the library."""
    symbol = gdb.lookup_global_symbol(LAYOUT_NAME)
    found = {int(symbol.value().address)} if symbol is not None else set()
    # Without debug information the linker's symbols are left, with the compiler's hash or without.
    listed = gdb.execute("info variables scheduler::registry::LAYOUT", to_string=True)
    for line in listed.splitlines():
        match = re.match(r"(0x[0-9a-f]+)\s+cove\S*::scheduler::registry::LAYOUT", line)
        if match:
            found.add(int(match.group(1), 16))
    if not found:
        raise gdb.GdbError("cove: the program does not contain cove, or no symbols")
    return sorted(found)


class Coroutine:
    """One coroutine, as its control block tells."""

    def __init__(self, memory, layout, address, thread_id):
        task = lambda field, size=WORD: memory.word(address + field, size)
        self.address = address
        self.thread_id = thread_id
        self.context = task(layout.task_context)
        self.id = task(layout.task_id)
        self.token = task(layout.task_token, 4)
        state = task(layout.task_state, 1)
        self.state = STATES[state] if state < len(STATES) else "?"
        flags = task(layout.task_flags, 1)
        self.is_away = bool(flags & layout.flag_away)
        self.is_shared = bool(flags & layout.flag_shared)
        self.is_started = bool(flags & layout.flag_started) or self.state == "parked"
        kind = task(layout.task_kind, 1)
        self.wait = layout.waits[kind] if kind < len(layout.waits) else "?"
        self.saved = self.saved_bytes = 0
        if self.is_shared and self.is_away:
            self.saved = task(layout.task_home + layout.home_saved)
            stack = task(layout.task_home + layout.home_stack)
            self.saved_bytes = memory.word(stack + layout.shared_top) - self.context
        vtable = task(layout.task_vtable)
        self.main = memory.word(vtable + layout.vtable_main) if vtable else 0
        extra = task(layout.task_extra)
        self.name = layout.fat_text(memory, extra + layout.extra_name, ARC_HEADER) if extra else ""

    def waits_for(self):
        if self.state != "parked":
            return "-"
        if self.wait in ("reading", "writing"):
            return "%s descriptor %d" % (self.wait, self.token)
        return self.wait

    def obstacle(self):
        """Why there are no frames to be shown, or None."""
        if self.main == 0:
            return "the core has no memory of it"
        if not self.is_started:
            return "has not started"
        return None if self.context else "has no context"


def coroutines():
    """Every coroutine of every scheduler, the roots included."""
    memory = Memory()
    for address in layout_addresses():
        layout = Layout(memory, address)
        entry = memory.word(layout.head)
        for _ in range(SCHEDULERS_MAX):
            if entry == 0:
                break
            scheduler = memory.word(entry + layout.entry_scheduler)
            shared = memory.word(entry + layout.entry_shared)
            entry = memory.word(entry + layout.entry_next)
            if scheduler == 0:
                continue
            thread_id = memory.word(shared + layout.shared_thread_id, 4)
            root = memory.word(scheduler + layout.scheduler_root)
            if root:
                yield Coroutine(memory, layout, root, thread_id)
            vector = scheduler + layout.scheduler_slots
            slots = memory.word(vector + layout.vector_pointer)
            count = min(memory.word(vector + layout.vector_len), SLOTS_MAX)
            for task in memory.words(slots, count):
                if task % 2 == 0:
                    yield Coroutine(memory, layout, task, thread_id)


class SuspendedUnwinder(Unwinder):
    """Gives the frame with stack pointer `sp` another caller."""

    def __init__(self):
        super().__init__("cove suspended coroutine")
        self.registers = None
        self.sp = None

    def __call__(self, pending):
        if self.registers is None or int(pending.read_register(self.sp_name)) != self.sp:
            return None
        pc = pending.read_register(self.pc_name)
        # gdb takes a caller below its callee for a damaged stack: this callee is below everything.
        sp = gdb.Value(WORD).cast(pending.read_register(self.sp_name).type)
        info = pending.create_unwind_info(FrameId(sp, pc))
        for name, value in self.registers.items():
            register = pending.read_register(name)
            info.add_saved_register(name, gdb.Value(value).cast(register.type))
        return info

    def frames(self, coroutine):
        """The coroutine's frames, innermost first, as (name, file, line)."""
        if coroutine.state == "running":
            yield from running_frames(coroutine)
            return
        architecture = gdb.newest_frame().architecture().name()
        if architecture not in SAVED_FRAMES:
            raise gdb.GdbError("cove: unknown processor " + architecture)
        places, words, self.pc_name, self.sp_name = SAVED_FRAMES[architecture]
        if coroutine.saved:
            yield from saved_frames(coroutine, places[self.pc_name], words)
            return
        saved = Memory().words(coroutine.context, words)
        registers = {name: saved[place] for name, place in places.items()}
        registers[self.sp_name] = coroutine.context + words * WORD
        self.sp = int(physical(gdb.newest_frame()).read_register(self.sp_name))
        self.registers = registers
        try:
            gdb.invalidate_cached_frames()
            frame = gdb.newest_frame()
            while frame is not None and frame.pc() != registers[self.pc_name]:
                frame = frame.older()
            yield from described(frame)
        finally:
            self.registers = None
            gdb.invalidate_cached_frames()


def running_frames(coroutine):
    """The frames of a coroutine that runs: its thread's."""
    before = gdb.selected_thread()
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == coroutine.thread_id:
            thread.switch()
            yield from described(gdb.newest_frame())
            before.switch()


def saved_frames(coroutine, pc_place, words):
    """The frames of a coroutine whose stack's bytes are put away, by their return addresses."""
    memory = Memory()
    count = min(coroutine.saved_bytes // WORD, SAVED_WORDS_MAX)
    saved = memory.words(coroutine.saved, count)
    pcs = [saved[pc_place]] + [pc for pc in saved[words:] if follows_call(memory, pc)]
    for pc in pcs[:FRAMES_MAX]:
        block = gdb.block_for_pc(pc - 1)
        while block is not None and block.function is None:
            block = block.superblock
        place = gdb.find_pc_line(pc - 1)
        name = block.function.print_name if block is not None else "0x%x" % pc
        yield (name, place.symtab.fullname() if place.symtab else None, place.line)


def follows_call(memory, pc):
    """Whether code with a known function is at `pc`, and a call before it."""
    if pc < 4096 or pc >= 1 << 63 or gdb.block_for_pc(pc - 1) is None:
        return False
    try:
        before = memory.inferior.read_memory(pc - 8, 8).tobytes()
    except gdb.MemoryError:
        return False
    if gdb.newest_frame().architecture().name() == "aarch64":
        word = int.from_bytes(before[4:], "little")
        return word & 0xFC000000 == 0x94000000 or word & 0xFFFFFC1F == 0xD63F0000
    # call rel32; call register or memory, with displacements of 0, 1 and 4 bytes.
    indirect = any(before[8 - n] == 0xFF and before[9 - n] & 0x38 == 0x10 for n in (2, 3, 4, 6, 7))
    return before[3] == 0xE8 or indirect


def described(frame):
    for _ in range(FRAMES_MAX):
        if frame is None:
            return
        yield describe(frame)
        frame = frame.older()


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


def physical(frame):
    while frame.type() == gdb.INLINE_FRAME and frame.older() is not None:
        frame = frame.older()
    return frame


def describe(frame):
    place = frame.find_sal()
    name = frame.name() or "0x%x" % frame.pc()
    if place is None or place.symtab is None:
        return (name, None, 0)
    return (name, place.symtab.fullname(), place.line)


def library_folder(frame):
    """The folder of the library's sources, which the file of the switch is in, or None."""
    file = frame[1] or ""
    folder, own = os.path.split(file)
    is_switch = own in ("x86_64.rs", "aarch64.rs") and os.path.basename(folder) == "arch"
    return os.path.dirname(folder) + "/" if is_switch else None


def is_users(frame, folder):
    """Whether a frame is neither the library's nor Rust's."""
    name, file, _ = frame
    if file is not None:
        rusts = file.startswith("/rustc/") or "/library/" in file
        return not rusts and not (folder is not None and file.startswith(folder))
    prefixes = ("cove::", "<cove::", "core::", "<core::", "std::", "<std::", "alloc::", "__")
    return not name.startswith(prefixes)


def users_function(coroutine, unwinder):
    """The user's function nearest to where the coroutine stopped."""
    obstacle = coroutine.obstacle()
    if obstacle is not None:
        return "%s (%s)" % (closure(coroutine.main), obstacle)
    frames = list(unwinder.frames(coroutine))
    if not frames:
        return "?"
    folder = library_folder(frames[0])
    return next((frame[0] for frame in frames if is_users(frame, folder)), frames[0][0])


def closure(main):
    """The closure that a coroutine starts with, if debug information tells."""
    block = gdb.block_for_pc(main) if main else None
    name = block.function.name if block is not None and block.function is not None else ""
    return name.split("Block<", 1)[1].split(", ", 1)[0] if "Block<" in name else "?"


class CovePrefix(gdb.Command):
    """Coroutines of cove: list, bt."""

    def __init__(self):
        super().__init__("cove", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, prefix=True)


class CoveList(gdb.Command):
    """Lists all coroutines: cove list"""

    def __init__(self, unwinder):
        super().__init__("cove list", gdb.COMMAND_STACK)
        self.unwinder = unwinder

    def invoke(self, argument, from_tty):
        count = 0
        print("%8s %-8s %-28s %-16s %s" % ("ID", "STATE", "WAITS FOR", "NAME", "FUNCTION"))
        for coroutine in coroutines():
            function = users_function(coroutine, self.unwinder)
            row = (coroutine.id, coroutine.state, coroutine.waits_for(), coroutine.name, function)
            print("%8d %-8s %-28s %-16s %s" % row)
            count += 1
        print("%d coroutines" % count)


class CoveBacktrace(gdb.Command):
    """Shows the frames of a suspended coroutine, or of all: cove bt ID|all"""

    def __init__(self, unwinder):
        super().__init__("cove bt", gdb.COMMAND_STACK)
        self.unwinder = unwinder

    def invoke(self, argument, from_tty):
        argument = argument.strip()
        if argument != "all" and not argument.isdigit():
            raise gdb.GdbError("cove bt ID|all")
        found = False
        for coroutine in coroutines():
            if argument == "all" or coroutine.id == int(argument):
                found = True
                self.show(coroutine)
        if not found:
            raise gdb.GdbError("cove: no coroutine " + argument)

    def show(self, coroutine):
        name = " '%s'" % coroutine.name if coroutine.name else ""
        wait = ", " + coroutine.waits_for() if coroutine.state == "parked" else ""
        print("coroutine %d%s: %s%s" % (coroutine.id, name, coroutine.state, wait))
        obstacle = coroutine.obstacle()
        if obstacle is not None:
            print("      (no frames: %s)" % obstacle)
            return
        for number, (name, file, line) in enumerate(self.unwinder.frames(coroutine)):
            place = " at %s:%d" % (file, line) if file is not None else ""
            print("#%-4d %s%s" % (number, name, place))


def install():
    unwinder = SuspendedUnwinder()
    register_unwinder(None, unwinder, replace=True)
    CovePrefix()
    CoveList(unwinder)
    CoveBacktrace(unwinder)


install()
