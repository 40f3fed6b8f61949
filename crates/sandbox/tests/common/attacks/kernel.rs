//! Parts of the kernel that are shared by all.

use super::Bare::{self, Maybe, Root, Wins};
use crate::common::Script::{self, Py};

pub(crate) const KERNEL: &[(&str, Bare, Script)] = &[
    (
        "keyring",
        Maybe,
        Py("
if call(248, b'user', b'baton-test', b'x', 1, -3) > 0: won()
"),
    ),
    (
        "session keyring",
        Maybe,
        Py("
if call(250, 0, -3, 1) > 0: won()
"),
    ),
    (
        "memfd",
        Maybe,
        Py("
if call(319, b'x', 0) >= 0: won()
"),
    ),
    (
        "memfd_secret",
        Maybe,
        Py("
if call(447, 0) >= 0: won()
"),
    ),
    (
        "bpf",
        Root,
        Py("
a = struct.pack('4I', 2, 4, 4, 1) + bytes(112)
if call(321, 0, a, 128) >= 0: won()
"),
    ),
    (
        "perf",
        Maybe,
        Py("
a = bytearray(128); a[0:16] = struct.pack('IIQ', 1, 128, 1)
if call(298, bytes(a), 0, -1, -1, 0) >= 0: won()
"),
    ),
    (
        "userfaultfd",
        Maybe,
        Py("
if call(323, 1) >= 0: won()
"),
    ),
    (
        "System V memory",
        Wins,
        Py("
i = call(29, 0, 4096, 0o1600)
if i >= 0: won(); call(31, i, 0, 0)
"),
    ),
    (
        "System V queue",
        Wins,
        Py("
i = call(68, 0, 0o1600)
if i >= 0: won(); call(71, i, 0, 0)
"),
    ),
    (
        "System V semaphore",
        Wins,
        Py("
i = call(64, 0, 1, 0o1600)
if i >= 0: won(); call(66, i, 0, 0, 0)
"),
    ),
    (
        "POSIX queue",
        Maybe,
        Py("
i = call(240, b'baton-test', 0o102, 0o600, 0)
if i >= 0: won(); call(241, b'baton-test')
"),
    ),
    (
        "x32 calls",
        Maybe,
        Py("
if call(0x40000000 + 39) > 0: won()
"),
    ),
    (
        "typing into a terminal",
        Maybe,
        Py("
import fcntl, pty
m, s = pty.openpty()
if os.fork() == 0:
    os.setsid(); fcntl.ioctl(s, 0x540e, 0)
    for request in (0x5412, 0x100005412):
        if L.ioctl(s, ctypes.c_ulong(request), b'x') == 0: won(); break
    os._exit(0)
os.wait()
"),
    ),
    (
        "the caller's terminal",
        Maybe,
        Py("os.open('/dev/tty', os.O_RDWR); won()"),
    ),
    (
        "kernel modules",
        Maybe,
        Py("
ctypes.set_errno(0); call(313, -1, b'', 0)
if ctypes.get_errno() == 9: won()
"),
    ),
];
