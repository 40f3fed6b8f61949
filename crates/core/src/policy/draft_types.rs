//! The `draft` section of `POLICY.json`: what is asked for a patch, where it listens, what it costs.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::check::argv;
use super::landing_types::token_source;
use super::{TokenSource, WorkerRule};
use crate::bounds::{self, Checked};
use crate::wire;

/// What `purpose` of an external exception is for a host that prompts are sent to. Such an exception
/// lets no change name the host.
pub const MODEL_PURPOSE: &str = "model";

/// How drafts are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Program and arguments; empty means none.
    pub command: Vec<String>,
    /// A server that speaks Ollama's own interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ollama: Option<ModelServer>,
    /// A server that speaks OpenAI's chat completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<ModelServer>,
    /// Whether a reply may be mended by repairs that guess.
    #[serde(default)]
    pub fuzzy: Fuzzy,
    /// Which tasks a worker may take.
    #[serde(default)]
    pub worker: WorkerRule,
}

/// Whether repairs that guess may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fuzzy {
    /// Never.
    #[default]
    Deny,
    /// With `--fuzz`; the risk is then MEDIUM at least.
    Allow,
}

/// A model behind an HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelServer {
    /// The address, with or without `/v1` or a slash at the end.
    pub endpoint: String,
    /// The model's name, as the server knows it.
    pub model: String,
    /// The key that the server asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<TokenSource>,
    /// How many tokens prompt and reply may have together.
    #[serde(default = "num_ctx", deserialize_with = "wire::count")]
    pub num_ctx: u64,
    /// How many tokens the reply may have.
    #[serde(default = "num_predict", deserialize_with = "wire::count")]
    pub num_predict: u64,
    /// 0 to 2.
    #[serde(default = "zero")]
    pub temperature: Number,
    /// The seed of the first call; each further one counts on from it.
    #[serde(default, deserialize_with = "wire::count")]
    pub seed: u64,
    /// Whether the model may think before it answers; Ollama only.
    #[serde(default)]
    pub think: bool,
    /// How long the first piece of a reply may take: the model may have to be loaded.
    #[serde(default = "first_byte", deserialize_with = "wire::count")]
    pub first_byte_seconds: u64,
    /// How long the server may be silent after that.
    #[serde(default = "idle", deserialize_with = "wire::count")]
    pub idle_seconds: u64,
    /// What a call costs. Without it nothing is asked: a cap on cost needs a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// The price of a million tokens, in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    #[serde(deserialize_with = "wire::count")]
    pub input_cents_per_million: u64,
    /// Of the reply.
    #[serde(deserialize_with = "wire::count")]
    pub output_cents_per_million: u64,
}

fn num_ctx() -> u64 {
    16_384
}

fn num_predict() -> u64 {
    4096
}

fn zero() -> Number {
    Number::from(0)
}

fn first_byte() -> u64 {
    300
}

fn idle() -> u64 {
    60
}

/// The parts of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `scheme://host[:port][/path]`, without `/v1` and slash. `localhost` is 127.0.0.1 in it: no
    /// resolver is asked where this machine is.
    pub base: String,
    /// The host in lower case; IPv6 without brackets.
    pub host: String,
    /// Whether it is this machine.
    pub is_loopback: bool,
    /// Whether it is asked over TLS.
    pub is_tls: bool,
}

impl Endpoint {
    /// Reads an address; `None` when it is no plain http or https address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        let host = host.to_ascii_lowercase();
        let is_loopback = is_loopback(&host);
        let shown = match host.as_str() {
            "localhost" => "127.0.0.1".to_owned(),
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-/".contains(&byte);
        if !path.bytes().all(plain) || path.contains("//") || path.contains("..") {
            return None;
        }
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        Some(Self {
            base: format!("{scheme}://{shown}{port}{path}"),
            host,
            is_loopback,
            is_tls,
        })
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':'))
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let first = host.bytes().next()?;
        if !first.is_ascii_alphanumeric() || !host.bytes().all(plain) || host.len() > 253 {
            return None;
        }
        (host, port)
    };
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(port.parse().ok().filter(|port| *port != 0)?))),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || host
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
}

impl ModelServer {
    /// The endpoint's parts; a policy that was read holds a good one.
    #[must_use]
    pub fn place(&self) -> Option<Endpoint> {
        Endpoint::parse(&self.endpoint)
    }
}

