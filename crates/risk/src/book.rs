//! The rule book: a policy's rules and its secret rules, ready to judge many texts.
//!
//! One pass of a keyword automaton over a text says which rules could find something in it; only
//! those are compiled and run. So a run pays for the rules that its change calls up, and not for the
//! hundreds that have nothing to say.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, StartKind};
use baton_core::policy::{Policy, RiskKind, Side};
use baton_core::problem::Problem;
use baton_core::session::Session;
use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::language::{self, Languages};
use crate::places::{Matched, Places};
use crate::rule::{Rule, Source};
use crate::rule_set::RuleSet;
use crate::secret::{self, Allowlist};

/// A text up to this size is judged by a rule as a whole, in bytes.
const WHOLE: usize = 16 << 10;
/// In a longer one a pattern is looked for this far around the rule's keywords, in bytes: work stays
/// linear, and no secret or call is longer.
const AROUND: usize = 4 << 10;
/// After this many bytes the faster automaton pays for being built.
const WORTH_A_TABLE: usize = 4 << 20;

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
}

/// The keyword automaton. The small form is built at once, the fast one when there is much to read.
#[derive(Debug)]
struct Keywords {
    words: Vec<String>,
    /// For each word the rules that have it.
    rules: Vec<Vec<usize>>,
    /// Rules without a keyword: looked for in every text.
    always: RuleSet,
    small: AhoCorasick,
    fast: OnceCell<AhoCorasick>,
    read: Cell<usize>,
    /// Room for the words of one text.
    seen: RefCell<RuleSet>,
}

/// The path patterns of secret rules, asked all at once.
#[derive(Debug)]
struct PathPatterns {
    set: RegexSet,
    /// The rule of each pattern of the set.
    rules: Vec<usize>,
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

