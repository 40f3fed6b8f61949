//! One gate from beginning to end: the candidate, and beside it the base, so that what was broken
//! before is not blamed on the change and what the change took away is seen.

use baton_core::clock;
use baton_core::git::Oid;
use baton_core::outputs::CheckStatus;
use baton_core::policy::Gate;
use baton_core::problem::Problem;
use baton_sandbox::Refused;
use serde_json::Value;

use crate::attempt::{self, Attempt, Ground, NotRun};
use crate::cache::{Cache, Entry, FirstRun};
use crate::counts::{Comparison, compare, failing_lines};
use crate::tools::{self, Tools};

/// Refusals that come from what a tree holds or lacks.
const BY_THE_TREE: [&str; 3] = ["GATE_PLACE", "PROFILE_INVALID", "TOOL_MISSING"];

/// What the gates of one run are about.
pub(crate) struct About<'a> {
    pub(crate) tree: &'a Oid,
    /// The paths that the change touches.
    pub(crate) changed: &'a [Vec<u8>],
    pub(crate) cache: &'a Cache,
    /// Evidence is kept, so there is somebody to tell details.
    pub(crate) is_kept: bool,
    /// The candidate's result is held against the base's.
    pub(crate) is_compared: bool,
}

/// What came of one gate.
pub(crate) struct Taken {
    pub(crate) on: Result<Runs, Refused>,
    pub(crate) tools: Value,
    /// What the program says of its version.
    pub(crate) version: Option<String>,
    /// Results that may be used again, by their keys; their logs are not masked yet.
    pub(crate) fresh: Vec<(String, Which)>,
}

/// The runs of one gate that ran.
pub(crate) struct Runs {
    pub(crate) candidate: Attempt,
    /// The candidate's result is one that was kept.
    pub(crate) cached: Option<FirstRun>,
    pub(crate) base: Option<Attempt>,
    /// The change touches protected files, so it has to pass with those of the base too.
    pub(crate) needs_base_files: bool,
    /// The candidate with the protected files of the base; none when that could not be run.
    pub(crate) with_base_files: Option<Attempt>,
    /// The candidate once more, after a failure that the base does not have.
    pub(crate) again: Option<Attempt>,
}

/// Which of the runs a fresh result is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Candidate,
    Base,
}

impl Runs {
    /// How the candidate's tests differ from the base's, where both said something of theirs.
    pub(crate) fn comparison(&self) -> Option<Comparison> {
        beside(&self.candidate, self.base.as_ref()?)
    }

    /// The failure is the change's: the base passes, fails otherwise, or fails less.
    pub(crate) fn is_new(&self) -> bool {
        let own = &self.candidate;
        let is_shared = |base: &Attempt| !fails_beyond(own, base) && !is_thinner(own, base);
        !self.base.as_ref().is_some_and(is_shared) || !self.holds_with_base_files()
    }

    /// The same tree passed and failed.
    pub(crate) fn is_flaky(&self) -> bool {
        self.again.as_ref().is_some_and(passes) && !passes(&self.candidate)
    }

    /// What the gate comes to, and the word for it. A base that fails already excuses the very same
    /// failures and nothing else.
    pub(crate) fn verdict(&self) -> (CheckStatus, &str) {
        let candidate = &self.candidate;
        let base = self.base.as_ref();
        if !passes(candidate) && base.is_none_or(|base| fails_beyond(candidate, base)) {
            return (candidate.status, &candidate.why);
        }
        if !self.holds_with_base_files() {
            return (CheckStatus::Fail, "BASE_TESTS_FAILED");
        }
        if base.is_some_and(|base| is_thinner(candidate, base)) {
            return (CheckStatus::Fail, "FEWER_TESTS");
        }
        (candidate.status, &candidate.why)
    }

    /// With the protected files of the base all tests pass but those that fail on the base, and fail
    /// with the candidate's own files too: a test that was bent is not among the latter. Only names tell
    /// them.
    fn holds_with_base_files(&self) -> bool {
        let Some(run) = &self.with_base_files else {
            return !self.needs_base_files;
        };
        let Some(base) = &self.base else {
            return passes(run);
        };
        let names = |attempt: &Attempt| attempt.tests.as_ref().is_some_and(|t| t.cases.is_some());
        let shares = |other| names(other) && !fails_beyond(run, other);
        let fails_as_before = names(run) && shares(base) && shares(&self.candidate);
        (passes(run) || fails_as_before) && !is_thinner(run, base)
    }

