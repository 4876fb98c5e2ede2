//! Who the client is: the other end of the socket, or whom a trusted one names (SEMANTICS 12).
//!
//! | said with | replaces | for |
//! |---|---|---|
//! | PROXY, before everything | the peer | the connection: permission, limits, rules, logs |
//! | XCLIENT | the peer | the connection, until said again: permission, limits, rules, logs |
//! | XFORWARD | the client | one message: rules, logs, `Received` |

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::peer::Peer;
use super::super::proxy::{Introduced, Proxied, Unintroduced, introduction};
use super::Connection;
use crate::base::{clock, random};
use crate::mail::{Client, Origin, Protocol, Secured};
use crate::smtp::identity::{Attribute, Identity, Source};
use crate::smtp::reply;
use crate::smtp::session::Trusted;

impl Connection {
    /// Finds out who it is, and says the first line.
    pub(super) async fn meet(&mut self) -> io::Result<ControlFlow<()>> {
        let secure = self.door.tls.as_ref().is_some_and(|tls| tls.implicit);
        if self.door.permission.is_proxy(self.caller) {
            // On the heap while it lasts.
            let introduced = Box::pin(introduction(&mut self.stream, self.shared.timeouts.command)).await;
            match introduced {
                Ok(Introduced::Itself) => {
                    self.caller = self.caller.unintroduced();
                    self.peer = self.caller;
                }
                Ok(Introduced::Client(client)) if self.introduce(&client) => {}
                Ok(Introduced::Client(_)) => return self.refuse(Connection::no_place, secure),
                Err(Unintroduced::Gone) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => return self.refuse(|this| this.unintroduced(&error), secure),
            }
        }
        if secure && Box::pin(self.secure()).await.is_break() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.trust();
        // RFC 5321 4.3.1: the client waits for the greeting.
        if self.stream.talks() {
            tracing::info!(session = %self.id, client = %self.peer, "refused: it spoke before the greeting");
            return Ok(self.say(&reply::out_of_step()));
        }
        let greeting = self.session.open();
        Ok(self.say(&greeting))
    }

    /// The peer is whom the proxy names. False where there is no place for that.
    fn introduce(&mut self, client: &Proxied) -> bool {
        let proxy = self.caller;
        self.caller = Peer::new(client.source);
        self.peer = self.caller;
        self.introduced = true;
        let Proxied { destination, authority, tls, .. } = client;
        tracing::debug!(session = %self.id, client = %self.peer, %proxy, %destination, authority, tls, "introduced by PROXY");
        self.place.count_for(self.door.permission.counted(self.peer))
    }

    fn no_place(&mut self) -> ControlFlow<()> {
        tracing::warn!(session = %self.id, client = %self.peer, "session refused: limits.sessions_per_address is reached");
        self.say(&reply::too_many_sessions())
    }

    /// Who speaks TLS from the first byte hears nothing in clear.
    fn refuse(&mut self, refuse: impl FnOnce(&mut Connection) -> ControlFlow<()>, secure: bool) -> io::Result<ControlFlow<()>> {
        let next = refuse(self);
        if secure { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(next) }
    }

    fn unintroduced(&mut self, error: &Unintroduced) -> ControlFlow<()> {
        let advice = "a peer in trust.proxy_protocol must begin with a header of the PROXY protocol: let it (HAProxy: send-proxy-v2), or take it out of the list";
        tracing::warn!(session = %self.id, peer = %self.caller, listener = &*self.door.name, %error, "refused: {advice}");
        self.say(&reply::not_introduced())
    }

    /// What this peer may say of others, as it is now.
    pub(super) fn trust(&mut self) {
        let permission = &self.door.permission;
        // Who may use XCLIENT goes on being asked of who connected: it says it again for its next client.
        let trusted = Trusted { xclient: permission.may_stand_in(self.caller), xforward: permission.may_forward(self.peer) };
        self.session.trust(trusted);
    }

    /// XCLIENT: another client from now on, and the session starts over.
    pub(super) fn stand_in(&mut self, told: Vec<Attribute>) -> ControlFlow<()> {
        self.forget();
        let before = self.session.stands_for().filter(|before| !self.is_another(before, &told));
        self.address_told |= told.iter().any(|attribute| matches!(attribute, Attribute::Address(_)));
        let identity = before.cloned().unwrap_or_else(|| self.callers_own()).told(told);
        self.peer = match identity.address {
            Some(address) => Peer::new(SocketAddr::new(address, identity.port.unwrap_or(0))),
            None => Peer::Unknown,
        };
        tracing::info!(session = %self.id, peer = %self.caller, client = %self.peer, name = identity.name.as_deref(), helo = identity.helo.as_deref(),
            user = identity.login.as_deref(), "XCLIENT");
        if !self.place.count_for(self.door.permission.counted(self.peer)) {
            return self.no_place();
        }
        let reply = self.session.start_over(identity);
        self.trust();
        self.say(&reply)
    }

