//! The flags of `baton run`.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::commands::rounds::Until;

#[derive(clap::Args, Clone, Default)]
pub(in crate::commands) struct Arguments {
    /// Take this task
    #[arg(value_name = "TASK", required_unless_present_any = ["next", "all", "watch"])]
    pub(in crate::commands) task: Option<String>,
    /// Take the next task of the inbox
    #[arg(long, conflicts_with = "task")]
    pub(in crate::commands) next: bool,
    /// Land every approved candidate that waits, one after the other, each gated on top of the last;
    /// what several of them would make is gated ahead, side by side
    #[arg(long, conflicts_with_all = ["task", "next", "from", "producer"])]
    pub(in crate::commands) all: bool,
    /// Take one task after the other as they come, the most urgent first, until told to end
    #[arg(long, requires = "producer", conflicts_with_all = ["task", "next", "all", "from", "apart"])]
    pub(in crate::commands) watch: bool,
    /// With --watch, take up to this many tasks at one time; none may change what another may change
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(in crate::commands) parallel: Option<u8>,
    #[command(flatten)]
    pub(in crate::commands) until: Until,
    /// Take the task only when no task that somebody holds may change one of its files
    #[arg(long, conflicts_with_all = ["next", "all"])]
    pub(in crate::commands) apart: bool,
    /// Take the patch from this file; - is standard input
    #[arg(long, value_name = "FILE|-", conflicts_with = "producer")]
    pub(in crate::commands) from: Option<PathBuf>,
    /// Ask for the patch, as the policy's draft section says
    #[arg(long, value_name = "NAME", value_parser = ["ollama", "openai", "command"])]
    pub(in crate::commands) producer: Option<String>,
    /// Read the reply in this form, as patch-draft does
    #[arg(long, value_name = "whole|search-replace|udiff", value_parser = ["whole", "search-replace", "udiff"])]
    pub(in crate::commands) reply_format: Option<String>,
    /// Let repairs of the reply guess, where the policy lets them
    #[arg(long)]
    pub(in crate::commands) fuzz: bool,
    /// Decide and record, and stop nothing: the change goes to a person
    #[arg(long)]
    pub(in crate::commands) shadow: bool,
    /// Run every gate, also where a result for the same tree, gate and tools is at hand
    #[arg(long)]
    pub(in crate::commands) no_cache: bool,
    /// Claim under this name (default: BATON_OWNER, else account@host)
    #[arg(long, value_name = "NAME")]
    pub(in crate::commands) owner: Option<String>,
}

/// Adds the flags.
pub(in crate::commands) fn arguments(command: Command) -> Command {
    let command = Arguments::augment_args(command);
    // They say when `--watch` ends, and nothing of one task.
    ["max", "idle", "poll"]
        .into_iter()
        .fold(command, |command, flag| {
            command.mut_arg(flag, |flag| flag.requires("watch"))
        })
        .after_help(
            "Examples:\n  baton run T-1 --from fix.patch\n  baton run --next --producer command\n\n\
             Exit codes:\n  0 OK  1 FAIL  2 usage error  3 DENY  4 ZERO_STOP  5 PARTIAL",
        )
}
