//! Wanted peers outlast what happens to the node.

use super::support::*;

#[test]
fn what_connect_was_told_outlasts_a_kill() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_a = a.up(&[]);
    let up_b = b.up(&[]);
    b.json(&["connect", &up_a.addr()]).object();
    let peer = up_b.peer();
    drop(up_b);
    let up_b = b.up(&[]);
    up_b.peer_event(&up_a.peer(), "connected");
    b.json(&["disconnect", &up_a.peer()]).object();
    up_a.peer_event(&peer, "disconnected");
    drop(up_b);
    let up_b = b.up(&[]);
    assert_eq!(b.json(&["status"]).object()["peers"]["known"], 0);
    assert_eq!(up_b.peer(), peer);
}

#[test]
fn a_running_node_goes_on_trying_whom_connect_named() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_a = a.up(&[]);
    let (peer, addr) = (up_a.peer(), up_a.addr());
    assert_eq!(up_a.stop("TERM").0, 0);
    let _up_b = b.up(&[]);
    let said = b.json(&["connect", &addr, "--timeout", "0.3"]);
    assert_eq!(said.error(1), "timeout");
    assert!(said.err.contains("goes on trying"), "{}", said.err);
    let info = b.json(&["peers"]).object();
    assert_eq!((&info["peer"], &info["wanted"]), (&peer.into(), &true.into()));
}

#[test]
fn an_address_that_worked_is_not_lost_to_a_wrong_one() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let (up_a, up_b) = (a.up(&[]), b.up(&[]));
    b.json(&["connect", &up_a.addr()]).object();
    // The connection is there already, so that nothing shows that this address is wrong.
    b.json(&["connect", &format!("{}@127.0.0.1:9", up_a.peer())]).object();
    drop(up_b);
    let up_b = b.up(&[]);
    up_b.peer_event(&up_a.peer(), "connected");
    // By its id alone, after it dialed us.
    a.json(&["connect", &up_b.peer()]).object();
    let stored = std::fs::read_to_string(a.file("peers")).unwrap();
    assert!(stored.contains(&format!("want {}@", up_b.peer())), "{stored}");
}

#[test]
fn a_damaged_list_of_peers_is_named_set_aside_and_what_is_whole_is_kept() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_a = a.up(&[]);
    b.init();
    let typo = NOBODY.replace("yhz", "yhq");
    let text = format!("pinhole peers 1\nwant {typo}\nwant {}\nend\n", up_a.addr());
    b.write("peers", &text);
    let up_b = b.up(&[]);
    let problem = up_b.event("problem");
    let what = problem["what"].as_str().unwrap();
    for part in ["peers is damaged (line 2: ", "typing error", "peers.damaged-", "1 of the peers"] {
        assert!(what.contains(part), "{part}: {what}");
    }
    up_b.peer_event(&up_a.peer(), "connected");
    let aside = std::fs::read_dir(b.path()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.to_str().unwrap().contains("peers.damaged-").then_some(path)
    });
    assert_eq!(std::fs::read_to_string(aside.expect("it is kept")).unwrap(), text);
    drop(up_b);
    b.up(&[]).peer_event(&up_a.peer(), "connected");
}
