//! Living on after the gate.

use crate::common::Script::{self, Py, Sh};

/// These leave something behind that shows itself later, as the file `late` in the tree.
pub(crate) const DAEMONS: &[(&str, Script)] = &[
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
