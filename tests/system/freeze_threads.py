#!/usr/bin/python3
"""Stops single threads of a running process with ptrace, as a hung computation would: freeze_threads.py PID NAME SECONDS
stops every thread whose name starts with NAME, or whose number it is, says how many, and lets them go on after SECONDS or when the process is
gone."""
import ctypes
import os
import sys
import time

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def main():
    pid, name, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    stopped = []
    for entry in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{entry}/comm") as file:
            if file.read().startswith(name) or entry == name:
                ptrace(PTRACE_SEIZE, int(entry))
                ptrace(PTRACE_INTERRUPT, int(entry))
                stopped.append(int(entry))
    print(len(stopped), "threads stopped", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.path.exists(f"/proc/{pid}/task/{stopped[0] if stopped else pid}/stat"):
        # a thread that dies while it is traced waits for its tracer
        try:
            while os.waitpid(-1, os.WNOHANG | 0x40000000)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.05)
    return 0 if stopped else 1


if __name__ == "__main__":
    sys.exit(main())
