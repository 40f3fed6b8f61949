//! Gates that attack the host. Each is first run bare, to show that the attack works at all; then
//! behind the walls of level I3, where it must fail and must leave the host as it was.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use baton_sandbox::Level;
use common::attacks::{self, Target, check, check_daemons};

const I3: Target = Target {
    level: Level::I3,
    prepare: |_| {},
    known: &[],
};

#[test]
fn files() {
    check(attacks::files::FILES, &I3);
}

#[test]
fn network() {
    check(attacks::network::NETWORK, &I3);
}

#[test]
fn processes() {
    check(attacks::processes::PROCESSES, &I3);
}

#[test]
fn kernel() {
    check(attacks::kernel::KERNEL, &I3);
}

#[test]
fn resources() {
    check(attacks::resources::RESOURCES, &I3);
}

#[test]
fn daemons() {
    check_daemons(&I3);
}

#[test]
fn as_an_ordinary_user() {
    common::again_as_an_ordinary_user();
}
