//! What a command of the front door answers: text for people on standard error, one JSON line for
//! programs on standard output.

use std::io::IsTerminal;
use std::process::ExitCode;

use baton_core::{masking, terminal};
use serde_json::{Value, json};

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Reply {
    /// For programs.
    pub(crate) json: Value,
    /// For people, line by line.
    pub(crate) text: Vec<String>,
    /// The exit code.
    pub(crate) code: u8,
    /// The JSON line is the answer itself and is printed on a terminal too.
    pub(crate) always_json: bool,
    /// What standard output gets in place of the JSON line: the answer is a file or a stream.
    payload: Option<String>,
}

impl Reply {
    /// An answer that all is well.
    pub(crate) fn ok(json: Value) -> Self {
        Self {
            json,
            text: Vec::new(),
            code: 0,
            always_json: false,
            payload: None,
        }
    }

    /// An answer whose standard output is this text and nothing else; empty when it was written already.
    pub(crate) fn payload(text: impl Into<String>) -> Self {
        Self {
            payload: Some(text.into()),
            ..Self::ok(Value::Null)
        }
    }

    /// Adds a line for people.
    pub(crate) fn line(mut self, text: impl Into<String>) -> Self {
        self.text.push(text.into());
        self
    }

    /// Adds a field to the JSON line.
    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        if let Some(fields) = self.json.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
        self
    }

    /// Ends with this code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Prints it. On a terminal the text says it all, unless JSON was asked for. Secrets are masked, except
    /// in a payload: proofs and exports must stay what they are byte for byte, and they are made of what
    /// was masked when it was kept.
    pub(crate) fn print(mut self, json_wanted: bool) -> ExitCode {
        masking::value(&mut self.json);
        for line in &self.text {
            terminal::say(line);
        }
        if let Some(payload) = self.payload {
            return terminal::write_out(&payload, self.code);
        }
        if json_wanted || self.always_json || !std::io::stdout().is_terminal() {
            return terminal::write_out(&format!("{}\n", self.json), self.code);
        }
        ExitCode::from(self.code)
    }
}

/// The answer to a problem.
pub(crate) fn problem(command: &str, problem: &baton_core::problem::Problem) -> Reply {
    use baton_core::problem::Kind;
    let code = match problem.kind {
        Kind::Usage => baton_core::exit::USAGE,
        _ => baton_core::exit::code(problem.status(), None),
    };
    let mut reply = Reply::ok(json!({
        "command": command,
        "status": problem.status(),
        "code": problem.code,
        "message": problem.message,
        "next": problem.hints,
    }))
    .line(format!("baton {command}: {}", problem.message))
    .code(code);
    for hint in &problem.hints {
        reply = reply.line(format!("  next: {hint}"));
    }
    reply
}
