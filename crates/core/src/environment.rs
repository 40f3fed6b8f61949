//! Every environment variable that baton reads, in one place.

use std::ffi::{OsStr, OsString};

/// Who acts, when `--actor` is not given.
pub const ACTOR: &str = "BATON_ACTOR";
/// The owner that `claim-lock` writes into a lock, when `--owner` is not given.
pub const OWNER: &str = "BATON_OWNER";
/// The account name, part of the default owner.
pub const USER: &str = "USER";
/// Where programs are found; see [`search_path`].
pub const PATH: &str = "PATH";
/// Where the SSH agent listens; handed on for signing and for pushes over SSH only.
pub const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// How SSH asks for a passphrase or a touch where there is no terminal; handed on for signing only.
pub const SSH_ASKPASS: [&str; 4] = [
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "DISPLAY",
    "WAYLAND_DISPLAY",
];
/// Set by programs that let a model type commands, in the shells that they open.
pub const AGENTS: [&str; 8] = [
    "AI_AGENT",
    "CLAUDECODE",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "COPILOT_AGENT",
    "CURSOR_AGENT",
    "GEMINI_CLI",
    "OPENCODE",
];
/// Where GPG's keys are; handed on for signing only.
pub const GNUPGHOME: &str = "GNUPGHOME";
/// The home folder; used to find toolchains for gates, never handed to them as it is.
pub const HOME: &str = "HOME";
/// Where git looks for the settings of whoever uses it; handed on to a git that is to know them only.
pub const GIT_SETTINGS: [&str; 3] = [HOME, "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"];

/// Reads a variable of this process.
#[must_use]
pub fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where programs are found, without what is looked up from the working folder: that one holds the
/// repository or the change, which must not choose what is run.
#[must_use]
pub fn search_path() -> Option<OsString> {
    fixed_folders(&read(PATH)?)
}

fn fixed_folders(path: &OsStr) -> Option<OsString> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    let fixed = std::env::join_paths(folders).ok();
    // An empty search path means the working folder too.
    fixed.filter(|fixed| !fixed.is_empty())
}

/// Reads a variable as text; a value that is not UTF-8 counts as absent.
#[must_use]
pub fn read_text(name: &str) -> Option<String> {
    read(name)?.into_string().ok()
}

/// The variable by which an agent says that it typed this command, if one does.
#[must_use]
pub fn agent() -> Option<&'static str> {
    AGENTS.into_iter().find(|name| read(name).is_some())
}

/// Makes the owner name for a lock: `BATON_OWNER`, else account@host.
#[must_use]
pub fn default_owner() -> String {
    read_text(OWNER).unwrap_or_else(|| {
        let user = read_text(USER).unwrap_or_else(|| "someone".to_owned());
        format!("{user}@{}", crate::ids::host())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_folder_is_no_place_for_programs() {
        for (path, expected) in [
            ("/usr/bin:/bin", Some("/usr/bin:/bin")),
            (
                ":/usr/bin::.:./x:node_modules/.bin:/bin:",
                Some("/usr/bin:/bin"),
            ),
            (".", None),
            ("", None),
        ] {
            let fixed = fixed_folders(OsStr::new(path));
            assert_eq!(fixed, expected.map(OsString::from), "{path}");
        }
    }
}
