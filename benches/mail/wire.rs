//! Sockets and readiness for both ends of the load and for the floor: level-triggered epoll, one thread a loop, and no layer between.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use socket2::{Domain, Socket, Type};

/// What a socket has to say, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

/// One epoll instance.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Tells when there is something to read.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// Tells also when there is room to write, or no longer.
    pub fn writable(&self, socket: impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        let flags = if writable { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), flags)?)
    }

    /// Waits; no events after the time or a signal.
    pub fn wait(&self, ready: &mut Vec<Ready>, time: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let mut room = [const { MaybeUninit::uninit() }; 256];
        let time = time.map(|time| Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
        let events = match epoll::wait(&self.epoll, &mut room, time.as_ref()) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                readable: flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR),
                writable: flags.contains(epoll::EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

/// A port of the loopback interface.
pub fn here(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// Connects without waiting: the greeting tells that it has worked.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&here(port).into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Listens, on a free port for 0.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&here(port).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// A port that was free a moment ago, for a server that cannot choose one itself.
pub fn free_port() -> io::Result<u16> {
    Ok(listen(0)?.local_addr()?.port())
}

/// What came of reading without waiting.
#[derive(Debug)]
pub enum Input<T> {
    Bytes(T),
    NotYet,
    Closed,
}

/// One read into a buffer.
pub fn read<'b>(stream: &TcpStream, buffer: &'b mut [u8]) -> Input<&'b [u8]> {
    match rustix::net::recv(stream, &mut *buffer, rustix::net::RecvFlags::empty()) {
        Ok((0, _)) => Input::Closed,
        Ok((length, _)) => Input::Bytes(&buffer[..length]),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Input::NotYet,
        Err(_) => Input::Closed,
    }
}

/// Counts the replies in a stream of them and remembers the first refusal.
#[derive(Debug, Default)]
pub struct Replies {
    /// A line whose end is not here yet.
    partial: Vec<u8>,
    /// The last line of the first reply of 400 and above.
    pub refusal: Option<String>,
}

impl Replies {
    /// How many replies end in these bytes.
    pub fn ending_in(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.partial.is_empty() {
                count += u32::from(Self::is_last(line, &mut self.refusal));
            } else {
                self.partial.extend_from_slice(line);
                count += u32::from(Self::is_last(&self.partial, &mut self.refusal));
                self.partial.clear();
            }
        }
        self.partial.extend_from_slice(bytes);
        count
    }

    fn is_last(line: &[u8], refusal: &mut Option<String>) -> bool {
        let last = line.get(3) != Some(&b'-');
        if last && !matches!(line.first(), Some(b'2' | b'3')) && refusal.is_none() {
            *refusal = Some(String::from_utf8_lossy(line).trim_end().to_owned());
        }
        last
    }
}