    /// What XCLIENT said in clear counts for nothing under TLS (RFC 3207 4.2); what PROXY said came before everything.
    pub(super) fn be_the_caller(&mut self) -> ControlFlow<()> {
        (self.peer, self.address_told) = (self.caller, false);
        if !self.place.count_for(self.door.permission.counted(self.peer)) {
            return self.no_place();
        }
        self.trust();
        ControlFlow::Continue(())
    }

    /// Whether an address is told that differs from the one told before: nothing that was said of that client, its login least of all, is this one's.
    fn is_another(&self, before: &Identity, told: &[Attribute]) -> bool {
        let other = told.iter().any(|attribute| matches!(attribute, Attribute::Address(address) if *address != before.address));
        other && self.address_told
    }

    fn callers_own(&self) -> Identity {
        let Client { address, port, .. } = self.caller.client();
        Identity { address, port, ..Identity::default() }
    }

    pub(super) fn origin(&self) -> Arc<Origin> {
        let (greeting, session) = (self.session.greeting(), &self.session);
        let (forwarded, instead) = (session.forwarded(), session.stands_for());
        let spoken_for = forwarded.or(instead);
        let helo = match (forwarded, instead.and_then(|identity| identity.helo.as_ref())) {
            // What the peer itself said is no client's.
            (Some(forwarded), _) => forwarded.helo.clone(),
            (None, Some(helo)) => Some(Arc::clone(helo)),
            (None, None) => greeting.map(|greeting| Arc::clone(&greeting.name)),
        };
        let spoken = match greeting {
            _ if session.is_lmtp() => Protocol::Lmtp,
            Some(greeting) if greeting.extended => Protocol::Esmtp,
            _ => Protocol::Smtp,
        };
        Arc::new(Origin {
            peer: self.peer.address(),
            client: spoken_for.map_or_else(|| self.peer.client(), client),
            // XFORWARD carries no login.
            standing: self.door.permission.standing(forwarded.map_or(self.peer, place), forwarded.is_none() && session.user().is_some()),
            helo: helo.unwrap_or_default(),
            protocol: spoken_for.and_then(protocol).unwrap_or(spoken),
            tls: self.secured(self.introduced || spoken_for.is_some()),
            user: session.user().filter(|_| forwarded.is_none()).cloned(),
            listener: Arc::clone(&self.door.name),
            time: self.began.unwrap_or_else(clock::now),
            session: self.id,
            id: random::ulid(),
            token: Arc::clone(&self.shared.terms.token),
        })
    }

    /// What protects the connection. The certificate is of who connected, and not of whom it speaks for.
    fn secured(&self, for_another: bool) -> Option<Arc<Secured>> {
        let tls = self.tls.as_ref()?;
        if !for_another || tls.certificate.is_empty() {
            return Some(Arc::clone(tls));
        }
        Some(Arc::new(Secured { certificate: Vec::new(), ..Secured::clone(tls) }))
    }

    /// For logs.
    pub(super) fn client_text(&self) -> String {
        self.session.forwarded().map_or_else(|| self.peer.client(), client).to_string()
    }
}

fn client(identity: &Identity) -> Client {
    Client {
        address: identity.address,
        name: identity.name.as_deref().map(str::to_owned),
        port: identity.port,
        local: identity.source == Some(Source::Local),
        ident: identity.ident.clone(),
    }
}

/// Where a client that XFORWARD names is. SOURCE=LOCAL counts as inside, as the machine itself does.
fn place(identity: &Identity) -> Peer {
    match identity.address {
        _ if identity.source == Some(Source::Local) => Peer::Unix,
        Some(address) => Peer::new(SocketAddr::new(address, identity.port.unwrap_or(0))),
        None => Peer::Unknown,
    }
}

/// What the client spoke with the peer, if it is known here.
fn protocol(identity: &Identity) -> Option<Protocol> {
    match identity.protocol.as_deref()? {
        word if word.eq_ignore_ascii_case("SMTP") => Some(Protocol::Smtp),
        word if word.eq_ignore_ascii_case("ESMTP") => Some(Protocol::Esmtp),
        word if word.eq_ignore_ascii_case("LMTP") => Some(Protocol::Lmtp),
        _ => None,
    }
}
