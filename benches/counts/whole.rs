//! A whole message: a client's socket buffer to the next hop's, and its 250 back, with everything that happens between (log line, connections kept, clocks).
//!
//! Client and next hop are scripts on the same thread, so that every run takes the same turns; their own work is left out of the count. What the log's thread
//! writes, and what the system does in its calls, is not counted.

use std::net::{IpAddr, Ipv4Addr};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use transom::base::log::{self, Format, Level};
use transom::base::systemd::Sockets;
use transom::config::{self, Options};
use transom::server::Server;

use super::cases::Work;
use super::counted::LeftOut;
use super::samples;

/// Everything that has to stay while messages go through.
struct Stage {
    runtime: Runtime,
    client: Peer,
    wire: Vec<u8>,
    _server: Server,
    _directory: TempDir,
    _log: log::Guard,
}

/// One message after the other through a server with these rules; each arrives with this line in its header.
pub fn message(rules: &str, shows: &'static str) -> Work {
    let log = log::start(Format::Text, Level::Info, &[]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let socket = at("next-hop");
    let settings = format!(
        "hostname: proxy.example\nlisteners: [{{address: '127.0.0.1:0'}}]\nchain: [{{include: rules.yaml}}]\nstore: {{path: store}}\n\
         limits: {{commands_per_session: 1000000}}\nrelay: {{next_hops: ['unix:{}']}}\n",
        socket.display()
    );
    for (name, text) in [("rules.yaml", rules), ("transom.yaml", &settings)] {
        transom::base::disk::write(&at(name), text.as_bytes()).unwrap();
    }
    let loaded = config::load(&at("transom.yaml"), Options::default()).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (server, client) = runtime.block_on(async {
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(LeftOut::new(next_hops(listener, shows)));
        let server = Server::start(&loaded.config, Sockets::default()).await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let session = server.session(0, Box::new(theirs), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        tokio::spawn(session.expect("there is a place"));
        (server, Peer { stream: ours, input: Vec::new() })
    });
    let mut stage =
        Stage { runtime, client, wire: samples::on_the_wire(&samples::text()), _server: server, _directory: directory, _log: log };
    stage.runtime.block_on(stage.client.greet());
    Box::new(move |times| {
        let Stage { runtime, client, wire, .. } = &mut stage;
        runtime.block_on(LeftOut::new(async {
            for _ in 0..times {
                client.send(wire).await;
            }
        }));
    })
}

/// One end of a conversation, as lines.
struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, what: &[u8]) {
        self.stream.write_all(what).await.unwrap();
    }

    /// Everything up to this.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.input, end) {
                return Some(self.input.drain(..at + end.len()).collect());
            }
            if self.stream.read_buf(&mut self.input).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The last line of a reply that has this code.
    async fn expect(&mut self, code: &str) {
        loop {
            let line = self.until(b"\r\n").await.expect("a reply");
            let line = String::from_utf8_lossy(&line);
            assert!(line.starts_with(code), "{line}");
            if line.as_bytes()[code.len()] == b' ' {
                return;
            }
        }
    }

    async fn greet(&mut self) {
        self.expect("220").await;
        self.say(b"EHLO client.example.com\r\n").await;
        self.expect("250").await;
    }

    async fn send(&mut self, message: &[u8]) {
        for (line, code) in [("MAIL FROM:<sender@example.com>\r\n", "250"), ("RCPT TO:<rcpt@example.net>\r\n", "250"), ("DATA\r\n", "354")]
        {
            self.say(line.as_bytes()).await;
            self.expect(code).await;
        }
        self.say(message).await;
        self.expect("250").await;
    }
}

const HELLO: &[u8] = b"250-next-hop\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n";

/// Takes every connection and every message.
async fn next_hops(listener: UnixListener, shows: &'static str) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(LeftOut::new(next_hop(Peer { stream, input: Vec::new() }, shows)));
    }
}

async fn next_hop(mut peer: Peer, shows: &str) {
    peer.say(b"220 next-hop ESMTP\r\n").await;
    while let Some(line) = peer.until(b"\r\n").await {
        match &line[..4] {
            b"EHLO" => peer.say(HELLO).await,
            b"DATA" => {
                peer.say(b"354 go on\r\n").await;
                let Some(message) = peer.until(b"\r\n.\r\n").await else { return };
                assert!(memchr::memmem::find(&message, shows.as_bytes()).is_some(), "{}", String::from_utf8_lossy(&message));
                peer.say(b"250 2.0.0 stored\r\n").await;
            }
            _ => peer.say(b"250 2.0.0 ok\r\n").await,
        }
    }
}
