//! Who depends on whom, and on how many.

use std::{collections::BTreeSet, process::Command};

use super::root;

/// The crates that a package needs to be built for use, itself included, each as `name vX.Y.Z`.
fn tree(package: &str, flags: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(flags)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?))
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(name).collect()
}

fn reaches(package: &str, wanted: &str) -> bool {
    tree(package, &["--all-features"]).iter().any(|name| name.split(' ').next() == Some(wanted))
}

#[test]
fn what_is_pure_reaches_no_io() {
    for package in ["pinhole-proto", "pinhole-dht"] {
        for io in ["tokio", "quinn", "quinn-proto", "quinn-udp", "socket2", "mio"] {
            assert!(!reaches(package, io), "{package} must not depend on {io}");
        }
    }
}

#[test]
fn dependencies_run_one_way() {
    let forbidden = [
        ("pinhole-proto", &["pinhole-transport", "pinhole-dht", "pinhole-node"][..]),
        ("pinhole-transport", &["pinhole-dht", "pinhole-node"]),
        ("pinhole-dht", &["pinhole-transport", "pinhole-node"]),
    ];
    for (package, others) in forbidden {
        for other in others {
            assert!(!reaches(package, other), "{package} must not depend on {other}");
        }
    }
}

#[test]
fn there_are_no_more_crates_than_promised() {
    let library = tree("pinhole-node", &["--no-default-features"]);
    let program = tree("pinhole-node", &[]);
    println!("crates: library {}, program {}", library.len(), program.len());
    assert!(library.len() <= 75, "{} crates for the library: {library:#?}", library.len());
    assert!(program.len() <= 105, "{} crates for the program: {program:#?}", program.len());
}
