//! Carrying an approval over to the same net change on a target that moved.
//!
//! A person approved one candidate. When its target moved, the change is another candidate, and the
//! person is asked again, unless the policy allows this and all of it holds: the canonical patch is
//! the same to the byte, the target changed in other files only, none of them a manifest, a gate's
//! definition or the policy, and the gates passed again. It is proved when it is carried, and once more
//! at the landing.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::approval::{Approval, Verdict, Way};
use crate::candidate::Candidate;
use crate::clock;
use crate::digest;
use crate::envelope::ToolClass;
use crate::evidence::Court;
use crate::git::Oid;
use crate::ids;
use crate::manifest::SSOT;
use crate::policy::{Gate, Policy};
use crate::problem::Problem;
use crate::quorum::Purpose;
use crate::rules::{Case, Globs, PathRules};
use crate::store::TaskFolder;

/// An approval that was carried as often as this is asked for again.
const MOST: usize = 16;

/// The most that is looked through for names, in bytes.
const MOST_BYTES: u64 = 8 << 20;

/// Files that say what a build or a test run is, by name.
const DEFINITIONS: &[&str] = &[
    "**/{Cargo.toml,build.rs,clippy.toml,rustfmt.toml,deny.toml,nextest.toml}",
    "**/{package.json,deno.json,deno.jsonc,tsconfig*.json,*.config.{js,cjs,mjs,ts,mts,cts},pnpm-workspace.yaml,lerna.json,nx.json,turbo.json,.mocharc*,.babelrc*,.eslintrc*}",
    "**/{pyproject.toml,setup.py,setup.cfg,requirements*.txt,constraints*.txt,Pipfile,tox.ini,noxfile.py,pytest.ini,conftest.py,ruff.toml,mypy.ini,environment.y*ml}",
    "**/{go.mod,go.work,.golangci.y*ml,Gemfile,Rakefile,*.gemspec,composer.json,phpunit.xml*,mix.exs,rebar.config,pubspec.yaml,Package.swift,Podfile,Cartfile}",
    "**/{pom.xml,*.gradle,*.gradle.kts,gradle.properties,build.sbt,build.xml,deps.edn,project.clj}",
    "**/{*.csproj,*.fsproj,*.vbproj,*.sln,*.props,*.targets,global.json,paket.dependencies}",
    "**/{Makefile,makefile,GNUmakefile,*.mk,justfile,.justfile,*.just,Taskfile.y*ml,CMakeLists.txt,*.cmake,meson.build,meson_options.txt,configure,configure.ac,Makefile.am,SConstruct}",
    "**/{.cargo/**,rust-toolchain*,.npmrc,.yarnrc*,.yarn/**,.pnpmfile.cjs,.node-version,.nvmrc,.python-version,.tool-versions,mise.toml,.mise.toml,.envrc,.env,.env.*}",
    "**/{gradlew*,gradle/wrapper/**,mvnw*,.mvn/**,sitecustomize.py,usercustomize.py,*.pth,.coveragerc,.jest*,.swcrc*,.pre-commit-config.y*ml,.gitattributes,.gitmodules}",
    "**/{Makefile.in,configure.in,*.m4,*.am}",
    "{.github,.gitlab,.circleci,.ci,ci,.buildkite,.husky,scripts,script,hack}/**",
    "{.gitlab-ci.y*ml,.travis.yml,Jenkinsfile,azure-pipelines.y*ml}",
    "**/{BUILD,BUILD.bazel,WORKSPACE,WORKSPACE.bazel,MODULE.bazel,*.bzl,*.nix,*.cabal,stack.yaml,*.opam,dune-project,dune,build.zig,build.zig.zon,Dockerfile*,Containerfile*,*compose*.y*ml}",
];

/// Which approval another one was carried from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriedFrom {
    /// Its name.
    pub approval_id: String,
    /// The base commit that it was given for.
    pub base: String,
    /// The tree that it was given for.
    pub tree: String,
}

