//! What a task may spend on models: tokens, cents and time, set aside before each call and shared by all
//! calls of the task.

use std::time::Duration;

use baton_core::envelope::{Finding, Severity};
use baton_core::policy::{Caps, Price};
use baton_core::problem::Problem;
use baton_core::store::{CallCost, Calls};

/// A price is for a million tokens, in cents; so one token costs millionths of a cent.
const CENT: u64 = 1_000_000;

/// What tokens cost.
pub(super) fn cost(price: Price, prompt: u64, output: u64, time: Duration) -> CallCost {
    let of = |tokens: u64, price: u64| tokens.saturating_mul(price);
    CallCost {
        tokens: prompt.saturating_add(output),
        microcents: of(prompt, price.input_cents_per_million)
            .saturating_add(of(output, price.output_cents_per_million)),
        milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Refuses a call for which there is not enough left, and says how long it may take.
///
/// # Errors
/// `BUDGET_TOKENS`, `BUDGET_COST`, `BUDGET_TIME`.
pub(super) fn check(caps: &Caps, calls: &Calls, next: CallCost) -> Result<Duration, Problem> {
    let refused = |code: &str, unit: &str, used: u64, next: u64, most: u64, cap: &str| {
        let why = format!(
            "the task's {} calls took {used} {unit} and this one may take {next}, the policy allows {most} ({cap})",
            calls.count
        );
        Problem::fail(code, why).hint(format!(
            "make the task smaller, or raise caps.{cap} by a reviewed commit"
        ))
    };
    let all = calls.cost.and(next);
    if all.tokens > caps.tokens_hard {
        let (used, most) = (calls.cost.tokens, caps.tokens_hard);
        let next = next.tokens;
        return Err(refused(
            "BUDGET_TOKENS",
            "tokens",
            used,
            next,
            most,
            "tokens_hard",
        ));
    }
    let most = caps.cost_cents.saturating_mul(CENT);
    if all.microcents > most {
        let (used, next) = (calls.cost.microcents, next.microcents);
        return Err(refused(
            "BUDGET_COST",
            "millionths of a cent",
            used,
            next,
            most,
            "cost_cents",
        ));
    }
    let most = caps.draft_timeout_seconds.saturating_mul(1000);
    let left = most.saturating_sub(calls.cost.milliseconds);
    if left == 0 {
        let used = calls.cost.milliseconds;
        let cap = "draft_timeout_seconds";
        return Err(refused("BUDGET_TIME", "ms", used, 0, most, cap));
    }
    Ok(Duration::from_millis(left))
}

/// Warns of what is over the soft cap.
pub(super) fn warning(caps: &Caps, calls: &Calls) -> Option<Finding> {
    let used = calls.cost.tokens;
    (used > caps.tokens_soft).then(|| {
        Finding::new(
            Severity::Low,
            "BUDGET_SOFT",
            format!(
                "the task's {} calls of a model took {used} tokens, more than caps.tokens_soft ({}); at {} no more are made",
                calls.count, caps.tokens_soft, caps.tokens_hard
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Caps {
        let policy = include_bytes!("../../../../ssot/POLICY.json");
        let mut caps = baton_core::policy::Policy::parse(policy).unwrap().caps;
        (caps.tokens_soft, caps.tokens_hard, caps.cost_cents) = (100, 1000, 2);
        caps.draft_timeout_seconds = 10;
        caps
    }

    fn taken(tokens: u64, microcents: u64, milliseconds: u64) -> Calls {
        let cost = CallCost {
            tokens,
            microcents,
            milliseconds,
        };
        Calls { count: 1, cost }
    }

    #[test]
    fn the_price_is_for_a_million_tokens() {
        let price = Price {
            input_cents_per_million: 15,
            output_cents_per_million: 60,
        };
        let cost = cost(price, 1_000_000, 500_000, Duration::from_millis(7));
        assert_eq!((cost.tokens, cost.milliseconds), (1_500_000, 7));
        assert_eq!(cost.microcents, 45 * CENT);
    }

    #[test]
    fn each_cap_counts_what_was_taken_and_what_comes() {
        let next = taken(400, CENT, 0).cost;
        let left = check(&caps(), &taken(600, CENT, 4000), next).unwrap();
        assert_eq!(left, Duration::from_secs(6));
        for (calls, code) in [
            (taken(601, 0, 0), "BUDGET_TOKENS"),
            (taken(0, CENT + 1, 0), "BUDGET_COST"),
            (taken(0, 0, 10_000), "BUDGET_TIME"),
            (taken(u64::MAX, u64::MAX, u64::MAX), "BUDGET_TOKENS"),
        ] {
            assert_eq!(check(&caps(), &calls, next).unwrap_err().code, code);
        }
    }

    #[test]
    fn the_soft_cap_warns_and_stops_nothing() {
        assert_eq!(warning(&caps(), &taken(100, 0, 0)), None);
        let finding = warning(&caps(), &taken(101, 0, 0)).unwrap();
        assert_eq!(finding.code, "BUDGET_SOFT");
    }
}
