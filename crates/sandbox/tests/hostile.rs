//! Gates that attack the host. Each is first run bare, to show that the attack works at all; then
//! behind the walls of level I3, where it must fail and must leave the host as it was.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::time::Duration;

use baton_sandbox::{EndedBy, Level};
use common::Script::{Py, Sh};
use common::{Host, Script, is_root, log, run};

/// What the attack does without walls.
#[derive(Clone, Copy, PartialEq)]
enum Bare {
    /// It wins.
    Wins,
    /// It wins as root.
    Root,
    /// It depends on the kernel; where it does not win, the row says little.
    Maybe,
}
use Bare::{Maybe, Root, Wins};

const FILES: &[(&str, Bare, Script)] = &[
    (
        "read a key in a home",
        Wins,
        Sh("cat $HOST/home/.ssh/id_ed25519 && echo WON"),
    ),
    (
        "read the policy beside the tree",
        Wins,
        Sh("cat ../POLICY.json && echo WON"),
    ),
    (
        "list a home",
        Wins,
        Sh("ls -A $HOST/home | grep -q ssh && echo WON"),
    ),
    (
        "list /root or /home",
        Maybe,
        Sh("test -n \"$(ls -A /root /home 2>/dev/null | grep -v ^/)\" && echo WON"),
    ),
    (
        "read /etc/shadow",
        Root,
        Sh("cat /etc/shadow >/dev/null && echo WON"),
    ),
    (
        "read the host's users",
        Wins,
        Sh("grep -q daemon /etc/passwd && echo WON"),
    ),
    (
        "read the machine's id or name",
        Maybe,
        Sh(
            "cat /etc/machine-id /etc/hostname /sys/class/dmi/id/sys_vendor 2>/dev/null | grep -q . && echo WON",
        ),
    ),
    (
        "write into a home",
        Wins,
        Sh("echo x > $HOST/home/.bashrc && echo WON"),
    ),
    (
        "write a hook",
        Wins,
        Sh("echo x > $HOST/home/.config/hooks/pre-commit && echo WON"),
    ),
    (
        "write the policy",
        Wins,
        Sh("echo {} > $HOST/job/POLICY.json && echo WON"),
    ),
    (
        "write into the parent",
        Wins,
        Sh("touch ../planted && echo WON"),
    ),
    (
        "change modes outside",
        Wins,
        Sh("chmod 600 $HOST/home/.ssh/id_ed25519 && echo WON"),
    ),
    (
        "change times outside",
        Wins,
        Sh("touch -d 2001-01-01 $HOST/home/.bashrc && echo WON"),
    ),
    (
        "rename outside",
        Wins,
        Sh("mv $HOST/home/.bashrc $HOST/home/x && echo WON"),
    ),
    (
        "hard link to the outside",
        Wins,
        Sh("ln $HOST/home/.bashrc here && echo WON"),
    ),
    (
        "link planted in the tree",
        Wins,
        Sh("ln -s $HOST/home/.ssh src/k && cat src/k/id_ed25519 && echo WON"),
    ),
    (
        "out by ..",
        Wins,
        Sh("cat ../../../../../../../../../$HOST/home/.bashrc && echo WON"),
    ),
    (
        "through /proc/1/root",
        Maybe,
        Sh("cat /proc/1/root$HOST/home/.bashrc && echo WON"),
    ),
    (
        "through the caller's root",
        Wins,
        Sh("cat /proc/$CALLER/root$HOST/home/.bashrc && echo WON"),
    ),
    (
        "write /usr",
        Root,
        Sh("touch /usr/planted && rm /usr/planted && echo WON"),
    ),
    (
        "write /etc",
        Root,
        Sh("touch /etc/planted && rm /etc/planted && echo WON"),
    ),
    (
        "write the root folder",
        Root,
        Sh("touch /planted && rm /planted && echo WON"),
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
            "for d in /dev/vda /dev/sda /dev/nvme0n1 /dev/mem /dev/kmsg; do head -c1 $d >/dev/null 2>&1 && echo WON; done; true",
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

const NETWORK: &[(&str, Bare, Script)] = &[
    ("IPv4", Wins, Py("socket.create_connection(('127.0.0.1', int(E['TCP4'])), 1); won()")),
    ("IPv6", Maybe, Py("socket.create_connection(('::1', int(E['TCP6'])), 1); won()")),
    ("UDP", Wins, Py("
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
s.sendto(b'x', ('127.0.0.1', int(E['UDP']))); s.recv(9); won()
")),
    ("a DNS question", Wins, Py("
q = struct.pack('>6H', 7, 256, 1, 0, 0, 0) + b'\\x06secret\\x07example\\x00' + struct.pack('>2H', 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
s.sendto(q, ('127.0.0.1', int(E['UDP']))); s.recv(99); won()
")),
    ("a route out", Wins, Py("
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9)); won()
")),
    ("the host's interfaces", Maybe, Py("
if [n for _, n in socket.if_nameindex() if n != 'lo']: won()
")),
    ("abstract unix socket", Wins, Py("
s = socket.socket(socket.AF_UNIX); s.connect('\\0' + E['NAME']); s.recv(9); won()
")),
    ("unix socket by path", Wins, Py("
s = socket.socket(socket.AF_UNIX); s.connect(E['SOCK']); s.recv(9); won()
")),
    ("unix datagram by path", Wins, Py("
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'x', E['DGRAM']); time.sleep(.05); won()
")),
    ("datagram pair to a path", Wins, Py("
s, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'x', E['DGRAM']); time.sleep(.05); won()
")),
    ("unix socket through /proc", Wins, Py("
s = socket.socket(socket.AF_UNIX); s.connect('/proc/%s/root%s' % (E['CALLER'], E['SOCK'])); s.recv(9); won()
")),
    ("raw packets", Root, Py("socket.socket(socket.AF_PACKET, socket.SOCK_RAW); won()")),
    ("odd family (vsock or alg)", Maybe, Py("
for f in (40, 38, 16):
    try: socket.socket(f, socket.SOCK_DGRAM if f != 38 else 5, 9 if f == 16 else 0); won()
    except OSError: pass
")),
    ("io_uring", Maybe, Py("
p = ctypes.create_string_buffer(120)
if call(425, 4, p) >= 0: won()
")),
];

const PROCESSES: &[(&str, Bare, Script)] = &[
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
        Sh("test -d /proc/$VICTIM && grep -q sleep /proc/$VICTIM/cmdline && echo WON"),
    ),
    (
        "the caller's environment",
        Wins,
        Sh("tr '\\0' '\\n' < /proc/$CALLER/environ | grep -q = && echo WON"),
    ),
    (
        "the first process's environment",
        Maybe,
        Sh("tr '\\0' '\\n' < /proc/1/environ | grep -q = && echo WON"),
    ),
    (
        "the parent's environment",
        Wins,
        Sh("tr '\\0' '\\n' < /proc/$PPID/environ | grep -q = && echo WON"),
    ),
    (
        "memory of the first process",
        Maybe,
        Sh("exec 3<>/proc/1/mem && echo WON"),
    ),
    (
        "memory of the parent",
        Maybe,
        Sh("exec 3<>/proc/$PPID/mem && echo WON"),
    ),
    (
        "ptrace",
        Maybe,
        Py("
c = os.fork()
if c == 0: time.sleep(2); os._exit(0)
if call(101, 16, c, 0, 0) == 0: won()
os.kill(c, 9)
"),
    ),
    (
        "ptrace of the parent",
        Maybe,
        Py("
if call(101, 16, os.getppid(), 0, 0) == 0: won(); call(101, 17, os.getppid(), 0, 0)
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
        Sh("unshare -U true && echo WON"),
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
# The command that only switches ctrl-alt-del off.
if call(169, 0xfee1dead, 672274793, 0, 0) == 0: won()
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
];

const KERNEL: &[(&str, Bare, Script)] = &[
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

const RESOURCES: &[(&str, Bare, Script)] = &[
    (
        "many processes",
        Wins,
        Sh("for i in $(seq 120); do sleep 2 & done; echo WON; kill $(jobs -p)"),
    ),
    (
        "many threads",
        Wins,
        Py("
for _ in range(120): threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
won(); os._exit(0)
"),
    ),
    (
        "memory of one process",
        Wins,
        Py("b = bytearray(400 << 20); won()"),
    ),
    (
        "memory of many processes",
        Wins,
        Py("
made = []
for _ in range(6):
    c = os.fork()
    if c == 0: b = bytearray(b'x') * (70 << 20); time.sleep(2); os._exit(0)
    made.append(c)
if all(os.waitpid(c, 0)[1] == 0 for c in made): won()
"),
    ),
    (
        "shared memory without a name",
        Wins,
        Py("
m = mmap.mmap(-1, 400 << 20)
for i in range(0, 400 << 20, 4096): m[i] = 1
time.sleep(.2); won()
"),
    ),
    (
        "memory by mapped files in the tree",
        Maybe,
        Py("
f = open('big', 'w+b'); f.truncate(400 << 20); m = mmap.mmap(f.fileno(), 400 << 20); won()
"),
    ),
    (
        "one large file",
        Wins,
        Py("
f = open('big', 'wb')
for _ in range(80): f.write(bytes(1 << 20))
f.flush(); won()
"),
    ),
    (
        "many files in the tree",
        Wins,
        Py("
for i in range(160): open('f%d' % i, 'wb').write(os.urandom(1 << 20))
time.sleep(.5); won()
"),
    ),
    (
        "files without a name",
        Wins,
        Py("
k = []
for i in range(100):
    f = open('f', 'wb'); os.unlink('f'); f.write(os.urandom(1 << 20)); f.flush(); k.append(f)
time.sleep(.5); won()
"),
    ),
    (
        "fill /tmp",
        Wins,
        Py("
import tempfile
d = tempfile.mkdtemp(dir='/tmp')
try:
    for i in range(40): open('%s/%d' % (d, i), 'wb').write(bytes(1 << 20))
    won()
finally:
    import shutil; shutil.rmtree(d)
"),
    ),
    (
        "fill /dev/shm",
        Wins,
        Py("
n = '/dev/shm/baton-test-%d' % os.getpid()
try:
    for i in range(40): open(n, 'ab').write(bytes(1 << 20))
    won()
finally: os.unlink(n)
"),
    ),
    (
        "fill other folders",
        Root,
        Py("
for d in ('/run', '/var', '/etc', '/dev', '/work', '/'):
    try: open(d + '/baton-test', 'wb').write(b'x'); os.unlink(d + '/baton-test'); won()
    except OSError: pass
"),
    ),
    (
        "output flood",
        Wins,
        Py("
for _ in range(64): sys.stdout.write('x' * (1 << 20))
won()
"),
    ),
    (
        "many open files",
        Wins,
        Py("
k = [open('/dev/null') for _ in range(500)]; won()
"),
    ),
];

/// These leave something behind that shows itself later, as the file `late` in the tree.
const DAEMONS: &[(&str, Script)] = &[
    (
        "a background process",
        Sh("(sleep 1; touch late) >/dev/null 2>&1 &"),
    ),
    (
        "setsid",
        Sh("setsid sh -c 'sleep 1; touch late' >/dev/null 2>&1 &"),
    ),
    (
        "nohup",
        Sh("nohup sh -c 'sleep 1; touch late' >/dev/null 2>&1 &"),
    ),
    (
        "double fork",
        Py("
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1); os.close(2); time.sleep(1); open('late', 'w')
    os._exit(0)
os.wait()
"),
    ),
    (
        "a process that hops",
        Py("
if os.fork() == 0:
    os.setsid(); os.close(1); os.close(2)
    end = time.time() + 1
    while time.time() < end:
        if os.fork() != 0: os._exit(0)
        time.sleep(.002)
    open('late', 'w')
    os._exit(0)
"),
    ),
    (
        "signals ignored",
        Py("
for s in range(1, 32):
    try: signal.signal(s, signal.SIG_IGN)
    except OSError: pass
if os.fork() == 0: os.close(1); os.close(2); time.sleep(1); open('late', 'w'); os._exit(0)
"),
    ),
];

fn check(rows: &[(&str, Bare, Script)]) {
    let mut wrong = Vec::new();
    for (name, bare, script) in rows {
        let argv = script.argv();
        let said = Host::new().bare(&argv);
        let won = said.contains("WON");
        let must = *bare == Wins || (*bare == Root && is_root());
        if must && !won {
            wrong.push(format!("{name}: does not work bare: {said:.300}"));
        }
        let mut host = Host::new();
        let outcome = match run(&host.profile(argv)) {
            Ok(outcome) => outcome,
            Err(refused) => {
                wrong.push(format!("{name}: {refused}"));
                continue;
            }
        };
        let inside = log(&outcome);
        assert_eq!(outcome.level, Level::I3);
        if inside.contains("WON") {
            wrong.push(format!(
                "{name}: ESCAPED ({}): {inside:.300}",
                outcome.ended_by
            ));
        }
        if !outcome.all_dead {
            wrong.push(format!("{name}: not everything is dead"));
        }
        for harm in host.harm() {
            wrong.push(format!("{name}: {harm}"));
        }
        let bare = if won {
            "bare: wins"
        } else {
            "bare: fails here"
        };
        println!("held  {name}  ({bare}; {})", outcome.ended_by);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files() {
    check(FILES);
}

#[test]
fn network() {
    check(NETWORK);
}

#[test]
fn processes() {
    check(PROCESSES);
}

#[test]
fn kernel() {
    check(KERNEL);
}

#[test]
fn resources() {
    check(RESOURCES);
}

#[test]
fn daemons() {
    let mut wrong = Vec::new();
    for (name, script) in DAEMONS {
        let host = Host::new();
        host.bare(&script.argv());
        let inside = Host::new();
        let outcome = run(&inside.profile(script.argv())).unwrap();
        std::thread::sleep(Duration::from_millis(1300));
        if !host.tree.join("late").exists() {
            wrong.push(format!("{name}: does not work bare"));
        }
        if inside.tree.join("late").exists() {
            wrong.push(format!("{name}: ESCAPED"));
        }
        if outcome.leaks == 0 || outcome.ended_by != EndedBy::Exit(0) || !outcome.all_dead {
            let said = log(&outcome);
            wrong.push(format!(
                "{name}: {} {} {said}",
                outcome.ended_by, outcome.leaks
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn as_an_ordinary_user() {
    common::again_as_an_ordinary_user();
}
