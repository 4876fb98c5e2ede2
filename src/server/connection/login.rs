//! AUTH: the users are asked on a thread that may wait, and who fails waits for the answer.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Connection;
use crate::base::metrics::COUNTS;
use crate::smtp::auth::Mechanism;
use crate::smtp::auth::check::{Claim, Found, Unable};
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Denied, Step};

/// How long a login waits until others are done.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the first failed login waits for its answer; each further one as much longer. One guesses slowly, and who mistyped does not notice.
const DELAY: Duration = Duration::from_millis(250);

impl Connection {
    /// A client says who it is.
    pub(super) async fn login(&mut self, claim: Claim) -> ControlFlow<()> {
        let found = self.find(claim).await;
        match self.session.found(found) {
            Step::Denied(denied) => self.denied(denied).await,
            Step::Welcome(reply) => self.welcome(&reply),
            Step::Reply(reply) => self.say(&reply),
            Step::Ask(_) | Step::Swallow(..) => self.say(&reply::login_not_possible()),
        }
    }

    /// A client has logged in.
    pub(super) fn welcome(&mut self, reply: &Reply) -> ControlFlow<()> {
        COUNTS.logins.add(1);
        let user = self.session.user().map(|user| &**user);
        let mechanism = self.session.mechanism().map(Mechanism::name);
        tracing::info!(session = %self.id, client = %self.client_text(), listener = &*self.door.name, user, mechanism, "logged in");
        self.say(reply)
    }

    /// Asks who knows the users: hashing a password takes a core for a while, so few do so at once, and of one address one.
    async fn find(&mut self, claim: Claim) -> Result<Found, Unable> {
        let Some(auth) = self.door.auth.clone() else { return Ok(Found::Nobody) };
        let address = self.door.permission.counted(self.peer);
        let place = timeout(PATIENCE, async {
            let turn = self.shared.turns.take(address).await;
            self.shared.logins.clone().acquire_owned().await.map(|place| (turn, place))
        });
        let found = match place.await {
            Ok(Ok(place)) => {
                let asked = spawn_blocking(move || {
                    let _place = place;
                    claim.check(&*auth.users)
                });
                asked.await.unwrap_or_else(|panic| Err(Unable(format!("asking them broke: {panic}; please report this"))))
            }
            _ => Err(Unable(format!(
                "too many want to log in at once, from everywhere or from this address: none of the threads for it was free within {PATIENCE:?}"
            ))),
        };
        found.inspect_err(|Unable(error)| {
            tracing::error!(session = %self.id, client = %self.client_text(), listener = &*self.door.name, error, "the users cannot be asked");
        })
    }

    /// A login has failed.
    pub(super) async fn denied(&mut self, denied: Denied) -> ControlFlow<()> {
        COUNTS.logins_failed.add(1);
        let Denied { user, failures, reply } = denied;
        // Whatever a stranger says goes there: without what could make two lines of one, and not without end.
        let user = user.map(|user| user.chars().take(100).collect::<String>());
        let mechanism = self.session.mechanism().map(Mechanism::name);
        tracing::warn!(session = %self.id, client = %self.client_text(), listener = &*self.door.name, user, mechanism, failures, "login failed");
        tokio::select! {
            biased;
            () = self.shared.stop.given() => self.say(&reply::shutting_down()),
            () = sleep(DELAY * failures) => self.say(&reply),
        }
    }
}
