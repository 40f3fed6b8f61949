//! The skill pack against the tools: what a skill says of its tool is so, and its examples are run.

use std::collections::{BTreeMap, BTreeSet};

use baton_core::driver::Skill;
use baton_skills::pack::{self, SKILLS};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Bench, Ran};

fn text_of(skill: &Skill) -> &'static str {
    let found = SKILLS.iter().find(|one| one.name == skill.envelope);
    found.expect("a skill for each tool").skill
}

/// The lines of the fenced blocks.
fn commands(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => found.push(line.split("  #").next().unwrap().trim().to_owned()),
            _ => {}
        }
    }
    found
}

#[test]
fn each_tool_has_its_skill_and_each_command_in_it_parses() {
    assert_eq!(SKILLS.len(), baton::SKILLS.len());
    for skill in baton::SKILLS {
        let text = text_of(skill);
        assert!(text.contains(&format!("`{} --version`", skill.name)));
        let mut own = 0;
        let lines = commands(text);
        for part in lines.iter().flat_map(|line| line.split('|')) {
            let words: Vec<_> = part.split_whitespace().collect();
            if words[0] == "git" {
                continue;
            }
            own += usize::from(words[0] == skill.name);
            let line = [&["baton"], words.as_slice()].concat();
            let parsed = baton::command().try_get_matches_from(&line);
            assert!(
                parsed.is_ok(),
                "{}: {part}: {}",
                skill.name,
                parsed.err().unwrap()
            );
        }
        assert!(own > 0, "{} shows no command", skill.name);
    }
}

#[test]
fn what_a_skill_says_of_classes_and_stop_is_what_its_tool_does() {
    for skill in baton::SKILLS {
        let text = text_of(skill);
        let classes: Vec<_> = skill.classes.iter().map(ToString::to_string).collect();
        let word = if classes.len() == 1 {
            "class"
        } else {
            "classes"
        };
        let said = format!("- Tool {word} {}", classes.join(" and "));
        assert!(text.contains(&said), "{}: {said}", skill.name);
        let runs = text.contains("It also runs while STOP is on");
        assert_eq!(runs, skill.acts_under_stop, "{}", skill.name);
        for code in 0..=3 {
            assert!(
                text.contains(&format!("\n| {code} | ")),
                "{}: exit {code}",
                skill.name
            );
        }
        assert!(
            text.contains("Never send the same input again"),
            "{}",
            skill.name
        );
    }
}

/// The codes that a skill names exist in the sources of its tool or of the core.
#[test]
fn the_codes_that_the_skills_name_are_real() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = String::new();
    let mut open = vec![top.join("crates")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                sources += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let is_code = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let mut checked = 0;
    for skill in SKILLS {
        let words = skill.skill.split('`').skip(1).step_by(2);
        for code in words.filter(is_code) {
            // Words of an enumeration are spelled another way in the source.
            let spelled: String = code.split('_').map(capitalized).collect();
            let known = sources.contains(&format!("\"{code}\""))
                || sources.contains(&format!("    {spelled},"));
            assert!(known, "{}: {code}", skill.name);
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} codes");
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_owned() + &rest.to_lowercase()
}

/// One example of `references/examples.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    about: String,
    #[serde(default)]
    setup: Vec<Step>,
    argv: Vec<String>,
    #[serde(default)]
    stdin: Option<String>,
    exit: i32,
    envelope: Value,
}

/// What was there before.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Step {
    #[serde(rename_all = "lowercase")]
    Run(RunStep),
    Write(WriteStep),
    Policy(PolicyStep),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunStep {
    run: Vec<String>,
    #[serde(default)]
    exit: i32,
    #[serde(default)]
    stdout: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteStep {
    write: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyStep {
    policy: BTreeMap<String, Value>,
}

fn call(bench: &Bench, argv: &[String], stdin: Option<&str>) -> Ran {
    let argv = match argv[0].as_str() {
        "baton" => &argv[1..],
        _ => argv,
    };
    match stdin {
        Some(text) => bench.pipe(text.as_bytes(), argv),
        None => bench.baton(argv),
    }
}

impl Step {
    fn take(&self, bench: &Bench) {
        match self {
            Self::Run(step) => {
                let ran = call(bench, &step.run, None);
                assert_eq!(
                    ran.code, step.exit,
                    "{:?}: {}{}",
                    step.run, ran.stdout, ran.stderr
                );
                if let Some(path) = &step.stdout {
                    bench.write(path, &ran.stdout);
                }
            }
            Self::Write(step) => bench.write(&step.write, &step.text),
            Self::Policy(step) => bench.policy(|policy| {
                for (key, value) in &step.policy {
                    policy[key] = value.clone();
                }
            }),
        }
    }
}

/// Where `wanted` is not part of `found`; each member of an array must be part of some member there.
fn difference(wanted: &Value, found: &Value, place: &str) -> Option<String> {
    let missing = || Some(format!("{place}: expected {wanted}, got {found}"));
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(key, value)| {
            let place = format!("{place}.{key}");
            difference(value, found.get(key).unwrap_or(&Value::Null), &place)
        }),
        (Value::Array(wanted), Value::Array(found)) if !wanted.is_empty() => wanted
            .iter()
            .find(|one| {
                !found
                    .iter()
                    .any(|other| difference(one, other, "").is_none())
            })
            .and_then(|_| missing()),
        _ => (wanted != found).then(missing).flatten(),
    }
}