impl Court<'_> {
    /// Says why an approval of one candidate cannot count for the other; `None` when it can. To act on
    /// it every gate has to have passed; what landed already is held to what the decision asked for.
    ///
    /// # Errors
    /// `GIT_FAILED`, `RULES_INVALID`.
    pub fn why_not_carried(
        &self,
        task: &TaskFolder,
        from: &CarriedFrom,
        to: &Candidate,
        purpose: Purpose,
    ) -> Result<Option<String>, Problem> {
        if !self.policy.landing.carry_approvals {
            return Ok(Some("the policy does not carry approvals".to_owned()));
        }
        let old_base = self.objects.tree_of(&Oid::parse(&from.base)?)?;
        let old_tree = Oid::parse(&from.tree)?;
        let new_base = Oid::parse(&to.base_tree)?;
        let new_tree = Oid::parse(&to.tree)?;
        let differs = self.why_not_the_same((&old_base, &old_tree), (&new_base, &new_tree))?;
        if differs.is_some() {
            return Ok(differs);
        }
        let patch = self.objects.patch_between(&new_base, &new_tree)?;
        if digest::sha256(&patch) != to.patch_sha256 {
            return Ok(Some("the patch is not the candidate's".to_owned()));
        }
        let facts = self.facts(task)?;
        let failed = facts.gates_as_on_base.first();
        let failed = failed.filter(|_| purpose == Purpose::Act);
        let trouble = facts.unbound.first().or_else(|| facts.gates.first());
        Ok(trouble
            .or(failed)
            .map(|why| format!("the gates are not green again: {why}")))
    }

    /// Says why a change between two trees, its base first, is not the same between two others, or
    /// stands on other ground there; `None` when it is the same.
    ///
    /// # Errors
    /// `GIT_FAILED`, `RULES_INVALID`.
    pub fn why_not_the_same(
        &self,
        (old_base, old_tree): (&Oid, &Oid),
        (new_base, new_tree): (&Oid, &Oid),
    ) -> Result<Option<String>, Problem> {
        let patch = self.objects.patch_between(old_base, old_tree)?;
        if patch != self.objects.patch_between(new_base, new_tree)? {
            return Ok(Some(
                "the net change is not the same to the byte".to_owned(),
            ));
        }
        let drift = self.objects.changed_paths(old_base, new_base)?;
        let change = self.objects.changed_paths(new_base, new_tree)?;
        if let Some(path) = drift.iter().find(|path| change.contains(path)) {
            return Ok(Some(format!("the target changed in {path} as well")));
        }
        let definitions = Definitions::of(self.policy)?;
        let says = drift.iter().find(|path| definitions.holds(path));
        let says = match says {
            Some(path) => Some(path.as_str()),
            None => self.named(&definitions, old_base, &drift)?,
        };
        Ok(says.map(|path| {
            format!(
                "the target changed in {path}, which says how changes are built, tested or judged"
            )
        }))
    }

    /// The approvals of the candidate before, as they count for this one. `Err` inside says why none
    /// does.
    ///
    /// # Errors
    /// As [`Self::why_not_carried`], and `APPROVAL_CHANGED`.
    pub fn carried(
        &self,
        task: &TaskFolder,
        before: &Candidate,
        to: &Candidate,
        class: ToolClass,
    ) -> Result<Result<Vec<Approval>, String>, Problem> {
        if before.policy_sha256 != to.policy_sha256 || to.policy_sha256 != self.policy.sha256 {
            return Ok(Err("the policy is another one".to_owned()));
        }
        let given = self.store.approvals_for(before)?;
        if given.iter().any(|one| one.verdict == Verdict::Denied) {
            return Ok(Err("a person denied the candidate before".to_owned()));
        }
        let now = clock::now();
        let counts = |one: &&Approval| one.covers(class) && one.is_valid_at(now);
        let mut carried = Vec::new();
        for old in given.iter().filter(counts) {
            let from = CarriedFrom {
                approval_id: old.approval_id.clone(),
                base: old.base.clone(),
                tree: old.tree.clone(),
            };
            if let Some(why) = self.why_not_carried(task, &from, to, Purpose::Act)? {
                return Ok(Err(why));
            }
            carried.push(Approval {
                approval_id: ids::fresh("APR", now)?,
                base: to.base.clone(),
                tree: to.tree.clone(),
                way: Way::Carried,
                carried_from: Some(from),
                reason: format!("carried over from {}", old.approval_id),
                evidence_sha256: None,
                principal: None,
                signature: None,
                ..old.clone()
            });
        }
        if carried.is_empty() {
            return Ok(Err("the candidate before has no approval".to_owned()));
        }
        Ok(Ok(carried))
    }

    /// Proves once more that a carried approval counted at that time, back to the one that a person gave; that one
    /// is returned, and none where the proof does not hold.
    ///
    /// # Errors
    /// As [`Self::why_not_carried`], and `APPROVAL_CHANGED`.
    pub fn proves(
        &self,
        task: &TaskFolder,
        approval: &Approval,
        to: &Candidate,
        (now, purpose): (SystemTime, Purpose),
    ) -> Result<Option<Approval>, Problem> {
        let mut at = approval.clone();
        for _ in 0..MOST {
            let Some(from) = at.carried_from.clone() else {
                return Ok(Some(at));
            };
            if self.why_not_carried(task, &from, to, purpose)?.is_some() {
                return Ok(None);
            }
            let mut before = to.clone();
            before.base.clone_from(&from.base);
            before.tree.clone_from(&from.tree);
            let given = self.store.approvals_for(&before)?;
            let denied = given.iter().any(|one| one.verdict == Verdict::Denied);
            let source = given.into_iter().find(|one| {
                one.approval_id == from.approval_id
                    && one.is_valid_at(now)
                    && approval.tool_classes.iter().all(|class| one.covers(*class))
            });
            match source.filter(|_| !denied) {
                Some(source) => at = source,
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Court<'_> {
    /// The first path of the drift that a definition at `base` names: what a Makefile includes or a
    /// build script calls is a definition too, whatever it is called. What such a file calls in turn
    /// is not followed; the gates ran again on it.
    fn named<'p>(
        &self,
        definitions: &Definitions<'_>,
        base: &Oid,
        drift: &'p [String],
    ) -> Result<Option<&'p str>, Problem> {
        let mut entries = self.objects.entries(base)?;
        entries.retain(|entry| entry.is_file() && definitions.is_build(&entry.path));
        let ids: Vec<_> = entries.into_iter().map(|entry| entry.id).collect();
        let sizes = self.objects.blob_sizes(&ids)?;
        if sizes.into_iter().flatten().sum::<u64>() > MOST_BYTES {
            // More than can be looked through: then a person looks.
            return Ok(drift.first().map(String::as_str));
        }
        let texts = self.objects.blobs(&ids)?;
        let named = |path: &&String| texts.iter().any(|text| names(text, path));
        Ok(drift.iter().find(named).map(String::as_str))
    }
}

