//! Seccomp: system calls that no gate needs and that lead around the other walls.
//!
//! A filter has one answer, so there are several. What programs probe for and do without is
//! answered with ENOSYS, an odd socket family with EAFNOSUPPORT, the rest with EPERM.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare,
    SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use crate::level::{Level, Relax};
use crate::wire::StagePlan;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Result<T> = std::result::Result<T, String>;

/// Kernel state, mounts, namespaces, handles: never.
const REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
/// Only where these calls exist.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// The kernel's other way to make processes hides its flags from a filter; its rings do whole
/// calls that no filter sees. Programs fall back to the plain ones.
const UNKNOWN: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_memfd_secret,
    libc::SYS_pidfd_getfd,
];

const PTRACE: &[c_long] = &[
    libc::SYS_kcmp,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
];
const SYSV: &[c_long] = &[
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
];
const QUEUES: &[c_long] = &[
    libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify,
    libc::SYS_mq_open,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink,
];
/// Without these no socket can be made or reached; a pair of connected ones still can.
const SOCKETS: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_socket,
];

/// Namespaces by `clone`: mount, cgroup, uts, ipc, user, pid, network.
const CLONE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// Typing into a terminal, copying its screen.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
/// Unix, IPv4, IPv6, and the kernel's routing answers that name resolution reads.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// Calls numbered from here on are the x32 variants, which a filter by number would not see.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Installs the filters; the words say what is in force.
pub(super) fn filter(plan: &StagePlan) -> Result<String> {
    let filters = [
        (refused(plan)?, libc::EPERM),
        (unknown(plan), libc::ENOSYS),
        (families()?, libc::EAFNOSUPPORT),
    ];
    let calls: usize = filters.iter().map(|(rules, _)| rules.len()).sum();
    let compiled = filters
        .into_iter()
        .map(|(rules, errno)| compile(rules, errno))
        .collect::<Result<Vec<_>>>()?;
    #[cfg(target_arch = "x86_64")]
    apply_filter(&x32()).map_err(words)?;
    for program in &compiled {
        apply_filter(program).map_err(words)?;
    }
    Ok(format!("{calls} calls refused or restricted"))
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(words)?;
    let answer = SeccompAction::Errno(u32::try_from(errno).map_err(words)?);
    SeccompFilter::new(rules, SeccompAction::Allow, answer, arch)
        .map_err(words)?
        .try_into()
        .map_err(words)
}

fn refused(plan: &StagePlan) -> Result<Rules> {
    let relaxed = |what| plan.relax.contains(&what);
    let mut rules = Rules::new();
    let mut whole = |calls: &[c_long]| {
        rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    };
    whole(REFUSED);
    whole(REFUSED_HERE);
    for (what, calls) in [
        (Relax::Ptrace, PTRACE),
        (Relax::SysvIpc, SYSV),
        (Relax::PosixQueues, QUEUES),
        (Relax::Perf, &[libc::SYS_perf_event_open]),
    ] {
        if !relaxed(what) {
            whole(calls);
        }
    }
    if plan.level == Level::I2 {
        whole(SOCKETS);
        rules.insert(libc::SYS_socketpair, vec![datagrams()?]);
    }
    rules.insert(libc::SYS_clone, masked(0, &CLONE_FLAGS)?);
    rules.insert(libc::SYS_ioctl, vec![is(1, TIOCSTI)?, is(1, TIOCLINUX)?]);
    let devices = |argument| -> Result<Vec<SeccompRule>> {
        let kind = |kind: u32| {
            one(
                argument,
                Compare::MaskedEq(u64::from(libc::S_IFMT)),
                u64::from(kind),
            )
        };
        Ok(vec![kind(libc::S_IFCHR)?, kind(libc::S_IFBLK)?])
    };
    rules.insert(libc::SYS_mknodat, devices(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, devices(1)?);
    Ok(rules)
}

fn unknown(plan: &StagePlan) -> Rules {
    let mut rules: Rules = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    if !plan.relax.contains(&Relax::Memfd) {
        rules.insert(libc::SYS_memfd_create, Vec::new());
    }
    rules
}

/// A pair of datagram sockets can send to any other socket by its address.
fn datagrams() -> Result<SeccompRule> {
    const KIND: u64 = 0xf;
    let datagram = u64::try_from(libc::SOCK_DGRAM).map_err(words)?;
    one(1, Compare::MaskedEq(KIND), datagram)
}

/// Every family but the few, and of the kernel's own only routing.
fn families() -> Result<Rules> {
    let mut others = Vec::new();
    for family in FAMILIES {
        let family = u64::try_from(family).map_err(words)?;
        others.push(condition(0, Compare::Ne, family)?);
    }
    let netlink = u64::try_from(libc::AF_NETLINK).map_err(words)?;
    let not_routing = vec![
        condition(0, Compare::Eq, netlink)?,
        condition(2, Compare::Ne, 0)?,
    ];
    let rules = vec![
        SeccompRule::new(others).map_err(words)?,
        SeccompRule::new(not_routing).map_err(words)?,
    ];
    Ok(Rules::from([(libc::SYS_socket, rules)]))
}

fn masked(argument: u8, flags: &[i32]) -> Result<Vec<SeccompRule>> {
    flags
        .iter()
        .map(|flag| {
            let flag = u64::from(flag.cast_unsigned());
            one(argument, Compare::MaskedEq(flag), flag)
        })
        .collect()
}

fn is(argument: u8, value: u64) -> Result<SeccompRule> {
    one(argument, Compare::Eq, value)
}

fn one(argument: u8, compare: Compare, value: u64) -> Result<SeccompRule> {
    SeccompRule::new(vec![condition(argument, compare, value)?]).map_err(words)
}

/// All of these are 32 bits wide for the kernel; comparing 64 would let the upper half hide one.
fn condition(argument: u8, compare: Compare, value: u64) -> Result<SeccompCondition> {
    SeccompCondition::new(argument, Width::Dword, compare, value).map_err(words)
}

/// Four instructions: load the number of the call; from the x32 range on answer ENOSYS.
#[cfg(target_arch = "x86_64")]
fn x32() -> BpfProgram {
    let load = 0x20; // BPF_LD | BPF_W | BPF_ABS
    let at_least = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    let answer = 0x06; // BPF_RET | BPF_K
    let refuse = 0x0005_0000 | libc::ENOSYS.cast_unsigned(); // SECCOMP_RET_ERRNO
    let allow = 0x7fff_0000; // SECCOMP_RET_ALLOW
    let step = |code, jt, jf, k| seccompiler::sock_filter { code, jt, jf, k };
    vec![
        step(load, 0, 0, 0),
        step(at_least, 0, 1, X32),
        step(answer, 0, 0, refuse),
        step(answer, 0, 0, allow),
    ]
}
