//! The rule book: a policy's rules and its secret rules, ready to judge many texts.
//!
//! One pass over a text for keywords says which rules could find something in it; only
//! those are compiled and run. So a run pays for the rules that its change calls up, and not for the
//! hundreds that have nothing to say.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use std::path::Path;

use baton_core::git::at_one_time;
use baton_core::policy::{Policy, RiskKind, Side, Texts};
use baton_core::problem::Problem;
use baton_core::session::Session;

use crate::keyword::{AROUND, Keywords, Table};
use crate::language::{self, Languages};
use crate::pattern::Pattern;
use crate::pattern::needs::Needs;
use crate::places::named::{Named, Names};
use crate::places::{Matched, Places};
use crate::rule::rule_set::RuleSet;
use crate::rule::secret::Place;
use crate::rule::secret::{self, Allowlist};
use crate::rule::{Rule, Source};

/// The rules of one policy.
#[derive(Debug)]
pub struct RuleBook<'p> {
    pub(crate) policy: &'p Policy,
    pub(crate) places: Places<'p>,
    rules: Vec<Rule<'p>>,
    /// Rules that read every file.
    everywhere: RuleSet,
    /// Rules that judge what goes away.
    pub(crate) losing: RuleSet,
    /// Rules by number of language.
    by_language: Vec<RuleSet>,
    keywords: Keywords,
    paths: PathPatterns,
    pub(crate) allowlists: Vec<Allowlist>,
    secrets: OnceCell<Rc<Table>>,
    loose: OnceCell<Rc<Table>>,
    names: Names<'p>,
}

/// The path patterns of secret rules. A run names few files, so that each is compiled when a path holds
/// what its matches hold.
#[derive(Debug)]
struct PathPatterns {
    /// Each with its rule.
    patterns: Vec<(Pattern, Needs, usize)>,
    /// Rules with a path pattern, which fit only where it matches.
    bound: RuleSet,
}

impl<'p> RuleBook<'p> {
    /// The rules of the policy that a session works under.
    ///
    /// # Errors
    /// `POLICY_MISSING`, `POLICY_INVALID`, `POLICY_EXAMPLE`, `SECRET_RULES_MISSING`,
    /// `SECRET_RULES_CHANGED`, `SECRET_RULES_INVALID`.
    pub fn of_session(session: &'p Session) -> Result<Self, Problem> {
        let files = session.secret_rules(secret::MAX_BYTES)?;
        Self::new(session.policy()?, &files)
    }

    /// The rules of a policy whose secret rule files lie in `folder`.
    ///
    /// # Errors
    /// As [`Self::of_session`].
    pub fn of_policy(policy: &'p Policy, folder: &Path) -> Result<Self, Problem> {
        Self::new(
            policy,
            &policy.secret_rules.read(folder, secret::MAX_BYTES)?,
        )
    }

    /// As [`Self::of_session`], made while another thread does `work` that mostly waits for git.
    ///
    /// # Errors
    /// As [`Self::of_session`], and those of `work`.
    pub fn meanwhile<T: Send>(
        session: &'p Session,
        work: impl FnOnce() -> Result<T, Problem> + Send,
    ) -> Result<(Self, T), Problem> {
        at_one_time(|| Self::of_session(session), work)
    }

    /// The rules of a policy and of the secret rule files that it names, each with its name.
    ///
    /// # Errors
    /// `POLICY_INVALID`, `POLICY_EXAMPLE`, `SECRET_RULES_INVALID`.
    pub fn new(policy: &'p Policy, files: &[(String, Vec<u8>)]) -> Result<Self, Problem> {
        let mut rules = Vec::new();
        let mut allowlists = Vec::new();
        for (name, bytes) in files {
            let file = secret::read(name, bytes)?;
            let first = rules.len();
            let more = file.rules.into_iter().map(Box::new).map(Source::Secret);
            rules.extend(more.map(Rule::new));
            unique_ids(rules.get(first..).unwrap_or_default())?;
            allowlists.extend(file.allowlists);
        }
        let own = policy.risk_rules.iter();
        let first = rules.len();
        rules.extend(own.map(Source::Policy).map(Rule::new));
        unique_ids(rules.get(first..).unwrap_or_default())?;
        let mut everywhere = RuleSet::of_size(rules.len());
        let mut losing = everywhere.clone();
        for (at, rule) in rules.iter().enumerate() {
            if rule.kind() == RiskKind::Secret || rule.side() == Side::Removed {
                losing.insert(at);
            }
        }
        let mut by_language = vec![everywhere.clone(); language::COUNT];
        let mut globs = Vec::new();
        for (at, compiled) in rules.iter_mut().enumerate() {
            let Source::Policy(rule) = &compiled.source else {
                everywhere.insert(at);
                continue;
            };
            compiled.languages = languages_of(&rule.id, &rule.place.languages)?;
            for number in compiled.languages.numbers() {
                if let Some(set) = by_language.get_mut(number) {
                    set.insert(at);
                }
            }
            globs.extend(rule.place.globs.iter().map(|glob| (at, glob)));
            if rule.place.globs.is_empty() && rule.place.languages.is_empty() {
                everywhere.insert(at);
            }
        }
        Ok(Self {
            policy,
            places: Places::compile(policy, &globs)?,
            keywords: Keywords::of(&rules),
            paths: PathPatterns::of(&mut rules),
            rules,
            everywhere,
            losing,
            by_language,
            allowlists,
            secrets: OnceCell::new(),
            loose: OnceCell::new(),
            names: Names::default(),
        })
    }