/// What says how changes are built, tested, judged or landed.
struct Definitions<'p> {
    builds: Globs,
    zones: PathRules<'p>,
    locks: PathRules<'p>,
    gates: &'p [Gate],
}

impl<'p> Definitions<'p> {
    fn of(policy: &'p Policy) -> Result<Self, Problem> {
        let invalid = |why: String| Problem::fail("RULES_INVALID", why);
        let known = DEFINITIONS.iter().map(|glob| (0, *glob));
        Ok(Self {
            builds: Globs::compile(known, Case::Folded).map_err(invalid)?,
            zones: PathRules::compile(&policy.protected_zones, Case::Folded)?,
            locks: PathRules::compile(&policy.lockfiles, Case::Folded)?,
            gates: &policy.gates,
        })
    }

    /// Whether a path is a build's or a test run's definition, or named by a gate.
    fn is_build(&self, path: &[u8]) -> bool {
        let text = String::from_utf8_lossy(path);
        let words = |gate: &'p Gate| gate.argv.iter().chain(gate.env.values());
        !self.builds.owners(path).is_empty()
            || self
                .gates
                .iter()
                .flat_map(words)
                .any(|word| names(word.as_bytes(), &text))
    }

    fn holds(&self, path: &str) -> bool {
        path.starts_with(SSOT)
            || self.is_build(path.as_bytes())
            || self.zones.first_match_folded(path).is_some()
            || self.locks.first_match_folded(path).is_some()
    }
}

/// Whether a text names a file, in any folder: its name stands there as a word of its own.
fn names(text: &[u8], path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).as_bytes();
    let is_word = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
    };
    !name.is_empty()
        && text.windows(name.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            // A dot after it may end a sentence or begin another name; it counts.
            let after = text.get(at + name.len()).filter(|byte| **byte != b'.');
            window == name && !is_word(before) && !is_word(after)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_a_file_by_a_word() {
        let text = b"include build/rules\ncheck:\n\t./tools/lint --all && sh 'a b.sh'\n";
        for path in ["build/rules", "rules", "tools/lint", "x/a b.sh"] {
            assert!(names(text, path), "{path}");
        }
        for path in ["rule", "src/int", "all.rs", "b.s", ""] {
            assert!(!names(text, path), "{path}");
        }
    }

    #[test]
    fn build_definitions_by_name() {
        let known = DEFINITIONS.iter().map(|glob| (0, *glob));
        let globs = Globs::compile(known, Case::Folded).unwrap();
        for path in [
            ".cargo/config.toml",
            "sub/.cargo/config",
            "rust-toolchain.toml",
            "tests/deep/conftest.py",
            "Sitecustomize.py",
            ".npmrc",
            "gradle/wrapper/gradle-wrapper.properties",
            "mvnw",
            "scripts/check",
            ".github/workflows/ci.yml",
            "sub/makefile",
        ] {
            assert!(!globs.owners(path.as_bytes()).is_empty(), "{path}");
        }
        for path in ["src/lib.rs", "docs/guide.md", "README.md", "src/app.sh"] {
            assert!(globs.owners(path.as_bytes()).is_empty(), "{path}");
        }
    }
}
