//! Bad words as runs of tokens.

/// Tokenizes each word as it stands at the start of a text and after a space, where most vocabularies have other tokens
/// for it.
pub fn tokenize(words: &[String], mut encode: impl FnMut(&str) -> Vec<u32>) -> Vec<Vec<u32>> {
    let mut runs: Vec<Vec<u32>> = Vec::new();
    for word in words {
        let bare = word.trim_start_matches(' ');
        for text in [bare.to_owned(), format!(" {bare}")] {
            let run = encode(&text);
            if !run.is_empty() && !runs.contains(&run) {
                runs.push(run);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_word_are_excluded_once() {
        let encode = |text: &str| text.bytes().map(u32::from).collect();
        let runs = tokenize(&["ab".to_owned(), " ab".to_owned()], encode);
        assert_eq!(runs, [vec![97, 98], vec![32, 97, 98]]);
    }
}
