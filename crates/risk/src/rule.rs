//! One content rule, of the policy or of a secret rule file, and what it finds in a text.

mod limit;
pub(crate) mod rule_set;
pub(crate) mod secret;
mod secret_file;

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use crate::language::Languages;
use crate::language::comment::Comments;
use crate::pattern::part::Parts;
use crate::pattern::shape::{self, Told};
use crate::pattern::{Groups, Regex};
use crate::rule::limit::Limit;
use crate::rule::secret::{Allowlist, Place, SecretRule};
use baton_core::envelope::Severity;
use baton_core::policy::{RiskKind, RiskRule, Side, Texts};
use baton_core::problem::Problem;
use baton_core::rules::check_examples;

/// Where a rule comes from.
#[derive(Debug)]
pub(crate) enum Source<'p> {
    Policy(&'p RiskRule),
    Secret(Box<SecretRule>),
}

/// A content rule. Its pattern is compiled when one of its keywords turns up.
#[derive(Debug)]
pub(crate) struct Rule<'p> {
    pub(crate) source: Source<'p>,
    /// The languages that it reads, for rules of the policy.
    pub(crate) languages: Languages,
    /// Both lie elsewhere: there are hundreds of rules, and most are never asked.
    compiled: OnceCell<Box<Compiled>>,
    told: OnceCell<Box<Told>>,
    /// What of that is asked at every place of a keyword.
    nature: OnceCell<Nature>,
}

#[derive(Clone, Copy, Debug)]
struct Nature {
    is_loose: bool,
    stays_in_line: bool,
}

#[derive(Debug)]
struct Compiled {
    pattern: Regex,
    except: Option<Regex>,
    /// Whether the groups of a match are asked for; a search without them is much faster.
    has_groups: bool,
    /// How the number in a match may change, where only that counts.
    limit: Option<Limit>,
}

/// One match of a rule.
pub(crate) struct Found<'t> {
    /// Where in the text.
    pub(crate) range: Range<usize>,
    /// The part that is the secret; the whole match for other rules.
    pub(crate) secret: &'t [u8],
    /// What the group `name` holds.
    pub(crate) name: Option<&'t [u8]>,
}

/// What to do about a rule of the policy that cannot be used.
const CORRECT: &str = "correct the rule in POLICY.json; baton doctor reads every rule";

/// For texts of which every place counts.
pub(crate) fn all(_place: &Range<usize>) -> bool {
    true
}

impl<'p> Rule<'p> {
    pub(crate) fn new(source: Source<'p>) -> Self {
        Self {
            source,
            languages: Languages::default(),
            compiled: OnceCell::new(),
            told: OnceCell::new(),
            nature: OnceCell::new(),
        }
    }

