//! The `node` program: a pinhole node on the command line. See `node --help`.
//!
//! What was typed ([`args`], by the [`table`] of commands) becomes a command ([`commands`]). A
//! command works on the data folder ([`data`], [`state`], [`offline`]), or asks the running node
//! ([`session`], [`control`]), whose side of it is the [`desk`]. `up` ([`up`]) runs that node.

// The program is a shell: it may ask the system for time and start tasks.
#![allow(clippy::disallowed_methods)]

mod args;
mod base64;
mod commands;
mod completions;
mod config;
mod control;
mod data;
mod demo;
mod desk;
mod events;
mod failure;
mod help;
mod json;
mod log;
mod metrics;
mod offline;
mod output;
mod run;
mod session;
mod settings;
mod signals;
mod state;
mod table;
mod task;
#[cfg(test)]
mod testing;
mod top;
mod troubles;
mod tuning;
mod up;
mod view;
mod wire;
mod words;

fn main() -> std::process::ExitCode {
    commands::run(std::env::args_os())
}
