//! From the addresses of a next hop to a connected socket: one after the other, each a moment after the one before, and the first that connects is taken
//! (RFC 8305 5).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::Trouble;
use super::pool::{Pool, Remote, Slot};
use super::stream::Stream;

/// The next address is tried when the one before has not answered so long (RFC 8305 8).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried at once.
const BATCH: usize = 4;

/// A socket that is connected, and the right to have it.
pub type Reached = (Slot, Stream);

/// Connects to the first of `left` that takes a connection, as far as slots are free. Those that do not are taken out of `left`.
///
/// # Errors
/// None does; why the last did not. None: no slot was free.
pub async fn first(left: &mut Vec<Arc<Pool>>, client: Option<IpAddr>, within: Duration) -> Result<Reached, Option<Trouble>> {
    let mut racing = JoinSet::new();
    let mut last = None;
    let mut next = left.clone().into_iter();
    loop {
        let mut more = next.len() > 0;
        if racing.len() < BATCH
            && let Some(pool) = next.next()
        {
            let Some(slot) = pool.slot(client) else { continue };
            more = next.len() > 0;
            // Nobody is raced against.
            if racing.is_empty() && !more {
                match to(slot, within).await {
                    Ok(reached) => return Ok(reached),
                    Err((pool, trouble)) => {
                        left.retain(|other| !Arc::ptr_eq(other, &pool));
                        last = Some(trouble);
                    }
                }
                continue;
            }
            racing.spawn(to(slot, within));
        }
        if racing.is_empty() && !more {
            return Err(last);
        }
        tokio::select! {
            biased;
            Some(reached) = racing.join_next() => match reached {
                Ok(Ok(reached)) => return Ok(reached),
                Ok(Err((pool, trouble))) => {
                    left.retain(|other| !Arc::ptr_eq(other, &pool));
                    last = Some(trouble);
                }
                // A runtime that ends.
                Err(_) => {}
            },
            () = sleep(STAGGER), if more && racing.len() < BATCH => {}
        }
    }
}

/// Connects with this slot.
///
/// # Errors
/// Why it does not connect, noted with its address.
pub async fn to(slot: Slot, within: Duration) -> Result<Reached, (Arc<Pool>, Trouble)> {
    slot.make_room();
    let pool = Arc::clone(slot.pool());
    let trouble = match timeout(within, connect(&pool.place)).await {
        Ok(Ok(stream)) => return Ok((slot, stream)),
        Ok(Err(error)) => format!("cannot be reached at {}: {error}; see that it runs and listens there (relay.next_hops)", pool.place),
        Err(_) => {
            let within = within.as_secs_f32();
            format!("cannot be reached at {} within {within} s (relay.connections.connect); look for a firewall between", pool.place)
        }
    };
    pool.note_trouble();
    Err((pool, Trouble::Other(trouble)))
}

/// A connected socket.
///
/// # Errors
/// What the system says.
pub async fn connect(place: &Remote) -> io::Result<Stream> {
    match place {
        Remote::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            // Commands are small and each waits for its reply.
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Remote::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::pool::Pools;

    /// An address that takes connections, and one that refuses them.
    async fn addresses() -> (tokio::net::TcpListener, Remote, Remote) {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let address = open.local_addr().unwrap();
        (open, Remote::Tcp(address), Remote::Tcp(closed))
    }

    const WITHIN: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn the_first_address_that_connects_is_taken_and_those_that_refuse_are_noted() {
        let (_listening, open, closed) = addresses().await;
        for order in [[&open, &closed], [&closed, &open]] {
            let pools = Pools::new(5);
            let mut left: Vec<_> = order.map(|place| pools.at(place.clone())).to_vec();
            let (slot, _) = first(&mut left, None, WITHIN).await.unwrap();
            assert_eq!(slot.pool().place, open);
            assert!(left.iter().any(|pool| pool.place == open) && !pools.at(open.clone()).is_troubled());
            assert_eq!(pools.at(closed.clone()).taken(), 0);
        }
        let pools = Pools::new(5);
        let known = pools.at(closed.clone());
        let mut left = vec![Arc::clone(&known)];
        let Err(Some(Trouble::Other(told))) = first(&mut left, None, WITHIN).await else { panic!("it refuses connections") };
        assert!(told.contains(&closed.to_string()) && left.is_empty() && known.is_troubled(), "{told}");
    }

    /// An address that takes no connection and refuses none: its queue is full. Alive as long as what comes with it.
    fn silent() -> (Remote, impl Drop) {
        use rustix::net::{AddressFamily, SocketAddrAny, SocketType, bind, connect, getsockname, listen, socket, sockopt};
        let new = || socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let listening = new();
        bind(&listening, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        listen(&listening, 0).unwrap();
        let bound: SocketAddrAny = getsockname(&listening).unwrap();
        let address: std::net::SocketAddr = bound.try_into().unwrap();
        let mut waiting = Vec::new();
        // A connection that is not answered at once is one too many.
        loop {
            let one = new();
            sockopt::set_socket_timeout(&one, sockopt::Timeout::Send, Some(Duration::from_millis(50))).unwrap();
            match connect(&one, &address) {
                Ok(()) => waiting.push(one),
                Err(_) => break,
            }
        }
        waiting.push(listening);
        (Remote::Tcp(address), waiting.into_iter())
    }

    #[tokio::test]
    async fn an_address_that_is_silent_does_not_hold_up_the_next() {
        let (_listening, open, _) = addresses().await;
        let (silent, _alive) = silent();
        let pools = Pools::new(5);
        let mut left = vec![pools.at(silent.clone()), pools.at(open.clone())];
        let (slot, _) = tokio::time::timeout(WITHIN / 2, first(&mut left, None, WITHIN)).await.expect("in time").unwrap();
        assert_eq!(slot.pool().place, open);
        // The other one was given up, and is nobody's trouble.
        tokio::task::yield_now().await;
        assert!(left.iter().all(|pool| !pool.is_troubled()));
    }

    #[tokio::test]
    async fn an_address_without_a_free_slot_is_left_for_later() {
        let (_listening, open, closed) = addresses().await;
        let pools = Pools::new(1);
        let mut left = vec![pools.at(open.clone()), pools.at(closed)];
        let taken = left[0].slot(None);
        assert!(first(&mut left, None, WITHIN).await.is_err_and(|trouble| trouble.is_some()));
        assert_eq!(left.iter().map(|pool| &pool.place).collect::<Vec<_>>(), [&open]);
        assert!(first(&mut left, None, WITHIN).await.is_err_and(|trouble| trouble.is_none()), "nothing was tried");
        drop(taken);
        assert!(first(&mut left, None, WITHIN).await.is_ok());
    }
}
