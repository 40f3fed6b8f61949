//! macOS: the gate behind Seatbelt. Written from what others report; not tested by us.
//!
//! There is no pid or network namespace: loopback is closed as a whole, other processes are seen,
//! a daemon can outlive the gate, and one Seatbelt does not nest inside another.

use crate::stage::Places;
use crate::wire::StagePlan;

/// Deprecated since years, and what every tool of this kind still uses.
const PROGRAM: &str = "/usr/bin/sandbox-exec";
/// What a program reads before it can do anything.
const SYSTEM: [&str; 9] = [
    "/System",
    "/usr",
    "/bin",
    "/sbin",
    "/Library/Apple",
    "/Library/Developer/CommandLineTools",
    "/private/etc",
    "/private/var/db/dyld",
    "/dev",
];

/// The gate's command line, with Seatbelt before it.
pub(crate) fn argv(plan: &StagePlan, places: &Places) -> Vec<String> {
    let mut argv = vec![
        PROGRAM.to_owned(),
        "-p".to_owned(),
        rules(plan, places),
        "--".to_owned(),
    ];
    argv.extend(plan.argv.iter().cloned());
    argv
}

fn rules(plan: &StagePlan, places: &Places) -> String {
    let mut rules = String::from(
        "(version 1)\n(deny default)\n(allow process-fork)\n(allow process-exec)\n\
         (allow signal (target same-sandbox))\n(allow sysctl-read)\n\
         (allow file-read-metadata)\n(allow file-ioctl (literal \"/dev/null\"))\n\
         (allow file-write* (literal \"/dev/null\") (literal \"/dev/zero\"))\n(deny network*)\n",
    );
    let read = SYSTEM.iter().map(|place| (*place).to_owned()).chain(
        plan.read_only
            .iter()
            .map(|place| place.display().to_string()),
    );
    for place in read {
        rules.push_str(&format!(
            "(allow file-read* (subpath {}))\n",
            quoted(&place)
        ));
    }
    for place in [&places.tree, &places.home, &places.temporary] {
        // Rules name real paths only: /tmp and /var are links there.
        let real = place.canonicalize().unwrap_or_else(|_| place.clone());
        let real = quoted(&real.display().to_string());
        rules.push_str(&format!(
            "(allow file-read* file-write* (subpath {real}))\n"
        ));
    }
    rules
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
