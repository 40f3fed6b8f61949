//! The lines before the pack.

use baton_core::git::Oid;
use baton_core::problem::Problem;
use baton_core::task::TaskId;

/// The largest bundle that is read, in bytes: more than git's pack can be when it is written.
pub(super) const MAX_BYTES: usize = 320 << 20;

const FIRST: &str = "# baton bundle v1";
/// Room for the lines, in bytes.
const MAX_HEADER: usize = 4096;

/// What the lines say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The task it is about.
    pub(super) task: TaskId,
    /// The tree of queue and single source of truth.
    pub(super) record: Oid,
    /// `sha1` or `sha256`.
    pub(super) objects: String,
}

impl Header {
    pub(super) fn to_text(&self) -> String {
        let Self {
            task,
            record,
            objects,
        } = self;
        format!("{FIRST}\ntask {task}\nobjects {objects}\nrecord {record}\n\n")
    }

    /// Splits a bundle into its lines and its pack.
    pub(super) fn split(bytes: &[u8]) -> Result<(Self, &[u8]), Problem> {
        let head = bytes.get(..bytes.len().min(MAX_HEADER)).unwrap_or_default();
        let end = head.windows(2).position(|pair| pair == b"\n\n");
        let text = end.and_then(|end| std::str::from_utf8(head.get(..end)?).ok());
        let (Some(end), Some(text)) = (end, text) else {
            return Err(broken(
                "it does not begin with lines of text and an empty line",
            ));
        };
        let mut lines = text.split('\n');
        if lines.next() != Some(FIRST) {
            return Err(broken(&format!("it does not begin with \"{FIRST}\"")));
        }
        let mut value = |name: &str| {
            let line = lines
                .next()
                .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| broken(&format!("it has no line \"{name} …\" in its place")))
        };
        let header = Self {
            task: TaskId::parse(value("task")?)?,
            objects: value("objects")?.to_owned(),
            record: Oid::parse(value("record")?)?,
        };
        if !matches!(header.objects.as_str(), "sha1" | "sha256") {
            return Err(broken("its objects are neither sha1 nor sha256"));
        }
        if lines.next().is_some() {
            return Err(broken("it has more lines than a bundle"));
        }
        Ok((header, bytes.get(end + 2..).unwrap_or_default()))
    }
}

/// A bundle that is none.
pub(super) fn broken(why: &str) -> Problem {
    Problem::fail("BUNDLE_INVALID", format!("this is no bundle: {why}"))
        .hint("pass a file as `baton bundle TASK --out FILE` writes it")
}