    /// Whether a match of this rule counts in a comment.
    pub(crate) fn reads_comments(&self) -> bool {
        match &self.source {
            Source::Policy(rule) => reads_comments(rule),
            Source::Secret(_) => true,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match &self.source {
            Source::Policy(rule) => &rule.id,
            Source::Secret(rule) => &rule.id,
        }
    }

    /// Whether a match stands: a secret must be random enough and on no allowlist.
    pub(crate) fn counts(
        &self,
        place: &Place<'_>,
        allowlists: &[Allowlist],
    ) -> Result<bool, Problem> {
        match &self.source {
            Source::Policy(_) => Ok(true),
            Source::Secret(secret) => secret.counts(place, allowlists),
        }
    }

    pub(crate) fn kind(&self) -> RiskKind {
        match &self.source {
            Source::Policy(rule) => rule.kind,
            Source::Secret(_) => RiskKind::Secret,
        }
    }

    pub(crate) fn reason(&self) -> &str {
        match &self.source {
            Source::Policy(rule) => &rule.reason,
            Source::Secret(rule) => &rule.description,
        }
    }

    /// The weight of a finding: a secret or a reach outside is critical whatever the rule says, for
    /// so the decision table has it.
    pub(crate) fn severity(&self) -> Severity {
        match &self.source {
            Source::Policy(rule) if !is_critical(rule.kind) => rule.severity,
            _ => Severity::Critical,
        }
    }

    pub(crate) fn side(&self) -> Side {
        match &self.source {
            Source::Policy(rule) => rule.side,
            Source::Secret(_) => Side::Added,
        }
    }

    pub(crate) fn keywords(&self) -> &Texts {
        match &self.source {
            Source::Policy(rule) => &rule.keywords,
            Source::Secret(rule) => &rule.keywords,
        }
    }

    /// Whether the rule reads every text, for want of a keyword that tells one from another.
    pub(crate) fn has_no_keyword(&self) -> bool {
        let own = self.keywords();
        own.is_empty() || own.iter().any(|word| word.len() < 2)
    }

    /// The pattern as it is written.
    pub(crate) fn pattern(&self) -> &str {
        match &self.source {
            Source::Policy(rule) => &rule.pattern,
            Source::Secret(rule) => rule.regex.as_deref().unwrap_or_default(),
        }
    }

    /// What the pattern tells without being compiled.
    fn told(&self) -> &Told {
        self.told.get_or_init(|| {
            // Only a rule of a file for secrets may have a keyword that stands elsewhere.
            let keywords = match &self.source {
                Source::Policy(_) => Vec::new(),
                Source::Secret(rule) => rule.keywords.to_vec(),
            };
            Box::new(shape::told(self.pattern(), &keywords))
        })
    }

    fn nature(&self) -> Nature {
        *self.nature.get_or_init(|| {
            let told = self.told();
            let is_loose = matches!(self.source, Source::Secret(_)) && !told.facts.holds_keyword;
            Nature {
                is_loose,
                stays_in_line: !is_loose && told.facts.stays_in_line,
            }
        })
    }

    /// Whether every match lies in one line, so that only the lines with a keyword need be read.
    pub(crate) fn stays_in_line(&self) -> bool {
        self.nature().stays_in_line
    }

    /// Whether the keyword may stand anywhere in the file, away from the match: in a rule file a
    /// keyword says which files to read.
    pub(crate) fn is_loose(&self) -> bool {
        self.nature().is_loose
    }

    /// Whether every match lies in one line and surely holds a keyword there.
    pub(crate) fn is_bound_to_keyword(&self) -> bool {
        matches!(self.source, Source::Secret(_)) && self.stays_in_line()
    }

    /// Whether a match may be longer than the windows that a long text is read in.
    pub(crate) fn reaches_far(&self, window: usize) -> bool {
        let is_far = || self.told().facts.longest.is_none_or(|most| most > window);
        !self.stays_in_line() && (self.is_loose() || is_far())
    }

    /// Whether a text, or the lines of a patch that it is made of, holds what every match does.
    pub(crate) fn may_match(&self, text: &[u8]) -> bool {
        self.told().facts.needs.are_met(text)
    }

    /// As [`Self::may_match`], for a text of many lines.
    pub(crate) fn may_match_in_lines(&self, text: &[u8]) -> bool {
        let told = self.told();
        let lines = told.lines(0);
        told.facts.needs.are_met(text) && lines.is_none_or(|lines| lines.may_match(text))
    }

    /// Whether the rule has a pattern for text; one for paths alone has none.
    pub(crate) fn reads_text(&self) -> bool {
        match &self.source {
            Source::Policy(_) => true,
            Source::Secret(rule) => rule.regex.is_some(),
        }
    }

    fn compiled(&self) -> Result<&Compiled, Problem> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let compiled = match &self.source {
            Source::Policy(rule) => compile_policy_rule(rule, self.languages, self.told())?,
            Source::Secret(rule) => {
                let pattern = rule.compile(self.told().hir())?;
                Compiled {
                    has_groups: pattern.has_groups(),
                    limit: None,
                    pattern,
                    except: None,
                }
            }
        };
        Ok(self.compiled.get_or_init(|| Box::new(compiled)))
    }

    /// Whether it is one that baton comes with, letter for letter.
    pub(crate) fn is_shipped(&self) -> bool {
        match &self.source {
            Source::Policy(rule) => rule.is_shipped(),
            Source::Secret(rule) => rule.is_shipped,
        }
    }

