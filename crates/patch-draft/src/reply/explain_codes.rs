//! The words of this part for `baton explain`: repairs, refusals and the findings that tell of them.

use super::refusal::Code;
use super::repair::RepairId;

/// The finding that tells of a repair.
pub(crate) const REPAIRED: &str = "REPLY_REPAIRED";
/// The finding that tells of a repair that guesses.
pub(crate) const FUZZY: &str = "REPLY_FUZZY";
/// `--fuzz` where the policy does not let it be.
pub(crate) const FUZZ_DENIED: &str = "FUZZ_DENIED";

/// One word explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As findings and reports spell it.
    pub id: &'static str,
    /// The finding that it raises.
    pub raises: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

const OTHERS: [Word; 3] = [
    Word {
        id: REPAIRED,
        raises: REPAIRED,
        about: "A reply was mended without guessing; the finding names repair, file, hunk and line.",
        next: "nothing to do; report.json has what stood there before",
    },
    Word {
        id: FUZZY,
        raises: "FUZZY_DRAFT",
        about: "A place or a line of a reply was guessed, so the risk is MEDIUM at least.",
        next: "let a person look whether the place is the one that was meant",
    },
    Word {
        id: FUZZ_DENIED,
        raises: FUZZ_DENIED,
        about: "--fuzz was given and the policy does not let repairs guess.",
        next: "leave --fuzz out; a person can set draft.fuzzy to \"allow\" in POLICY.json",
    },
];

/// Every word, refusals first.
pub fn words() -> impl Iterator<Item = Word> {
    let refusals = Code::ALL.iter().map(|code| Word {
        id: code.as_str(),
        raises: code.as_str(),
        about: code.about(),
        next: code.hint(),
    });
    let repairs = RepairId::ALL.iter().map(|repair| Word {
        id: repair.as_str(),
        raises: if repair.is_fuzzy() { FUZZY } else { REPAIRED },
        about: repair.about(),
        next: if repair.is_fuzzy() {
            "made only with --fuzz, where the policy lets it be; a person looks at the place"
        } else {
            "nothing to do; report.json has what stood there before"
        },
    });
    refusals.chain(repairs).chain(OTHERS)
}

/// Explains one word.
#[must_use]
pub fn explain(id: &str) -> Option<Word> {
    words().find(|word| word.id == id)
}
