//! Whether a subject matches a pattern: `*` stands for one token, `>` for one or more at the end.

/// True when `pattern` takes `subject`.
pub(crate) fn is_match(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(token)) if literal == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// True when any pattern takes `subject`, or when there are none.
pub(crate) fn is_any_match(patterns: &[String], subject: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| is_match(pattern, subject))
}

/// True when `subject` can be published to: non-empty tokens without wildcards, blanks or control characters.
pub(crate) fn is_literal(subject: &str) -> bool {
    is_pattern(subject) && !subject.split('.').any(|token| token == "*" || token == ">")
}

/// True when `pattern` can be subscribed to.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    pattern.split('.').all(|token| !token.is_empty())
        && !pattern.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_what_they_should() {
        let check = |pattern: &str, subject: &str, expected: bool| {
            assert_eq!(is_match(pattern, subject), expected, "{pattern} on {subject}");
        };
        check("a.b", "a.b", true);
        check("a.b", "a.b.c", false);
        check("a.b.c", "a.b", false);
        check("a.*", "a.b", true);
        check("a.*", "a", false);
        check("a.*.c", "a.b.c", true);
        check("a.>", "a.b.c", true);
        check("a.>", "a", false);
        check(">", "a", true);
    }

    #[test]
    fn only_plain_tokens_are_literal() {
        for (subject, expected) in
            [("a.b", true), ("a.*", false), ("a.>", false), ("a..b", false), ("", false), ("a b", false)]
        {
            assert_eq!(is_literal(subject), expected, "{subject}");
        }
    }
}
