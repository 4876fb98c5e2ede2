//! `transom explain`.

mod draw;
mod seen;

use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Exit, Global, complain, say, test};
use crate::base::{clock, disk};
use crate::chain::class::Part;
use crate::chain::route::DEFAULT;
use crate::chain::test::normalized;
use crate::chain::{Chain, example};
use crate::config::{Address, Listener, Malformed, Options};
use crate::mail::{Client, Inside, Mail, Origin, Standing};
use crate::message::{self, Message};
use crate::server::{Peer, Permission};
use crate::smtp::envelope::{Declared, Envelope, Recipient};
use crate::smtp::path::Path;

const EXAMPLES: &str = "\
Examples:
  transom explain message.eml
  transom explain message.eml --from anna@example.org --to bob@example.net --client 192.0.2.7
  transom explain message.eml --to anna@example.org --to bob@example.org
  transom explain message.eml --rules rules/new.yaml
  transom explain - --json < message.eml

Each rule is shown with its conditions and the values they saw, and with what its actions
changed; where rules tell the recipients apart, for each kind of them, with the rule that
does. Over SMTP each kind comes in a transaction of its own.

Exit status: 0 whatever the rules decide; 64 no such listener; 65 the message cannot be
read; 66 no such file.";

/// Shows what the rules would do to a message, and why
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The message; `-` reads it from standard input
    message: PathBuf,
    /// The sender of the envelope; empty for the null sender
    #[arg(long, value_name = "ADDRESS", default_value = example::SENDER, value_parser = Path::parse)]
    from: Path,
    /// A recipient; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = example::RECIPIENT, value_parser = Path::parse)]
    to: Vec<Path>,
    /// The address of the client
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    client: IpAddr,
    /// The name of the client's address
    #[arg(long, value_name = "NAME")]
    client_name: Option<String>,
    /// What the client said in EHLO
    #[arg(long, value_name = "NAME", default_value = "client.outside.example")]
    helo: String,
    /// The name under which the client has logged in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The name of the listener it came to; if the configuration has only one, that
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Rule files to use instead of the configuration's
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What came out.
struct Explained {
    received: Message,
    /// Recipients that the rules tell apart, each kind with its ruling.
    parts: Vec<Part>,
    /// First next hops of the routes, by name.
    next_hops: Vec<(Arc<str>, String)>,
    /// What the listener does with this message before any rule sees it.
    before: Option<&'static str>,
    /// Whether what the rules refuse is held (`behind_queue`).
    behind_queue: bool,
    /// Recipients to whom this client may not send, whatever the rules say.
    denied: Vec<Recipient>,
}

impl Explained {
    /// Those of a part that its client may not send to.
    fn denied<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = &'a Recipient> {
        part.recipients.iter().filter(|recipient| self.denied.contains(recipient))
    }

    /// Where a part would go: its route, if it is a named one, and the next hop that is asked first.
    fn way<'a>(&'a self, part: &'a Part) -> (Option<&'a str>, Option<&'a str>) {
        let route = part.ruling.route.as_deref().unwrap_or(DEFAULT);
        let next_hop = self.next_hops.iter().find(|(name, _)| **name == *route);
        (Some(route).filter(|route| *route != DEFAULT), next_hop.map(|(_, next_hop)| next_hop.as_str()))
    }
}

/// Runs it.
pub fn run(args: Args, global: &Global) -> Exit {
    match explain(args, global) {
        Ok(text) => say(&text),
        Err(exit) => exit,
    }
}

fn explain(args: Args, global: &Global) -> Result<String, Exit> {
    let setting = Setting::of(&args, global)?;
    let received = message(&args.message, &setting.limits)?;
    let mut origin = Origin { standing: setting.standing, ..origin(&args) };
    if let Some(listener) = &setting.listener {
        origin.listener = Arc::from(&*listener.name);
    }
    let origin = Arc::new(origin);
    // Servers announce it; a rule at RCPT may ask for it.
    let declared = Declared { size: Some(received.received_size()), ..Declared::default() };
    let envelope = Envelope { sender: args.from, recipients: args.to.into_iter().map(Recipient::from).collect(), declared };
    let denied = setting.denied(&args.client, args.user.is_some(), &envelope.recipients);
    let mail = Mail { origin, envelope, message: received.clone() };
    let policy = setting.listener.as_ref().map_or(Malformed::Accept, |listener| listener.malformed);
    let before = match policy {
        _ if received.header_is_readable() => None,
        Malformed::Accept => None,
        Malformed::Reject => Some("its header cannot be read, so it is refused before any rule (`malformed: reject`); without that"),
        Malformed::Wrap => Some("its header cannot be read, so rules see it as the text of a new message (`malformed: wrap`); as it came"),
    };
    let behind_queue = setting.listener.is_some_and(|listener| listener.behind_queue);
    let explained =
        Explained { parts: setting.chain.parts(&mail, true), received, next_hops: setting.next_hops, before, behind_queue, denied };
    Ok(if args.json { draw::json(&explained) } else { draw::text(&explained) })
}

