//! The program, driven as a person or a script would: processes, files, exit statuses, JSON.
//!
//! Every port is one that the system chose.

#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::panic)] // tests are shells

mod admission;
mod bootstrap;
mod control;
mod conversation;
mod files;
mod liveness;
mod metrics;
mod support;
mod top;
mod usage;
mod wanted;