/// The bounds that the schema puts on it.
pub(super) fn check(draft: &Draft) -> Checked {
    argv("draft.command", &draft.command)?;
    for (field, server) in [
        ("draft.ollama", &draft.ollama),
        ("draft.openai", &draft.openai),
    ] {
        if let Some(server) = server {
            self::server(field, server)?;
        }
    }
    Ok(())
}

fn server(field: &str, server: &ModelServer) -> Checked {
    bounds::text(&format!("{field}.endpoint"), &server.endpoint, 8, 500)?;
    let Some(place) = server.place() else {
        return Err(format!(
            "{field}.endpoint \"{}\" is no http or https address of a host, such as http://127.0.0.1:11434",
            server.endpoint.escape_debug()
        ));
    };
    let model = &server.model;
    let first = model.bytes().next();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
    if !first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        || !model.bytes().all(plain)
        || model.len() > 180
    {
        return Err(format!(
            "{field}.model \"{}\" is no model's name, such as qwen2.5-coder:7b",
            model.escape_debug()
        ));
    }
    if let Some(key) = &server.key {
        token_source(&format!("{field}.key"), key)?;
        // A key must not cross a network in the clear.
        if !place.is_tls && !place.is_loopback {
            return Err(format!(
                "{field} sends a key, so its endpoint is https, or on this machine"
            ));
        }
    }
    let temperature = server.temperature.as_f64().unwrap_or(-1.0);
    if !(0.0..=2.0).contains(&temperature) {
        return Err(format!(
            "{field}.temperature is {temperature}, expected 0 to 2"
        ));
    }
    numbers(field, server)
}

fn numbers(field: &str, server: &ModelServer) -> Checked {
    let most_price = 1_000_000_000;
    let price = server.price.unwrap_or(Price {
        input_cents_per_million: 0,
        output_cents_per_million: 0,
    });
    for (name, number, least, most) in [
        ("num_ctx", server.num_ctx, 256, 10_000_000),
        ("num_predict", server.num_predict, 1, 10_000_000),
        ("seed", server.seed, 0, 1 << 31),
        ("first_byte_seconds", server.first_byte_seconds, 1, 86_400),
        ("idle_seconds", server.idle_seconds, 1, 86_400),
        (
            "price.input_cents_per_million",
            price.input_cents_per_million,
            0,
            most_price,
        ),
        (
            "price.output_cents_per_million",
            price.output_cents_per_million,
            0,
            most_price,
        ),
    ] {
        bounds::number(&format!("{field}.{name}"), number, least, most)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_one_host_and_a_plain_path() {
        for (text, base, host, loopback) in [
            (
                "http://localhost:11434",
                "http://127.0.0.1:11434",
                "localhost",
                true,
            ),
            (
                "http://LOCALHOST:1/v1/",
                "http://127.0.0.1:1",
                "localhost",
                true,
            ),
            ("http://127.8.9.1/v1", "http://127.8.9.1", "127.8.9.1", true),
            ("http://[::1]:8/x/", "http://[::1]:8/x", "::1", true),
            (
                "https://Llm.Example/api/v1",
                "https://llm.example/api",
                "llm.example",
                false,
            ),
            (
                "http://ollama:11434",
                "http://ollama:11434",
                "ollama",
                false,
            ),
            (
                "http://127.0.0.1.evil.example",
                "http://127.0.0.1.evil.example",
                "127.0.0.1.evil.example",
                false,
            ),
            (
                "http://localhost.evil.example",
                "http://localhost.evil.example",
                "localhost.evil.example",
                false,
            ),
        ] {
            let place = Endpoint::parse(text).unwrap();
            assert_eq!(
                (place.base.as_str(), place.host.as_str(), place.is_loopback),
                (base, host, loopback),
                "{text}"
            );
        }
        for bad in [
            "ftp://localhost",
            "localhost:11434",
            "http://",
            "http://user@localhost",
            "http://localhost@evil.example",
            "http://localhost:0",
            "http://localhost:99999",
            "http://localhost/?q=1",
            "http://localhost/#a",
            "http://localhost/a/../b",
            "http://localhost//x",
            "http://[::1",
            "http://[evil]/",
            "http://\u{e9}.example",
            "http://a b",
        ] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }
}
