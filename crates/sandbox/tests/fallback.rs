//! Where namespaces are refused: nothing runs below the minimum, and what runs at I2 says what gets
//! through. Each test runs its ignored half in such a place, as root and as an ordinary user.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;

use baton_sandbox::{Aspect, Cover, EndedBy, Level};
use common::Script::{Py, Sh};
use common::attacks::{self, Target, check, check_daemons};
use common::{Host, again_without_namespaces, log, run};

const I2: Target = Target {
    level: Level::I2,
    prepare: |profile| {
        profile.minimum = Level::I2;
        profile.fallback = true;
    },
    // What the level's own words say is weaker, and the host's account list.
    known: &[
        "read the host's users",
        "change modes outside",
        "change times outside",
        "see the host's processes",
    ],
};

#[test]
fn nothing_runs_below_the_minimum() {
    again_without_namespaces("refused");
}

#[test]
#[ignore = "run by nothing_runs_below_the_minimum"]
fn refused() {
    let host = Host::new();
    let mut profile = host.profile(Sh("touch ran").argv());
    let refused = run(&profile).unwrap_err();
    assert_eq!(refused.code, "ISOLATION_UNAVAILABLE");
    assert!(refused.message.contains("ENOSPC"), "{refused}");
    assert!(
        refused.fix.contains("max_user_namespaces"),
        "{}",
        refused.fix
    );
    // That the minimum would allow it is not enough: the fallback is asked for by itself.
    profile.minimum = Level::I2;
    assert_eq!(run(&profile).unwrap_err().tried.len(), 1);
    assert!(!host.tree.join("ran").exists());
}

#[test]
fn files_at_i2() {
    again_without_namespaces("attack_files");
}

#[test]
#[ignore = "run by files_at_i2"]
fn attack_files() {
    check(attacks::files::FILES, &I2);
}

#[test]
fn network_at_i2() {
    again_without_namespaces("attack_network");
}

#[test]
#[ignore = "run by network_at_i2"]
fn attack_network() {
    check(attacks::network::NETWORK, &I2);
}

#[test]
fn processes_at_i2() {
    again_without_namespaces("attack_processes");
}

#[test]
#[ignore = "run by processes_at_i2"]
fn attack_processes() {
    check(attacks::processes::PROCESSES, &I2);
}

#[test]
fn kernel_at_i2() {
    again_without_namespaces("attack_kernel");
}

#[test]
#[ignore = "run by kernel_at_i2"]
fn attack_kernel() {
    check(attacks::kernel::KERNEL, &I2);
}

#[test]
fn resources_at_i2() {
    again_without_namespaces("attack_resources");
}

#[test]
#[ignore = "run by resources_at_i2"]
fn attack_resources() {
    check(attacks::resources::RESOURCES, &I2);
}

#[test]
fn daemons_at_i2() {
    again_without_namespaces("attack_daemons");
}

#[test]
#[ignore = "run by daemons_at_i2"]
fn attack_daemons() {
    check_daemons(&I2);
}

#[test]
fn what_i2_is_and_is_not_is_told() {
    again_without_namespaces("told");
}

#[test]
#[ignore = "run by what_i2_is_and_is_not_is_told"]
fn told() {
    let host = Host::new();
    let mut profile = host.profile(
        Py("open('out', 'w').write('x'); open(E['HOME'] + '/x', 'w'); open(E['TMPDIR'] + '/y', 'w'); won()").argv(),
    );
    profile.environment.remove("HOME");
    (I2.prepare)(&mut profile);
    let outcome = run(&profile).unwrap();
    assert_eq!(
        (outcome.level, outcome.ended_by),
        (Level::I2, EndedBy::Exit(0)),
        "{}",
        log(&outcome)
    );
    assert_eq!(outcome.fallback_from.len(), 1);
    assert!(
        outcome
            .fallback_from
            .first()
            .unwrap()
            .error
            .contains("ENOSPC")
    );
    let cover = |aspect| &outcome.aspects[&aspect];
    assert_eq!(cover(Aspect::Network).cover, Cover::Enforced);
    assert!(cover(Aspect::Network).verified);
    assert_eq!(cover(Aspect::FilesWrite).cover, Cover::Weaker);
    assert_eq!(outcome.backend.name, "landlock");
}

#[test]
fn i1_promises_nothing() {
    again_without_namespaces("no_boundary");
}

#[test]
#[ignore = "run by i1_promises_nothing"]
fn no_boundary() {
    let host = Host::new();
    let mut profile = host.profile(Sh("sleep 20 & echo ran").argv());
    profile.minimum = Level::E;
    profile.throwaway = true;
    let outcome = run(&profile).unwrap();
    assert_eq!(
        (outcome.level, outcome.throwaway_asserted),
        (Level::I1, true)
    );
    assert_eq!((outcome.ended_by, outcome.leaks), (EndedBy::Exit(0), 1));
    assert_eq!(outcome.fallback_from.len(), 1);
    let network = &outcome.aspects[&Aspect::Network];
    assert!(
        network.cover == Cover::None && !network.verified,
        "{network:?}"
    );
    assert!(network.note.contains("got through"), "{network:?}");
}

#[test]
fn a_doctor_is_told_what_is_missing() {
    again_without_namespaces("doctor");
}

#[test]
#[ignore = "run by a_doctor_is_told_what_is_missing"]
fn doctor() {
    let probe = baton_sandbox::Sandbox::with_program(common::PROGRAM).probe();
    assert_eq!(probe.level, Some(Level::I2), "{probe:?}");
    let gap = &probe.gaps[0];
    assert!(
        gap.what.contains("ENOSPC") && gap.fix.contains("max_user_namespaces"),
        "{gap:?}"
    );
}
