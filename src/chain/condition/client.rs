//! `client`: who brought the mail.

use super::Condition;
use super::operand::{Operand, one_passes, passes, string};
use crate::chain::entry::{Entry, KeyDoc, Load};
use crate::chain::facts::Facts;
use crate::chain::network::{self, Networks};
use crate::chain::run::ActionError;
use crate::chain::string::StringTest;
use crate::yaml::{Reported, Settings};

#[derive(Debug)]
struct Client(Operand<Keys>);

#[derive(Debug)]
struct Keys {
    address: Option<Networks>,
    name: Option<StringTest>,
    helo: Option<StringTest>,
    listener: Option<StringTest>,
    authenticated: Option<bool>,
    user: Option<StringTest>,
    tls: Option<bool>,
    certificate: Option<StringTest>,
}

pub const CLIENT: Entry<dyn Condition> = Entry {
    name: "client",
    about: "Tests who brought the mail.",
    keys: &[
        KeyDoc { name: "address", wants: network::WANTS, about: "Its address; a client on a Unix socket has none." },
        KeyDoc { name: "name", wants: "string tests", about: "The name of its address, where it is known." },
        KeyDoc { name: "helo", wants: "string tests", about: "What it said in EHLO or HELO." },
        KeyDoc { name: "listener", wants: "string tests", about: "The name of the listener it came to; its address if it has no name." },
        KeyDoc { name: "authenticated", wants: "true or false", about: "Whether it has logged in." },
        KeyDoc { name: "user", wants: "string tests", about: "The name under which it has logged in; no test passes where it has not." },
        KeyDoc { name: "tls", wants: "true or false", about: "Whether it spoke to us in TLS." },
        KeyDoc {
            name: "certificate",
            wants: "string tests",
            about: "The names in its certificate, one of which must pass; it has none unless `tls.client_ca` of the listener vouches for it.",
        },
    ],
    example: "client: {address: [10.0.0.0/8, '2001:db8::/32']}",
    before: "(client 10.1.2.3)\r\nSubject: hi\r\n\r\n",
    after: "(client 192.0.2.1)\r\nSubject: hi\r\n\r\n",
    load: |node, load| Ok(Box::new(Client(Operand::load("`client`", node, keys, load)?))),
};

fn keys(settings: &mut Settings<'_>, load: &mut Load<'_>) -> Result<Keys, Reported> {
    let address = settings.node("address").map(|node| Networks::load(node, load)).transpose();
    let (name, helo, listener) = (string(settings, "name", load), string(settings, "helo", load), string(settings, "listener", load));
    let (authenticated, user) = (settings.take::<bool>("authenticated", load.problems), string(settings, "user", load));
    let (tls, certificate) = (settings.take::<bool>("tls", load.problems), string(settings, "certificate", load));
    Ok(Keys {
        address: address?,
        name: name?,
        helo: helo?,
        listener: listener?,
        authenticated: authenticated?,
        user: user?,
        tls: tls?,
        certificate: certificate?,
    })
}

impl Condition for Client {
    fn holds(&self, facts: &dyn Facts) -> Result<bool, ActionError> {
        self.0.holds(&mut |keys| {
            let client = facts.client();
            let address = client.address.map(|address| address.to_canonical());
            if let Some(address) = address.filter(|_| keys.address.is_some()) {
                facts.saw(&address);
            }
            let inside = |networks: &Networks| address.is_some_and(|address| networks.hold(address));
            Ok(keys.address.as_ref().is_none_or(inside)
                && passes(keys.name.as_ref(), client.name.as_deref(), facts)
                && passes(keys.helo.as_ref(), Some(facts.helo()), facts)
                && passes(keys.listener.as_ref(), Some(facts.listener()), facts)
                && keys.authenticated.is_none_or(|wanted| wanted == facts.user().is_some())
                && passes(keys.user.as_ref(), facts.user(), facts)
                && keys.tls.is_none_or(|wanted| wanted == facts.secured().is_some())
                && one_passes(keys.certificate.as_ref(), names(facts), facts))
        })
    }
}

/// The names in the client's certificate.
fn names(facts: &dyn Facts) -> impl Iterator<Item = &str> {
    facts.secured().into_iter().flat_map(|secured| secured.certificate.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{holds, refused};

    #[test]
    fn networks_hold_addresses_of_their_kind_and_mapped_ones() {
        assert!(holds("client: {address: 10.0.0.0/8}", "(client ::ffff:10.1.1.1)\r\n\r\n"));
        assert!(holds("client: {address: '2001:db8::/32'}", "(client 2001:db8::1)\r\n\r\n"));
        assert!(holds("client: {address: 192.0.2.1}", "(client 192.0.2.1)\r\n\r\n"));
        assert!(!holds("client: {address: 192.0.2.1}", "(client 192.0.2.2)\r\n\r\n"));
        assert!(refused("client: {address: 10.0.0.0/33}").contains("no network"));
    }

    #[test]
    fn who_has_logged_in_is_known_by_name() {
        let anna = "(user anna@example.org)\r\n\r\n";
        assert!(holds("client: {authenticated: true, user: {ends_with: '@example.org'}}", anna));
        assert!(!holds("client: {user: {not: {equals: bob}}}", "\r\n"));
        assert!(holds("client: {authenticated: false}", "\r\n") && !holds("client: {authenticated: false}", anna));
        assert!(holds("client: {user: anna@example.org}", anna) && !holds("client: {user: bob}", anna));
    }

    #[test]
    fn tls_and_the_names_of_a_certificate_are_known() {
        let certified = "(tls mail.example bob@example.org)\r\n\r\n";
        assert!(holds("client: {tls: true}", "(tls)\r\n\r\n") && !holds("client: {tls: true}", "\r\n"));
        assert!(holds("client: {tls: false}", "\r\n") && !holds("client: {tls: false}", certified));
        assert!(
            holds("client: {certificate: mail.example}", certified)
                && holds("client: {certificate: {ends_with: '@example.org'}}", certified)
        );
        assert!(!holds("client: {certificate: other.example}", certified));
        assert!(!holds("client: {certificate: {not: {equals: x}}}", "(tls)\r\n\r\n"));
    }

    #[test]
    fn a_name_that_is_not_known_passes_nothing() {
        assert!(!holds("client: {name: {not: {equals: x}}}", "(client 192.0.2.1)\r\n\r\n"));
        assert!(holds("client: {name: {ends_with: .example}, helo: h}", "(client 192.0.2.1 m.example)\r\n(helo h)\r\n\r\n"));
        assert!(holds("client: {listener: inbound}", "(listener inbound)\r\n\r\n"));
    }
}
