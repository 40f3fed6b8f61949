//! Every environment variable that baton reads, in one place.

use std::ffi::OsString;

/// Who acts, when `--actor` is not given.
pub const ACTOR: &str = "BATON_ACTOR";
/// The owner that `claim-lock` writes into a lock, when `--owner` is not given.
pub const OWNER: &str = "BATON_OWNER";
/// The account name, part of the default owner.
pub const USER: &str = "USER";
/// Where programs are found; gates and git get it unchanged.
pub const PATH: &str = "PATH";
/// Where the SSH agent listens; handed on for signing and for pushes over SSH only.
pub const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// Where GPG's keys are; handed on for signing only.
pub const GNUPGHOME: &str = "GNUPGHOME";
/// The home folder; used to find toolchains for gates, never handed to them as it is.
pub const HOME: &str = "HOME";

/// Reads a variable of this process.
#[must_use]
pub fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Reads a variable as text; a value that is not UTF-8 counts as absent.
#[must_use]
pub fn read_text(name: &str) -> Option<String> {
    read(name)?.into_string().ok()
}

/// Makes the owner name for a lock: `BATON_OWNER`, else account@host.
#[must_use]
pub fn default_owner() -> String {
    read_text(OWNER).unwrap_or_else(|| {
        let user = read_text(USER).unwrap_or_else(|| "someone".to_owned());
        format!("{user}@{}", crate::ids::host())
    })
}
