//! An input of the fuzzer: a first line whose bytes steer, and content.

/// See the module.
#[derive(Debug)]
pub struct Case<'a> {
    steering: &'a [u8],
    used: usize,
    pub content: &'a [u8],
}

impl<'a> Case<'a> {
    pub fn of(input: &'a [u8]) -> Case<'a> {
        match input.iter().position(|byte| *byte == b'\n') {
            Some(end) => Case { steering: &input[..end], used: 0, content: &input[end + 1..] },
            None => Case { steering: &[], used: 0, content: input },
        }
    }

    /// A number below `limit`, 0 when nothing is left to steer with. `0` in the first line is 0.
    pub fn number(&mut self, limit: usize) -> usize {
        let mut number = self.digit();
        if limit > 256 {
            number = number * 256 + self.digit();
        }
        number % limit.max(1)
    }

    /// Whether there is more to steer with.
    pub fn more(&self) -> bool {
        self.used < self.steering.len()
    }

    fn digit(&mut self) -> usize {
        let byte = self.steering.get(self.used).copied().unwrap_or(b'0');
        self.used += 1;
        usize::from(byte.wrapping_sub(b'0'))
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.number(list.len())]
    }

    /// The bytes in pieces whose sizes follow the steering, most of them small.
    pub fn pieces<'b>(&self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut sizes = self.steering.iter().chain(b"07").cycle();
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let size = 1 + usize::from(sizes.next().map_or(0, |byte| byte.wrapping_sub(b'0')) % 23);
            // Large content goes in larger pieces, or it would take for ever.
            let (piece, rest) = bytes.split_at((size * (1 + bytes.len() / 4096)).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// Bare CR and LF become CR LF, as the server makes them before anything else sees a message.
pub fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            _ => out.push(*byte),
        }
    }
    out
}
