//! Asking a model server: whether it may be asked, what it may cost, and the call.

use std::cell::Cell;
use std::time::{Duration, Instant};

use baton_core::envelope::{Finding, Severity};
use baton_core::policy::{MODEL_PURPOSE, ModelServer, Price};
use baton_core::problem::Problem;
use baton_core::report::Call;
use baton_core::session::Session;
use baton_core::store::TaskFolder;
use baton_model::{Bounds, Client, Failed, Kind, Question, Standing};

use super::{Answer, budget, kept, millis};
use crate::keep::LEASE_LOST;
use crate::prompt::{Prompt, Room};

/// How often somebody who watches is told how far the reply is.
const TELL: Duration = Duration::from_secs(2);
/// Bytes of a reply for a token, for that figure only.
const BYTES_A_TOKEN: usize = 4;

/// A model server that may be asked.
pub(crate) struct Server<'a> {
    session: &'a Session,
    task: &'a TaskFolder,
    kind: Kind,
    server: &'a ModelServer,
    price: Price,
    client: Client<'a>,
}

impl<'a> Server<'a> {
    pub(super) fn open(
        session: &'a Session,
        task: &'a TaskFolder,
        kind: Kind,
        server: &'a ModelServer,
    ) -> Result<Self, Problem> {
        if let Some(place) = server.place().filter(|place| !place.is_loopback) {
            may_leave(session, &place.host)?;
        }
        let price = server.price.ok_or_else(|| {
            let why = format!(
                "draft.{} has no price, and caps.cost_cents cannot be kept without one",
                kind.name()
            );
            Problem::fail("PRICE_UNKNOWN", why).hint(
                "put the cents for a million tokens there; 0 and 0 for a model on this machine",
            )
        })?;
        Ok(Self {
            session,
            task,
            kind,
            server,
            price,
            client: Client::new(kind, server)?,
        })
    }

    /// What the report calls it.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.kind.name(), self.server.model)
    }

    pub(super) fn room(&self) -> Room {
        Room {
            context: self.server.num_ctx,
            reply: self.server.num_predict,
        }
    }

    pub(super) fn ask(&self, prompt: &Prompt) -> Result<Answer, Problem> {
        let caps = &self.session.policy()?.caps;
        let calls = self.task.calls()?;
        let (reply, no_time) = (self.server.num_predict, Duration::ZERO);
        let reserved = budget::cost(self.price, prompt.tokens, reply, no_time);
        let left = budget::check(caps, &calls, reserved)?;
        let stopped = || self.session.halted();
        let bounds = Bounds {
            until: Instant::now() + left,
            stopped: &stopped,
        };
        let standing = self.check_standing(&bounds)?;
        self.session.tell(&format!(
            "patch-draft: asking {}:{} with {} bytes, about {} tokens of {}",
            self.kind.name(),
            self.server.model,
            prompt.text.len(),
            prompt.tokens,
            self.server.num_ctx
        ));
        let number = self.task.reserve_call(reserved)?;
        let began = Instant::now();
        let asked = self.call(prompt, calls.count, &bounds);
        // After a lost lease the folder is another's; what was set aside then counts as spent.
        if !matches!(&asked, Err(failed) if failed.problem.code == LEASE_LOST) {
            self.settle(number, reserved, began.elapsed(), &asked)?;
        }
        let answer = asked.map_err(|failed| kept(self.task, &failed.text, failed.problem))?;
        self.answered(answer, &standing)
    }

    fn call(
        &self,
        prompt: &Prompt,
        before: u64,
        bounds: &Bounds<'_>,
    ) -> Result<baton_model::Answer, Box<Failed>> {
        let most = self.session.policy()?.caps.max_patch_bytes;
        let (began, told) = (Instant::now(), Cell::new(Instant::now()));
        let progress = |bytes: usize| {
            if told.get().elapsed() < TELL {
                return;
            }
            told.set(Instant::now());
            let tokens = bytes / BYTES_A_TOKEN;
            let a_second = tokens as f64 / began.elapsed().as_secs_f64();
            self.session.progress(tokens as u64, a_second);
        };
        let question = Question {
            prompt: &prompt.text,
            // The same question with the same seed would get the same reply.
            seed: self.server.seed + before,
            most_reply: usize::try_from(most).unwrap_or(usize::MAX),
            progress: &progress,
        };
        self.client.ask(&question, bounds)
    }

    /// Puts down what the call took. What no server counted is taken to be all that was set aside.
    fn settle(
        &self,
        number: u64,
        reserved: baton_core::store::CallCost,
        time: Duration,
        asked: &Result<baton_model::Answer, Box<Failed>>,
    ) -> Result<(), Problem> {
        let counted = match asked {
            Ok(answer) => answer.prompt_tokens.zip(answer.output_tokens),
            Err(failed) if !failed.is_spent => Some((0, 0)),
            Err(_) => None,
        };
        let mut cost = match counted {
            Some((prompt, output)) => budget::cost(self.price, prompt, output, time),
            None => reserved,
        };
        cost.milliseconds = millis(time);
        self.task.settle_call(number, cost)
    }

    /// Asks the server what it has; a model that runs elsewhere is another host.
    fn check_standing(&self, bounds: &Bounds<'_>) -> Result<Standing, Problem> {
        let standing = self.client.standing(bounds)?;
        if let Some(host) = &standing.remote {
            may_leave(self.session, host)?;
        }
        let context = standing.context.unwrap_or(u64::MAX);
        if self.server.num_ctx > context {
            let why = format!(
                "draft.{}.num_ctx is {}, the model {} takes {context} tokens",
                self.kind.name(),
                self.server.num_ctx,
                self.server.model
            );
            return Err(Problem::fail("CONTEXT_TOO_LARGE", why)
                .hint(format!("set num_ctx to {context} or less")));
        }
        Ok(standing)
    }

    fn answered(
        &self,
        answer: baton_model::Answer,
        standing: &Standing,
    ) -> Result<Answer, Problem> {
        let caps = &self.session.policy()?.caps;
        let mut findings = Vec::from_iter(budget::warning(caps, &self.task.calls()?));
        let mut note = |code: &str, text: String| {
            findings.push(Finding::new(Severity::Info, code, text));
        };
        if answer.prompt_tokens.is_none() {
            let text = "the server counted no tokens; all that was set aside is taken as spent";
            note("TOKENS_NOT_COUNTED", text.to_owned());
        }
        if standing.is_listed == Some(false) {
            let text = format!(
                "the server does not list {} and answered all the same; which model it was is not known",
                self.server.model
            );
            note("MODEL_UNLISTED", text);
        }
        Ok(Answer {
            text: answer.text.into_bytes(),
            call: Call {
                model: Some(self.name()),
                model_digest: standing.digest.clone(),
                server_version: standing.version.clone().or(answer.server_version),
                finish: Some(answer.finish),
                prompt_tokens: answer.prompt_tokens,
                output_tokens: answer.output_tokens,
                duration_ms: Some(millis(answer.duration)),
            },
            findings,
        })
    }
}

/// The one rule for what leaves the machine.
fn may_leave(session: &Session, host: &str) -> Result<(), Problem> {
    let policy = session.policy()?;
    policy.may_leave(session.actor, host, MODEL_PURPOSE, "the prompt")
}
