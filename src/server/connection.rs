//! One client's connection. The only place that writes to it: what lies in the input is answered, and the answers leave in one write.

mod classes;
mod identity;
mod lines;
mod login;
mod message;
mod recipients;

use std::io;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use ulid::Ulid;

use super::hold::{Held, holding};
use super::input::Input;
use super::limits::Admitted;
use super::listener::Socket;
use super::peer::Peer;
use super::receive::Chunks;
use super::shared::{Door, Entrance, Shared, Standing};
use super::tls;
use crate::base::alarm::{Alarm, at_once};
use crate::base::budget::Share;
use crate::base::metrics::COUNTS;
use crate::base::sign::Watch;
use crate::base::{clock, random};
use crate::chain::class::{Mailboxes, RecipientRuling};
use crate::mail::Secured;
use crate::relay::{self, Behalf};
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::Session;
use recipients::Asked;

/// How long a client may take to read its last replies when `timeouts.shutdown` is over.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long, and for how many bytes, a closed client may go on sending before its connection is reset, which could destroy the last reply.
const LINGER: (Duration, u64) = (Duration::from_secs(2), 10_000_000);

/// A connection, and the session on it.
pub struct Connection {
    stream: Box<dyn Socket>,
    input: Input,
    output: Vec<u8>,
    session: Session,
    /// RCPTs whose answers are outstanding, in order: of one class, but for those that need nobody else's answer.
    asked: Vec<Asked>,
    /// The accepted recipients of the open transaction.
    taken: Vec<RecipientRuling>,
    /// What they take of the memory for all, where they are many.
    room: Option<Share>,
    /// Of those, the ones that go on; only where rules may make two one.
    mailboxes: Mailboxes,
    held: Option<Held>,
    /// For what is held.
    due: Alarm,
    /// For the signs that sessions end by.
    stop: Watch,
    hurry: Watch,
    /// What came by BDAT of a message that has not ended.
    chunks: Option<Box<Chunks>>,
    /// When the open transaction began.
    began: Option<Timestamp>,
    /// When the last whole line was answered.
    answered: Instant,
    id: Ulid,
    /// Who connected, or whom PROXY named.
    caller: Peer,
    /// PROXY named it.
    introduced: bool,
    /// The same, or whom XCLIENT named. Permission and limits go by it.
    peer: Peer,
    /// XCLIENT has said where this client is; until then it stands where the caller does.
    address_told: bool,
    /// None in clear.
    tls: Option<Arc<Secured>>,
    entrance: Entrance,
    /// What is in force for this transaction.
    door: Arc<Door>,
    shared: Arc<Shared>,
    place: Admitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Bytes,
    End,
    Silent,
    Stop,
    /// Its last reply has been said.
    Over,
}

/// Tells a client for whom there is no place; one that speaks TLS from the first byte (`secure`) hears nothing in clear.
pub async fn turn_away(mut stream: Box<dyn Socket>, secure: bool) {
    COUNTS.turned_away.add(1);
    if secure {
        return;
    }
    let mut output = Vec::new();
    reply::too_many_sessions().write(&mut output);
    // It was to go away anyway.
    let _ = timeout(Duration::from_secs(1), stream.write_all(&output)).await;
}

impl Connection {
    pub fn new(stream: Box<dyn Socket>, peer: Peer, mut entrance: Entrance, place: Admitted) -> Connection {
        let (shared, door) = entrance.now();
        let session = Session::new(Arc::clone(&shared.terms));
        let mut session = if door.lmtp { session.in_lmtp() } else { session };
        session.admit(door.auth.as_ref());
        session.offer_tls(tls::privacy(door.tls.as_ref()));
        Connection {
            stream,
            input: Input::default(),
            output: Vec::new(),
            session,
            asked: Vec::new(),
            taken: Vec::new(),
            room: None,
            mailboxes: Mailboxes::default(),
            held: None,
            due: Alarm::default(),
            stop: shared.stop.watch(),
            hurry: shared.hurry.watch(),
            chunks: None,
            began: None,
            answered: clock::monotonic(),
            id: random::ulid(),
            caller: peer,
            introduced: false,
            peer,
            address_told: false,
            tls: None,
            entrance,
            door,
            shared,
            place,
        }
    }

