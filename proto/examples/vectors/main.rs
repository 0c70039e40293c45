//! Writes `docs/vectors/*.json`: `cargo run -p pinhole-proto --example vectors`.
//!
//! The tests compare the files with what this writes, and check each value by itself.

mod files;

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors");
    std::fs::create_dir_all(&folder)?;
    for (name, content) in files::all() {
        std::fs::write(folder.join(name), content)?;
        println!("{name}");
    }
    Ok(())
}
