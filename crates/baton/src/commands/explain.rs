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
