//! Access rules of application credentials: which paths a token may be used for.

/// One piece of a rule's path.
#[derive(Clone, Copy)]
enum Piece {
    /// This character.
    Literal(char),
    /// `*` or `{name}`: one or more characters that are no slash. The flag is whether one has been seen.
    Segment,
    /// `**`: anything, or nothing.
    Anything,
}

/// Whether `path` is one that `pattern` allows: `*` and `{name}` stand for (part of) a segment, `**` for anything.
/// Source: keystonemiddleware, `_path_matches`; but a dot of the pattern is a dot.
pub(crate) fn path_matches(pattern: &str, path: &str) -> bool {
    let pieces = pieces(pattern);
    // Every way through at once: at each character, which pieces may come next. A segment that has begun may continue.
    let end = pieces.len();
    let mut at = vec![false; end + 1];
    let mut within = vec![false; end + 1];
    reach(&mut at, &pieces, 0);
    for character in path.chars() {
        let mut next_at = vec![false; end + 1];
        let mut next_within = vec![false; end + 1];
        for (index, piece) in pieces.iter().enumerate() {
            let is_at = at.get(index).copied().unwrap_or(false);
            let is_within = within.get(index).copied().unwrap_or(false);
            match piece {
                Piece::Literal(literal) if is_at && *literal == character => {
                    reach(&mut next_at, &pieces, index + 1);
                }
                Piece::Segment if (is_at || is_within) && character != '/' => {
                    if let Some(flag) = next_within.get_mut(index) {
                        *flag = true;
                    }
                    reach(&mut next_at, &pieces, index + 1);
                }
                Piece::Anything if is_at => reach(&mut next_at, &pieces, index),
                Piece::Literal(_) | Piece::Segment | Piece::Anything => {}
            }
        }
        (at, within) = (next_at, next_within);
    }
    at.get(end).copied().unwrap_or(false)
}

/// Marks a piece as one that may come next, and those behind it that need nothing before them.
fn reach(at: &mut [bool], pieces: &[Piece], mut index: usize) {
    while let Some(flag) = at.get_mut(index) {
        *flag = true;
        if !matches!(pieces.get(index), Some(Piece::Anything)) {
            break;
        }
        index += 1;
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let (piece, after) = if let Some(after) = rest.strip_prefix("**") {
            (Piece::Anything, after)
        } else if let Some(after) = rest.strip_prefix('*') {
            (Piece::Segment, after)
        } else if let Some((_, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            (Piece::Segment, after)
        } else {
            (
                Piece::Literal(character),
                rest.split_at_checked(character.len_utf8()).map_or("", |(_, after)| after),
            )
        };
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(path_matches(pattern, path), expected, "{path} by {pattern}");
    }

    #[test]
    fn a_path_is_itself_and_nothing_longer() {
        check("/v1/probes/", "/v1/probes/", true);
        check("/v1/probes/", "/v1/probes", false);
        check("/v1/probes/", "/v1/probes/A/", false);
        check("/v1.probes", "/v1/probes", false);
    }

    #[test]
    fn stars_and_names_stand_for_a_segment_and_two_stars_for_anything() {
        check("/v1/probes/*/", "/v1/probes/A/", true);
        check("/v1/probes/{probe}/w/", "/v1/probes/A.7/w/", true);
        check("/v1/probes/*/", "/v1/probes//", false);
        check("/v1/probes/*/", "/v1/probes/A/w/", false);
        check("/v1/probes/ly*", "/v1/probes/lyon", true);
        check("/v1/**", "/v1/probes/A/w/", true);
        check("/v1/**", "/v1/", true);
        check("**", "", true);
        check("/v1/**/w/", "/v2/probes/A/w/", false);
    }

    proptest! {
        #[test]
        fn noise_never_panics(pattern in "[*{}/a-c.]{0,30}", path in any::<String>()) {
            path_matches(&pattern, &path);
        }

        #[test]
        fn two_stars_allow_everything_below(path in any::<String>()) {
            let path = format!("/v1/{path}");
            prop_assert!(path_matches("/v1/**", &path));
        }
    }
}
