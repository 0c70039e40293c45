//! Answers as text for people.

use std::fmt::Write;
use std::net::SocketAddr;

use super::wire::{AllowlistAnswer, Answer, Nat, Peer, Status};

/// An answer as lines.
pub(crate) fn human(answer: &Answer) -> String {
    match answer {
        Answer::Addr(inner) if inner.addrs.is_empty() => {
            "no address is known at which others could dial this node\n".to_owned()
        }
        Answer::Addr(inner) => inner.addrs.iter().map(|addr| format!("{addr}\n")).collect(),
        Answer::Status(inner) => status(inner),
        Answer::Peer(inner) => peers(std::slice::from_ref(inner)),
        Answer::Nat(inner) => nat(inner),
        Answer::Allowlist(inner) => allowlist(inner),
        Answer::Pong(inner) => {
            let path = inner.path.as_deref().map(|path| format!(" ({path})")).unwrap_or_default();
            format!("seq {} {:.2} ms{path}\n", inner.seq, inner.rtt_ms)
        }
        Answer::Lost(inner) => format!("seq {} lost\n", inner.seq),
        Answer::Connected(inner) => format!(
            "connected to {}\n{} {}, {:.1} ms\n",
            inner.peer, inner.path, inner.addr, inner.elapsed_ms
        ),
        Answer::Disconnected(inner) => format!("disconnected from {}\n", inner.peer),
        Answer::Sent(inner) => {
            format!("message {} acknowledged after {:.1} ms\n", inner.id, inner.acked_ms)
        }
    }
}

/// The table of peers.
pub(crate) fn peers(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peers are known; `connect PEER@HOST:PORT` adds one\n".to_owned();
    }
    let heads = ["STATE", "PATH", "ADDRESS", "RTT", "LOSS", "FOR", "SENT", "RECEIVED", "PEER"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(peers.iter().map(row));
    let mut text = aligned(&rows);
    if peers.iter().any(|peer| peer.wanted) {
        text.push_str("* is dialed again whenever it is lost\n");
    }
    text
}

fn row(peer: &Peer) -> Vec<String> {
    let wanted = if peer.wanted { "*" } else { "" };
    let unknown = || "-".to_owned();
    let state = match peer.next_retry_s {
        Some(next) => format!("{}, again in {}", peer.state, duration(next)),
        None => peer.state.clone(),
    };
    vec![
        format!("{state}{wanted}"),
        peer.path.clone().unwrap_or_else(unknown),
        peer.addr.map_or_else(unknown, |addr| addr.to_string()),
        peer.rtt_ms.map_or_else(unknown, |rtt| format!("{rtt:.1} ms")),
        peer.loss.map_or_else(unknown, |loss| format!("{:.1} %", loss * 100.0)),
        duration(peer.since_s),
        bytes(peer.bytes_sent),
        bytes(peer.bytes_received),
        peer.peer.to_string(),
    ]
}

fn status(status: &Status) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("peer", status.peer.to_string());
    row("version", format!("{}, up for {}", status.version, duration(status.uptime_s)));
    row("listen", list(&status.listen));
    row("public", if status.public.is_empty() { "unknown".into() } else { list(&status.public) });
    row("nat", nat_words(&status.nat.mapping, &status.nat.filtering));
    row("peers", format!("{} connected, {} known", status.peers.connected, status.peers.known));
    row("mode", format!("{}: {}", status.mode, mode(&status.mode)));
    row("relay", if status.relay.offered { "offered".into() } else { "not offered".into() });
    row("dht", if status.dht.is_some() { "on".into() } else { "off".into() });
    let (sent, received) = (bytes(status.bytes_sent), bytes(status.bytes_received));
    row("traffic", format!("{sent} sent, {received} received"));
    row("memory", status.rss_bytes.map_or("unknown".into(), bytes));
    if status.problems.is_empty() {
        row("problems", "none".into());
    }
    let mut text = aligned(&rows);
    for problem in &status.problems {
        let _ = writeln!(text, "problem   {problem}");
    }
    text
}

fn nat(nat: &Nat) -> String {
    let public = if nat.public.is_empty() {
        "no peer has yet said which address it sees".to_owned()
    } else {
        format!("peers see this node at {}", list(&nat.public))
    };
    let words = nat_words(&nat.mapping, &nat.filtering);
    format!(
        "nat       {words}\npublic    {public}\nThis version does not yet classify NATs or map ports; \
         if nobody can dial this node,\nforward its UDP port in the router, or let it dial the \
         others.\n"
    )
}

fn nat_words(mapping: &str, filtering: &str) -> String {
    match (mapping, filtering) {
        ("unknown", "unknown") => "unknown".to_owned(),
        _ => format!("mapping {mapping}, filtering {filtering}"),
    }
}

fn allowlist(list: &AllowlistAnswer) -> String {
    let mut text = format!("mode {}: {}\n", list.mode, mode(&list.mode));
    for (word, peers) in
        [("allowed", &list.allowed), ("denied", &list.denied), ("learned", &list.learned)]
    {
        for peer in peers {
            let _ = writeln!(text, "{word:<8} {peer}");
        }
    }
    text
}

fn mode(mode: &str) -> &str {
    match mode {
        "open" => "everybody who is not denied may connect",
        "learn" => "everybody who is not denied may connect, and is noted",
        "strict" => "only the allowed may connect",
        other => other,
    }
}

fn list(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Seconds in the two units that say enough.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// Bytes in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1e3;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"kB");
    while value >= 999.95 {
        value /= 1e3;
        unit = units.next().unwrap_or(unit);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(duration(59.9), "59 s");
        assert_eq!(duration(3_599.0), "59 min 59 s");
        assert_eq!(duration(90_061.0), "1 d 1 h");
        assert_eq!(duration(-1.0), "0 s");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_950), "1.0 MB");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]];
        assert_eq!(aligned(&rows), "a    bb\nccc  d\n");
    }
}
