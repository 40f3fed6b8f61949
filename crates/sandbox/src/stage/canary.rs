//! The canary: tries the walls from inside, in the very process that becomes the gate.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

use crate::level::{Aspect, Relax};
use crate::sys;
use crate::wire::{Bait, StagePlan, Trial};

/// The namespaces that this process is in.
pub(crate) fn namespaces() -> BTreeMap<String, String> {
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .iter()
        .filter_map(|name| {
            let link = fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
            Some(((*name).to_owned(), link.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Tries everything once.
pub(super) fn fly(plan: &StagePlan) -> Vec<Trial> {
    let mut trials = Vec::new();
    files(&plan.bait, &mut trials);
    sockets(&plan.bait, &mut trials);
    processes(&plan.bait, &mut trials);
    surroundings(&plan.bait, &mut trials);
    calls(plan, &mut trials);
    trials
}

/// A wall holds when the attempt fails; the answer is the kernel's.
fn attempt<T>(trials: &mut Vec<Trial>, aspect: Aspect, what: &str, result: io::Result<T>) {
    trials.push(Trial {
        aspect,
        what: what.to_owned(),
        held: result.is_err(),
        answer: result.map_or_else(|error| error.to_string(), |_| "it worked".to_owned()),
    });
}

fn files(bait: &Bait, trials: &mut Vec<Trial>) {
    attempt(
        trials,
        Aspect::FilesRead,
        "read a decoy secret of the host",
        fs::read(&bait.secret),
    );
    attempt(
        trials,
        Aspect::FilesWrite,
        "write a file beside the decoy",
        fs::write(bait.folder.join("written"), b"x"),
    );
    attempt(
        trials,
        Aspect::FilesWrite,
        "write over the decoy",
        fs::OpenOptions::new().write(true).open(&bait.secret),
    );
}

fn sockets(bait: &Bait, trials: &mut Vec<Trial>) {
    let host = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    attempt(
        trials,
        Aspect::Network,
        "connect to a listener on the host's loopback",
        TcpStream::connect_timeout(&host(bait.tcp_port), Duration::from_millis(200)),
    );
    // Sending alone says nothing: the supervisor looks at whether it arrived.
    let sent = UdpSocket::bind(host(0)).and_then(|own| own.send_to(b"x", host(bait.udp_port)));
    trials.push(Trial {
        aspect: Aspect::Network,
        what: "send a datagram to the host's loopback".to_owned(),
        held: true,
        answer: sent.map_or_else(
            |error| error.to_string(),
            |_| "it did not arrive".to_owned(),
        ),
    });
    attempt(
        trials,
        Aspect::UnixSockets,
        "connect to a socket of the host by path",
        UnixStream::connect(&bait.socket),
    );
    attempt(
        trials,
        Aspect::UnixSockets,
        "connect to an abstract socket of the host",
        UnixAddress::from_abstract_name(&bait.abstract_name)
            .and_then(|address| UnixStream::connect_addr(&address)),
    );
}

fn processes(bait: &Bait, trials: &mut Vec<Trial>) {
    let outer = i32::try_from(bait.outer).ok().and_then(Pid::from_raw);
    // The first few numbers name other processes inside a namespace of our own.
    if let Some(outer) = outer.filter(|_| bait.outer > 16) {
        attempt(
            trials,
            Aspect::Processes,
            "signal a process outside",
            test_kill_process(outer).map_err(io::Error::from),
        );
    }
}

fn surroundings(bait: &Bait, trials: &mut Vec<Trial>) {
    if bait.caller > 16 {
        attempt(
            trials,
            Aspect::Environment,
            "read the caller's environment",
            fs::read(format!("/proc/{}/environ", bait.caller)),
        );
    }
    // The variable is bwrap's own, from the working folder it was given.
    let inherited: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name != "PWD")
        .collect();
    trials.push(Trial {
        aspect: Aspect::Environment,
        what: "look for inherited variables".to_owned(),
        held: inherited.is_empty(),
        answer: if inherited.is_empty() {
            "there are none".to_owned()
        } else {
            inherited.join(" ")
        },
    });
    attempt(
        trials,
        Aspect::Terminal,
        "open the controlling terminal",
        fs::File::open("/dev/tty").and_then(|mut terminal| terminal.flush()),
    );
}

/// A request that neither `ptrace` nor `keyctl` has.
const NO_SUCH: libc::c_ulong = 0x7777;
/// Typing into a terminal, asked of standard input, which is no terminal.
const TIOCSTI: libc::c_ulong = 0x5412;

/// A call with arguments that do nothing even where it is allowed, and what lifts its refusal.
type Call = (
    Aspect,
    &'static str,
    libc::c_long,
    [libc::c_ulong; 3],
    Option<Relax>,
);

const CALLS: [Call; 8] = [
    (
        Aspect::Network,
        "set up io_uring",
        libc::SYS_io_uring_setup,
        [0; 3],
        None,
    ),
    (
        Aspect::Processes,
        "ptrace",
        libc::SYS_ptrace,
        [NO_SUCH, 0, 0],
        Some(Relax::Ptrace),
    ),
    (
        Aspect::Ipc,
        "use a kernel keyring",
        libc::SYS_keyctl,
        [NO_SUCH, 0, 0],
        None,
    ),
    (
        Aspect::Ipc,
        "get shared memory",
        libc::SYS_shmget,
        [0; 3],
        Some(Relax::SysvIpc),
    ),
    (
        Aspect::Ipc,
        "open a message queue",
        libc::SYS_mq_open,
        [0; 3],
        Some(Relax::PosixQueues),
    ),
    (
        Aspect::Terminal,
        "type into a terminal",
        libc::SYS_ioctl,
        [0, TIOCSTI, 0],
        None,
    ),
    (Aspect::FilesWrite, "mount", libc::SYS_mount, [0; 3], None),
    (
        Aspect::Processes,
        "make a namespace",
        libc::SYS_unshare,
        [0; 3],
        None,
    ),
];

/// Only a refusal by the filter counts, not the kernel's complaint about the arguments.
fn calls(plan: &StagePlan, trials: &mut Vec<Trial>) {
    for (aspect, what, call, arguments, lifted_by) in CALLS {
        if lifted_by.is_some_and(|relax| plan.relax.contains(&relax)) {
            continue;
        }
        let answer = sys::answer(call, arguments);
        let held = answer
            .as_ref()
            .is_err_and(|error| matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)));
        trials.push(Trial {
            aspect,
            what: what.to_owned(),
            held,
            answer: answer.map_or_else(|error| error.to_string(), |()| "it worked".to_owned()),
        });
    }
}
