//! The small spellings that all the texts share, each with exactly one form.

use data_encoding::BASE64;

use crate::error::Error;

/// A decimal number without sign, leading zero or anything else around it.
pub(crate) fn decimal(what: &str, text: &str) -> Result<u64, Error> {
    let wrong = || Error::new(what, text, "a decimal number with no leading zero");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// Padded base64 whose unused bits are zero, so that one value has one spelling.
pub(crate) fn base64(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    let decoded = BASE64.decode(text.as_bytes());
    decoded.map_err(|_| Error::new(what, text, "standard base64 with its padding"))
}

/// Takes the next line off `rest`, without its newline.
pub(crate) fn take<'a>(what: &str, rest: &mut &'a str) -> Result<&'a str, Error> {
    match rest.split_once('\n') {
        Some((line, after)) => {
            *rest = after;
            Ok(line)
        }
        None => Err(Error::new(what, rest, "a line that ends with a newline")),
    }
}

/// The number after a word and one space.
pub(crate) fn labelled(word: &str, line: &str) -> Result<u64, Error> {
    let number = line
        .strip_prefix(word)
        .and_then(|rest| rest.strip_prefix(' '));
    let number = number.ok_or_else(|| Error::new("line", line, format!("{word} and a number")))?;
    decimal(word, number)
}

/// Refuses a text that is too long before anything else is done with it.
pub(crate) fn bounded(what: &str, bytes: usize, most: usize) -> Result<(), Error> {
    if bytes <= most {
        return Ok(());
    }
    let got = format!("{bytes} bytes");
    Err(Error::new(what, got, format!("at most {most} bytes")))
}
