//! `baton-walls`: says as JSON what this machine can do for a gate.

use std::io::Write;

fn main() -> std::process::ExitCode {
    baton_sandbox::enter_if_called();
    let Ok(sandbox) = baton_sandbox::Sandbox::this_program() else {
        return std::process::ExitCode::FAILURE;
    };
    let mut words = std::env::args().skip(1);
    let tree = words.next().unwrap_or_default();
    let profile = baton_sandbox::Profile::new(tree, words.collect());
    let mut out = std::io::stdout();
    match sandbox.run(&profile, &|| false) {
        Ok(outcome) => {
            let _ = out.write_all(&outcome.log.text());
            let _ = serde_json::to_writer_pretty(&mut out, &outcome);
        }
        Err(refused) => {
            let _ = serde_json::to_writer_pretty(&mut out, &refused);
        }
    }
    let _ = writeln!(out);
    std::process::ExitCode::SUCCESS
}
