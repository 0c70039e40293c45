//! Many nodes that start at once.

use std::time::Duration;

use pinhole_tests::mesh::{Denied, Mesh};

/// Far more than it takes; how long it takes on an idle machine, the benchmark says.
const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn twelve_nodes_that_start_at_once_are_all_connected_with_each_other() {
    let mesh = Mesh::start(12, Denied::new(), &[]);
    mesh.assert_settled(WITHIN);
    println!("66 pairs after {:?}, the start of 12 processes included", mesh.set_up());
}

#[test]
fn who_is_not_admitted_by_one_side_is_connected_on_neither() {
    let denied = Denied::from([(0, 1), (1, 2), (3, 0), (2, 3), (3, 2)]);
    let mesh = Mesh::start(4, denied, &[]);
    mesh.assert_settled(WITHIN);
}
