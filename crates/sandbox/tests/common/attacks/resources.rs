//! Using more than the limits.

use super::Bare::{self, Maybe, Root, Wins};
use crate::common::Script::{self, Py, Sh};

pub(crate) const RESOURCES: &[(&str, Bare, Script)] = &[
    (
        "many processes",
        Wins,
        Sh("for i in $(seq 120); do sleep 3 & done; sleep .5; echo WON!; kill $(jobs -p)"),
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
time.sleep(1.5); won()
"),
    ),
    (
        "files without a name",
        Wins,
        Py("
k = []
for i in range(100):
    f = open('f', 'wb'); os.unlink('f'); f.write(os.urandom(1 << 20)); f.flush(); k.append(f)
time.sleep(1.5); won()
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
    (
        "shared memory of a process that hides",
        Wins,
        Py("
L.prctl(4, 0, 0, 0, 0); m = mmap.mmap(-1, 400 << 20)
for i in range(0, 400 << 20, 4096): m[i] = 1
time.sleep(.2); won()
"),
    ),
    (
        "files in a closed folder",
        Wins,
        Py("
os.mkdir('shut'); k = [open('shut/f%d' % i, 'wb', 0) for i in range(100)]; os.chmod('shut', 0)
for f in k: f.write(os.urandom(1 << 20))
time.sleep(1.5); won()
"),
    ),
    (
        "files in a very deep folder",
        Wins,
        Py("
for i in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)
for i in range(100): open('f%d' % i, 'wb').write(os.urandom(1 << 20))
time.sleep(1.5); won()
"),
    ),
    (
        "empty files without end",
        Wins,
        Py("
for i in range(60000): os.close(os.open('empty-file-%d' % i, os.O_CREAT))
time.sleep(3); won()
"),
    ),
];
