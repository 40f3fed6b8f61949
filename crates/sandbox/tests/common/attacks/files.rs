//! Reading and writing what is not the gate's.

use super::Bare::{self, Maybe, Root, Wins};
use crate::common::Script::{self, Py, Sh};

pub(crate) const FILES: &[(&str, Bare, Script)] = &[
    (
        "read a key in a home",
        Wins,
        Sh("cat $HOST/home/.ssh/id_ed25519 && echo WON!"),
    ),
    (
        "read the policy beside the tree",
        Wins,
        Sh("cat ../POLICY.json && echo WON!"),
    ),
    (
        "list a home",
        Wins,
        Sh("ls -A $HOST/home | grep -q ssh && echo WON!"),
    ),
    (
        "list /root or /home",
        Maybe,
        Sh("test -n \"$(ls -A /root /home 2>/dev/null | grep -v ^/)\" && echo WON!"),
    ),
    (
        "read /etc/shadow",
        Root,
        Sh("cat /etc/shadow >/dev/null && echo WON!"),
    ),
    (
        "read the host's users",
        Wins,
        Sh("grep -q daemon /etc/passwd && echo WON!"),
    ),
    (
        "read the machine's id or name",
        Maybe,
        Sh(
            "cat /etc/machine-id /etc/hostname /sys/class/dmi/id/sys_vendor 2>/dev/null | grep -q . && echo WON!",
        ),
    ),
    (
        "write into a home",
        Wins,
        Sh("echo x > $HOST/home/.bashrc && echo WON!"),
    ),
    (
        "write a hook",
        Wins,
        Sh("echo x > $HOST/home/.config/hooks/pre-commit && echo WON!"),
    ),
    (
        "write the policy",
        Wins,
        Sh("echo {} > $HOST/job/POLICY.json && echo WON!"),
    ),
    (
        "write into the parent",
        Wins,
        Sh("touch ../planted && echo WON!"),
    ),
    (
        "change modes outside",
        Wins,
        Sh("chmod 600 $HOST/home/.ssh/id_ed25519 && echo WON!"),
    ),
    (
        "change times outside",
        Wins,
        Sh("touch -d 2001-01-01 $HOST/home/.bashrc && echo WON!"),
    ),
    (
        "rename outside",
        Wins,
        Sh("mv $HOST/home/.bashrc $HOST/home/x && echo WON!"),
    ),
    (
        "hard link to the outside",
        Wins,
        Sh("ln $HOST/home/.bashrc here && echo WON!"),
    ),
    (
        "link planted in the tree",
        Wins,
        Sh("ln -s $HOST/home/.ssh src/k && cat src/k/id_ed25519 && echo WON!"),
    ),
    (
        "out by ..",
        Wins,
        Sh("cat ../../../../../../../../../$HOST/home/.bashrc && echo WON!"),
    ),
    (
        "through /proc/1/root",
        Maybe,
        Sh("cat /proc/1/root$HOST/home/.bashrc && echo WON!"),
    ),
    (
        "through the caller's root",
        Wins,
        Sh("cat /proc/$CALLER/root$HOST/home/.bashrc && echo WON!"),
    ),
    (
        "write /usr",
        Root,
        Sh("touch /usr/planted && rm /usr/planted && echo WON!"),
    ),
    (
        "write /etc",
        Root,
        Sh("touch /etc/planted && rm /etc/planted && echo WON!"),
    ),
    (
        "write the root folder",
        Root,
        Sh("touch /planted && rm /planted && echo WON!"),
    ),
    (
        "handles around paths",
        Root,
        Py("
b = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128)); m = ctypes.c_int()
if call(303, -100, b'/', b, ctypes.byref(m), 0) == 0:
    d = os.open('/', os.O_RDONLY)
    if call(304, d, b, os.O_RDONLY) >= 0: won()
"),
    ),
    ("chroot", Root, Py("os.chroot('/proc'); won()")),
    (
        "mount",
        Root,
        Py("
if subprocess.run(['unshare', '-m', 'mount', '-t', 'tmpfs', 'x', '/mnt']).returncode == 0: won()
"),
    ),
    (
        "remount writable",
        Root,
        Py("
if os.fork() == 0:
    if call(272, 0x20000) == 0 or True:
        for path in (b'/usr', b'/'):
            if call(165, 0, path, 0, 32 | 4096, 0) == 0: won()
    os._exit(0)
os.wait()
"),
    ),
    (
        "new mount calls",
        Root,
        Py("
if call(430, b'tmpfs', 0) >= 0 or call(428, -100, b'/', 1) >= 0: won()
"),
    ),
    (
        "device node",
        Root,
        Py("
try: os.mknod('dev', 0o20666, os.makedev(1, 3)); os.unlink('dev'); won()
except PermissionError: pass
"),
    ),
    (
        "raw disk",
        Maybe,
        Sh(
            "for d in /dev/vda /dev/sda /dev/nvme0n1 /dev/mem /dev/kmsg; do head -c1 $d >/dev/null 2>&1 && echo WON!; done; true",
        ),
    ),
    (
        "core pattern",
        Root,
        Py("os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY); won()"),
    ),
    (
        "sysrq",
        Maybe,
        Py("os.open('/proc/sysrq-trigger', os.O_WRONLY); won()"),
    ),
    (
        "kernel log",
        Root,
        Py("
if call(103, 10, 0, 0) >= 0: won()
"),
    ),
];
