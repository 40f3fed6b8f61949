"""Runs a program where the kernel gives no further user namespace, as many containers do.

Arguments: the account to run as (0 stays what it is), then the program and its arguments.
"""
import ctypes
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, PR_SET_DUMPABLE = 0x10000000, 4
account, rest = int(sys.argv[1]), sys.argv[2:]
is_root = os.getuid() == 0
ready, is_ready = os.pipe()
mapped, is_mapped = os.pipe()
child = os.fork()
if child == 0:
    if account and is_root:
        os.setgroups([])
        os.setgid(account)
        os.setuid(account)
        LIBC.prctl(PR_SET_DUMPABLE, 1)
    assert LIBC.unshare(CLONE_NEWUSER) == 0
    os.write(is_ready, b"x")
    os.read(mapped, 1)
    with open("/proc/sys/user/max_user_namespaces", "w") as switch:
        switch.write("0")
    os.execv(rest[0], rest)
os.read(ready, 1)
if not is_root:
    with open(f"/proc/{child}/setgroups", "w") as switch:
        switch.write("deny")
for name, own in (("uid_map", os.getuid()), ("gid_map", os.getgid())):
    one = account or own
    lines = "0 0 65536" if is_root and not account else f"{one} {one} 1"
    with open(f"/proc/{child}/{name}", "w") as table:
        table.write(lines)
os.write(is_mapped, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