    /// Compiles the pattern of every rule that a team wrote or changed, and tries its examples. The rules
    /// that baton comes with were tried by its own tests: [`Self::problems`].
    ///
    /// # Errors
    /// The first thing that is wrong with any of them.
    pub fn check_others(&self) -> Result<(), Problem> {
        let others = self.rules.iter().filter(|rule| !rule.is_shipped());
        others.map(Rule::check).chain(self.lists()).collect()
    }

    /// What is wrong with any rule, also one that baton comes with: a pattern that cannot be compiled, an
    /// example that does not hold.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let rules = self.rules.iter().map(Rule::check);
        rules.chain(self.lists()).filter_map(Result::err).collect()
    }

    fn lists(&self) -> impl Iterator<Item = Result<(), Problem>> {
        self.allowlists.iter().map(Allowlist::check_all)
    }

    /// Leaves its memory to the end of the process, which frees it at once and not rule by rule.
    pub fn leave(self) {
        std::mem::forget(self);
    }

    /// The policy that the rules belong to.
    #[must_use]
    pub fn policy(&self) -> &'p Policy {
        self.policy
    }

    /// How many rules there are: of the policy, and for secrets.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let secrets = self.rules.iter();
        let secrets = secrets.filter(|rule| matches!(rule.source, Source::Secret(_)));
        let secrets = secrets.count();
        (self.rules.len() - secrets, secrets)
    }

    pub(crate) fn rule(&self, number: usize) -> Option<&Rule<'p>> {
        self.rules.get(number)
    }

    pub(crate) fn rules(&self) -> &[Rule<'p>] {
        &self.rules
    }

    /// The rules that read a file of this path and these languages.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID`.
    pub(crate) fn fitting(
        &self,
        path: &[u8],
        matched: &Matched<'_>,
        languages: Languages,
    ) -> Result<RuleSet, Problem> {
        let mut fits = self.everywhere.clone();
        for number in languages.numbers() {
            if let Some(more) = self.by_language.get(number) {
                fits.join(more);
            }
        }
        for rule in &matched.content {
            fits.insert(*rule);
        }
        fits.remove(&self.paths.bound);
        for rule in self.paths.matching(path)? {
            fits.insert(rule);
        }
        Ok(fits)
    }

    /// The keywords of the rules that read every file, of some kinds: for text that lies in no file.
    pub(crate) fn table_of(&self, kinds: &[RiskKind]) -> Rc<Table> {
        let mut set = RuleSet::of_size(self.rules.len());
        for (at, rule) in self.rules.iter().enumerate() {
            let fits = self.everywhere.has(at) && !self.paths.bound.has(at);
            if fits && kinds.contains(&rule.kind()) {
                set.insert(at);
            }
        }
        self.table(&set)
    }

    /// The keywords of the rules for secrets; asked for wherever a text is to be shown.
    pub(crate) fn secrets(&self) -> Rc<Table> {
        Rc::clone(
            self.secrets
                .get_or_init(|| self.table_of(&[RiskKind::Secret])),
        )
    }

    /// The keywords of the rules that also judge names and mails.
    pub(crate) fn loose(&self) -> Rc<Table> {
        let kinds = [RiskKind::Secret, RiskKind::Instruction];
        Rc::clone(self.loose.get_or_init(|| self.table_of(&kinds)))
    }

    /// The rules of secrets that are a finding by the path alone.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID`.
    pub(crate) fn by_path_alone(&self, path: &[u8]) -> Result<Vec<usize>, Problem> {
        let place = Place {
            path,
            matched: b"",
            secret: b"",
            line: b"",
        };
        let mut alone = Vec::new();
        for at in self.paths.matching(path)? {
            let rule = self.rules.get(at).filter(|rule| !rule.reads_text());
            if let Some(rule) = rule
                && rule.counts(&place, &self.allowlists)?
            {
                alone.push(at);
            }
        }
        Ok(alone)
    }

    /// What the name of a file tells.
    ///
    /// # Errors
    /// What a rule is refused for.
    pub(crate) fn named(&self, path: &[u8]) -> Result<Rc<Named<'p>>, Problem> {
        self.names.named(self, path)
    }

    /// The rules of a table to run on a text, and the parts of it to run them on.
    pub(crate) fn windows(&self, table: &Table, text: &[u8]) -> Vec<(usize, Range<usize>)> {
        windows(&self.rules, table, text)
    }

    /// The keywords of some rules.
    pub(crate) fn table(&self, fits: &RuleSet) -> Rc<Table> {
        self.keywords.table(fits)
    }
}

