//! The header of the PROXY protocol, version 1 or 2, that a trusted peer begins with: whose connection it hands on.
//!
//! Not a byte behind it is read: a TLS handshake may follow, or a client that speaks before its turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The protocol asks for at least three seconds, one TCP retransmission.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_1: usize = 107;
const SHORTEST_1: usize = "PROXY UNKNOWN\r\n".len();
/// The protocol allows 64 KiB; what names a client and its certificate is far shorter.
const LONGEST_2: usize = 4096;
const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const START_2: usize = SIGNATURE_2.len() + 4;
const LOCAL: u8 = 0x20;
const CHECKSUM: u8 = 0x03;

/// What a header said.
#[derive(Debug, PartialEq, Eq)]
pub enum Introduced {
    /// The connection is that peer's own: a check of its health, or a client of which it says nothing.
    Itself,
    Client(Box<Proxied>),
}

/// A client behind a proxy.
#[derive(Debug, PartialEq, Eq)]
pub struct Proxied {
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
    /// The host name it asked for in its TLS handshake with the proxy.
    pub authority: Option<String>,
    /// What TLS it speaks with the proxy.
    pub tls: Option<String>,
}

/// Why a trusted peer is not served.
#[derive(Debug, thiserror::Error)]
pub enum Unintroduced {
    #[error("it connected and went away")]
    Gone,
    #[error("it said nothing")]
    Silent,
    #[error("it began with something else")]
    Other,
    #[error("its header cannot be read: {0}")]
    Broken(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads the header.
///
/// # Errors
/// There is none.
pub async fn introduction(stream: &mut (impl AsyncRead + Unpin + ?Sized), patience: Duration) -> Result<Introduced, Unintroduced> {
    let bytes = timeout(patience.min(PATIENCE), header(stream)).await.map_err(|_| Unintroduced::Silent)??;
    read(&bytes)
}

async fn header(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> Result<Vec<u8>, Unintroduced> {
    let mut bytes = Vec::with_capacity(LONGEST_1);
    loop {
        let missing = missing(&bytes)?;
        if missing == 0 {
            return Ok(bytes);
        }
        if stream.take(missing as u64).read_buf(&mut bytes).await? == 0 {
            return Err(if bytes.is_empty() { Unintroduced::Gone } else { Unintroduced::Broken("it ended in the middle") });
        }
    }
}

/// How many more bytes belong to a header that begins so, at least; none: it is whole.
fn missing(bytes: &[u8]) -> Result<usize, Unintroduced> {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, wanted)| byte == wanted);
    if begins(SIGNATURE_2) {
        // Before the first byte it may still become version 1, whose shortest is one byte shorter.
        let Some(start) = bytes.get(..START_2) else { return Ok(if bytes.is_empty() { SHORTEST_1 } else { START_2 - bytes.len() }) };
        let whole = START_2 + usize::from(u16::from_be_bytes([start[14], start[15]]));
        return if whole > LONGEST_2 { Err(Unintroduced::Broken("it is too long")) } else { Ok(whole - bytes.len()) };
    }
    match bytes {
        _ if !begins(SIGNATURE_1) => Err(Unintroduced::Other),
        _ if bytes.len() < SHORTEST_1 => Ok(SHORTEST_1 - bytes.len()),
        [.., b'\r', b'\n'] => Ok(0),
        _ if bytes.len() >= LONGEST_1 => Err(Unintroduced::Broken("it is too long")),
        [.., b'\r'] => Ok(1),
        _ => Ok(2.min(LONGEST_1 - bytes.len())),
    }
}

fn read(bytes: &[u8]) -> Result<Introduced, Unintroduced> {
    // Whatever else stands there is to be ignored.
    if bytes.starts_with(SIGNATURE_2) && bytes[SIGNATURE_2.len()] == LOCAL {
        return Ok(Introduced::Itself);
    }
    let (header, length) = ProxyHeader::parse(bytes, ParseConfig::default()).map_err(|_| Unintroduced::Broken("it is malformed"))?;
    if length != bytes.len() || header.tlvs().any(|part| part.is_err()) {
        return Err(Unintroduced::Broken("it is malformed"));
    }
    let Some(client) = header.proxied_address() else { return Ok(Introduced::Itself) };
    if client.protocol != Protocol::Stream {
        return Err(Unintroduced::Broken("it is about another protocol than TCP"));
    }
    if !sound(bytes, client.source.is_ipv4()) {
        return Err(Unintroduced::Broken("its checksum is wrong"));
    }
    let tls = header.ssl().filter(proxy_header::SslInfo::client_ssl);
    Ok(Introduced::Client(Box::new(Proxied {
        source: client.source,
        destination: client.destination,
        authority: header.authority().map(str::to_owned),
        tls: tls.map(|tls| [tls.version(), tls.cipher(), tls.cn()].map(|part| part.unwrap_or("?")).join(" ")),
    })))
}

/// Whether the checksum is right, if there is one.
fn sound(bytes: &[u8], short: bool) -> bool {
    if !bytes.starts_with(SIGNATURE_2) {
        return true;
    }
    let mut at = START_2 + if short { 12 } else { 36 };
    while let Some([kind, high, low]) = bytes.get(at..at + 3) {
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([*high, *low]));
        if let (CHECKSUM, Some(Ok(sum))) = (*kind, bytes.get(value.clone()).map(<[u8; 4]>::try_from)) {
            let others = bytes.iter().enumerate().map(|(place, byte)| if value.contains(&place) { 0 } else { *byte });
            return crc32c(others) == u32::from_be_bytes(sum);
        }
        at = value.end;
    }
    true
}

