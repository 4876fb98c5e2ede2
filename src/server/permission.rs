//! Who may send to where (DESIGN decision 13): no configuration makes an open relay by accident.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::OriginOf;
use crate::mail::{Inside, Standing};
use crate::smtp::path::Path;
use crate::smtp::reply::{self, Reply};

/// What one listener lets pass.
#[derive(Clone, Debug)]
pub struct Permission {
    /// None: the listener is on loopback or a Unix socket, and relays whatever its clients send.
    inside: Option<Arc<Inside>>,
    origin: OriginOf,
}

impl Permission {
    #[must_use]
    pub fn new(inside: Option<Arc<Inside>>, origin: OriginOf) -> Permission {
        Permission { inside, origin }
    }

    /// Whether a client may send to a recipient, as given. `peer` is none on a Unix socket. Who has logged in may send to anyone, wherever it stands.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, peer: Option<IpAddr>, logged_in: bool, recipient: &Path) -> Result<(), Reply> {
        let Some(inside) = &self.inside else { return Ok(()) };
        // RFC 5321 4.5.1: postmaster is always reached.
        if logged_in || self.is_inside(inside, peer) || recipient.is_bare_postmaster() {
            return Ok(());
        }
        // `user%else.where@inside` and its like ask the next hop to relay in our name.
        let hides_a_route = recipient.local().contains(['%', '!', '@']);
        let is_ours = recipient.domain().is_some_and(|domain| inside.has_domain(domain));
        if is_ours && !hides_a_route { Ok(()) } else { Err(reply::relaying_denied()) }
    }

    /// Where a client stands for the condition `direction`.
    #[must_use]
    pub fn standing(&self, peer: Option<IpAddr>, logged_in: bool) -> Standing {
        let nobody = Inside::default();
        let by_login = logged_in && self.origin == OriginOf::Auto;
        if by_login || self.is_inside(self.inside.as_deref().unwrap_or(&nobody), peer) { Standing::Inside } else { Standing::Outside }
    }

    fn is_inside(&self, inside: &Inside, peer: Option<IpAddr>) -> bool {
        match (self.origin, peer) {
            (OriginOf::Inside, _) | (OriginOf::Auto, None) => true,
            (OriginOf::Outside, _) => false,
            (OriginOf::Auto, Some(address)) => inside.has_address(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(origin: OriginOf) -> Permission {
        let inside = Inside { domains: vec!["example.org".into(), ".example.org".into()], networks: vec!["10.0.0.0/8".parse().unwrap()] };
        Permission::new(Some(Arc::new(inside)), origin)
    }

    fn may(permission: &Permission, peer: &str, recipient: &str) -> bool {
        let peer = (peer != "unix").then(|| peer.parse().unwrap());
        permission.check(peer, false, &Path::parse(recipient).unwrap()).is_ok()
    }

    #[test]
    fn strangers_reach_only_what_is_inside() {
        let auto = permission(OriginOf::Auto);
        for recipient in ["a@example.org", "a@Sub.Example.ORG.", "postmaster", "a#b@example.org"] {
            assert!(may(&auto, "192.0.2.1", recipient), "{recipient}");
        }
        let others =
            ["a@example.net", "a@badexample.org", "a%b@example.org", "b!a@example.org", "\"a@b\"@example.org", "a@[10.0.0.1]", "a@org"];
        for recipient in others {
            assert!(!may(&auto, "192.0.2.1", recipient), "{recipient}");
        }
    }

    #[test]
    fn loopback_is_a_stranger_unless_listed() {
        assert!(!may(&permission(OriginOf::Auto), "127.0.0.1", "a@example.net"));
        assert!(!may(&permission(OriginOf::Auto), "::1", "a@example.net"));
    }

    #[test]
    fn those_inside_send_to_anyone() {
        let auto = permission(OriginOf::Auto);
        assert!(may(&auto, "10.1.2.3", "a%b@example.net"));
        assert!(may(&auto, "::ffff:10.1.2.3", "a@example.net"));
        assert!(may(&auto, "unix", "a@example.net"));
    }

    #[test]
    fn a_listener_can_say_where_its_clients_are() {
        assert!(may(&permission(OriginOf::Inside), "192.0.2.1", "a@example.net"));
        assert!(!may(&permission(OriginOf::Outside), "10.1.2.3", "a@example.net"));
        assert!(!may(&permission(OriginOf::Outside), "unix", "a@example.net"));
    }

    #[test]
    fn who_has_logged_in_sends_to_anyone_and_stands_where_the_listener_says() {
        let (stranger, elsewhere) = (Some([192, 0, 2, 1].into()), Path::parse("a%b@example.net").unwrap());
        for (origin, standing) in
            [(OriginOf::Auto, Standing::Inside), (OriginOf::Inside, Standing::Inside), (OriginOf::Outside, Standing::Outside)]
        {
            assert!(permission(origin).check(stranger, true, &elsewhere).is_ok());
            assert_eq!(permission(origin).standing(stranger, true), standing);
        }
        assert_eq!(permission(OriginOf::Auto).standing(stranger, false), Standing::Outside);
        assert_eq!(Permission::new(None, OriginOf::Auto).standing(stranger, true), Standing::Inside);
    }

    #[test]
    fn nobody_inside_is_nobody() {
        let nobody = Permission::new(Some(Arc::new(Inside::default())), OriginOf::Auto);
        assert!(!may(&nobody, "127.0.0.1", "a@example.org"));
        assert!(may(&nobody, "192.0.2.1", "postmaster"));
    }

    #[test]
    fn without_inside_a_local_listener_relays_anything() {
        assert!(may(&Permission::new(None, OriginOf::Auto), "127.0.0.1", "a%b@example.net"));
    }
}
