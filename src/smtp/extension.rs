//! What EHLO announces (DESIGN decision 10): hop by hop what Transom itself can do, end to end what the next hop has.

/// The keyword that shows a loop: our instance token (SEMANTICS 19).
pub const TOKEN_KEYWORD: &str = "X-TRANSOM";

/// What may be promised at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The largest message, the next hop's limit taken in.
    pub size: u64,
    /// Bytes of temporary disk that are free now.
    pub room: u64,
    /// Whether the next hop has SMTPUTF8; none while that is unknown.
    pub smtputf8: Option<bool>,
}

/// The keywords of an EHLO reply, one a line.
#[must_use]
pub fn keywords(offer: &Offer, token: &str) -> Vec<String> {
    let mut lines = vec![
        "PIPELINING".to_owned(),
        format!("SIZE {}", offer.size),
        "8BITMIME".to_owned(),
        "CHUNKING".to_owned(),
        "ENHANCEDSTATUSCODES".to_owned(),
    ];
    if offer.smtputf8 == Some(true) {
        lines.push("SMTPUTF8".to_owned());
    }
    lines.push(format!("{TOKEN_KEYWORD} {token}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smtputf8_is_announced_only_when_the_next_hop_is_known_to_have_it() {
        let offer = |smtputf8| Offer { size: 1000, room: 1, smtputf8 };
        let with = keywords(&offer(Some(true)), "ABC");
        assert_eq!(with, ["PIPELINING", "SIZE 1000", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "X-TRANSOM ABC"]);
        assert_eq!(keywords(&offer(None), "ABC").len(), 6);
        assert_eq!(keywords(&offer(Some(false)), "ABC").len(), 6);
    }
}