    /// The lines of the run that failed which tell most.
    pub(crate) fn telling_lines(&self) -> Vec<String> {
        let failed = match &self.with_base_files {
            Some(other) if !self.holds_with_base_files() => other,
            _ => &self.candidate,
        };
        failing_lines(&failed.log, failed.tests.as_ref())
    }

    /// STOP came while one of them ran.
    pub(crate) fn is_stopped(&self) -> bool {
        let all = [&self.base, &self.with_base_files, &self.again];
        let mut all = all.into_iter().flatten().chain([&self.candidate]);
        all.any(|attempt| attempt.why == "STOP_PRESENT")
    }
}

fn passes(attempt: &Attempt) -> bool {
    attempt.status == CheckStatus::Pass
}

fn beside(now: &Attempt, other: &Attempt) -> Option<Comparison> {
    Some(compare(now.tests.as_ref()?, other.tests.as_ref()?))
}

/// A run fails where the other does not: that one passes, fails otherwise, or fails less.
fn fails_beyond(now: &Attempt, other: &Attempt) -> bool {
    let is_worse = match beside(now, other) {
        Some(comparison) => comparison.is_worse(),
        None => other.tests.is_some(),
    };
    !passes(now) && (passes(other) || is_worse || now.why != other.why)
}

/// A run tests less than the other: fewer tests, or some that ran there are skipped.
fn is_thinner(now: &Attempt, other: &Attempt) -> bool {
    beside(now, other)
        .is_some_and(|comparison| comparison.fewer > 0 || !comparison.newly_skipped.is_empty())
}

/// Runs one gate.
///
/// # Errors
/// Whatever breaks on our side; a gate that cannot be run is no error but [`Taken::on`].
pub(crate) fn take(ground: &Ground<'_>, gate: &Gate, about: &About<'_>) -> Result<Taken, Problem> {
    let taken = |on, tools, fresh| Taken {
        on,
        tools,
        version: None,
        fresh,
    };
    let tools = match tools::fingerprint(ground, gate).map_err(NotRun::from) {
        Ok(tools) => tools,
        Err(NotRun::Refused(why)) => return Ok(taken(Err(why), Value::Null, Vec::new())),
        Err(NotRun::Broken(problem)) => return Err(problem),
    };
    let mut job = Job {
        ground,
        gate,
        about,
        tools,
        fresh: Vec::new(),
    };
    match job.run() {
        Ok(runs) => Ok(Taken {
            version: about
                .is_kept
                .then(|| tools::version(ground, gate))
                .flatten(),
            ..taken(Ok(runs), job.tools.told, job.fresh)
        }),
        Err(NotRun::Refused(why)) => Ok(taken(Err(why), job.tools.told, Vec::new())),
        Err(NotRun::Broken(problem)) => Err(problem),
    }
}

struct Job<'a> {
    ground: &'a Ground<'a>,
    gate: &'a Gate,
    about: &'a About<'a>,
    tools: Tools,
    fresh: Vec<(String, Which)>,
}

