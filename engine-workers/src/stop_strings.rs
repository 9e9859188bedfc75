//! Stop strings, matched on text across tokens.

use std::sync::Arc;

/// What a stop string did to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopMatch {
    /// Index of the stop string.
    pub stop_index: usize,
}

/// Finds the first stop string in text that comes piece by piece, and holds back what may still become one: at most the
/// longest stop string's length less one character.
///
/// The match that is complete first wins, among those the longest, so that the outcome does not depend on how the text
/// was cut into pieces.
#[derive(Debug, Clone)]
pub struct StopStringMatcher {
    stops: Arc<[String]>,
    is_kept_in_text: bool,
    /// A suffix of the text so far that begins a stop string.
    held: String,
}

impl StopStringMatcher {
    /// Nothing seen yet; a matched string stays in the text if `is_kept_in_text`.
    pub fn new(stops: Arc<[String]>, is_kept_in_text: bool) -> Self {
        StopStringMatcher { stops, is_kept_in_text, held: String::new() }
    }

    /// Takes the next piece and appends to `text` what is certain to stay. After a match nothing more may be pushed.
    pub fn push(&mut self, piece: &str, text: &mut String) -> Option<StopMatch> {
        if self.stops.is_empty() {
            text.push_str(piece);
            return None;
        }
        let num_seen_bytes = self.held.len();
        self.held.push_str(piece);
        if let Some((end, stop_index)) = self.first_match(num_seen_bytes) {
            let kept = if self.is_kept_in_text { end } else { end - self.stops[stop_index].len() };
            text.push_str(&self.held[..kept]);
            self.held.clear();
            return Some(StopMatch { stop_index });
        }
        let certain = self.held.len() - self.longest_beginning();
        text.push_str(&self.held[..certain]);
        self.held.drain(..certain);
        None
    }

    /// Appends what was held back; the answer ended without the rest of a stop string.
    pub fn finish(&mut self, text: &mut String) {
        text.push_str(&self.held);
        self.held.clear();
    }

    /// End and index of the match that ends first after `num_seen_bytes`, which hold none; among equals the longest.
    fn first_match(&self, num_seen_bytes: usize) -> Option<(usize, usize)> {
        let matches = self.stops.iter().enumerate().filter_map(|(stop_index, stop)| {
            let from = self.held.floor_char_boundary((num_seen_bytes + 1).saturating_sub(stop.len()));
            let start = from + self.held[from..].find(stop.as_str())?;
            Some((start + stop.len(), std::cmp::Reverse(stop.len()), stop_index))
        });
        matches.min().map(|(end, _, stop_index)| (end, stop_index))
    }

    /// Bytes of the longest suffix of the held text that is a proper prefix of a stop string.
    fn longest_beginning(&self) -> usize {
        let longest_of = |stop: &String| {
            (1..stop.len().min(self.held.len() + 1))
                .rev()
                .find(|len| self.held.as_bytes().ends_with(&stop.as_bytes()[..*len]))
                .unwrap_or(0)
        };
        let longest = self.stops.iter().map(longest_of).max().unwrap_or(0);
        // A prefix that ends inside a character ends nowhere in whole text, but may match single bytes of it.
        self.held.len() - self.held.floor_char_boundary(self.held.len() - longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], is_kept: bool, pieces: &[&str]) -> (Vec<String>, Option<usize>) {
        let stops: Arc<[String]> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut matcher = StopStringMatcher::new(stops, is_kept);
        let mut released = Vec::new();
        for piece in pieces {
            let mut text = String::new();
            let found = matcher.push(piece, &mut text);
            released.push(text);
            if let Some(found) = found {
                return (released, Some(found.stop_index));
            }
        }
        let mut rest = String::new();
        matcher.finish(&mut rest);
        released.push(rest);
        (released, None)
    }

    fn check(stops: &[&str], pieces: &[&str], expected: &[&str], stop_index: Option<usize>) {
        let (released, found) = run(stops, false, pieces);
        assert_eq!(released, expected, "{stops:?} in {pieces:?}");
        assert_eq!(found, stop_index, "{stops:?} in {pieces:?}");
    }

    #[test]
    fn a_stop_string_across_pieces_is_cut_off() {
        check(&["END"], &["abE", "N", "Dxy"], &["ab", "", ""], Some(0));
        check(&["END"], &["abE", "N", "x"], &["ab", "", "ENx", ""], None);
        check(&["END"], &["abEN"], &["ab", "EN"], None);
    }

    #[test]
    fn only_what_may_become_a_stop_string_is_held_back() {
        check(&["\n\n\n"], &["a\n", "b"], &["a", "\nb", ""], None);
        check(&[], &["a", "b"], &["a", "b", ""], None);
    }

    #[test]
    fn the_match_that_is_complete_first_wins() {
        check(&["cd", "b"], &["abcd"], &["a"], Some(1));
        check(&["b", "ab"], &["xab"], &["x"], Some(1));
    }

    #[test]
    fn the_stop_string_is_kept_on_request() {
        assert_eq!(run(&["END"], true, &["aE", "NDb"]), (vec!["a".to_owned(), "END".to_owned()], Some(0)));
    }

    #[test]
    fn multibyte_text_is_never_cut_inside_a_character() {
        check(&["\u{e9}t\u{e9}"], &["\u{e9}", "t", "\u{e8}"], &["", "", "\u{e9}t\u{e8}", ""], None);
        check(&["\u{e9}t\u{e9}"], &["x\u{e9}", "t\u{e9}"], &["x", ""], Some(0));
        check(&["\u{20ac}x"], &["\u{20ad}"], &["\u{20ad}", ""], None);
    }

    /// The outcome of the whole text, by trying every end in turn.
    fn expected(stops: &[String], text: &str) -> (String, Option<usize>) {
        for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
            let ending = stops.iter().enumerate().filter(|(_, stop)| text[..end].ends_with(stop.as_str()));
            if let Some((index, stop)) =
                ending.max_by_key(|(index, stop)| (stop.len(), std::cmp::Reverse(*index)))
            {
                return (text[..end - stop.len()].to_owned(), Some(index));
            }
        }
        (text.to_owned(), None)
    }

    proptest! {
        #[test]
        fn the_outcome_does_not_depend_on_the_pieces(
            stops in prop::collection::vec("[ab\u{e9}]{1,4}", 1..4),
            pieces in prop::collection::vec("[ab\u{e9}\u{e8}]{0,4}", 0..12),
        ) {
            let borrowed: Vec<&str> = stops.iter().map(String::as_str).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (released, found) = run(&borrowed, false, &pieces);
            prop_assert_eq!((released.concat(), found), expected(&stops, &pieces.concat()));
        }
    }
}
