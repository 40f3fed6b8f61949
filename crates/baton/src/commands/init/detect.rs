//! Proposes the commands of G4 and G5 from what lies in the repository.

use std::fs;
use std::path::Path;

use baton_core::policy::Gate;

/// What to run for one kind of repository.
struct Toolchain {
    /// The file that tells the kind.
    file: &'static str,
    doctor: &'static [&'static str],
    tests: &'static [&'static str],
    /// Variables that the toolchain needs to find itself.
    pass: &'static [&'static str],
}

const TOOLCHAINS: [Toolchain; 4] = [
    Toolchain {
        file: "Cargo.toml",
        doctor: &["cargo", "check", "--workspace", "--all-targets", "--locked"],
        tests: &["cargo", "test", "--workspace", "--locked"],
        pass: &["RUSTUP_HOME", "CARGO_HOME"],
    },
    Toolchain {
        file: "go.mod",
        doctor: &["go", "vet", "./..."],
        tests: &["go", "test", "-v", "./..."],
        pass: &["GOMODCACHE"],
    },
    Toolchain {
        file: "package.json",
        doctor: &["npm", "run", "lint", "--if-present"],
        tests: &["npm", "test"],
        pass: &[],
    },
    Toolchain {
        file: "pyproject.toml",
        doctor: &["python3", "-m", "compileall", "-q", "."],
        tests: &["python3", "-m", "pytest", "-q"],
        pass: &[],
    },
];

/// Fills the argv of gates that have none.
pub(super) fn gates(root: &Path, gates: &mut [Gate]) {
    let found = TOOLCHAINS
        .iter()
        .find(|toolchain| root.join(toolchain.file).is_file());
    let targets = recipes(root);
    for gate in gates
        .iter_mut()
        .filter(|gate| gate.is_command() && gate.argv.is_empty())
    {
        let (command, pass): (&[&str], &[&str]) = match (gate.id.as_str(), found) {
            ("G4", Some(toolchain)) => (toolchain.doctor, toolchain.pass),
            ("G5", Some(toolchain)) => (toolchain.tests, toolchain.pass),
            ("G4", None) => (targets.doctor, &[]),
            ("G5", None) => (targets.tests, &[]),
            _ => continue,
        };
        gate.argv = command.iter().map(|&word| word.to_owned()).collect();
        for name in pass {
            if !gate.env_pass.iter().any(|known| known == name) {
                gate.env_pass.push((*name).to_owned());
            }
        }
    }
}

#[derive(Default)]
struct Recipes {
    doctor: &'static [&'static str],
    tests: &'static [&'static str],
}

/// Looks for the usual recipe names in a justfile or a Makefile.
fn recipes(root: &Path) -> Recipes {
    let has = |file: &str, recipe: &str| {
        fs::read_to_string(root.join(file)).is_ok_and(|text| {
            text.lines().any(|line| {
                line.strip_prefix(recipe)
                    .is_some_and(|rest| rest.trim_start().starts_with(':'))
            })
        })
    };
    let mut recipes = Recipes::default();
    for (file, recipe, command) in [
        ("justfile", "doctor", &["just", "doctor"] as &[&str]),
        ("Makefile", "check", &["make", "check"]),
        ("Makefile", "lint", &["make", "lint"]),
    ] {
        if recipes.doctor.is_empty() && has(file, recipe) {
            recipes.doctor = command;
        }
    }
    for (file, recipe, command) in [
        ("justfile", "test", &["just", "test"] as &[&str]),
        ("Makefile", "test", &["make", "test"]),
    ] {
        if recipes.tests.is_empty() && has(file, recipe) {
            recipes.tests = command;
        }
    }
    recipes
}