/// The rules of a table to run on a text, and the parts of it to run them on.
pub(crate) fn windows(
    rules: &[Rule<'_>],
    table: &Table,
    text: &[u8],
) -> Vec<(usize, Range<usize>)> {
    let mut line = Line::default();
    let mut windows = table.windows(text, |number, place| {
        let rule = rules.get(number).filter(|rule| rule.is_bound_to_keyword());
        rule.is_none_or(|rule| line.may_hold(text, (number, rule), place))
    });
    let far = |number: usize| {
        rules
            .get(number)
            .is_some_and(|rule| rule.reaches_far(AROUND))
    };
    for (number, window) in &mut windows {
        if *window != (0..text.len()) && far(*number) {
            *window = 0..text.len();
        }
    }
    windows.dedup();
    windows
}

/// The line that a place lies in, for rules whose matches lie in the line of a keyword: most lines lack
/// what a match holds, and then the whole text need not be read.
#[derive(Default)]
struct Line {
    range: Range<usize>,
    /// The rules that were asked.
    known: RuleSet,
}

impl Line {
    /// Whether a match of a rule may lie in the line of a keyword, which many keywords may stand in.
    fn may_hold(
        &mut self,
        text: &[u8],
        (number, rule): (usize, &Rule<'_>),
        place: &Range<usize>,
    ) -> bool {
        let at = place.end.saturating_sub(1);
        if !self.range.contains(&at) {
            let (head, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
            let start = memchr::memrchr(b'\n', head).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', tail).map_or(text.len(), |end| at + end + 1);
            self.range = start..end;
            self.known.clear();
        }
        if self.range.len() > AROUND {
            return true;
        }
        if self.known.has(number) {
            return false;
        }
        self.known.insert(number);
        // A match may begin with the line feed before, and what follows may decide on it.
        let around = self.range.start.saturating_sub(1)..(self.range.end + 1).min(text.len());
        // What is wrong with a rule is said when it runs.
        rule.matches_within(text, &around).unwrap_or(true)
    }
}

/// Within one file, and within the policy, an id tells one rule from every other; files that were written apart
/// may share some.
fn unique_ids(rules: &[Rule<'_>]) -> Result<(), Problem> {
    let mut seen = HashMap::new();
    for rule in rules {
        if seen.insert(rule.id(), ()).is_some() {
            return Err(Problem::fail(
                "SECRET_RULES_INVALID",
                format!("two rules have the id \"{}\"", rule.id()),
            )
            .hint("give each rule of one file an id of its own"));
        }
    }
    Ok(())
}

fn languages_of(rule: &str, names: &Texts) -> Result<Languages, Problem> {
    names.iter().try_fold(Languages::default(), |all, name| {
        let one = Languages::named(name).ok_or_else(|| {
            let name = name.escape_debug();
            Problem::fail(
                "POLICY_INVALID",
                format!("policy rule {rule}: there is no language \"{name}\""),
            )
            .hint("docs/risk.md lists the languages; a glob names any other file")
        })?;
        Ok(all.and(one))
    })
}

impl PathPatterns {
    fn of(rules: &mut [Rule<'_>]) -> Self {
        let mut patterns = Vec::new();
        let mut bound = RuleSet::of_size(rules.len());
        for (at, rule) in rules.iter_mut().enumerate() {
            if let Source::Secret(secret) = &mut rule.source
                && let Some(path) = &secret.path
            {
                let needs = secret.path_needs.take().unwrap_or_default();
                patterns.push((Pattern::new(path.clone()), needs, at));
                bound.insert(at);
            }
        }
        Self { patterns, bound }
    }

    /// The rules whose pattern matches a path.
    ///
    /// # Errors
    /// `SECRET_RULES_INVALID`.
    fn matching(&self, path: &[u8]) -> Result<Vec<usize>, Problem> {
        let mut matching = Vec::new();
        for (pattern, needs, rule) in &self.patterns {
            if needs.are_met(path) && pattern.get().map_err(wrong_path)?.is_match(path) {
                matching.push(*rule);
            }
        }
        Ok(matching)
    }
}

fn wrong_path(why: String) -> Problem {
    Problem::fail("SECRET_RULES_INVALID", format!("secret rules: path: {why}"))
}
