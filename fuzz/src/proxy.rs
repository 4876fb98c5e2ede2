//! The header of the PROXY protocol: read the same in any pieces, to its last byte and not one further; and whom it names is named by a header that is
//! written from that.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use transom::server::proxy::{Introduced, Proxied, Unintroduced, introduction};

use super::case::Case;

/// More is never read.
const LONGEST: usize = 4096;
const LONGEST_LINE: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PATIENCE: Duration = Duration::from_hours(1);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

pub fn run(input: &[u8]) {
    let case = Case::of(input);
    let (whole, read) = introduced(&[case.content]);
    let (cut, read_in_pieces) = introduced(&case.pieces(case.content));
    assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "the header depends on how it was cut");
    assert!(read <= LONGEST && (case.content.starts_with(SIGNATURE) || read <= LONGEST_LINE), "{read} bytes were read");
    let Ok(found) = whole else { return };
    assert_eq!(read, read_in_pieces, "where it ends depends on how it was cut");
    // What follows is the client's, and no part of this.
    let header = &case.content[..read];
    let behind = [header, b"\r\n\r\nEHLO"].concat();
    assert_eq!(introduced(&[&behind]).1, read, "bytes of the client were taken");
    assert!([1, read / 2, read - 1].iter().all(|end| introduced(&[&header[..*end]]).0.is_err()), "a part of it is a header");
    if let Introduced::Client(client) = found {
        named(&client, header);
    }
}

/// What these bytes say, and how many of them were read.
fn introduced(pieces: &[&[u8]]) -> (Result<Introduced, Unintroduced>, usize) {
    let mut wire = Wire { pieces, at: 0, read: 0 };
    let found = RUNTIME.with(|runtime| runtime.block_on(introduction(&mut wire, PATIENCE)));
    (found, wire.read)
}

/// Hands out one piece after the other, and then nothing.
struct Wire<'a> {
    pieces: &'a [&'a [u8]],
    /// In the first of them.
    at: usize,
    read: usize,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let Some((first, rest)) = self.pieces.split_first() else { return Poll::Ready(Ok(())) };
        let left = &first[self.at..];
        let given = left.len().min(room.remaining());
        room.put_slice(&left[..given]);
        self.read += given;
        (self.pieces, self.at) = if given == left.len() { (rest, 0) } else { (self.pieces, self.at + given) };
        Poll::Ready(Ok(()))
    }
}

fn named(client: &Proxied, header: &[u8]) {
    let addresses = |found: (Result<Introduced, Unintroduced>, usize)| match found.0 {
        Ok(Introduced::Client(again)) => (again.source, again.destination),
        other => panic!("{client:?} becomes {other:?}"),
    };
    let Proxied { source, destination, .. } = *client;
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port());
    assert!(line.len() <= LONGEST_LINE, "{line}");
    assert_eq!(addresses(introduced(&[line.as_bytes()])), (source, destination));
    let block = [SIGNATURE, &block(source, destination)].concat();
    assert_eq!(addresses(introduced(&[&block])), (source, destination));
    if header.starts_with(SIGNATURE) {
        assert_eq!(checked(header, true), Some(true), "the right checksum is refused");
        assert_eq!(checked(header, false), Some(false), "a wrong checksum is taken");
    }
}

/// What follows the signature in version 2.
fn block(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let addresses = [octets(source), octets(destination), ports].concat();
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    [vec![0x21, family, 0, u8::try_from(addresses.len()).expect("at most 36")], addresses].concat()
}

/// Whether the addresses of a header are taken with a checksum behind them, right or wrong.
fn checked(header: &[u8], right: bool) -> Option<bool> {
    let addresses: u8 = if header[13] == 0x11 { 12 } else { 36 };
    let mut bytes = header.get(..16 + usize::from(addresses))?.to_vec();
    bytes[14..16].copy_from_slice(&[0, addresses + 7]);
    bytes.extend_from_slice(&[3, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c(&bytes) ^ u32::from(!right);
    let place = bytes.len() - 4;
    bytes[place..].copy_from_slice(&sum.to_be_bytes());
    Some(matches!(introduced(&[&bytes]).0, Ok(Introduced::Client(_))))
}

/// As RFC 3720 B.4 draws it: the polynomial, a bit at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in bytes {
        for bit in 0..8 {
            let odd = (sum ^ u32::from(byte >> bit)) & 1 == 1;
            sum = (sum >> 1) ^ if odd { 0x82f6_3b78 } else { 0 };
        }
    }
    !sum
}
