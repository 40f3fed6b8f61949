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
    /// Variables that it needs so that it asks for no network.
    set: &'static [(&'static str, &'static str)],
    /// Places of the host that it reads: programs and packages that are there already.
    read_only: &'static [&'static str],
    /// Folders of the checkout with packages, if they are there.
    borrow: &'static [&'static str],
}

const TOOLCHAINS: [Toolchain; 4] = [
    Toolchain {
        file: "Cargo.toml",
        doctor: &[
            "cargo",
            "check",
            "--workspace",
            "--all-targets",
            "--locked",
            "--offline",
        ],
        tests: &["cargo", "test", "--workspace", "--locked", "--offline"],
        pass: &["RUSTUP_HOME", "CARGO_HOME"],
        set: &[],
        // Not the whole of CARGO_HOME: the registry's key lies in it.
        read_only: &[
            "$RUSTUP_HOME",
            "$CARGO_HOME/bin",
            "$CARGO_HOME/registry",
            "$CARGO_HOME/git",
        ],
        borrow: &[],
    },
    Toolchain {
        file: "go.mod",
        doctor: &["go", "vet", "./..."],
        tests: &["go", "test", "-v", "./..."],
        pass: &["GOMODCACHE"],
        set: &[("GOPROXY", "off"), ("GOFLAGS", "-mod=readonly")],
        read_only: &["$GOMODCACHE"],
        borrow: &[],
    },
    Toolchain {
        file: "package.json",
        doctor: &["npm", "run", "lint", "--if-present"],
        tests: &["npm", "test"],
        pass: &[],
        set: &[("npm_config_offline", "true")],
        read_only: &[],
        borrow: &["node_modules"],
    },
    Toolchain {
        file: "pyproject.toml",
        doctor: &["python3", "-m", "compileall", "-q", "."],
        tests: &["python3", "-m", "pytest", "-q"],
        pass: &[],
        set: &[("PYTHONDONTWRITEBYTECODE", "1")],
        read_only: &[],
        borrow: &[],
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
        let command: &[&str] = match (gate.id.as_str(), found) {
            ("G4", Some(toolchain)) => toolchain.doctor,
            ("G5", Some(toolchain)) => toolchain.tests,
            ("G4", None) => targets.doctor,
            ("G5", None) => targets.tests,
            _ => continue,
        };
        gate.argv = command.iter().map(|&word| word.to_owned()).collect();
        if let Some(toolchain) = found {
            surround(gate, toolchain, root);
        }
    }
}

/// Gives a gate what its toolchain needs to work without the home folder and without a network.
fn surround(gate: &mut Gate, toolchain: &Toolchain, root: &Path) {
    let owned = |word: &&str| (*word).to_owned();
    for name in toolchain.pass {
        if !gate.env_pass.iter().any(|known| known == name) {
            gate.env_pass.push((*name).to_owned());
        }
    }
    for (name, value) in toolchain.set {
        gate.env.insert((*name).to_owned(), (*value).to_owned());
    }
    gate.read_only = toolchain.read_only.iter().map(owned).collect();
    let is_there = |folder: &&&str| root.join(folder).is_dir();
    gate.borrow = toolchain
        .borrow
        .iter()
        .filter(is_there)
        .map(owned)
        .collect();
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
