//! Other processes, namespaces, and the machine itself.

use super::Bare::{self, Maybe, Root, Wins};
use crate::common::Script::{self, Py, Sh};

pub(crate) const PROCESSES: &[(&str, Bare, Script)] = &[
    (
        "kill a process of the host",
        Wins,
        Py("os.kill(int(E['VICTIM']), 9); won()"),
    ),
    (
        "kill everything",
        Maybe,
        Py("
# Never really: only whether there is anything foreign that it would hit.
for p in os.listdir('/proc'):
    if p.isdigit() and int(p) not in (os.getpid(), os.getppid(), 1):
        try: os.kill(int(p), 0); won(); break
        except OSError: pass
"),
    ),
    (
        "see the host's processes",
        Wins,
        Sh("test -d /proc/$VICTIM && grep -q sleep /proc/$VICTIM/cmdline && echo WON!"),
    ),
    (
        "the caller's environment",
        Wins,
        Sh("tr '\\0' '\\n' < /proc/$CALLER/environ | grep -q = && echo WON!"),
    ),
    (
        "the first process's environment",
        Maybe,
        Sh("tr '\\0' '\\n' < /proc/1/environ | grep -q = && echo WON!"),
    ),
    (
        "the parent's environment",
        Wins,
        Sh("tr '\\0' '\\n' < /proc/$PPID/environ | grep -q = && echo WON!"),
    ),
    (
        "memory of the first process",
        Maybe,
        Sh("exec 3<>/proc/1/mem && echo WON!"),
    ),
    (
        "memory of the parent",
        Maybe,
        Sh("exec 3<>/proc/$PPID/mem && echo WON!"),
    ),
    (
        "ptrace",
        Maybe,
        Py("
c = os.fork()
if c == 0: time.sleep(2); os._exit(0)
if call(101, 0x4206, c, 0, 0) == 0: won()
os.kill(c, 9)
"),
    ),
    (
        "ptrace of the parent",
        Maybe,
        Py("
if call(101, 0x4206, os.getppid(), 0, 0) == 0: won()
"),
    ),
    (
        "process_vm_readv",
        Wins,
        Py("
b = ctypes.create_string_buffer(8); s = ctypes.create_string_buffer(b'abcdefg')
v = struct.pack('PN', ctypes.addressof(b), 8); r = struct.pack('PN', ctypes.addressof(s), 8)
c = os.fork()
if c == 0: time.sleep(2); os._exit(0)
if call(310, c, v, 1, r, 1, 0) == 8: won()
os.kill(c, 9)
"),
    ),
    (
        "descriptor of another process",
        Maybe,
        Py("
c = os.fork()
if c == 0: time.sleep(2); os._exit(0)
p = os.pidfd_open(c)
if call(438, p, 1, 0) >= 0: won()
os.kill(c, 9)
"),
    ),
    (
        "nested user namespace",
        Maybe,
        Sh("unshare -U true && echo WON!"),
    ),
    (
        "nested namespace by clone",
        Maybe,
        Py("
c = call(56, 0x10000000 | 17, 0, 0, 0, 0)
if c == 0: os._exit(0)
if c > 0: won()
"),
    ),
    (
        "nested namespace by clone3",
        Maybe,
        Py("
a = struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0)
c = call(435, a, 64)
if c == 0: os._exit(0)
if c > 0: won()
"),
    ),
    (
        "enter a namespace of the caller",
        Root,
        Py("
f = os.open('/proc/%s/ns/net' % E['CALLER'], os.O_RDONLY)
if call(308, f, 0) == 0: won()
"),
    ),
    (
        "clock",
        Root,
        Py("
t = struct.pack('2q', *divmod(time.clock_gettime_ns(0), 10**9))
if call(227, 0, t) == 0: won()
"),
    ),
    (
        "host name",
        Root,
        Py("
n = os.uname().nodename.encode()
if call(170, n, len(n)) == 0: won()
"),
    ),
    (
        "reboot",
        Root,
        Py("
# The command that only switches ctrl-alt-del off. Below the first pid namespace the kernel lets the
# caller through and knows no such command there: EINVAL.
if call(169, 0xfee1dead, 672274793, 0, 0) == 0 or ctypes.get_errno() == 22: won()
"),
    ),
    (
        "raise a limit",
        Maybe,
        Py("
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6)); won()
"),
    ),
    (
        "be root",
        Root,
        Py("
os.setuid(0); won()
"),
    ),
    ("raise priority", Root, Py("os.nice(-5); won()")),
    (
        "setuid program",
        Maybe,
        Py("
# su and friends: a change of the effective id, whatever the password.
o = subprocess.run(['su', '-c', 'id -u'], stdin=subprocess.DEVNULL, capture_output=True, text=True)
if o.stdout.strip() == '0': won()
"),
    ),
    (
        "signal the parent",
        Wins,
        Py("os.kill(os.getppid(), 0); won()"),
    ),
];
