//! Raw quinn as an echo program: the yardstick for the resident size of an idle endpoint. It has
//! the same runtime as the `node` program, prints its address and serves until stdin closes.

#[path = "../raw.rs"]
mod raw;
#[allow(dead_code)]
#[path = "../stack.rs"]
mod stack;

use anyhow::Result;
use stack::Stack;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<()> {
    let endpoint = raw::Raw::bind(&raw::Raw::identity()?)?;
    println!("{}", raw::Raw::target(&endpoint)?);
    tokio::spawn(raw::Raw::serve_all(endpoint));
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
