//! `baton explain`: what a rule, a check or a code means and what to do about it.

use baton_core::problem::Problem;
use baton_risk::{Explained, RuleBook};
use clap::{Arg, ArgMatches, Command};
use patch_draft::reply;
use serde_json::json;

use super::{Shared, codes, init};
use crate::reply::Reply;

/// How many names that are close to an unknown one are offered.
const MOST_OFFERED: usize = 5;

/// Adds the arguments.
pub(super) fn arguments(command: Command) -> Command {
    let rule = Arg::new("rule").value_name("RULE").help(
        "A rule's id, a finding's code, D1 to D9, G0 to G6, R1 to R8; without it, all are listed",
    );
    let policy = Arg::new("policy")
        .long("policy")
        .value_name("FILE")
        .value_parser(clap::value_parser!(std::path::PathBuf))
        .help("Use this policy where the repository has none");
    command.arg(rule).arg(policy)
}

/// Explains one rule, or lists every name.
pub(super) fn run(shared: &Shared, matches: &ArgMatches) -> Result<Reply, Problem> {
    let mut session = shared.session(None)?;
    session.common.policy = matches.get_one("policy").cloned();
    let fresh;
    let (book, note) = match RuleBook::of_session(&session) {
        Err(problem) if problem.code == "POLICY_MISSING" && session.common.policy.is_none() => {
            fresh = init::default_policy()?;
            let note = "there is no policy here: this is by the rules that `baton init` writes";
            (init::default_rules(&fresh)?, Some(note))
        }
        book => (book?, None),
    };
    let Some(id) = matches.get_one::<String>("rule") else {
        let names = names(&book);
        let reply = Reply::ok(json!({"command": "explain", "status": "OK", "rules": names}));
        return Ok(names.iter().fold(reply, |reply, name| reply.line(name)));
    };
    let known = baton_risk::explain(&book, id).or_else(|| of_reply(id));
    match known.or_else(|| codes::explain(id)) {
        Some(explained) => {
            let reply = answer(&explained);
            Ok(note
                .into_iter()
                .fold(reply, |reply, note| reply.line(format!("  {note}"))))
        }
        None => Err(unknown(&book, id)),
    }
}

/// Every name: those of the rules, then those of what may be wrong with a reply.
fn names(book: &RuleBook<'_>) -> Vec<String> {
    let mut names = baton_risk::names(book);
    names.extend(reply::words().map(|word| word.id.to_owned()));
    names.extend(codes::names().map(str::to_owned));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// A repair or a refusal of patch-draft.
fn of_reply(id: &str) -> Option<Explained> {
    let word = reply::explain(id)?;
    Some(Explained {
        id: word.id.to_owned(),
        source: "patch-draft",
        raises: word.raises.to_owned(),
        reason: word.about.to_owned(),
        looks_at: "every reply that is read with --reply-format".to_owned(),
        next: vec![word.next.to_owned()],
        ..Explained::default()
    })
}

fn answer(explained: &Explained) -> Reply {
    let mut json = serde_json::to_value(explained).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        fields.insert("command".to_owned(), "explain".into());
        fields.insert("status".to_owned(), "OK".into());
    }
    let severity = explained.severity.map(|severity| format!(", {severity}"));
    let mut reply = Reply::ok(json)
        .line(format!(
            "{} ({}{})",
            explained.id,
            explained.raises,
            severity.unwrap_or_default()
        ))
        .line(format!("  {}", explained.reason))
        .line(format!("  from: {}", explained.source))
        .line(format!("  looks at: {}", explained.looks_at));
    for (word, examples) in [
        ("matches", &explained.matches),
        ("leaves", &explained.no_match),
    ] {
        for example in examples.iter().take(3) {
            reply = reply.line(format!("  {word}: {}", example.escape_debug()));
        }
    }
    for next in &explained.next {
        reply = reply.line(format!("  next: {next}"));
    }
    reply
}

fn unknown(book: &RuleBook<'_>, id: &str) -> Problem {
    let asked = id.to_ascii_lowercase();
    let is_close = |name: &String| {
        let name = name.to_ascii_lowercase();
        name.contains(&asked)
            || asked
                .split(['-', '_'])
                .any(|part| part.len() > 3 && name.contains(part))
    };
    let close: Vec<_> = names(book)
        .into_iter()
        .filter(is_close)
        .take(MOST_OFFERED)
        .collect();
    let problem = Problem::fail(
        "RULE_UNKNOWN",
        format!("no rule, check or code is called \"{}\"", id.escape_debug()),
    );
    match close.as_slice() {
        [] => problem.hint("baton explain lists every name"),
        close => problem.hint(format!("did you mean {}?", close.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use super::*;

    /// What stands before a code in the source: a refusal, a finding, a check of a task.
    const MAKERS: [&str; 7] = [
        "Problem::fail(",
        "Problem::deny(",
        "Problem::zero_stop(",
        "Finding::new(",
        "checked.add(",
        "checked.skip(",
        "checked\n            .add(",
    ];

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            match path.is_dir() {
                true if name != "tests" && name != "target" => sources(&path, found),
                false if name.ends_with(".rs") && name != "tests.rs" => found.push(path),
                _ => {}
            }
        }
    }

    fn is_code(word: &str) -> bool {
        let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        word.len() > 3 && word.bytes().all(is_part)
    }

    /// The first argument of a maker, behind a severity: a text, or the name of one.
    fn first(rest: &str) -> Option<&str> {
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix("Severity::") {
            Some(severity) => severity.split_once(',')?.1.trim_start(),
            None => rest,
        };
        let end = rest.find(',')?;
        let word = rest.get(..end)?.trim();
        word.rsplit("::").next()
    }

    #[test]
    fn every_code_that_the_source_says_is_explained() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut paths = Vec::new();
        for part in std::fs::read_dir(top).unwrap() {
            sources(&part.unwrap().path().join("src"), &mut paths);
        }
        let texts = paths
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap());
        let texts: Vec<String> = texts
            .map(|text| text.split("#[cfg(test)]").next().unwrap().to_owned())
            .collect();
        let mut constants: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in texts.iter().flat_map(|text| text.lines()) {
            if let Some((_, rest)) = line.split_once("const ")
                && let Some((name, value)) = rest.split_once(": &str = \"")
                && let Some((value, _)) = value.split_once('"')
            {
                constants.entry(name).or_default().insert(value);
            }
        }
        let mut codes = BTreeSet::new();
        for (text, maker) in texts
            .iter()
            .flat_map(|text| MAKERS.map(|maker| (text, maker)))
        {
            for word in text.split(maker).skip(1).filter_map(first) {
                match word
                    .strip_prefix('"')
                    .and_then(|word| word.strip_suffix('"'))
                {
                    Some(code) => drop(codes.insert(code)),
                    // Of several of one name each is a code, or none.
                    None => codes.extend(constants.get(word).into_iter().flatten()),
                }
            }
        }
        codes.retain(|code| is_code(code));
        assert!(codes.len() > 150, "{}", codes.len());
        let policy = init::default_policy().unwrap();
        let book = init::default_rules(&policy).unwrap();
        let names: BTreeSet<String> = names(&book).into_iter().collect();
        codes.retain(|code| !names.contains(*code));
        assert!(
            codes.is_empty(),
            "in neither docs/operating.md nor docs/codes.md: {codes:?}"
        );
    }
}