    /// Compiles the pattern, which checks the rule's examples.
    ///
    /// # Errors
    /// `POLICY_EXAMPLE`, `POLICY_INVALID`, `SECRET_RULES_INVALID`.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match &self.source {
            Source::Policy(_) => self.compiled().map(drop),
            Source::Secret(rule) => {
                if rule.regex.is_some() {
                    self.compiled()?;
                }
                rule.check_others()
            }
        }
    }

    /// Hands over each wanted match that begins and ends within a window of a text. What is asked of
    /// a place is asked before the groups of its match are told apart, which costs far more.
    ///
    /// # Errors
    /// As [`Self::check`], and what `visit` returns.
    pub(crate) fn each<'t>(
        &self,
        text: &'t [u8],
        window: &Range<usize>,
        is_wanted: impl Fn(&Range<usize>) -> bool,
        mut visit: impl FnMut(Found<'t>) -> Result<ControlFlow<()>, Problem>,
    ) -> Result<(), Problem> {
        let part = text.get(window.clone()).unwrap_or(text);
        if !self.told().facts.needs.are_met(part) {
            return Ok(());
        }
        // The text before the window stays in sight, so that `^` and `\b` mean what they say.
        let text = text.get(..window.end).unwrap_or(text);
        let told = self.told();
        if !told.facts.needs.tail_matches(text) {
            return Ok(());
        }
        let mut at = window.start;
        let mut parts = Parts::of(told, text, window.start);
        while let Some(part) = parts.next(&is_wanted) {
            let compiled = self.compiled()?;
            at = at.max(part.start);
            while at <= part.end {
                let Some(range) = compiled.pattern.find_in(text, at..part.end) else {
                    break;
                };
                at = range.end + usize::from(range.is_empty());
                let matched = text.get(range.clone()).unwrap_or_default();
                if !is_wanted(&range) || compiled.leaves_alone(matched) {
                    continue;
                }
                if visit(compiled.found(text, range, &self.source))?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether a match lies within a window of a text.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn matches_within(
        &self,
        text: &[u8],
        window: &Range<usize>,
    ) -> Result<bool, Problem> {
        let text = text.get(..window.end).unwrap_or(text);
        let part = text.get(window.start..).unwrap_or_default();
        if !self.may_match(part) {
            return Ok(false);
        }
        let part = window.start..text.len();
        let found = self.compiled()?.pattern.find_in(text, part);
        Ok(found.is_some())
    }

    /// How many matches a text holds.
    pub(crate) fn count(&self, text: &[u8]) -> Result<usize, Problem> {
        let mut count = 0;
        self.each(text, &(0..text.len()), all, |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// How the number in a match may change, for a rule that judges numbers.
    pub(crate) fn limit(&self) -> Result<Option<Limit>, Problem> {
        Ok(self.compiled()?.limit)
    }

    /// Where the rule's exception stands on these lines.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn excepted(&self, lines: &[u8]) -> Result<Vec<Range<usize>>, Problem> {
        let except = self.compiled()?.except.as_ref();
        Ok(except.map_or_else(Vec::new, |except| except.all_in(lines).collect()))
    }

    /// Whether the rule's exception speaks for these lines.
    pub(crate) fn excepts(&self, lines: &[u8]) -> Result<bool, Problem> {
        Ok(self.compiled()?.leaves_alone(lines))
    }
}

impl Compiled {
    /// A match with what its groups hold.
    fn found<'t>(&self, text: &'t [u8], range: Range<usize>, source: &Source<'_>) -> Found<'t> {
        let whole = text.get(range.clone()).unwrap_or_default();
        let groups = self
            .has_groups
            .then(|| self.pattern.groups_at(text, range.start));
        let groups: Option<Groups> = groups.flatten();
        let secret = groups.as_ref().and_then(|groups| match source {
            Source::Policy(_) => None,
            Source::Secret(rule) => text.get(rule.secret(groups)?),
        });
        let name = groups.and_then(|groups| groups.get_group_by_name("name"));
        Found {
            range,
            secret: secret.unwrap_or(whole),
            name: name.and_then(|name| text.get(name.range())),
        }
    }

    fn leaves_alone(&self, text: &[u8]) -> bool {
        self.except
            .as_ref()
            .is_some_and(|except| except.is_match(text))
    }
}

/// Whether a finding of this kind weighs the same whatever its rule says.
fn is_critical(kind: RiskKind) -> bool {
    matches!(kind, RiskKind::Secret | RiskKind::ExternalIo)
}

/// Words for readers and what hides count anywhere; code counts where it is code, unless the rule
/// says otherwise.
fn reads_comments(rule: &RiskRule) -> bool {
    let words = [RiskKind::Secret, RiskKind::Instruction, RiskKind::Hidden];
    rule.comments || words.contains(&rule.kind)
}

fn compile_policy_rule(
    rule: &RiskRule,
    languages: Languages,
    told: &Told,
) -> Result<Compiled, Problem> {
    let invalid = |why: String| {
        Problem::fail("POLICY_INVALID", format!("policy rule {}: {why}", rule.id)).hint(CORRECT)
    };
    let hir = told.hir().clone();
    let pattern = hir.and_then(|hir| Regex::of_hir(&rule.pattern, hir));
    let pattern = pattern.map_err(invalid)?;
    let named = pattern.has_group("name");
    if named != (rule.kind == RiskKind::Dependency) {
        return Err(Problem::fail(
            "POLICY_INVALID",
            format!(
                "policy rule {}: the group `name` belongs to rules for dependencies, and to each of them",
                rule.id
            ),
        )
        .hint(CORRECT));
    }
    let limit = Limit::of(&pattern);
    if limit.is_some() && rule.side != Side::Removed {
        return Err(Problem::fail(
            "POLICY_INVALID",
            format!(
                "policy rule {}: the groups `floor` and `ceiling` belong to rules with side: removed",
                rule.id
            ),
        )
        .hint("write side: removed, or give the group another name"));
    }
    let compiled = Compiled {
        has_groups: named,
        limit,
        pattern,
        except: rule
            .except
            .as_deref()
            .map(Regex::of)
            .transpose()
            .map_err(invalid)?,
    };
    // A rule that names its files tells the language of its examples by their endings.
    let globs = rule.place.globs.iter();
    let endings = globs.flat_map(|glob| glob.split(['{', ',', '}', '.', '/']));
    let languages = endings.fold(languages, |all, ending| {
        all.and(Languages::of(format!("a.{ending}").as_bytes(), None))
    });
    check_examples(&rule.id, &rule.matches, &rule.no_match, |example| {
        let text = example.as_bytes();
        let has_keyword = rule.keywords.iter().any(|word| {
            let mut parts = text.windows(word.len());
            parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        });
        (has_keyword || rule.keywords.is_empty())
            && compiled.pattern.all_in(text).any(|found| {
                let is_said =
                    !reads_comments(rule) && Comments::of(text, languages).hold(found.start);
                let matched = text.get(found).unwrap_or_default();
                // An exception may speak by the match or by the lines around it.
                !is_said && !compiled.leaves_alone(matched) && !compiled.leaves_alone(text)
            })
    })?;
    Ok(compiled)
}
