"""Sends a thread of a process into an endless loop: hang.py PROCESS THREAD-NAME"""

import ctypes
import glob
import os
import sys

process, name = int(sys.argv[1]), sys.argv[2]
threads = [
    int(path.split("/")[4])
    for path in glob.glob(f"/proc/{process}/task/*/comm")
    if open(path).read().strip() == name
]
thread = threads[0]


def endless_loop():
    """Where two bytes stand that jump to themselves."""
    with open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in open(f"/proc/{process}/maps"):
            words = line.split()
            if "x" not in words[1] or "[" in line:
                continue
            start, end = (int(word, 16) for word in words[0].split("-"))
            memory.seek(start)
            at = memory.read(end - start).find(b"\xeb\xfe")
            if at >= 0:
                return start + at
    raise SystemExit("there is no such place")


class Registers(ctypes.Structure):
    _fields_ = [
        (register, ctypes.c_ulong)
        for register in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags "
            "rsp ss fs_base gs_base ds es fs gs"
        ).split()
    ]


ATTACH, DETACH, GET, SET, WALL = 16, 17, 12, 13, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def trace(what, data=None):
    if libc.ptrace(what, thread, None, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


place = endless_loop()
trace(ATTACH)
os.waitpid(thread, WALL)
registers = Registers()
trace(GET, ctypes.byref(registers))
# A system call that was interrupted must not begin again.
registers.orig_rax = ctypes.c_ulong(-1).value
registers.rip = place
trace(SET, ctypes.byref(registers))
trace(DETACH)
