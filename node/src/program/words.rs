//! Words for people where programs read short names.

/// Why a peer is in its state, in words; the name itself if there are none for it.
pub(crate) fn reason(name: &str) -> &str {
    REASONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, words)| words)
}

const REASONS: [(&str, &str); 22] = [
    ("dialing", "we dial it"),
    ("retrying", "we dial it, because it is wanted"),
    ("dialed", "it answered our dial"),
    ("accepted", "it dialed us"),
    ("no_answer", "no answer: wrong id or network, offline, or not allowed"),
    ("refused", "it ended our dial"),
    ("unresolved", "its name has no address"),
    ("dial_failed", "the dial failed on this machine"),
    ("closed_by_peer", "it closed the connection"),
    ("lost", "the connection went silent"),
    ("idle", "nobody used the connection"),
    ("disconnect", "it was disconnected here"),
    ("full", "there is no room for it"),
    ("denied", "the allowlist does not admit it"),
    ("allowed", "the allowlist admits it again"),
    ("silent", "nothing comes from it"),
    ("isolated", "nothing comes from anybody: look at this machine's network"),
    ("unreachable", "nothing comes from it to us, and others hear it"),
    ("heard", "it was heard again"),
    ("wrong_identity", "no answer, and somebody else is there"),
    ("network_changed", "our network changed"),
    ("shutdown", "this node stops"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_words_and_unknown_ones_their_name() {
        assert_eq!(reason("closed_by_peer"), "it closed the connection");
        assert_eq!(reason("solar_flare"), "solar_flare");
    }
}
