//! An error with what caused it, in one line.

use std::error::Error;

/// The messages of `error` and of its causes, from the outermost on; one that an outer message has already is left out.
pub fn chain(error: &dyn Error) -> String {
    with_causes(error.to_string(), error)
}

/// As [`chain`], beginning with `text` in place of the error's own message.
pub fn with_causes(mut text: String, error: &dyn Error) -> String {
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot read it")]
        Plain(#[source] io::Error),
        #[error("cannot read it: {0}")]
        Repeating(#[source] io::Error),
    }

    #[test]
    fn each_cause_is_reported_once() {
        let cause = || io::Error::other("disk full");
        for error in [Outer::Plain(cause()), Outer::Repeating(cause())] {
            assert_eq!(chain(&error), "cannot read it: disk full");
        }
        assert_eq!(with_causes("later".to_owned(), &Outer::Plain(cause())), "later: disk full");
    }
}
