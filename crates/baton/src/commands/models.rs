//! What the policy's model servers say of themselves, for `baton doctor`.

use std::time::{Duration, Instant};

use baton_core::policy::{MODEL_PURPOSE, ModelServer};
use baton_core::problem::Problem;
use baton_core::session::Session;
use baton_model::{Bounds, Client, Kind, Standing};

/// How long all the questions to one server may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// One server of the policy's, and what it has, or what is wrong and what to do.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) said: Result<String, String>,
}

/// Asks each server that the policy names; nothing is sent to a host that is not allowed.
pub(super) fn check(session: &Session) -> Result<Vec<Found>, Problem> {
    let draft = &session.policy()?.draft;
    let servers = [(Kind::Ollama, &draft.ollama), (Kind::OpenAi, &draft.openai)];
    let named = servers
        .into_iter()
        .filter_map(|(kind, server)| Some((kind, server.as_ref()?)));
    Ok(named
        .map(|(kind, server)| Found {
            name: format!("draft.{}", kind.name()),
            said: one(session, kind, server).map_err(|why| said(&why)),
        })
        .collect())
}

fn said(problem: &Problem) -> String {
    let hint = problem.hints.first();
    let hint = hint.map_or(String::new(), |hint| format!(" (next: {hint})"));
    format!("{}{hint}", problem.message)
}

fn one(session: &Session, kind: Kind, server: &ModelServer) -> Result<String, Problem> {
    session.check_accepted()?;
    let policy = session.policy()?;
    let may_leave = |host: &str| policy.may_leave(session.actor, host, MODEL_PURPOSE, "prompts");
    if let Some(place) = server.place().filter(|place| !place.is_loopback) {
        may_leave(&place.host)?;
    }
    let bounds = Bounds {
        until: Instant::now() + TIMEOUT,
        stopped: &|| None,
    };
    let standing = Client::new(kind, server)?.standing(&bounds)?;
    if let Some(host) = &standing.remote {
        may_leave(host)?;
    }
    fits(server, &standing)?;
    Ok(describe(server, &standing))
}

fn fits(server: &ModelServer, standing: &Standing) -> Result<(), Problem> {
    let model = &server.model;
    if standing.is_listed == Some(false) {
        let why = format!("{} does not list {model}", server.endpoint);
        return Err(Problem::fail("MODEL_UNLISTED", why)
            .hint("correct the model in the policy's draft section, or load it"));
    }
    let Some(context) = standing.context.filter(|context| *context < server.num_ctx) else {
        return Ok(());
    };
    let why = format!(
        "{model} takes {context} tokens, num_ctx is {}",
        server.num_ctx
    );
    Err(Problem::fail("CONTEXT_TOO_LARGE", why).hint(format!("set num_ctx to {context} or less")))
}

fn describe(server: &ModelServer, standing: &Standing) -> String {
    let version = standing.version.as_ref();
    let version = version.map_or(String::new(), |version| format!(" ({version})"));
    let has = match standing.is_listed {
        Some(true) => format!("has {}", server.model),
        _ => format!("lists no models, {} was not seen", server.model),
    };
    let context = standing
        .context
        .map_or("an unknown context".to_owned(), |context| {
            format!("{context} tokens of context")
        });
    let price = match server.price {
        Some(_) => "",
        None => "; without a price it is not asked: put one into the policy's draft section",
    };
    format!(
        "{}{version} answers and {has}, {context}, num_ctx {}{price}",
        server.endpoint, server.num_ctx
    )
}
