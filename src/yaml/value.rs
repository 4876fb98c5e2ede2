//! What can be read from one node: texts, numbers, lists, addresses.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{Kind, Node, Problems, Reported, quoted};

/// What can be read from a node. An implementation reports its own problem at the node's span.
pub trait FromNode: Sized {
    /// # Errors
    /// [`Reported`] after at least one problem was added.
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported>;
}

/// One value, or a list of them: `a` is `[a]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl FromNode for String {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<String, Reported> {
        node.scalar().map(str::to_owned).ok_or_else(|| {
            let told = node.wants("a text", problems);
            let written = &node.span.source.text[node.span.start..node.span.end];
            let written = &written[..written.rfind([']', '}']).map_or(0, |end| end + 1)];
            // Settings in the place of a text are no text that lacks its quotes.
            let settings = node.map().is_some_and(|entries| entries.iter().any(|(_, value)| !matches!(value.kind, Kind::Null)));
            if written.starts_with(['[', '{']) && !written.contains('\n') && !settings {
                problems.mend(&[(node.span.start..node.span.start + written.len(), quoted(written))]);
            }
            told
        })
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<bool, Reported> {
        match &node.kind {
            Kind::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Ok(true),
                "false" | "False" | "FALSE" => Ok(false),
                _ => Err(no_truth(node, problems)),
            },
            _ => Err(no_truth(node, problems)),
        }
    }
}

/// YAML 1.1 had more words for it, and quotes make a text of any.
fn no_truth(node: &Node, problems: &mut Problems) -> Reported {
    let told = node.wants("true or false", problems);
    let meant = match node.scalar().map(str::to_ascii_lowercase).as_deref() {
        Some("yes" | "on" | "y" | "true") => "true",
        Some("no" | "off" | "n" | "false") => "false",
        _ => return told,
    };
    problems.mend(&[(node.span.start..node.span.end, meant.to_owned())]);
    told
}

/// Digits, and between them `_` to make them readable.
fn whole<T: std::str::FromStr>(node: &Node, problems: &mut Problems) -> Result<T, Reported> {
    let text = node.scalar().filter(|text| text.starts_with(|first: char| first.is_ascii_digit()) && !text.ends_with('_'));
    let Some(digits) = text.map(|text| text.replace('_', "")) else { return Err(node.wants("a whole number", problems)) };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(node.wants("a whole number", problems));
    }
    digits.parse().map_err(|_| node.wants("a smaller number", problems))
}

impl FromNode for u16 {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<u16, Reported> {
        whole(node, problems)
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<u32, Reported> {
        whole(node, problems)
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<u64, Reported> {
        whole(node, problems)
    }
}

impl FromNode for usize {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<usize, Reported> {
        whole(node, problems)
    }
}

impl FromNode for f64 {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<f64, Reported> {
        let number = node.scalar().filter(|text| text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)));
        number.and_then(|text| text.parse().ok()).filter(|number: &f64| number.is_finite()).ok_or_else(|| node.wants("a number", problems))
    }
}

/// Every item; all wrong ones are reported.
impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Vec<T>, Reported> {
        let Some(items) = node.list() else {
            let wanted = node.wants("a list, `[…]`", problems);
            if node.scalar().is_some() {
                problems.mend(&[(node.span.start..node.span.end, format!("[{}]", &node.span.source.text[node.span.start..node.span.end]))]);
            }
            return Err(wanted);
        };
        let read: Vec<_> = items.iter().map(|item| T::from_node(item, problems)).collect();
        read.into_iter().collect()
    }
}

impl<T: FromNode> FromNode for OneOrMany<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<OneOrMany<T>, Reported> {
        match node.kind {
            Kind::List(_) => Vec::from_node(node, problems).map(OneOrMany),
            _ => T::from_node(node, problems).map(|one| OneOrMany(vec![one])),
        }
    }
}

/// `10.0.0.0/8`; an address without `/n` is one host.
impl FromNode for IpNet {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<IpNet, Reported> {
        let text = node.scalar().unwrap_or_default();
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network: IpNet = network.map_err(|_| node.wants("a network such as 10.0.0.0/8 or an address such as 192.0.2.1", problems))?;
        if network.addr() != network.network() {
            problems.warning(&node.span, format!("`{text}` has bits beyond its length"), format!("it is read as {}", network.trunc()));
        }
        Ok(network.trunc())
    }
}

impl FromNode for IpAddr {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<IpAddr, Reported> {
        node.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| node.wants("an address such as 192.0.2.1", problems))
    }
}

