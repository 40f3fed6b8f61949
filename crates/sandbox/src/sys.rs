//! The few calls to the kernel that have no safe wrapper. All `unsafe` of the crate is here.

use std::io;
use std::time::Duration;

/// Closes every descriptor from `first` on: whatever the caller's program had open stays out.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: close_range takes three integers and touches no memory. The caller runs it first
        // of all in a fresh process, so no object of this process owns one of the descriptors.
        let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
        if done == 0 {
            return Ok(());
        }
    }
    close_each(first)
}

/// For kernels before 5.9, which have no `close_range`.
fn close_each(first: u32) -> io::Result<()> {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let open: Vec<i32> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| u32::try_from(*number).is_ok_and(|number| number >= first))
        .collect();
    for number in open {
        // SAFETY: close takes an integer; as above, nothing in this process owns the descriptor
        // (the one that listed the folder is closed already, and closing twice is harmless here).
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// What `fork` returned.
pub(crate) enum Forked {
    /// We are the new process.
    Child,
    /// We are the old one; this is the id of the new one.
    Parent(i32),
}

/// Splits this process in two.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the second stage is the first thing in `main` and starts no thread, so the child is
    // a whole copy: no lock can be held by a thread that does not exist in it.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        id if id > 0 => Ok(Forked::Parent(id)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives every signal its default action again: a caller under `nohup` ignores some, and what is
/// ignored stays ignored in a program that is started.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no code. Numbers that cannot be set answer an error.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Processor time of the ended and reaped children of this process.
pub(crate) fn children_cpu() -> Duration {
    // SAFETY: rusage is plain numbers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live rusage of our own, which the call fills.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Duration::ZERO;
    }
    let time = |value: libc::timeval| {
        Duration::from_secs(u64::try_from(value.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(value.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Gives this process a mount namespace of its own.
#[cfg(target_os = "linux")]
pub(crate) fn own_mounts() -> io::Result<()> {
    // SAFETY: unshare takes an integer. The flag leaves memory and descriptors shared as they are.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Kills every process that this one may signal, except itself. Only under an account of our own.
#[cfg(target_os = "linux")]
pub(crate) fn kill_all_of_this_account() {
    // SAFETY: kill takes two integers. That nothing foreign is hit is the caller's duty.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// The version of Landlock that the kernel answers; 0 when it has none.
#[cfg(target_os = "linux")]
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no structure (a null pointer and size 0 are asked for)
    // and only returns a number.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(answer).unwrap_or(0)
}

/// The version of Landlock: there is none on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn landlock_abi() -> u32 {
    0
}

/// What the kernel answers to a call with these three numbers.
///
/// Used by the canary only, with arguments that do nothing where the call is allowed.
#[cfg(target_os = "linux")]
pub(crate) fn answer(call: libc::c_long, arguments: [libc::c_ulong; 3]) -> io::Result<()> {
    let [first, second, third] = arguments;
    // SAFETY: the canary passes small numbers and null pointers only, so the kernel can reach no
    // memory of this process through them.
    let answer = unsafe { libc::syscall(call, first, second, third, 0, 0, 0) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Ends this process at once, without running what the host program registered for its end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}
