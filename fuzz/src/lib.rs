//! What is fuzzed. Each module has one function `run`, which takes any bytes and panics when something that always holds did not. The fuzzer calls it
//! (`targets/`), and so does `cargo test` with every input in `corpus/`.

pub mod case;
pub mod hop;
pub mod index;
pub mod login;
pub mod mail;
pub mod proxy;
pub mod rules;
pub mod session;
pub mod slots;
pub mod text;