fn examples(skill: &pack::Skill) -> BTreeMap<String, Example> {
    serde_json::from_str(skill.examples).unwrap_or_else(|error| panic!("{}: {error}", skill.name))
}

fn try_example(fresh: &Bench, skill: &Skill, name: &str, example: &Example) -> Result<(), String> {
    let bench = fresh.copy();
    example.setup.iter().for_each(|step| step.take(&bench));
    let ran = call(&bench, &example.argv, example.stdin.as_deref());
    let what = format!("{} {name} ({})", skill.name, example.about);
    if example.argv[0] != skill.name {
        return Err(format!("{what}: it calls {}", example.argv[0]));
    }
    if ran.code != example.exit {
        return Err(format!(
            "{what}: exit {}, expected {}: {}",
            ran.code, example.exit, ran.stdout
        ));
    }
    difference(&example.envelope, &ran.json(), "$")
        .map_or(Ok(()), |why| Err(format!("{what}: {why}")))
}

#[test]
fn every_example_happens_as_written() {
    let fresh = Bench::new();
    let mut jobs = Vec::new();
    for skill in baton::SKILLS {
        let found = SKILLS
            .iter()
            .find(|one| one.name == skill.envelope)
            .unwrap();
        let examples = examples(found);
        let names: BTreeSet<_> = examples.keys().map(String::as_str).collect();
        assert!(
            names.is_superset(&["ok", "fail", "deny"].into()),
            "{names:?}"
        );
        assert_eq!(
            (examples["ok"].exit, examples["deny"].exit),
            (0, 3),
            "{}",
            skill.name
        );
        assert!([1, 4].contains(&examples["fail"].exit), "{}", skill.name);
        jobs.extend(
            examples
                .into_iter()
                .map(|(name, example)| (skill, name, example)),
        );
    }
    assert_eq!(
        jobs.len(),
        36,
        "docs/skills/TRACE_EVALS_PLAN.md says how many there are"
    );
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let share = jobs.len().div_ceil(4);
        let workers: Vec<_> = jobs
            .chunks(share)
            .map(|jobs| {
                let tried = jobs
                    .iter()
                    .map(|(skill, name, example)| try_example(&fresh, skill, name, example));
                scope.spawn(move || tried.filter_map(Result::err).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The test above fails when a result differs, and when a file says what nobody checks.
#[test]
fn an_example_that_is_wrong_is_found() {
    let fresh = Bench::new();
    let skill = baton::SKILLS[0];
    let good =
        r#"{"about":"a","argv":["stop-check"],"exit":0,"envelope":{"data":{"action":"CONTINUE"}}}"#;
    let tried = |text: &str| try_example(&fresh, skill, "ok", &serde_json::from_str(text).unwrap());
    assert_eq!(tried(good), Ok(()));
    for (from, to) in [
        ("CONTINUE", "ZERO_STOP"),
        ("\"exit\":0", "\"exit\":1"),
        ("\"data\"", "\"dada\""),
        ("[\"stop-check\"]", "[\"queue-scan\"]"),
        ("{\"data\":", "{\"findings\":[{\"code\":\"X\"}],\"data\":"),
    ] {
        assert!(tried(&good.replace(from, to)).is_err(), "{to}");
    }
    for bad in [
        good.replace("about", "abuot"),
        good.replace("{\"about\"", "{\"extra\":1,\"about\""),
        good.replace("\"exit\"", "\"setup\":[{\"rum\":[]}],\"exit\""),
    ] {
        assert!(serde_json::from_str::<Example>(&bad).is_err(), "{bad}");
    }
}
