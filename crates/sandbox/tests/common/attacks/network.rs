//! Networks and sockets of the host.

use super::Bare::{self, Maybe, Root, Wins};
use crate::common::Script::{self, Py};

pub(crate) const NETWORK: &[(&str, Bare, Script)] = &[
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
