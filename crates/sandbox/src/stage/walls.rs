//! The inner walls, raised by the process that becomes the gate around itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::level::Level;
use crate::stage::{Broken, Places, at};
use crate::wire::{Ready, Rlimits, StagePlan};

/// Raises what the level asks for, and lets the canary try it.
#[cfg(target_os = "linux")]
pub(super) fn raise(plan: &StagePlan, places: &Places) -> Result<Ready, Broken> {
    use crate::stage::{calls, canary, files};

    limit(&plan.limits)?;
    let mut ready = Ready {
        uid: rustix::process::getuid().as_raw(),
        landlock: "not asked for".to_owned(),
        seccomp: "not asked for".to_owned(),
        namespaces: canary::namespaces(),
        trials: Vec::new(),
    };
    if plan.level >= Level::I2 {
        rustix::thread::set_no_new_privs(true).map_err(at("no new privileges"))?;
        ready.landlock = files::restrict(plan, places).map_err(at("landlock"))?;
        ready.seccomp = calls::filter(plan).map_err(at("seccomp"))?;
    }
    ready.trials = canary::fly(plan);
    Ok(ready)
}

/// On other systems: limits, and on macOS what `argv` adds; nothing is tried.
#[cfg(not(target_os = "linux"))]
pub(super) fn raise(plan: &StagePlan, _: &Places) -> Result<Ready, Broken> {
    if plan.level > Level::I1 && !(cfg!(target_os = "macos") && plan.level == Level::I2) {
        return Err(at("walls")("this system has none of that level"));
    }
    limit(&plan.limits)?;
    Ok(Ready {
        uid: rustix::process::getuid().as_raw(),
        landlock: "not on this system".to_owned(),
        seccomp: "not on this system".to_owned(),
        namespaces: std::collections::BTreeMap::new(),
        trials: Vec::new(),
    })
}

/// What is started in the end: the gate, or on macOS what puts it behind Seatbelt.
#[cfg(not(target_os = "macos"))]
pub(super) fn argv(plan: &StagePlan, _: &Places) -> Vec<String> {
    plan.argv.clone()
}

#[cfg(target_os = "macos")]
pub(super) fn argv(plan: &StagePlan, places: &Places) -> Vec<String> {
    if plan.level == Level::I2 {
        crate::seatbelt::argv(plan, places)
    } else {
        plan.argv.clone()
    }
}

fn limit(limits: &Rlimits) -> Result<(), Broken> {
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, limits.file)?;
    lower(Resource::Nofile, limits.open)?;
    lower(Resource::Data, limits.data)?;
    if let Some(processes) = limits.processes {
        lower(Resource::Nproc, processes)?;
    }
    Ok(())
}

/// Never above what this process may have anyway.
fn lower(resource: Resource, value: u64) -> Result<(), Broken> {
    let value = getrlimit(resource)
        .maximum
        .map_or(value, |maximum| value.min(maximum));
    let both = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, both).map_err(at("limits"))
}