    /// Serves the client to the end. By reference: a future that owned the connection would have room for it twice, and a thousand sessions a thousand times.
    pub async fn serve(&mut self) {
        COUNTS.sessions.add(1);
        if let Err(error) = self.run().await {
            tracing::debug!(session = %self.id, client = %self.client_text(), %error, "connection broke");
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        let mut next = self.meet().await?;
        while next.is_continue() {
            self.flush().await?;
            let limit = self.shared.timeouts.command;
            let mut event = pin!(self.wait(limit)).await;
            if event == Event::Bytes {
                // On the heap while it lasts, so that an idle session does not carry its room.
                event = Box::pin(self.work()).await?;
            }
            next = match event {
                Event::Bytes => ControlFlow::Continue(()),
                Event::Over => ControlFlow::Break(()),
                Event::End => return Ok(()),
                Event::Silent => self.say(&reply::timed_out()),
                Event::Stop => self.say(&reply::shutting_down()),
            };
        }
        self.held = None;
        self.flush().await?;
        part(&mut *self.stream).await
    }

    /// Queues a reply; breaks where the connection ends with it.
    fn say(&mut self, reply: &Reply) -> ControlFlow<()> {
        reply.write(&mut self.output);
        if reply.closes() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let taken = at_once(pin!(self.stream.write(&self.output))).await.transpose()?.unwrap_or(0);
        // Under TLS what is written may lie on our side until it is flushed.
        let flushed = taken == self.output.len() && at_once(pin!(self.stream.flush())).await.transpose()?.is_some();
        if !flushed {
            Box::pin(self.flush_from(taken)).await?;
        }
        self.output.clear();
        Ok(())
    }

    /// What the client has not taken at once, it may take within `timeouts.command`.
    async fn flush_from(&mut self, taken: usize) -> io::Result<()> {
        let Connection { stream, output, held, due, hurry, shared, .. } = self;
        let work = pin!(async {
            let written = async {
                stream.write_all(&output[taken..]).await?;
                stream.flush().await
            };
            tokio::select! {
                biased;
                written = written => written,
                () = sleep(shared.timeouts.command) => Err(io::ErrorKind::TimedOut.into()),
                () = async { hurry.given().await; sleep(LAST_WORDS).await } => Err(io::ErrorKind::TimedOut.into()),
            }
        });
        holding(held, due, work).await
    }

    /// Waits for input, for so long since the last line.
    async fn wait(&mut self, limit: Duration) -> Event {
        // A line that comes in drop by drop is as good as silence.
        let patience = self.answered + limit;
        let Connection { stream, input, held, due, stop, hurry, chunks, .. } = self;
        // A message that has begun is finished.
        let stop = if chunks.is_some() { hurry } else { stop };
        let work = pin!(async {
            tokio::select! {
                biased;
                () = stop.given() => Event::Stop,
                read = input.fill_until(stream, patience) => match read {
                    None => Event::Silent,
                    Some(Ok(0) | Err(_)) => Event::End,
                    Some(Ok(_)) => Event::Bytes,
                },
            }
        });
        pin!(holding(held, due, work)).await
    }

    /// A MAIL was accepted, unless its address has begun too many messages within a minute.
    fn begin(&mut self, accepted: &Reply) -> ControlFlow<()> {
        if let Some(pace) = &self.shared.pace
            && let Some(address) = self.door.permission.counted(self.peer)
            && !pace.begin(address, clock::monotonic())
        {
            COUNTS.too_many.add(1);
            tracing::warn!(session = %self.id, client = %self.peer, "message refused at MAIL: limits.messages_per_address is reached");
            let refused = self.session.refuse_sender(reply::too_many_messages());
            return self.say(&refused);
        }
        self.began = Some(clock::now());
        self.say(accepted)
    }

    /// A handshake, within `timeouts.command`. Where it fails the connection is of no use any more: nobody knows what the client believes.
    pub(super) async fn secure(&mut self) -> ControlFlow<()> {
        let Some(tls) = self.door.tls.clone() else { return ControlFlow::Break(()) };
        // Whatever becomes of the handshake, nothing is said in clear any more.
        let clear = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let shaken = tokio::select! {
            biased;
            () = self.stop.given() => return ControlFlow::Break(()),
            shaken = timeout(self.shared.timeouts.command, tls::handshake(clear, &tls.server)) => shaken,
        };
        match shaken
            .unwrap_or_else(|_| Err("it does not finish the handshake within timeouts.command; look for a firewall between".to_owned()))
        {
            Ok((stream, protection)) => {
                (self.stream, self.tls) = (stream, Some(protection.secured));
                self.session.secured(protection.bindings);
                self.be_the_caller()
            }
            Err(why) => {
                tracing::warn!(session = %self.id, client = %self.peer, listener = &*self.door.name, "no TLS with this client: {why}");
                ControlFlow::Break(())
            }
        }
    }

    /// The transaction is over.
    fn forget(&mut self) {
        (self.held, self.began, self.chunks) = (None, None, None);
        self.taken.clear();
        self.room = None;
        self.mailboxes.clear();
    }

    /// Between two transactions: what has come into force since. A session that stands on what is no longer allowed ends.
    fn renew(&mut self) -> ControlFlow<()> {
        if self.session.transaction().is_none()
            && let Some((shared, door)) = self.entrance.changed()
        {
            let told = self.session.stands_for().is_some() && !door.permission.may_stand_in(self.caller);
            if told || !self.session.may_go_on(door.auth.as_ref()) {
                let user = self.session.user().map(|user| &**user);
                tracing::info!(session = %self.id, peer = %self.caller, client = %self.peer, user, "session ended: a reload took back the login or what XCLIENT said");
                return self.say(&reply::no_longer_allowed());
            }
            self.session.under(Arc::clone(&shared.terms));
            self.session.admit(door.auth.as_ref());
            self.session.offer_tls(tls::privacy(door.tls.as_ref()));
            (self.shared, self.door) = (shared, door);
            self.trust();
        }
        ControlFlow::Continue(())
    }

    /// For whom next hops are asked. Connections are shared out among addresses as sessions are.
    fn behalf(&self) -> Behalf {
        let identity = self.shared.relay.introduces().then(|| Arc::new(relay::identity::of(&self.origin())));
        Behalf { client: self.door.permission.counted(self.peer), identity }
    }

    fn standing(&self) -> Standing {
        Standing {
            secured: self.tls.is_some(),
            trusted: self.door.permission.may_forward(self.peer),
            may_log_in: self.door.auth.is_some(),
            hears_each: self.session.is_lmtp(),
        }
    }
}

/// Ends our side and swallows, within bounds, what the client still sends.
async fn part(stream: &mut dyn Socket) -> io::Result<()> {
    let parting = async {
        // Under TLS it waits for the client to take it.
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER.1), &mut tokio::io::sink()).await.map(|_| ())
    };
    // Time over: the client had its chance to read the reply.
    timeout(LINGER.0, parting).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// Takes nothing and says nothing.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Socket for Stuck {
        fn talks(&mut self) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_takes_the_goodbye_pins_nothing() {
        assert!(timeout(Duration::from_hours(1), part(&mut Stuck)).await.is_ok());
    }
}
