//! Transom, a content filter and mail-transform proxy. The map, in reading order: each layer imports only what stands below it here.
//!
//! `cli` > `admin` > `server` > `relay` > `config` > { `chain`, `store` } > `mail` > { `message`, `smtp`, `tls`, `yaml` } > `base`
#![forbid(unsafe_code)]

pub mod admin;
pub mod base;
pub mod chain;
pub mod cli;
pub mod config;
pub mod mail;
pub mod message;
pub mod relay;
pub mod server;
pub mod smtp;
pub mod store;
pub mod tls;
pub mod yaml;
