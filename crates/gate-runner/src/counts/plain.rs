//! `N passed, N failed`, in either order, with `N skipped` or `N ignored` if there are any.

use super::cases::Tally;
use super::{Read, Report, Unreadable, text};

const SOURCE: &str = "N passed, N failed";

pub(super) fn read(log: &str) -> Read {
    let mut tally = Tally::default();
    let mut seen = false;
    for line in log.lines() {
        if let Some(found) = counts(line)? {
            tally.add(found);
            seen = true;
        }
    }
    Ok(seen.then(|| Report::nameless(SOURCE, tally)))
}

fn counts(line: &str) -> Result<Option<Tally>, Unreadable> {
    let mut tally = Tally::default();
    let mut seen = [false; 3];
    // More parts are no summary, and a line may be a megabyte long.
    for (at, part) in line.trim().split(", ").enumerate() {
        let Some((number, word)) = text::number_and_word(part) else {
            return Ok(None);
        };
        let (flag, target) = match word.trim_end_matches('.') {
            "passed" => (0, &mut tally.passed),
            "failed" => (1, &mut tally.failed),
            "skipped" | "ignored" => (2, &mut tally.skipped),
            _ => return Ok(None),
        };
        // Only the first part may have something in front of its number.
        let alone = at == 0 || part.trim().starts_with(|c: char| c.is_ascii_digit());
        match seen.get_mut(flag) {
            Some(seen) if alone && !*seen => *seen = true,
            _ => return Ok(None),
        }
        *target = number
            .ok_or_else(|| Unreadable::new(SOURCE, "a number in it is longer than any count"))?;
    }
    let [passed, failed, _] = seen;
    Ok((passed && failed).then_some(tally))
}
