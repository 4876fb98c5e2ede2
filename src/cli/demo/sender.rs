//! The client of the demo: one connection, one message.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Socket, Type};

use super::envelopes::Envelope;
use crate::smtp::stuff::Stuffer;

const PATIENCE: Duration = Duration::from_mins(1);

/// Sends a message and gives what the server said: the first refusal, or the reply to the data.
pub fn send(server: SocketAddr, envelope: &Envelope, message: &[u8]) -> io::Result<String> {
    let mut stream = connect(server, envelope)?;
    let greeting = reply(&mut stream)?;
    if !greeting.starts_with('2') {
        return Ok(greeting);
    }
    let eight_bit = if message.is_ascii() { "" } else { " BODY=8BITMIME" };
    let mut commands = vec!["EHLO demo.example".to_owned(), format!("MAIL FROM:<{}>{eight_bit}", envelope.from)];
    commands.extend(envelope.to.iter().map(|recipient| format!("RCPT TO:<{recipient}>")));
    commands.push("DATA".to_owned());
    for command in commands {
        let said = ask(&mut stream, format!("{command}\r\n").as_bytes())?;
        if !said.starts_with(['2', '3']) {
            return Ok(said);
        }
    }
    let told = ask(&mut stream, &wire(message))?;
    ask(&mut stream, b"QUIT\r\n")?;
    Ok(told)
}

/// From the address of the envelope where the system has it, so that rules can tell inside from outside.
fn connect(server: SocketAddr, envelope: &Envelope) -> io::Result<BufReader<TcpStream>> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    // A system without all of 127.0.0.0/8 sends everything from inside.
    let _ = socket.bind(&SocketAddr::from((envelope.client, 0)).into());
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn ask(stream: &mut BufReader<TcpStream>, bytes: &[u8]) -> io::Result<String> {
    stream.get_mut().write_all(bytes)?;
    reply(stream)
}

/// All lines of a reply, the last one with its text.
fn reply(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}

/// A message with dots stuffed and its end.
fn wire(message: &[u8]) -> Vec<u8> {
    let (mut stuffer, mut pieces) = (Stuffer::default(), Vec::new());
    stuffer.push(Bytes::copy_from_slice(message), &mut pieces);
    pieces.push(stuffer.end());
    pieces.concat()
}
