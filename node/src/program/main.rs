//! The `node` program.
mod args;
mod completions;
mod config;
mod data;
mod failure;
mod help;
mod settings;
mod state;
mod table;
#[cfg(test)]
mod testing;
fn main() {}
