//! Takes the risk rules of `ssot/POLICY.json` apart while baton is built, for `src/policy/known.rs`: a run
//! that meets one of them in a policy need not read it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;
use serde_json::value::RawValue;

const POLICY: &str = "../../ssot/POLICY.json";

#[derive(Deserialize)]
struct Policy {
    risk_rules: Vec<Box<RawValue>>,
}

/// A rule as it is written; a field that is missing here fails the build.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    kind: String,
    severity: String,
    #[serde(rename = "where")]
    place: Place,
    #[serde(default)]
    side: Option<String>,
    #[serde(default)]
    comments: bool,
    keywords: Vec<String>,
    pattern: String,
    #[serde(default)]
    except: Option<String>,
    reason: String,
    #[serde(rename = "match")]
    matches: Vec<String>,
    no_match: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    #[serde(default)]
    languages: Vec<String>,
    #[serde(default)]
    globs: Vec<String>,
}

/// What the build writes: all text in one piece, and numbers that say where in it each part lies, for a
/// pointer would have to be put right at each start of a program.
#[derive(Default)]
struct Table {
    json: String,
    text: String,
    ends: Vec<usize>,
    rows: String,
}

impl Table {
    fn add(&mut self, raw: &str) -> Result<(), Box<dyn Error>> {
        let rule: Rule = serde_json::from_str(raw)?;
        self.json += raw;
        let mut parts = vec![self.text.len()];
        let except = rule.except.clone().unwrap_or_default();
        for text in [&rule.id, &rule.pattern, &except, &rule.reason] {
            self.text += text;
            parts.push(self.text.len());
        }
        let mut lists = vec![self.ends.len()];
        for list in [
            &rule.place.languages,
            &rule.place.globs,
            &rule.keywords,
            &rule.matches,
            &rule.no_match,
        ] {
            let mut end = 0;
            for text in list {
                self.text += text;
                end += text.len();
                self.ends.push(end);
            }
            parts.push(self.text.len());
            lists.push(self.ends.len());
        }
        writeln!(
            self.rows,
            "Known {{ json: {}, kind: RiskKind::{}, severity: Severity::{}, side: Side::{}, comments: {}, \
             has_except: {}, parts: {parts:?}, lists: {lists:?} }},",
            self.json.len(),
            variant(&rule.kind),
            variant(&rule.severity),
            variant(rule.side.as_deref().unwrap_or("added")),
            rule.comments,
            rule.except.is_some(),
        )?;
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        fs::write(folder.join("known.json"), &self.json)?;
        fs::write(folder.join("known.txt"), &self.text)?;
        let source = format!(
            "{}{}",
            constant("ROWS", "Known", &format!("[{}]", self.rows)),
            constant("ENDS", "u32", &format!("{:?}", self.ends)),
        );
        fs::write(folder.join("known.rs"), source)?;
        Ok(())
    }
}

fn constant(name: &str, of: &str, values: &str) -> String {
    format!("static {name}: &[{of}] = &{values};\n")
}

/// The name in Rust of what a policy calls `external_io` or `HIGH`.
fn variant(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    });
    words.collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={POLICY}");
    let policy: Policy = serde_json::from_str(&fs::read_to_string(POLICY)?)?;
    let mut table = Table::default();
    for raw in &policy.risk_rules {
        table.add(raw.get())?;
    }
    let folder = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    table.write(Path::new(&folder))
}