    /// The rules of a policy and of the secret rule files that it names, each with its name.
    ///
    /// # Errors
    /// `POLICY_INVALID`, `POLICY_EXAMPLE`, `SECRET_RULES_INVALID`.
    pub fn new(policy: &'p Policy, files: &[(String, Vec<u8>)]) -> Result<Self, Problem> {
        let mut rules = Vec::new();
        let mut allowlists = Vec::new();
        for (name, bytes) in files {
            let file = secret::read(name, bytes)?;
            let more = file.rules.into_iter().map(Box::new).map(Source::Secret);
            rules.extend(more.map(Rule::new));
            allowlists.extend(file.allowlists);
        }
        rules.extend(policy.risk_rules.iter().map(Source::Policy).map(Rule::new));
        unique_ids(&rules)?;
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
            globs.extend(rule.place.globs.iter().map(|glob| (at, glob.as_str())));
            if rule.place.globs.is_empty() && rule.place.languages.is_empty() {
                everywhere.insert(at);
            }
        }
        Ok(Self {
            policy,
            places: Places::compile(policy, &globs)?,
            keywords: Keywords::compile(&rules)?,
            paths: PathPatterns::compile(&rules)?,
            rules,
            everywhere,
            losing,
            by_language,
            allowlists,
        })
    }

    /// Compiles every pattern and checks every example.
    ///
    /// # Errors
    /// The first of [`Self::problems`].
    pub fn check_all(&self) -> Result<(), Problem> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// What is wrong with any rule: a pattern that cannot be compiled, an example that does not hold.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let rules = self.rules.iter().map(Rule::check);
        let lists = self.allowlists.iter().map(Allowlist::check_all);
        rules.chain(lists).filter_map(Result::err).collect()
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
    pub(crate) fn fitting(
        &self,
        path: &[u8],
        matched: &Matched<'_>,
        languages: Languages,
    ) -> RuleSet {
        let mut fits = self.everywhere.clone();
        for number in languages.numbers() {
            if let Some(more) = self.by_language.get(number) {
                fits.join(more);
            }
        }
        for rule in &matched.content {
            fits.insert(*rule);
        }
        self.paths.narrow(path, &mut fits);
        fits
    }

    /// The rules that read every file, of some kinds: for text that lies in no file.
    pub(crate) fn of_kinds(&self, kinds: &[RiskKind]) -> RuleSet {
        let mut set = RuleSet::of_size(self.rules.len());
        for (at, rule) in self.rules.iter().enumerate() {
            let fits = self.everywhere.has(at) && !self.paths.bound.has(at);
            if fits && kinds.contains(&rule.kind()) {
                set.insert(at);
            }
        }
        set
    }

    /// The rules of secrets that are a finding by the path alone.
    pub(crate) fn by_path_alone(&self, path: &[u8]) -> Vec<&Rule<'p>> {
        let matched = self.paths.matching(path);
        let rules = matched.filter_map(|at| self.rules.get(at));
        rules.filter(|rule| !rule.reads_text()).collect()
    }

    /// The fitting rules of which a keyword stands in a text.
    pub(crate) fn called(&self, text: &[u8], fits: &RuleSet, called: &mut RuleSet) {
        self.called_in([text], fits, called);
    }

    /// As [`Self::called`], for the parts of a text.
    pub(crate) fn called_in<'t>(
        &self,
        parts: impl IntoIterator<Item = &'t [u8]>,
        fits: &RuleSet,
        called: &mut RuleSet,
    ) {
        called.clear();
        if !called.is_as_large_as(fits) {
            *called = RuleSet::of_size(self.rules.len());
        }
        self.keywords.each_once(parts, |rule| {
            if fits.has(rule) {
                called.insert(rule);
            }
        });
        called.join_both(&self.keywords.always, fits);
    }

    /// The parts of a text to run rules on, where it is known which were called.
    pub(crate) fn windows_of(
        &self,
        text: &[u8],
        fits: &RuleSet,
        called: &RuleSet,
    ) -> Vec<(usize, Range<usize>)> {
        if text.len() <= WHOLE {
            return called.numbers().map(|rule| (rule, 0..text.len())).collect();
        }
        self.windows(text, fits)
    }

    /// The rules to run on a text and the parts of it to run them on.
    pub(crate) fn windows(&self, text: &[u8], fits: &RuleSet) -> Vec<(usize, Range<usize>)> {
        let mut called = RuleSet::of_size(self.rules.len());
        if text.len() <= WHOLE {
            self.called(text, fits, &mut called);
            return called.numbers().map(|rule| (rule, 0..text.len())).collect();
        }
        let mut open: HashMap<usize, Range<usize>> = HashMap::new();
        let mut windows = Vec::new();
        self.keywords.scan(text, |rule, place| {
            if !fits.has(rule) {
                return;
            }
            let around = place.start.saturating_sub(AROUND)..(place.end + AROUND).min(text.len());
            let window = open.entry(rule).or_insert_with(|| around.clone());
            if around.start <= window.end {
                window.end = around.end.max(window.end);
            } else {
                windows.push((rule, std::mem::replace(window, around)));
            }
        });
        windows.extend(open);
        let always = self
            .keywords
            .always
            .numbers()
            .filter(|rule| fits.has(*rule));
        windows.extend(always.map(|rule| (rule, 0..text.len())));
        windows.sort_by_key(|(rule, window)| (*rule, window.start));
        windows
    }
}