/// Where the mail comes in.
struct Setting {
    chain: Arc<Chain>,
    limits: Arc<message::Limits>,
    standing: Standing,
    /// First next hops of the routes, by name.
    next_hops: Vec<(Arc<str>, String)>,
    listener: Option<Listener>,
    inside: Option<Arc<Inside>>,
}

impl Setting {
    /// To whom the listener lets this client not send; nobody where no listener is known.
    fn denied(&self, client: &IpAddr, logged_in: bool, recipients: &[Recipient]) -> Vec<Recipient> {
        let Some(listener) = &self.listener else { return Vec::new() };
        let permission = Permission::new(self.inside.clone(), listener.origin, listener.trust.clone());
        let peer = if matches!(listener.address, Address::Unix(_)) { Peer::Unix } else { Peer::new((*client, 0).into()) };
        recipients.iter().filter(|recipient| permission.check(peer, logged_in, recipient).is_err()).cloned().collect()
    }

    fn of(args: &Args, global: &Global) -> Result<Setting, Exit> {
        let is_inside = |inside: &Inside| args.user.is_some() || inside.has_address(args.client);
        let by_client = |inside: &Inside| if is_inside(inside) { Standing::Inside } else { Standing::Outside };
        if !args.rules.is_empty() {
            let chain = test::chain(&args.rules, global)?;
            let standing = by_client(&chain.shared().inside);
            return Ok(Setting { chain, limits: example::limits(), standing, next_hops: Vec::new(), listener: None, inside: None });
        }
        let config = global.load(Options { without_tests: true, ..Options::default() })?;
        let listener = match (&args.listener, &config.listeners[..]) {
            (Some(name), listeners) => Some(listeners.iter().find(|listener| *listener.name == **name).ok_or_else(|| {
                let known: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
                complain(&format!("error: no listener is called `{name}`: there is {}", known.join(", ")));
                Exit::Usage
            })?),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let standing = listener.and_then(|listener| listener.origin.standing());
        let standing = standing.unwrap_or_else(|| by_client(config.inside.as_ref().unwrap_or(&Inside::default())));
        let routes = [&config.relay.route].into_iter().chain(&config.routes);
        let next_hops = routes.filter_map(|route| Some((Arc::clone(&route.name), route.next_hops.first()?.to_string()))).collect();
        let chain = Arc::clone(config.chain_of(listener.map_or("", |listener| &*listener.name)));
        let (limits, inside) = (Arc::new(config.limits.of_message()), config.inside.clone().map(Arc::new));
        Ok(Setting { chain, limits, standing, next_hops, listener: listener.cloned(), inside })
    }
}

fn message(file: &std::path::Path, limits: &Arc<message::Limits>) -> Result<Message, Exit> {
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        disk::read(file)
    };
    let bytes = bytes.map_err(|error| {
        complain(&format!("error: cannot read {}: {error}", file.display()));
        Exit::NoInput
    })?;
    Message::parse(normalized(&bytes), limits).map_err(|refusal| {
        complain(&format!("error: {}: {refusal}", file.display()));
        Exit::Data
    })
}

fn origin(args: &Args) -> Origin {
    let origin = example::origin();
    Origin {
        peer: Some(args.client),
        client: Client { address: Some(args.client), name: args.client_name.clone(), ..Client::default() },
        helo: args.helo.as_str().into(),
        user: args.user.as_deref().map(Arc::from),
        listener: args.listener.as_deref().map_or(origin.listener, Arc::from),
        time: clock::now(),
        ..origin
    }
}
