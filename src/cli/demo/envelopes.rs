//! `samples/envelopes.yaml`: from whom, to whom and from which side each sample is sent.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use super::Failure;
use crate::base::disk;
use crate::cli::{Exit, show};
use crate::yaml::{self, FromNode, Node, Problems, Reported, Settings, Source};

/// How one sample is sent.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub from: String,
    pub to: Vec<String>,
    /// All of 127.0.0.0/8 is this machine; the ready-made rules call only 127.0.0.1 inside.
    pub client: Ipv4Addr,
    /// The name of the listener it is sent to.
    pub listener: String,
}

/// All of them.
#[derive(Debug)]
pub struct Envelopes {
    default: Envelope,
    named: HashMap<String, Envelope>,
}

impl Default for Envelope {
    fn default() -> Envelope {
        let to = vec!["recipient@inside.example".to_owned()];
        Envelope { from: "sender@outside.example".into(), to, client: OUTSIDE, listener: "inbound".into() }
    }
}

const INSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

impl Envelopes {
    /// Reads the file; without one, every sample is sent the same way.
    pub fn read(path: &Path) -> Result<Envelopes, Failure> {
        let text = match disk::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure(Exit::NoInput, format!("cannot read {}: {error}", path.display()))),
        };
        let mut problems = Problems::default();
        let source = Source::new(path.display().to_string(), text);
        let read = yaml::parse(&source, &mut problems).map(|node| Envelopes::of(&node, &mut problems));
        match read {
            Some(envelopes) if problems.iter().next().is_none() => Ok(envelopes),
            _ => {
                show(&problems);
                Err(Failure(Exit::Data, format!("{} is wrong; nothing was sent", path.display())))
            }
        }
    }

    /// How this sample is sent.
    pub fn of_sample(&self, sample: &str) -> &Envelope {
        self.named.get(sample).unwrap_or(&self.default)
    }

    fn of(node: &Node, problems: &mut Problems) -> Envelopes {
        let mut envelopes = Envelopes { default: Envelope::default(), named: HashMap::new() };
        for (key, node) in node.map().unwrap_or_default() {
            if key.text == "default" {
                envelopes.default = Envelope::load(node, &envelopes.default, problems).unwrap_or_default();
            }
        }
        for (key, node) in node.map().unwrap_or_default() {
            if let Ok(envelope) = Envelope::load(node, &envelopes.default, problems) {
                envelopes.named.insert(key.text.clone(), envelope);
            }
        }
        envelopes
    }
}

impl Envelope {
    /// What is not named is as in `default`.
    fn load(node: &Node, default: &Envelope, problems: &mut Problems) -> Result<Envelope, Reported> {
        let mut settings = Settings::of("an envelope", node, problems)?;
        let envelope = Envelope {
            from: settings.or("from", default.from.clone(), problems),
            to: settings.or("to", default.to.clone(), problems),
            client: settings.or("client", Side(default.client), problems).0,
            listener: settings.or("listener", default.listener.clone(), problems),
        };
        settings.finish(problems)?;
        Ok(envelope)
    }
}

/// `client: inside | outside`.
struct Side(Ipv4Addr);

impl FromNode for Side {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Side, Reported> {
        match node.scalar() {
            Some("inside") => Ok(Side(INSIDE)),
            Some("outside") => Ok(Side(OUTSIDE)),
            _ => Err(node.wants("inside or outside", problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Envelopes, Problems) {
        let mut problems = Problems::default();
        let node = yaml::parse(&Source::new("envelopes.yaml", text), &mut problems).unwrap();
        let envelopes = Envelopes::of(&node, &mut problems);
        (envelopes, problems)
    }

    #[test]
    fn what_a_sample_does_not_name_is_as_in_default() {
        let (envelopes, problems) = read("a.eml: {from: ''}\ndefault: {from: x@y.example, client: inside}\n");
        assert!(problems.iter().next().is_none());
        assert_eq!((envelopes.of_sample("a.eml").from.as_str(), envelopes.of_sample("a.eml").client), ("", INSIDE));
        assert_eq!(envelopes.of_sample("b.eml").from, "x@y.example");
    }

    #[test]
    fn a_wrong_side_is_a_problem() {
        assert!(read("a.eml: {client: above}").1.iter().next().is_some());
    }
}
