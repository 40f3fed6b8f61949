//! What the gates of a policy must hold to.

use super::check::{argv, reason};
use super::{Gate, GateKind, Isolation, Policy};
use crate::bounds::{self, Checked};
use crate::collect::Pattern;

pub(super) fn gates(policy: &Policy) -> Checked {
    bounds::list("gates", &policy.gates, 7, 32, gate)?;
    for number in 0..7 {
        let id = format!("G{number}");
        if policy.gates.iter().filter(|gate| gate.id == id).count() != 1 {
            return Err(format!("gates must hold {id} exactly once"));
        }
    }
    if policy.isolation.minimum == Isolation::E && !policy.isolation.throwaway {
        return Err("isolation.minimum E asserts a machine that is thrown away: say so with isolation.throwaway true".to_owned());
    }
    needs(&policy.gates)
}

/// What a gate needs is a command gate that is there, and nothing needs itself in a round.
fn needs(gates: &[Gate]) -> Checked {
    for gate in gates {
        for id in &gate.needs {
            let known = gates
                .iter()
                .any(|other| other.id == *id && other.is_command());
            if !known || !gate.is_command() {
                return Err(format!(
                    "gate {} needs {id}: only command gates need, and only command gates are needed",
                    gate.id
                ));
            }
        }
    }
    let mut settled: Vec<&str> = Vec::new();
    while settled.len() < gates.len() {
        let ready = gates.iter().find(|gate| {
            let is_settled = |id: &String| settled.contains(&id.as_str());
            !settled.contains(&gate.id.as_str()) && gate.needs.iter().all(is_settled)
        });
        match ready {
            Some(gate) => settled.push(&gate.id),
            None => return Err("the needs of the gates go round in a circle".to_owned()),
        }
    }
    Ok(())
}

fn gate(gate: &Gate) -> Checked {
    bounds::text("gates.name", &gate.name, 1, 100)?;
    if gate.kind == GateKind::Builtin {
        built_in(gate)?;
    }
    argv("gates.argv", &gate.argv)?;
    gate_id(gate)?;
    for (field, globs) in [
        ("gates.paths", &gate.paths),
        ("gates.protected_base", &gate.protected_base),
    ] {
        bounds::list(field, globs, 0, 64, |glob| {
            bounds::text(field, glob, 1, 4096)
        })?;
    }
    // Compiled at once: a glob that cannot be read must not wait for the first change.
    gate.applies(&[])
        .map_err(|why| format!("gates.paths: {why}"))?;
    gate.protected()
        .map_err(|why| format!("gates.protected_base: {why}"))?;
    bounds::list("gates.borrow", &gate.borrow, 0, 16, |name| {
        bounds::path("gates.borrow", name, 4096)
    })?;
    bounds::list("gates.reports", &gate.reports, 0, 16, |name| {
        let read = Pattern::parse(name).map_err(|problem| problem.message);
        read.map(drop)
            .map_err(|why| format!("gates.reports: {why}"))
    })?;
    bounds::list("gates.read_only", &gate.read_only, 0, 32, |place| {
        host_place(place)
    })?;
    bounds::unique("gates.needs", &gate.needs)?;
    bounds::number("number of gates.relax", gate.relax.len() as u64, 0, 5)?;
    if gate.cwd != "." {
        bounds::path("gates.cwd", &gate.cwd, 4096)?;
    }
    bounds::number("number of gates.env", gate.env.len() as u64, 0, 64)?;
    for (name, value) in &gate.env {
        variable(name)?;
        bounds::text("gates.env", value, 0, 4096)?;
    }
    bounds::list("gates.env_pass", &gate.env_pass, 0, 64, |name| {
        variable(name)
    })?;
    bounds::unique("gates.env_pass", &gate.env_pass)?;
    bounds::number("gates.timeout_seconds", gate.timeout_seconds, 1, 86_400)?;
    reason(&gate.reason)
}

/// A built-in gate runs nothing, so nothing is said of how it runs.
fn built_in(gate: &Gate) -> Checked {
    let said = [
        ("argv", !gate.argv.is_empty()),
        ("paths", !gate.paths.is_empty()),
        ("needs", !gate.needs.is_empty()),
        ("reports", !gate.reports.is_empty()),
        ("read_only", !gate.read_only.is_empty()),
        ("borrow", !gate.borrow.is_empty()),
        ("protected_base", !gate.protected_base.is_empty()),
    ];
    match said.into_iter().find(|(_, is_said)| *is_said) {
        Some((field, _)) => Err(format!("gate {} is built in and takes no {field}", gate.id)),
        None => Ok(()),
    }
}

/// G0 to G3 and G6 are baton's own; every number above is a further command.
fn gate_id(gate: &Gate) -> Checked {
    let number = gate.id.strip_prefix('G').filter(|digits| {
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        plain && (1..=2).contains(&digits.len()) && (*digits == "0" || !digits.starts_with('0'))
    });
    match number.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(0..=6) => Ok(()),
        Some(_) if gate.is_command() => Ok(()),
        _ => Err(format!(
            "gate \"{}\": G0 to G6, and command gates up to G99",
            gate.id.escape_debug()
        )),
    }
}

/// A place on the host: absolute, or below the home or a variable that names a toolchain.
fn host_place(place: &str) -> Checked {
    bounds::text("gates.read_only", place, 2, 4096)?;
    let begins = place.starts_with('/') || place.starts_with("~/") || place.starts_with('$');
    if begins && !place.split('/').any(|part| part == "..") {
        return Ok(());
    }
    Err(format!(
        "gates.read_only \"{}\": an absolute path, ~/PATH or $VARIABLE/PATH without .. was expected",
        place.escape_debug()
    ))
}

fn variable(name: &str) -> Checked {
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if first && plain && name.len() <= 128 {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is no name of an environment variable",
        name.escape_debug()
    ))
}
