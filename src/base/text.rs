//! Numbers and addresses as text, without the detours of `fmt`: they are written several times for every message.

use std::fmt::Write;
use std::net::IpAddr;

/// Appends a number in decimal digits.
pub fn add_number(number: u64, out: &mut String) {
    if number >= 10 {
        add_number(number / 10, out);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// Appends an address as it is always written.
///
/// # Panics
/// Never: a string takes all.
pub fn add_address(address: IpAddr, out: &mut String) {
    let IpAddr::V4(address) = address else {
        write!(out, "{address}").expect("a string takes all");
        return;
    };
    for (number, octet) in address.octets().into_iter().enumerate() {
        if number > 0 {
            out.push('.');
        }
        add_number(octet.into(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_look_as_ever() {
        let mut text = String::new();
        for number in [0, 1, 9, 10, 255, 10_240, u64::from(u32::MAX), u64::MAX] {
            text.clear();
            add_number(number, &mut text);
            assert_eq!(text, number.to_string());
        }
        for address in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            text.clear();
            add_address(address, &mut text);
            assert_eq!(text, address.to_string());
        }
    }
}
