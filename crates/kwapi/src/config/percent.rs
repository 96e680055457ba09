//! Shares as an operator writes them.

/// Reads `1 %` or `0.5%`.
///
/// # Errors
/// What is expected.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| format!("`accuracy` must be a share such as \"1 %\", not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        assert_eq!((percent("1 %"), percent("0.5%")), (Ok(1.0), Ok(0.5)));
        for wrong in ["1", "%", "-1 %", "101 %", "NaN %", "one %"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
