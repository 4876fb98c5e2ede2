//! Who the client is, told to a next hop: XCLIENT puts it in our place for all that follows, XFORWARD says it of one transaction (SEMANTICS 12).
//!
//! XCLIENT that is refused is trouble: the next hop would judge the mail as if it were our own. XFORWARD is for its logs, and nothing depends on it.

use std::sync::Arc;

use super::connection::{Connection, Trouble};
use crate::mail::{Origin, Protocol};
use crate::smtp::client::{Answer, Meaning, Stage};
use crate::smtp::identity::{Identity, Source};

/// What there is to tell of the client that a mail is from. The id is the one at the server before us, else the session's: the message has none of ours while
/// its recipients are asked about.
#[must_use]
pub fn of(origin: &Origin) -> Identity {
    let protocol = match origin.protocol {
        Protocol::Smtp => "SMTP",
        Protocol::Esmtp => "ESMTP",
        Protocol::Lmtp => "LMTP",
    };
    Identity {
        name: origin.client.name.as_deref().map(Arc::from),
        address: origin.client.address,
        port: origin.client.port,
        protocol: Some(protocol.into()),
        helo: Some(Arc::clone(&origin.helo)).filter(|helo| !helo.is_empty()),
        login: origin.user.clone(),
        destination_address: None,
        destination_port: None,
        ident: Some(origin.client.ident.clone().unwrap_or_else(|| origin.session.to_string().into())),
        source: Some(if origin.client.local { Source::Local } else { Source::Remote }),
    }
}

/// What XCLIENT tells of it: this does not change from one message of a client to the next.
fn of_the_client(identity: &Identity) -> Identity {
    Identity { ident: None, source: None, ..identity.clone() }
}

impl Connection {
    /// Whether the next hop takes us for this client; for none: for ourselves.
    #[must_use]
    pub fn speaks_for(&self, identity: Option<&Identity>) -> bool {
        match (self.introduced.as_deref(), identity) {
            (None, None) => true,
            (Some(known), Some(identity)) => *known == of_the_client(identity),
            _ => false,
        }
    }

    /// Whether it can be brought to take us for this client. Once introduced we are never again ourselves.
    #[must_use]
    pub fn can_speak_for(&self, identity: Option<&Identity>) -> bool {
        self.introduced.is_none() || self.speaks_for(identity) || (identity.is_some() && !self.capabilities.xclient.is_empty())
    }

    /// XCLIENT, and EHLO anew, if the next hop does not take us for this client already.
    ///
    /// # Errors
    /// It does not want to.
    pub async fn introduce(&mut self, identity: &Identity) -> Result<(), Trouble> {
        if self.speaks_for(Some(identity)) {
            return Ok(());
        }
        let commands = identity.commands("XCLIENT", &self.capabilities.xclient);
        if commands.is_empty() {
            let text = "takes no XCLIENT from us, and would judge the mail as our own: have its operator name this host (Postfix: smtpd_authorized_xclient_hosts), or leave `identity` out";
            return Err(Trouble::Other(text.to_owned()));
        }
        // What it says now is said of that client: its name is in its EHLO.
        let own = Arc::clone(&self.target);
        let name =
            identity.helo.as_deref().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())).unwrap_or(&own.settings.hostname);
        for command in commands {
            self.quiet()?;
            self.say(&command, 1).await?;
            self.expect(Stage::Introduction).await?;
            self.hello(name).await?;
        }
        // Nothing of what was before goes on after it, not a login either; but for one that it told of.
        if let Some(account) = own.route.auth.as_ref().filter(|_| identity.login.is_none() && !self.capabilities.auth.is_empty()) {
            self.log_in(account).await?;
        }
        self.introduced = Some(Arc::new(of_the_client(identity)));
        Ok(())
    }

    /// The commands that say of whom the next transaction is; none where the next hop does not want to know.
    #[must_use]
    pub fn forwarding(&self, identity: Option<&Arc<Identity>>) -> Vec<String> {
        identity.map(|identity| identity.commands("XFORWARD", &self.capabilities.xforward)).unwrap_or_default()
    }

    /// The answers to these.
    ///
    /// # Errors
    /// It closes, or its replies do not belong to our commands.
    pub async fn forwarded(&mut self, count: usize) -> Result<(), Trouble> {
        for _ in 0..count {
            let answer = self.answer(Stage::Forwarding).await?;
            match answer.meaning(Stage::Forwarding) {
                Meaning::Accepted => {}
                _ if matches!(answer, Answer { code: 421 | 300..400, .. }) => return Err(Trouble::Said(Stage::Forwarding, answer)),
                _ => {
                    let answer = answer.in_one_line();
                    tracing::warn!("next hop {} answered XFORWARD with `{answer}`; the mail goes on without", self.next_hop);
                }
            }
        }
        Ok(())
    }
}
