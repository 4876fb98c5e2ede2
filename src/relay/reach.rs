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

async fn connect(place: &Remote) -> io::Result<Stream> {
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
