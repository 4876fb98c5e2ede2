//! Who may send to where (DESIGN decision 13): no configuration makes an open relay by accident.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::peer::Peer;
use crate::config::OriginOf;
use crate::config::trust::{self, Trust};
use crate::mail::{Inside, Standing};
use crate::smtp::path::Path;
use crate::smtp::reply::{self, Reply};

/// The first 64 bits of an IPv6 address.
const NETWORK: u128 = !(u64::MAX as u128);

/// What one listener lets pass.
#[derive(Clone, Debug)]
pub struct Permission {
    /// None: the listener is on loopback or a Unix socket, and relays whatever its clients send.
    inside: Option<Arc<Inside>>,
    origin: OriginOf,
    trust: Trust,
}

impl Permission {
    #[must_use]
    pub fn new(inside: Option<Arc<Inside>>, origin: OriginOf, trust: Trust) -> Permission {
        Permission { inside, origin, trust }
    }

    /// Whether a client may send to a recipient, as given. Who has logged in may send to anyone, wherever it stands; what XFORWARD says
    /// does not count.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, peer: Peer, logged_in: bool, recipient: &Path) -> Result<(), Reply> {
        let Some(inside) = &self.inside else { return Ok(()) };
        // RFC 5321 4.5.1: postmaster is always reached.
        if logged_in || self.may_forward(peer) || self.is_inside(inside, peer) || recipient.is_bare_postmaster() {
            return Ok(());
        }
        // `user%else.where@inside` and its like ask the next hop to relay in our name.
        let hides_a_route = recipient.local().contains(['%', '!', '@']);
        let is_ours = recipient.domain().is_some_and(|domain| inside.has_domain(domain));
        if is_ours && !hides_a_route { Ok(()) } else { Err(reply::relaying_denied()) }
    }

    /// Where a client stands for the condition `direction`.
    #[must_use]
    pub fn standing(&self, client: Peer, logged_in: bool) -> Standing {
        let nobody = Inside::default();
        let inside = self.is_inside(self.inside.as_deref().unwrap_or(&nobody), client);
        if inside || (logged_in && self.origin == OriginOf::Auto) { Standing::Inside } else { Standing::Outside }
    }

    /// Whether this peer may put another client in its own place with XCLIENT.
    #[must_use]
    pub fn may_stand_in(&self, peer: Peer) -> bool {
        peer.address().is_some_and(|address| trust::hold(&self.trust.xclient, address))
    }

    /// Whether this peer is a mail server of the operator's own, that says with XFORWARD whose mail it hands on.
    #[must_use]
    pub fn may_forward(&self, peer: Peer) -> bool {
        !matches!(peer, Peer::Proxy(_)) && peer.address().is_some_and(|address| trust::hold(&self.trust.xforward, address))
    }

    /// Whether this peer has to begin with a header of the PROXY protocol.
    #[must_use]
    pub fn is_proxy(&self, peer: Peer) -> bool {
        peer.address().is_some_and(|address| trust::hold(&self.trust.proxy_protocol, address))
    }

    /// The address whose sessions are counted for this peer, in IPv6 the first one of its /64; none: they are not.
    #[must_use]
    pub fn counted(&self, peer: Peer) -> Option<IpAddr> {
        let address = peer.address().filter(|address| !address.is_loopback() && !self.trust.names(*address))?;
        Some(match address {
            // Whoever has one address there has all of its network.
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            IpAddr::V4(_) => address,
        })
    }

    fn is_inside(&self, inside: &Inside, client: Peer) -> bool {
        match (self.origin, client) {
            (OriginOf::Inside, _) | (OriginOf::Auto, Peer::Unix) => true,
            (OriginOf::Outside, _) | (OriginOf::Auto, Peer::Unknown | Peer::Proxy(_)) => false,
            (OriginOf::Auto, Peer::At(address)) => inside.has_address(address.ip()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(origin: OriginOf) -> Permission {
        let inside = Inside { domains: vec!["example.org".into(), ".example.org".into()], networks: vec!["10.0.0.0/8".parse().unwrap()] };
        let trust = Trust { xforward: vec!["192.0.2.99/32".parse().unwrap()], ..Trust::default() };
        Permission::new(Some(Arc::new(inside)), origin, trust)
    }

    fn peer(text: &str) -> Peer {
        match text {
            "unix" => Peer::Unix,
            "unknown" => Peer::Unknown,
            address => Peer::new((address.parse::<IpAddr>().unwrap(), 0).into()),
        }
    }

    fn may(permission: &Permission, from: &str, recipient: &str) -> bool {
        let peer = peer(from);
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
    fn a_mail_server_of_our_own_sends_to_anyone_and_stands_where_its_address_does() {
        for origin in [OriginOf::Auto, OriginOf::Outside] {
            assert!(may(&permission(origin), "192.0.2.99", "a%b@example.net"));
            assert_eq!(permission(origin).standing(peer("192.0.2.99"), false), Standing::Outside);
        }
    }

    #[test]
    fn a_client_of_unknown_address_is_a_stranger() {
        assert!(!may(&permission(OriginOf::Auto), "unknown", "a@example.net"));
        assert_eq!(permission(OriginOf::Auto).standing(Peer::Unknown, false), Standing::Outside);
    }

    #[test]
    fn who_has_logged_in_sends_to_anyone_and_stands_where_the_listener_says() {
        let (stranger, elsewhere) = (peer("192.0.2.1"), Path::parse("a%b@example.net").unwrap());
        for (origin, standing) in
            [(OriginOf::Auto, Standing::Inside), (OriginOf::Inside, Standing::Inside), (OriginOf::Outside, Standing::Outside)]
        {
            assert!(permission(origin).check(stranger, true, &elsewhere).is_ok());
            assert_eq!(permission(origin).standing(stranger, true), standing);
        }
        assert_eq!(permission(OriginOf::Auto).standing(stranger, false), Standing::Outside);
        assert_eq!(Permission::new(None, OriginOf::Auto, Trust::default()).standing(stranger, true), Standing::Inside);
    }

    #[test]
    fn sessions_of_loopback_unix_sockets_and_trusted_peers_are_not_counted() {
        let permission = permission(OriginOf::Auto);
        for not_counted in ["127.0.0.1", "::1", "unix", "unknown", "192.0.2.99"] {
            assert_eq!(permission.counted(peer(not_counted)), None, "{not_counted}");
        }
        assert_eq!(permission.counted(peer("192.0.2.98")), Some("192.0.2.98".parse().unwrap()));
    }

    #[test]
    fn sessions_of_one_ipv6_network_are_counted_together() {
        let counted = |text: &str| permission(OriginOf::Auto).counted(peer(text));
        assert_eq!(counted("2001:db8:0:1:2::3"), Some("2001:db8:0:1::".parse().unwrap()));
        assert_eq!(counted("2001:db8:0:1:2::3"), counted("2001:db8:0:1:ffff::"));
        assert_ne!(counted("2001:db8:0:1::3"), counted("2001:db8:0:2::3"));
        assert_eq!(counted("::ffff:192.0.2.98"), Some("192.0.2.98".parse().unwrap()));
    }

    #[test]
    fn a_proxy_that_introduces_nobody_is_a_stranger_although_it_is_trusted_with_xforward() {
        for origin in [OriginOf::Auto, OriginOf::Outside] {
            let (permission, proxy) = (permission(origin), peer("192.0.2.99").unintroduced());
            assert!(!permission.may_forward(proxy));
            assert!(permission.check(proxy, false, &Path::parse("a@example.net").unwrap()).is_err());
            assert!(permission.check(proxy, false, &Path::parse("a@example.org").unwrap()).is_ok());
            assert_eq!((permission.standing(proxy, false), permission.counted(proxy)), (Standing::Outside, None));
        }
    }

    #[test]
    fn nobody_inside_is_nobody() {
        let nobody = Permission::new(Some(Arc::new(Inside::default())), OriginOf::Auto, Trust::default());
        assert!(!may(&nobody, "127.0.0.1", "a@example.org"));
        assert!(may(&nobody, "192.0.2.1", "postmaster"));
    }

    #[test]
    fn without_inside_a_local_listener_relays_anything() {
        assert!(may(&Permission::new(None, OriginOf::Auto, Trust::default()), "127.0.0.1", "a%b@example.net"));
    }
}