fn unique_ids(rules: &[Rule<'_>]) -> Result<(), Problem> {
    let mut seen = HashMap::new();
    for rule in rules {
        if seen.insert(rule.id(), ()).is_some() {
            return Err(Problem::fail(
                "SECRET_RULES_INVALID",
                format!("two rules have the id \"{}\"", rule.id()),
            )
            .hint("give each rule, of the policy and of its secret rule files, an id of its own"));
        }
    }
    Ok(())
}

fn languages_of(rule: &str, names: &[String]) -> Result<Languages, Problem> {
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

impl Keywords {
    fn compile(rules: &[Rule<'_>]) -> Result<Self, Problem> {
        let mut words: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut always = RuleSet::of_size(rules.len());
        for (at, rule) in rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.reads_text())
        {
            if rule.keywords().is_empty() {
                always.insert(at);
            }
            for word in rule.keywords() {
                let word = word.to_ascii_lowercase();
                let number = *known.entry(word).or_insert_with_key(|word| {
                    words.push(word.clone());
                    owners.push(Vec::new());
                    words.len() - 1
                });
                if let Some(list) = owners.get_mut(number) {
                    list.push(at);
                }
            }
        }
        let seen = RuleSet::of_size(words.len());
        Ok(Self {
            small: automaton(&words, AhoCorasickKind::ContiguousNFA)?,
            words,
            rules: owners,
            always,
            fast: OnceCell::new(),
            read: Cell::new(0),
            seen: RefCell::new(seen),
        })
    }

    /// Hands over each place of each keyword, for each rule that has it.
    fn scan(&self, text: &[u8], mut visit: impl FnMut(usize, Range<usize>)) {
        for found in self.automaton(text.len()).find_overlapping_iter(text) {
            let owners = self.rules.get(found.pattern().as_usize());
            for rule in owners.into_iter().flatten() {
                visit(*rule, found.range());
            }
        }
    }

    /// Hands over each rule of which a keyword stands in the text; a word that was seen is not asked
    /// about again.
    fn each_once<'t>(
        &self,
        parts: impl IntoIterator<Item = &'t [u8]>,
        mut visit: impl FnMut(usize),
    ) {
        let mut seen = self.seen.borrow_mut();
        for text in parts {
            for found in self.automaton(text.len()).find_overlapping_iter(text) {
                let word = found.pattern().as_usize();
                if seen.has(word) {
                    continue;
                }
                seen.insert(word);
                for rule in self.rules.get(word).into_iter().flatten() {
                    visit(*rule);
                }
            }
        }
        seen.clear();
    }

    fn automaton(&self, more: usize) -> &AhoCorasick {
        if let Some(fast) = self.fast.get() {
            return fast;
        }
        let read = self.read.get() + more;
        self.read.set(read);
        if read < WORTH_A_TABLE {
            return &self.small;
        }
        match automaton(&self.words, AhoCorasickKind::DFA) {
            Ok(fast) => self.fast.get_or_init(|| fast),
            Err(_) => &self.small,
        }
    }
}

fn automaton(words: &[String], kind: AhoCorasickKind) -> Result<AhoCorasick, Problem> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .start_kind(StartKind::Unanchored)
        .prefilter(false)
        .kind(Some(kind))
        .build(words)
        .map_err(|error| Problem::fail("POLICY_INVALID", format!("policy: keywords: {error}")))
}

impl PathPatterns {
    fn compile(rules: &[Rule<'_>]) -> Result<Self, Problem> {
        let mut texts = Vec::new();
        let mut owners = Vec::new();
        let mut bound = RuleSet::of_size(rules.len());
        for (at, rule) in rules.iter().enumerate() {
            if let Source::Secret(secret) = &rule.source
                && let Some(path) = &secret.path
            {
                texts.push(path.as_str());
                owners.push(at);
                bound.insert(at);
            }
        }
        let set = RegexSetBuilder::new(texts).unicode(false).build();
        let set = set.map_err(|error| {
            Problem::fail(
                "SECRET_RULES_INVALID",
                format!("secret rules: path: {error}"),
            )
        })?;
        Ok(Self {
            set,
            rules: owners,
            bound,
        })
    }

    fn matching(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        let matched = self.set.matches(path).into_iter();
        matched.filter_map(|at| self.rules.get(at).copied())
    }

    /// Takes out the rules that are bound to other paths than this one.
    fn narrow(&self, path: &[u8], fits: &mut RuleSet) {
        fits.remove(&self.bound);
        for rule in self.matching(path) {
            fits.insert(rule);
        }
    }
}
