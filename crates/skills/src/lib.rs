//! The skill pack: what is in it, the lint over it, and installing it where coding agents look.
//!
//! A skill is a folder with a `SKILL.md`: a few lines of YAML between `---` lines, then Markdown.
//! Every agent reads it with another parser, so the lint allows only what all of them read alike.

pub mod frontmatter;
pub mod install;
pub mod lint;
pub mod pack;
