//! Named next hops, as far as rules know them: their names, the recipients' domains that go there, the listeners whose mail does.

use std::sync::Arc;

use crate::mail::domain_matches;
use crate::smtp::path::Path;
use crate::yaml::{Problems, Reported, Span, nearest};

/// What the next hops of `relay:` are called.
pub const DEFAULT: &str = "relay";

/// The routes of the configuration, in its order.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The default, then those that have a name of their own.
    all: Vec<(Arc<str>, Vec<String>)>,
    /// One of them has domains, so that recipients part by where they go.
    by_domain: bool,
    /// Names of listeners, and their routes.
    listeners: Vec<(Arc<str>, Arc<str>)>,
}

impl Default for Routes {
    fn default() -> Routes {
        Routes::new(Vec::new(), Vec::new())
    }
}

impl Routes {
    /// Each with its domains, in lower case; with a leading dot: its subdomains. Listeners, each with its route.
    #[must_use]
    pub fn new(named: Vec<(Arc<str>, Vec<String>)>, listeners: Vec<(Arc<str>, Arc<str>)>) -> Routes {
        let by_domain = named.iter().any(|(_, domains)| !domains.is_empty());
        let all = [(Arc::from(DEFAULT), Vec::new())].into_iter().chain(named).collect();
        Routes { all, by_domain, listeners }
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

    /// The route of mail that comes in there and of which nothing else is said.
    #[must_use]
    pub fn of_listener(&self, name: &str) -> Arc<str> {
        let found = self.listeners.iter().find(|(known, _)| **known == *name);
        Arc::clone(found.map_or(&self.all[0].0, |(_, route)| route))
    }

    /// The route of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &str, span: &Span, problems: &mut Problems) -> Result<Arc<str>, Reported> {
        let known = self.all.iter().find(|(known, _)| **known == *name);
        known.map(|(name, _)| Arc::clone(name)).ok_or_else(|| {
            let names: Vec<&str> = self.all.iter().map(|(name, _)| &**name).collect();
            let label = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.len() == 1 => "`routes:` in transom.yaml gives next hops a name".to_owned(),
                None => format!("known: {}", names.join(", ")),
            };
            problems.error(span, format!("no route is called `{name}`"), label)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_route_that_has_the_domain_is_it() {
        let route = |name: &str, domains: &[&str]| (name.into(), domains.iter().map(|domain| (*domain).to_owned()).collect());
        let named = vec![route("a", &[]), route("b", &["x.example"]), route("c", &[".x.example", "x.example"])];
        let routes = Routes::new(named, vec![("in".into(), "a".into())]);
        let of = |address: &str| routes.of(&Path::parse(address).unwrap()).map(|name| name.to_string());
        assert_eq!(of("u@X.example.").as_deref(), Some("b"));
        assert_eq!(of("u@sub.x.example").as_deref(), Some("c"));
        assert_eq!(of("u@y.example"), None);
        assert_eq!(of("postmaster"), None);
        assert!(routes.by_domain() && !Routes::default().by_domain());
        assert_eq!((&*routes.of_listener("in"), &*routes.of_listener("out")), ("a", DEFAULT));
    }
}