/// RFC 4960 appendix B.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let shift = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    !bytes.fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(byte), shift))
}

#[cfg(test)]
mod tests {
    use proxy_header::{ProxiedAddress, SslInfo, Tlv};

    use super::*;

    /// What becomes of these bytes, and what is left of them.
    async fn introduced(bytes: &[u8]) -> (Result<Introduced, Unintroduced>, usize) {
        let mut stream = bytes;
        let introduced = introduction(&mut stream, PATIENCE).await;
        (introduced, stream.len())
    }

    fn client(introduced: Result<Introduced, Unintroduced>) -> Proxied {
        match introduced {
            Ok(Introduced::Client(client)) => *client,
            other => panic!("{other:?}"),
        }
    }

    fn address(source: &str) -> ProxiedAddress {
        let destination = if source.starts_with('[') { "[2001:db8::2]:25" } else { "192.0.2.2:25" };
        ProxiedAddress::stream(source.parse().unwrap(), destination.parse().unwrap())
    }

    fn version_2(header: &ProxyHeader<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        header.encode_v2(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_nothing_behind_them_is_read() {
        for source in ["192.0.2.1:1234", "[2001:db8::1]:1234"] {
            let header = ProxyHeader::with_address(address(source));
            let mut version_1 = Vec::new();
            header.encode_v1(&mut version_1).unwrap();
            for mut bytes in [version_1, version_2(&header)] {
                bytes.extend_from_slice(b"EHLO x\r\n");
                let (introduced, left) = introduced(&bytes).await;
                assert_eq!((client(introduced).source.to_string().as_str(), left), (source, 8));
            }
        }
    }

    #[tokio::test]
    async fn a_check_of_health_and_an_unknown_client_are_the_proxys_own() {
        let unknown = [SIGNATURE_2, b"\x21\x00\x00\x00"].concat();
        let with_family = [SIGNATURE_2, b"\x20\x11\x00\x02ab"].concat();
        for bytes in [
            version_2(&ProxyHeader::with_local()),
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ff ff 1 1\r\n".to_vec(),
            unknown,
            with_family,
        ] {
            let (introduced, left) = introduced(&bytes).await;
            assert!(matches!(introduced, Ok(Introduced::Itself)) && left == 0, "{introduced:?}");
        }
    }

    #[tokio::test]
    async fn what_tls_found_out_is_told() {
        let mut tls = SslInfo::new(true, false, false, 1);
        tls.append_tlv(Tlv::SslVersion("TLSv1.3".into()));
        let header =
            ProxyHeader::with_tlvs(Some(address("192.0.2.1:1234")), [Tlv::Noop(7), Tlv::Authority("mx.example".into()), Tlv::Ssl(tls)]);
        let client = client(introduced(&version_2(&header)).await.0);
        assert_eq!((client.authority.as_deref(), client.tls.as_deref()), (Some("mx.example"), Some("TLSv1.3 ? ?")));
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_found() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        let with = |sum| {
            version_2(&ProxyHeader::with_tlvs(Some(address("192.0.2.1:1234")), [Tlv::Crc32c(sum), Tlv::UniqueId(b"x".as_slice().into())]))
        };
        let right = crc32c(with(0).into_iter());
        assert_eq!(client(introduced(&with(right)).await.0).source, "192.0.2.1:1234".parse().unwrap());
        assert!(matches!(introduced(&with(right ^ 1)).await.0, Err(Unintroduced::Broken(_))));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_at_once() {
        for bytes in ["EHLO x\r\n", "\r\n\r\nQUIT\r\n", "QUIT\r\n", "PROXIMITY"] {
            assert!(matches!(introduced(bytes.as_bytes()).await.0, Err(Unintroduced::Other)), "{bytes}");
        }
        let long = format!("PROXY TCP4 {}", "1".repeat(200));
        for bytes in
            ["PROXY TCP4 192.0.2.1\r\n", "PROXY TCP4 x y 1 2\r\n", "PROXY TCP9 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY TCP4 192.0", long.as_str()]
        {
            assert!(matches!(introduced(bytes.as_bytes()).await.0, Err(Unintroduced::Broken(_))), "{bytes}");
        }
        for rest in [&b"\x21\x11\xff\xff"[..], b"\x21\x11\x00\x04abcd", b"\x31\x11\x00\x00", b"\x21\x12\x00\x0cabcdabcdabab"] {
            let bytes = [SIGNATURE_2, rest].concat();
            assert!(matches!(introduced(&bytes).await.0, Err(Unintroduced::Broken(_))), "{rest:?}");
        }
        assert!(matches!(introduced(b"").await.0, Err(Unintroduced::Gone)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_is_not_waited_for() {
        let (mut ours, _theirs) = tokio::io::duplex(10);
        assert!(matches!(introduction(&mut ours, Duration::from_mins(5)).await, Err(Unintroduced::Silent)));
    }
}
