//! From a reply that was turned down to the text of a further call.

use std::fmt::Write;

use super::instructions::{Format, instructions};
use super::refusal::{Refusal, Rejected};

/// How many refusals are quoted.
const MOST_REFUSALS: usize = 8;
/// The longest text, in bytes.
const MOST_BYTES: usize = 16 << 10;

/// The first prompt with what was wrong with the reply: each hunk that could not be used and why, the
/// real lines around the nearest place, and which hunks were fine. `fence` keeps quoted lines apart from
/// instructions.
#[must_use]
pub fn further_prompt(prompt: &str, format: Format, rejected: &Rejected, fence: &str) -> String {
    let mut text = String::from(
        "\n[your last reply could not be used]\nNothing of it was taken. Answer again with the whole change, in the same form.\n",
    );
    for (number, refusal) in rejected.refusals.iter().take(MOST_REFUSALS).enumerate() {
        if text.len() > MOST_BYTES {
            break;
        }
        one(&mut text, number + 1, refusal, fence);
    }
    let more = rejected.refusals.len().saturating_sub(MOST_REFUSALS);
    if more > 0 {
        let _ = writeln!(text, "\nand {more} more of the kind.");
    }
    if !rejected.fine.is_empty() {
        let places = rejected.fine.iter().take(50);
        let places: Vec<_> = places
            .map(|(path, hunk)| format!("{path} hunk {hunk}"))
            .collect();
        let _ = writeln!(
            text,
            "\nThese were fine, give them again as they were: {}.",
            places.join(", ")
        );
    }
    let _ = writeln!(text, "\n{}", instructions(format));
    format!("{prompt}{text}")
}

fn one(text: &mut String, number: usize, refusal: &Refusal, fence: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\n{number}. {}: {}: {}. Next: {}.",
        refusal.place(),
        refusal.code.as_str(),
        refusal.message,
        refusal.code.hint()
    );
    if !refusal.given.is_empty() {
        let _ = writeln!(
            text,
            "You wrote:\n<<<GIVEN {fence}\n{}\nGIVEN {fence}>>>",
            refusal.given.join("\n")
        );
    }
    if let Some(near) = &refusal.near {
        let _ = writeln!(
            text,
            "The file has, from line {}:\n<<<FILE {fence}\n{}\nFILE {fence}>>>",
            near.first,
            near.lines.join("\n")
        );
    }
}
