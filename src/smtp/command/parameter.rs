//! What MAIL and RCPT have in common: a path, and parameters behind it.

/// What follows a keyword; blanks after its colon are not SMTP, but common.
pub(super) fn after<'t>(text: &'t str, keyword: &str) -> Option<&'t str> {
    let found = text.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword));
    found.then(|| text[keyword.len()..].trim_start_matches(' '))
}

/// The text between `<` and its `>`, which a quoted local part may contain, and what follows it.
pub(super) fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (place, letter) in inner.bytes().enumerate() {
        match letter {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let rest = &inner[place + 1..];
                return (rest.is_empty() || rest.starts_with(' ')).then(|| (&inner[..place], rest.trim_matches(' ')));
            }
            _ => {}
        }
    }
    None
}
