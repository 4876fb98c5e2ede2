//! Actions on the body.

pub mod hash;
mod raw;
pub mod replace;
