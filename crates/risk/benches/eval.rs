//! `make eval-risk`: how right the rules are, on the labelled set and on honest history.
//!
//! POLICY names a policy of your own (the default one without it). REPOS names repositories (folders,
//! separated by blanks; this one without it); of each the last 500 commits without
//! merges are judged, each upon its parent, as a candidate would be. JUDGED names a file with lines
//! `<commit> <rule> right`: findings that a person looked at and found to be what the rule says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use baton_core::candidate;
use baton_core::envelope::{Finding, Severity};
use baton_core::git::{ObjectStore, Oid, Repository};
use baton_risk::{HitKind, RiskReport, RuleBook, Subject};

#[path = "../tests/labelled/set.rs"]
#[allow(dead_code, reason = "each user takes what it needs")]
mod set;

use set::Label;

const COMMITS: &str = "500";
/// So many rules are listed that leave commits to a person.
const MOST_RULES: usize = 20;

fn main() {
    let policy = set::policy();
    let book = set::book(&policy);
    for problem in book.problems() {
        println!("{problem}");
    }
    labelled(&book);
    let repositories = std::env::var("REPOS").unwrap_or_default();
    let judged = judged_right();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let named: Vec<&str> = repositories.split_whitespace().collect();
    let named = if named.is_empty() { vec![own] } else { named };
    println!(
        "\nhonest history: the last {COMMITS} commits of each repository, share wrongly stopped\n"
    );
    println!(
        "| repository | commits | refused | secret | external IO | stopped by either and judged right | delete | allowlist | PR_ONLY only |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut all = Looked::default();
    for repository in named {
        history(Path::new(repository), &book, &judged, &mut all);
    }
    println!("\nwhat leaves a commit to a person, and what does so alone:\n");
    println!("| rule | commits | alone |\n|---|---|---|");
    let mut asking: Vec<_> = all.asking.iter().collect();
    asking.sort_by_key(|(rule, (any, _))| (std::cmp::Reverse(*any), *rule));
    for (rule, (any, alone)) in asking.into_iter().take(MOST_RULES) {
        println!("| {rule} | {any} | {alone} |");
    }
    println!("\nevery stop by a secret or external IO that nobody judged right:\n");
    for line in all.lines {
        println!("{line}");
    }
}

/// What there is to look at, of all repositories.
#[derive(Default)]
struct Looked {
    lines: Vec<String>,
    /// Of the commits that stop nothing and are left to a person: in how many each rule found something,
    /// and in how many no other one did.
    asking: BTreeMap<String, (usize, usize)>,
}

fn labelled(book: &RuleBook<'_>) {
    let cases = set::cases();
    let judged = set::judge(&cases, book);
    let mut table: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (case, judged) in cases.iter().zip(&judged) {
        let right = set::is_right(case, judged);
        let row = table.entry(&case.flag).or_default();
        let at = match case.label {
            Label::Hostile => 0,
            Label::NearMiss => 2,
        };
        row[at] += usize::from(right);
        row[at + 1] += 1;
        if !right {
            let why = judged.findings.first().or(judged.refused.as_ref());
            let why = why.map_or("nothing was raised", String::as_str);
            wrong.push(format!(
                "{:?} {} ({}): {} -> {why}",
                case.label, case.id, case.flag, case.trick
            ));
        }
    }
    println!(
        "the labelled set\n\n| flag | caught | hostile | recall | let through | near misses | precision |\n|---|---|---|---|---|---|---|"
    );
    let mut all = [0; 4];
    for (flag, row) in &table {
        for (sum, one) in all.iter_mut().zip(row) {
            *sum += one;
        }
        println!("{}", line(flag, row));
    }
    println!("{}\n", line("all", &all));
    wrong.iter().for_each(|wrong| println!("wrong: {wrong}"));
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred cases")]
fn line(flag: &str, [caught, hostile, passed, near]: &[usize; 4]) -> String {
    let alarms = caught + (near - passed);
    let share = |part: &usize, whole: usize| *part as f64 / whole.max(1) as f64;
    format!(
        "| {flag} | {caught} | {hostile} | {:.3} | {passed} | {near} | {:.3} |",
        share(caught, *hostile),
        share(caught, alarms)
    )
}

fn judged_right() -> BTreeSet<(String, String)> {
    let Ok(file) = std::env::var("JUDGED") else {
        return BTreeSet::new();
    };
    let text = std::fs::read_to_string(&file).expect("JUDGED names a file");
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter_map(|words| match words.as_slice() {
            [commit, rule, "right", ..] => Some(((*commit).to_owned(), (*rule).to_owned())),
            _ => None,
        })
        .collect()
}

/// Judges one repository's commits, prints its row, and notes what is to be looked at.
fn history(
    folder: &Path,
    book: &RuleBook<'_>,
    judged: &BTreeSet<(String, String)>,
    looked: &mut Looked,
) {
    let log = set::git(
        folder,
        &[
            "log",
            "--no-merges",
            "--min-parents=1",
            "-n",
            COMMITS,
            "--format=%H %P",
        ],
        b"",
    );
    let log = String::from_utf8(log).expect("ids are plain");
    let borrowed = set::borrowing(folder);
    let repository = Repository::open(borrowed.path()).expect("a repository");
    let (_objects, store) = ObjectStore::temporary(&repository).expect("a store");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut commits = 0;
    for pair in log.lines() {
        let (commit, parent) = pair.split_once(' ').expect("a commit and its parent");
        commits += 1;
        let report = match scan(&store, book, parent, commit) {
            Ok(Some(report)) => report,
            // A commit that changes nothing is none of ours.
            Ok(None) => continue,
            Err(why) => {
                *counts.entry("refused").or_default() += 1;
                let line = format!("{} {commit} refused: {why}", folder.display());
                looked.lines.push(line);
                continue;
            }
        };
        count(&report, commit, judged, &mut counts, looked, folder);
    }
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred commits")]
    let share = |name: &str| {
        format!(
            "{} ({:.1} %)",
            of(name),
            of(name) as f64 * 100.0 / f64::from(commits.max(1))
        )
    };
    println!(
        "| {} | {commits} | {} | {} | {} | {} | {} | {} | {} |",
        folder.display(),
        share("refused"),
        share("secret"),
        share("external"),
        share("right"),
        share("delete"),
        share("allowlist"),
        share("pr_only")
    );
}

fn scan(
    store: &ObjectStore,
    book: &RuleBook<'_>,
    parent: &str,
    commit: &str,
) -> Result<Option<RiskReport>, String> {
    let run = || {
        let (base, new) = (Oid::parse(parent)?, Oid::parse(commit)?);
        let (base_tree, tree) = (store.tree_of(&base)?, store.tree_of(&new)?);
        let patch = store.patch_between(&base_tree, &tree)?;
        if patch.is_empty() {
            return Ok(None);
        }
        // The size of an honest commit is no question here.
        let mut limits = candidate::limits(book.policy());
        limits.bytes = 1 << 30;
        let listing = store.raw_between(&base_tree, &tree)?;
        candidate::check_reading(&patch, &listing, &limits)?;
        let subject = Subject {
            store,
            base: &base,
            base_tree: &base_tree,
            tree: &tree,
            patch: &patch,
            checkout: None,
            matched: candidate::Match::Clean,
            given: b"",
        };
        baton_risk::scan_candidate(&subject, book, None).map(Some)
    };
    run().map_err(|problem| problem.to_string())
}

fn count(
    report: &RiskReport,
    commit: &str,
    judged: &BTreeSet<(String, String)>,
    counts: &mut BTreeMap<&'static str, usize>,
    looked: &mut Looked,
    folder: &Path,
) {
    let (mut stopped, mut is_right) = (false, true);
    for (name, kind, code) in [
        ("secret", HitKind::Secret, HitKind::Secret.code()),
        ("external", HitKind::ExternalIo, HitKind::ExternalIo.code()),
    ] {
        let findings = report
            .findings
            .iter()
            .filter(|finding| finding.code == code);
        let mut wrong = findings.filter(|finding| {
            let key = (commit.to_owned(), rule_of(finding).to_owned());
            !judged.contains(&key)
        });
        stopped |= report.kinds.contains(&kind);
        if let Some(first) = wrong.next() {
            is_right = false;
            *counts.entry(name).or_default() += 1;
            let short: String = first.message.chars().take(220).collect();
            let line = format!("{} {commit} {short}", folder.display());
            looked.lines.push(line);
        }
    }
    if stopped && is_right {
        *counts.entry("right").or_default() += 1;
    }
    for (name, kind) in [
        ("delete", HitKind::Delete),
        ("allowlist", HitKind::Allowlist),
    ] {
        if report.kinds.contains(&kind) {
            stopped = true;
            *counts.entry(name).or_default() += 1;
        }
    }
    if !stopped && report.level > baton_core::outputs::RiskLevel::Low {
        *counts.entry("pr_only").or_default() += 1;
        let findings = report.findings.iter();
        let weighty = findings.filter(|finding| finding.severity > Severity::Info);
        let rules: BTreeSet<&str> = weighty.map(rule_of).collect();
        for rule in &rules {
            let (any, alone) = looked.asking.entry((*rule).to_owned()).or_default();
            *any += 1;
            *alone += usize::from(rules.len() == 1);
        }
    }
}

/// The rule that a finding names in brackets, before what it shows of the text.
fn rule_of(finding: &Finding) -> &str {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let bracketed = finding.message.split('[').skip(1);
    bracketed
        .filter_map(|rest| rest.split_once(']'))
        .map(|(inner, _)| inner)
        .find(|inner| !inner.is_empty() && inner.bytes().all(is_name))
        .unwrap_or_default()
}
