//! Named next hops, as far as rules know them: their names, and the recipients' domains that go there.

use std::sync::Arc;

use crate::mail::domain_matches;
use crate::smtp::path::Path;
use crate::yaml::{Problems, Reported, Span, nearest};

/// The routes of the configuration, in its order.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    all: Vec<(Arc<str>, Vec<String>)>,
    /// One of them has domains, so that recipients part by where they go.
    by_domain: bool,
}

impl Routes {
    /// Each with its domains, in lower case; with a leading dot: its subdomains.
    #[must_use]
    pub fn new(all: Vec<(Arc<str>, Vec<String>)>) -> Routes {
        Routes { by_domain: all.iter().any(|(_, domains)| !domains.is_empty()), all }
    }

    /// Whether a recipient's domain can say where its mail goes.
    #[must_use]
    pub fn by_domain(&self) -> bool {
        self.by_domain
    }

    /// The first route that has this recipient's domain. A final dot is ignored.
    #[must_use]
    pub fn of(&self, recipient: &Path) -> Option<Arc<str>> {
        let domain = recipient.domain().filter(|_| self.by_domain)?;
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
        let has_it = |domains: &[String]| domains.iter().any(|known| domain_matches(known, &domain));
        self.all.iter().find(|(_, domains)| has_it(domains)).map(|(name, _)| Arc::clone(name))
    }

    /// The route of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str, span: &Span, problems: &mut Problems) -> Result<Arc<str>, Reported> {
        let known = self.all.iter().find(|(known, _)| **known == *name);
        known.map(|(name, _)| Arc::clone(name)).ok_or_else(|| no_route(name, self.all.iter().map(|(name, _)| &**name), span, problems))
    }
}

/// Reports a name that no route has.
pub fn no_route<'a>(name: &str, known: impl Iterator<Item = &'a str>, span: &Span, problems: &mut Problems) -> Reported {
    let known: Vec<&str> = known.collect();
    let label = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "`routes:` in transom.yaml gives next hops a name".to_owned(),
        None => format!("known: {}", known.join(", ")),
    };
    problems.error(span, format!("no route is called `{name}`"), label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_route_that_has_the_domain_is_it() {
        let route = |name: &str, domains: &[&str]| (name.into(), domains.iter().map(|domain| (*domain).to_owned()).collect());
        let routes = Routes::new(vec![route("a", &[]), route("b", &["x.example"]), route("c", &[".x.example", "x.example"])]);
        let of = |address: &str| routes.of(&Path::parse(address).unwrap()).map(|name| name.to_string());
        assert_eq!(of("u@X.example.").as_deref(), Some("b"));
        assert_eq!(of("u@sub.x.example").as_deref(), Some("c"));
        assert_eq!(of("u@y.example"), None);
        assert_eq!(of("postmaster"), None);
        assert!(routes.by_domain() && !Routes::new(vec![route("a", &[])]).by_domain());
    }
}