impl FromNode for Timestamp {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Timestamp, Reported> {
        node.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| node.wants("a time such as 2026-11-21T12:00:00Z", problems))
    }
}

impl FromNode for SocketAddr {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<SocketAddr, Reported> {
        let wanted = "an address with a port, such as 127.0.0.1:10025 or \"[::1]:25\"";
        node.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| node.wants(wanted, problems))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn read<T: FromNode>(text: &str) -> Result<T, String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        T::from_node(&node, &mut problems).map_err(|Reported| problems.iter().next().unwrap().title.clone())
    }

    #[test]
    fn a_scalar_keeps_its_text_where_a_text_is_wanted() {
        assert_eq!(read::<String>("1.10"), Ok("1.10".to_owned()));
        assert_eq!(read::<String>("true"), Ok("true".to_owned()));
        assert_eq!(read::<String>("[a]"), Err("a text is wanted here, found a list".to_owned()));
        assert_eq!(read::<String>("~"), Err("a text is wanted here, found nothing".to_owned()));
    }

    #[test]
    fn only_true_and_false_are_booleans_and_only_unquoted() {
        assert_eq!(read::<bool>("true"), Ok(true));
        for wrong in ["yes", "on", "'true'", "1", "~"] {
            assert!(read::<bool>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_where_a_text_is_wanted_are_not_put_in_quotes() {
        assert_eq!(mended::<String>("{in: words}"), None);
        assert_eq!(mended::<String>("{name}"), Some("'{name}'".to_owned()));
    }

    fn mended<T: FromNode>(text: &str) -> Option<String> {
        let mut problems = Problems::default();
        let node = parse(&Source::new("test.yaml", text), &mut problems).unwrap();
        assert!(T::from_node(&node, &mut problems).is_err(), "{text}");
        problems.iter().next().unwrap().fix.as_ref().map(|fix| fix.lines.join("\n"))
    }

    #[test]
    fn a_word_that_was_a_boolean_once_is_shown_as_one() {
        for (wrong, meant) in [("yes", "true"), ("Off", "false"), ("'true'", "true"), ("n", "false")] {
            assert_eq!(mended::<bool>(wrong).as_deref(), Some(meant), "{wrong}");
        }
        assert_eq!(mended::<bool>("perhaps"), None);
    }

    #[test]
    fn a_text_in_brackets_is_shown_in_quotes() {
        assert_eq!(mended::<String>("[EXT] # mark").as_deref(), Some("'[EXT]' # mark"));
        assert_eq!(mended::<String>("- a\n- b"), None);
    }

    #[test]
    fn numbers_are_decimal_and_fit() {
        assert_eq!(read::<u64>("1_000_000"), Ok(1_000_000));
        assert_eq!(read::<u32>("010"), Ok(10));
        for wrong in ["-1", "1.5", "0x10", "1e3", "+1", "", "_1", "1_"] {
            assert!(read::<u32>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read::<u16>("65536"), Err("a smaller number is wanted here, found `65536`".to_owned()));
        assert_eq!(read::<f64>("-2.5"), Ok(-2.5));
        for wrong in [".inf", "nan", "inf", "x"] {
            assert!(read::<f64>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_value_where_a_list_is_wanted_is_shown_in_brackets() {
        let mut problems = Problems::default();
        let node = crate::yaml::parse(&crate::yaml::Source::new("test.yaml", "hops: mx:25"), &mut problems).unwrap();
        assert!(Vec::<String>::from_node(node.get("hops").unwrap(), &mut problems).is_err());
        assert_eq!(problems.iter().next().unwrap().fix.as_ref().unwrap().lines, ["hops: [mx:25]"]);
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        assert_eq!(read::<OneOrMany<String>>("a"), Ok(OneOrMany(vec!["a".to_owned()])));
        assert_eq!(read::<OneOrMany<String>>("[a, b]"), Ok(OneOrMany(vec!["a".to_owned(), "b".to_owned()])));
        assert!(read::<Vec<String>>("a").is_err());
    }

    #[test]
    fn an_address_without_length_is_one_host() {
        assert_eq!(read::<IpNet>("192.0.2.1"), Ok("192.0.2.1/32".parse().unwrap()));
        assert_eq!(read::<IpNet>("'2001:db8::/32'"), Ok("2001:db8::/32".parse().unwrap()));
        assert_eq!(read::<IpNet>("10.1.2.3/8"), Ok("10.0.0.0/8".parse().unwrap()));
        assert!(read::<IpNet>("10.0.0.0/33").is_err());
        assert!(read::<SocketAddr>("127.0.0.1").is_err());
    }
}
