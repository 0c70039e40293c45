//! `demo`: three nodes meet on loopback, through the public library API.
use super::output::{End, Output};
pub(crate) async fn demo(_output: &Output) -> Result<(), End> {
    Ok(())
}
