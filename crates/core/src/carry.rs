//! Carrying an approval over to the same net change on a target that moved.
//!
//! A person approved one candidate. When its target moved, the change is another candidate, and the
//! person is asked again, unless the policy allows this and all of it holds: the canonical patch is
//! the same to the byte, the target changed in other files only, none of them a manifest, a gate's
//! definition or the policy, and the gates passed again. It is proved when it is carried, and once more
//! at the landing.

use serde::{Deserialize, Serialize};

use crate::approval::{Approval, Verdict, Way};
use crate::candidate::Candidate;
use crate::clock;
use crate::digest;
use crate::envelope::ToolClass;
use crate::evidence::Court;
use crate::git::Oid;
use crate::manifest::SSOT;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::rules::{Case, Globs, PathRules};
use crate::store::TaskFolder;

/// An approval that was carried as often as this is asked for again.
const MOST: usize = 16;

/// Files that say what a build or a test run is, by name.
const DEFINITIONS: &[&str] = &[
    "**/{Cargo.toml,build.rs,clippy.toml,rustfmt.toml,deny.toml,nextest.toml}",
    "**/{package.json,deno.json,deno.jsonc,tsconfig*.json,*.config.{js,cjs,mjs,ts,mts,cts},pnpm-workspace.yaml,lerna.json,nx.json,turbo.json,.mocharc*,.babelrc*,.eslintrc*}",
    "**/{pyproject.toml,setup.py,setup.cfg,requirements*.txt,constraints*.txt,Pipfile,tox.ini,noxfile.py,pytest.ini,conftest.py,ruff.toml,mypy.ini,environment.y*ml}",
    "**/{go.mod,go.work,.golangci.y*ml,Gemfile,Rakefile,*.gemspec,composer.json,phpunit.xml*,mix.exs,rebar.config,pubspec.yaml,Package.swift,Podfile,Cartfile}",
    "**/{pom.xml,*.gradle,*.gradle.kts,gradle.properties,build.sbt,build.xml,deps.edn,project.clj}",
    "**/{*.csproj,*.fsproj,*.vbproj,*.sln,*.props,*.targets,global.json,paket.dependencies}",
    "**/{Makefile,makefile,GNUmakefile,*.mk,justfile,.justfile,*.just,Taskfile.y*ml,CMakeLists.txt,*.cmake,meson.build,meson_options.txt,configure,configure.ac,Makefile.am,SConstruct}",
    "**/{BUILD,BUILD.bazel,WORKSPACE,WORKSPACE.bazel,MODULE.bazel,*.bzl,*.nix,*.cabal,stack.yaml,*.opam,dune-project,dune,build.zig,build.zig.zon,Dockerfile*,Containerfile*,*compose*.y*ml}",
    ".autodev_ssot/**",
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
    /// Says why an approval of one candidate cannot count for the other; `None` when it can.
    ///
    /// # Errors
    /// `GIT_FAILED`, `RULES_INVALID`.
    pub fn why_not_carried(
        &self,
        task: &TaskFolder,
        from: &CarriedFrom,
        to: &Candidate,
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
        let facts = self.facts(task);
        let trouble = facts.unbound.first().or_else(|| facts.gates.first());
        Ok(trouble.map(|why| format!("the gates are not green again: {why}")))
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
        Ok(first_definition(self.policy, &drift)?.map(|path| {
            format!(
                "the target changed in {path}, which says how changes are built, tested or judged"
            )
        }))
    }

    /// The approval of the candidate before, as it counts for this one. `Err` inside says why it does
    /// not.
    ///
    /// # Errors
    /// As [`Self::why_not_carried`], and `APPROVAL_CHANGED`.
    pub fn carried(
        &self,
        task: &TaskFolder,
        before: &Candidate,
        to: &Candidate,
        class: ToolClass,
        id: String,
    ) -> Result<Result<Approval, String>, Problem> {
        if before.policy_sha256 != to.policy_sha256 || to.policy_sha256 != self.policy.sha256 {
            return Ok(Err("the policy is another one".to_owned()));
        }
        let given = self.store.approvals_for(before)?;
        if given.iter().any(|one| one.verdict == Verdict::Denied) {
            return Ok(Err("a person denied the candidate before".to_owned()));
        }
        let now = clock::now();
        let counts = |one: &&Approval| one.covers(class) && one.is_valid_at(now);
        let Some(old) = given.iter().rev().find(counts) else {
            return Ok(Err("the candidate before has no approval".to_owned()));
        };
        let from = CarriedFrom {
            approval_id: old.approval_id.clone(),
            base: old.base.clone(),
            tree: old.tree.clone(),
        };
        if let Some(why) = self.why_not_carried(task, &from, to)? {
            return Ok(Err(why));
        }
        Ok(Ok(Approval {
            approval_id: id,
            base: to.base.clone(),
            tree: to.tree.clone(),
            way: Way::Carried,
            carried_from: Some(from),
            reason: format!("carried over from {}", old.approval_id),
            ..old.clone()
        }))
    }

    /// Proves once more that a carried approval counts, back to the one that a person gave.
    ///
    /// # Errors
    /// As [`Self::why_not_carried`], and `APPROVAL_CHANGED`.
    pub fn proves(
        &self,
        task: &TaskFolder,
        approval: &Approval,
        to: &Candidate,
    ) -> Result<bool, Problem> {
        let mut at = approval.clone();
        for _ in 0..MOST {
            let Some(from) = at.carried_from.clone() else {
                return Ok(true);
            };
            if self.why_not_carried(task, &from, to)?.is_some() {
                return Ok(false);
            }
            let mut before = to.clone();
            before.base.clone_from(&from.base);
            before.tree.clone_from(&from.tree);
            let given = self.store.approvals_for(&before)?;
            let denied = given.iter().any(|one| one.verdict == Verdict::Denied);
            let now = clock::now();
            let source = given.into_iter().find(|one| {
                one.approval_id == from.approval_id
                    && one.is_valid_at(now)
                    && approval.tool_classes.iter().all(|class| one.covers(*class))
            });
            match source.filter(|_| !denied) {
                Some(source) => at = source,
                None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// The first path that says how changes are built, tested, judged or landed.
fn first_definition<'p>(policy: &Policy, paths: &'p [String]) -> Result<Option<&'p str>, Problem> {
    let invalid = |why: String| Problem::fail("RULES_INVALID", why);
    let known = DEFINITIONS.iter().map(|glob| (0, *glob));
    let definitions = Globs::compile(known, Case::Folded).map_err(invalid)?;
    let zones = PathRules::compile(&policy.protected_zones, Case::Folded)?;
    let locks = PathRules::compile(&policy.lockfiles, Case::Folded)?;
    let named: Vec<&str> = policy
        .gates
        .iter()
        .flat_map(|gate| gate.argv.iter())
        .map(|word| word.trim_start_matches("./"))
        .collect();
    let says = |path: &str| {
        !definitions.owners(path.as_bytes()).is_empty()
            || path.starts_with(SSOT)
            || zones.first_match_folded(path).is_some()
            || locks.first_match_folded(path).is_some()
            || named.contains(&path)
    };
    Ok(paths.iter().map(String::as_str).find(|path| says(path)))
}
