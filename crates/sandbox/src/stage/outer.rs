//! The half outside of the walls: out of root, then into `bwrap`.

use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::level::Level;
use crate::stage::{Broken, Places, at, channel, give_up, keeper};
use crate::sys;
use crate::wire::{OuterPlan, receive};

pub(super) fn run() -> ! {
    let Some(mut channel) = channel() else {
        sys::leave(125)
    };
    match go(&mut channel) {
        Ok(places) => keeper::run(Some((channel, places))),
        Err(broken) => give_up(&mut channel, broken),
    }
}

/// Returns only below level I3, where this process goes on as the keeper; at I3 it goes on as the guard.
fn go(channel: &mut UnixStream) -> Result<Places, Broken> {
    let mut plan: OuterPlan = receive(channel).map_err(at("plan"))?;
    sys::reset_signals();
    // Fails only for the leader of a group, which we are not.
    let _ = rustix::process::setsid();
    be_first_to_be_killed();
    if let Some(account) = plan.account {
        leave_root(account, &mut plan)?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if plan.level == Level::I3 {
        become_bwrap(channel, &plan)?;
    }
    // After leaving root: a change of account clears it.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(at("death signal"))?;
    reachable(&plan.tree)?;
    let scratch = plan.scratch.unwrap_or_default();
    Ok(Places {
        tree: plan.tree,
        home: scratch.join("home"),
        temporary: scratch.join("tmp"),
    })
}

/// When memory runs out all the same, the kernel shall take the gate and not its neighbours.
fn be_first_to_be_killed() {
    // A kernel without the file loses the preference, not a wall.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

fn reachable(path: &Path) -> Result<(), Broken> {
    std::fs::read_dir(path).map(drop).map_err(|error| Broken {
        step: "reach",
        error: format!("{}: {error}", path.display()),
    })
}

#[cfg(target_os = "linux")]
fn become_bwrap(channel: &mut UnixStream, plan: &OuterPlan) -> Result<Infallible, Broken> {
    use std::os::unix::process::CommandExt;

    let Some(program) = &plan.bwrap else {
        return Err(at("bwrap")("no path"));
    };
    let arguments = crate::bwrap::arguments(plan).map_err(at("bwrap arguments"))?;
    crate::stage::guard::stand(channel)?;
    let error = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .exec();
    Err(at("bwrap")(error))
}

#[cfg(not(target_os = "linux"))]
fn become_bwrap(_: &mut UnixStream, _: &OuterPlan) -> Result<Infallible, Broken> {
    Err(at("bwrap")("there is none on this system"))
}

/// Becomes an ordinary account, for good. What that account could not reach by its path is first
/// bound to a folder that nobody else sees, as far as this root may mount at all.
#[cfg(target_os = "linux")]
fn leave_root(account: u32, plan: &mut OuterPlan) -> Result<(), Broken> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    if let Some(staging) = plan.staging.take() {
        gather(&staging, plan)?;
    }
    let (uid, gid) = (
        rustix::process::Uid::from_raw(account),
        rustix::process::Gid::from_raw(account),
    );
    // Of this one thread, which is all of this process.
    set_thread_groups(&[]).map_err(at("leave groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(at("leave group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(at("leave root"))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn leave_root(_: u32, _: &mut OuterPlan) -> Result<(), Broken> {
    Err(at("leave root")("not done on this system"))
}

#[cfg(target_os = "linux")]
fn gather(staging: &Path, plan: &mut OuterPlan) -> Result<(), Broken> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

    // A root without this capability stands in a container: paths are then taken as they are.
    if sys::own_mounts().is_err() {
        return Ok(());
    }
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(at("private mounts"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", staging, "tmpfs", flags, c"mode=0755,size=1m").map_err(at("staging"))?;
    plan.program = bind(&plan.program, staging.join("program"))?;
    plan.tree = bind(&plan.tree, staging.join("tree"))?;
    if let Some(scratch) = plan.scratch.take() {
        plan.scratch = Some(bind(&scratch, staging.join("scratch"))?);
    }
    plan.staged = Vec::new();
    for (number, place) in plan.read_only.iter().enumerate() {
        let staged = bind(place, staging.join(format!("place-{number}")))?;
        plan.staged.push(staged);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn bind(source: &Path, target: std::path::PathBuf) -> Result<std::path::PathBuf, Broken> {
    let is_folder = std::fs::metadata(source).map_err(at("staging"))?.is_dir();
    let made = if is_folder {
        std::fs::create_dir(&target)
    } else {
        std::fs::write(&target, b"")
    };
    made.map_err(at("staging"))?;
    rustix::mount::mount_bind_recursive(source, &target).map_err(at("staging"))?;
    Ok(target)
}