impl Job<'_> {
    fn run(&mut self) -> Result<Runs, NotRun> {
        let own = self.key(self.about.tree);
        let (candidate, cached) = match self.find(own.as_deref()) {
            Some(entry) => (entry.attempt, Some(entry.first_run)),
            None => {
                let attempt = attempt::run(self.ground, self.gate, self.about.tree)?;
                self.keep(own, Which::Candidate, &attempt);
                (attempt, None)
            }
        };
        let mut runs = Runs {
            candidate,
            cached,
            base: None,
            needs_base_files: false,
            with_base_files: None,
            again: None,
        };
        if self.about.is_compared {
            self.compare(&mut runs)?;
        }
        Ok(runs)
    }

    /// The name of a result; none where what it depends on cannot be told.
    fn key(&self, tree: &Oid) -> Option<String> {
        let tools = &self.tools;
        let key = || Cache::key(self.ground, self.gate, tree, &tools.told);
        tools.is_whole.then(key)
    }

    /// A failure is never taken from what was kept: it is looked at again. One of the base excuses the
    /// change's own, and one bad moment must not do so for ever.
    fn find(&self, key: Option<&str>) -> Option<Entry> {
        let kept = self.about.cache.find(key?)?;
        passes(&kept.attempt).then_some(kept)
    }

    fn keep(&mut self, key: Option<String>, which: Which, attempt: &Attempt) {
        let key = key.filter(|_| Cache::is_kept(attempt));
        self.fresh.extend(key.map(|key| (key, which)));
    }

    /// Runs what the candidate's result has to be held against. A gate that was killed for taking too
    /// much is not run again: it would take as much.
    fn compare(&mut self, runs: &mut Runs) -> Result<(), NotRun> {
        let passed = runs.candidate.status == CheckStatus::Pass;
        if !passed && !runs.candidate.ended_itself() {
            return Ok(());
        }
        if self.gate.counts_tests || !passed {
            runs.base = self.base()?;
        }
        if runs.is_stopped() {
            return Ok(());
        }
        let base = runs.base.as_ref();
        if passed || base.is_some_and(|base| !fails_beyond(&runs.candidate, base)) {
            if let Some(tree) = self.base_files()? {
                runs.with_base_files = some(attempt::run(self.ground, self.gate, &tree))?;
                runs.needs_base_files = true;
            }
        } else {
            runs.again = some(attempt::run(self.ground, self.gate, self.about.tree))?;
        }
        Ok(())
    }

    fn base(&mut self) -> Result<Option<Attempt>, NotRun> {
        let key = self.key(self.ground.base_tree);
        if let Some(entry) = self.find(key.as_deref()) {
            return Ok(Some(entry.attempt));
        }
        let base = some(attempt::run(self.ground, self.gate, self.ground.base_tree))?;
        if let Some(base) = &base {
            self.keep(key, Which::Base, base);
        }
        Ok(base)
    }

    /// The candidate with the protected files of the base, when the change touches any of them.
    fn base_files(&self) -> Result<Option<Oid>, Problem> {
        if self.gate.protected_base.is_empty() {
            return Ok(None);
        }
        let invalid = |why| Problem::fail("POLICY_INVALID", format!("gates.protected_base: {why}"));
        let globs = self.gate.protected().map_err(invalid)?;
        let is_taken = |path: &[u8]| !globs.owners(path).is_empty();
        if !self.about.changed.iter().any(|path| is_taken(path)) {
            return Ok(None);
        }
        let (objects, base) = (self.ground.objects, self.ground.base_tree);
        objects
            .with_paths_from(self.about.tree, base, is_taken)
            .map(Some)
    }
}

/// A run beside the candidate's that the tree itself rules out says nothing: its program or its
/// folder is not there. Where anything else keeps it from running, the gate has not been held
/// against what it must be held against, and counts as not run.
fn some(ran: Result<Attempt, NotRun>) -> Result<Option<Attempt>, NotRun> {
    match ran {
        Err(NotRun::Refused(refused)) if BY_THE_TREE.contains(&refused.code) => Ok(None),
        ran => ran.map(Some),
    }
}

/// A result that is kept for later, with its log as the evidence holds it.
pub(crate) fn entry(key: String, gate: &Gate, task: &str, attempt: &Attempt) -> Entry {
    Entry {
        key,
        gate_id: gate.id.clone(),
        first_run: FirstRun {
            task: task.to_owned(),
            at: clock::rfc3339(clock::now()),
        },
        attempt: attempt.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_tree_rules_out_goes_without_a_run_beside() {
        for (code, is_passed_over) in [
            ("TOOL_MISSING", true),
            ("GATE_PLACE", true),
            ("STOPPED", false),
            ("ISOLATION_UNAVAILABLE", false),
            ("SANDBOX_FAILED", false),
        ] {
            let refused = Refused {
                code,
                message: String::new(),
                fix: String::new(),
                tried: Vec::new(),
            };
            let beside = some(Err(NotRun::Refused(refused)));
            assert_eq!(matches!(beside, Ok(None)), is_passed_over, "{code}");
        }
    }
}
