//! Globs with braces, written out.

/// How many plain globs the braces of one glob may stand for.
const MOST_EXPANDED: usize = 1024;

/// The globs without braces that one with braces stands for; the glob itself where that would be
/// too many, or where its braces do not close.
pub(super) fn expand(glob: &str) -> Vec<String> {
    if !glob.contains('{') {
        return vec![glob.to_owned()];
    }
    let mut done = Vec::new();
    let mut open = vec![glob.to_owned()];
    while let Some(next) = open.pop() {
        let braces = next.contains('{').then(|| split_braces(&next));
        match braces.flatten() {
            None => done.push(next),
            Some((before, choices, after)) => {
                let choices = choices.into_iter().rev();
                open.extend(choices.map(|choice| [before, choice, after].concat()));
            }
        }
        if done.len() + open.len() > MOST_EXPANDED {
            return vec![glob.to_owned()];
        }
    }
    done
}

/// The text before the first brace, its choices, and the text after it.
fn split_braces(glob: &str) -> Option<(&str, Vec<&str>, &str)> {
    let (mut depth, mut start, mut cut) = (0_usize, 0, 0);
    let (mut escaped, mut in_class) = (false, false);
    let mut choices = Vec::new();
    for (at, byte) in glob.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'[' => in_class = true,
            b'{' => {
                depth += 1;
                if depth == 1 {
                    (start, cut) = (at, at + 1);
                }
            }
            b',' if depth == 1 => {
                choices.push(glob.get(cut..at)?);
                cut = at + 1;
            }
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    choices.push(glob.get(cut..at)?);
                    return Some((glob.get(..start)?, choices, glob.get(at + 1..)?));
                }
            }
            _ => {}
        }
    }
    None
}
