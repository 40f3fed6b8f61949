//! Landlock: at level I3 a second look at what the namespaces already hold, at I2 the wall itself.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::level::Level;
use crate::stage::Places;
use crate::sys;
use crate::wire::StagePlan;

/// The version that knows scopes for signals and abstract sockets. Without them a gate that keeps
/// the host's namespaces could signal the user's other processes.
pub(crate) const SCOPES: u32 = 6;

/// What a gate at level I2 may read of the system, besides what its profile names.
const SYSTEM: [&str; 22] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/proc",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];
/// Devices that hold nothing.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Restricts this process; the words say what is in force.
///
/// Every right that the kernel's version knows is asked for, and each one is a hard requirement.
pub(super) fn restrict(plan: &StagePlan, places: &Places) -> Result<String, String> {
    let kernel = sys::landlock_abi();
    if kernel < SCOPES && plan.level == Level::I2 {
        return Err(format!(
            "the kernel has Landlock version {kernel}, and {SCOPES} is needed"
        ));
    }
    if kernel == 0 {
        return Ok("not in this kernel".to_owned());
    }
    apply(plan, places, version(kernel)).map_err(|error| error.to_string())
}

/// The newest version that was tested here, or the kernel's when that is older.
fn version(kernel: u32) -> ABI {
    match kernel {
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => ABI::V7,
    }
}

fn apply(plan: &StagePlan, places: &Places, abi: ABI) -> Result<String, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if abi >= ABI::V6 {
        ruleset = ruleset.scope(Scope::from_all(abi))?;
    }
    let read = AccessFs::from_read(abi);
    let all = AccessFs::from_all(abi);
    let created = ruleset.create()?;
    let created = if plan.level == Level::I3 {
        let created = allow(created, &["/".into()], read)?;
        let created = allow(created, &["/dev".into()], device(abi))?;
        allow(
            created,
            &[places.tree.clone(), "/tmp".into(), "/dev/shm".into()],
            all,
        )?
    } else {
        let created = allow(created, &SYSTEM.map(PathBuf::from), read)?;
        let created = allow(created, &plan.read_only, read)?;
        let created = allow(created, &DEVICES.map(PathBuf::from), device(abi))?;
        let own = [
            places.tree.clone(),
            places.home.clone(),
            places.temporary.clone(),
        ];
        allow(created, &own, all)?
    };
    let status = created.restrict_self()?;
    Ok(format!(
        "version {} {}{}",
        abi as u32,
        if status.ruleset == RulesetStatus::FullyEnforced {
            "fully enforced"
        } else {
            "partly enforced"
        },
        if abi >= ABI::V6 {
            ", signals and abstract sockets scoped"
        } else {
            ""
        }
    ))
}

fn device(abi: ABI) -> BitFlags<AccessFs> {
    let mut rights = AccessFs::from_read(abi) | AccessFs::WriteFile;
    if abi >= ABI::V5 {
        rights |= AccessFs::IoctlDev;
    }
    rights
}

/// Allows the places that exist; a missing one is nothing to allow.
fn allow(
    created: RulesetCreated,
    places: &[PathBuf],
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let there: Vec<&PathBuf> = places.iter().filter(|place| place.exists()).collect();
    created.add_rules(path_beneath_rules(there, rights))
}
