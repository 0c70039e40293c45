//! Answers as text for people.

use std::fmt::Write;

use super::json::Json;
use super::log::printable;
use super::output::{Color, Output};
use super::wire::{Answer, Shape};
use super::words;

/// An answer as lines.
pub(crate) fn human(answer: &Answer, output: &Output) -> String {
    let json = &answer.json;
    let text = |key: &str| json.get(key).text().unwrap_or("?");
    let millis = |key: &str| tenths(json.get(key), "ms");
    match answer.shape {
        Shape::Addr => addrs(json),
        Shape::Status => status(json, output),
        Shape::Peer => peers(std::slice::from_ref(json), output),
        Shape::Nat => nat(json),
        Shape::Allowlist => allowlist(json),
        Shape::Pong => {
            let (seq, rtt) = (json.get("seq").line(), json.get("rtt_ms").line());
            format!("seq {seq} {rtt} ms ({})\n", text("path"))
        }
        Shape::Lost => format!("seq {} lost\n", json.get("seq").line()),
        Shape::Connected => format!(
            "connected to {}\n{} {}, {}\n",
            text("peer"),
            text("path"),
            text("addr"),
            millis("elapsed_ms")
        ),
        Shape::Disconnected => format!("disconnected from {}\n", text("peer")),
        Shape::Sent => {
            format!("message {} acknowledged after {}\n", text("id"), millis("acked_ms"))
        }
    }
}

fn addrs(json: &Json) -> String {
    let addrs = json.get("addrs").items();
    if addrs.is_empty() {
        return "no address is known at which others could dial this node\n".to_owned();
    }
    addrs.iter().filter_map(Json::text).map(|addr| format!("{addr}\n")).collect()
}

/// The table of peers, each with a second line where something is to be said of it.
pub(crate) fn peers(peers: &[Json], output: &Output) -> String {
    if peers.is_empty() {
        return "no peers are known; `connect PEER@HOST:PORT` adds one\n".to_owned();
    }
    let heads = ["STATE", "", "FOR", "PATH", "ADDRESS", "RTT", "LOSS", "SENT", "RECEIVED", "PEER"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(peers.iter().map(row));
    let table = aligned(&rows);
    let mut lines = table.lines();
    let mut text = lines.next().map_or_else(String::new, |heads| format!("{heads}\n"));
    for (peer, line) in peers.iter().zip(lines) {
        let state = peer.get("state").text().unwrap_or("");
        let rest = line.strip_prefix(state).unwrap_or(line);
        let _ = writeln!(text, "{}{rest}", output.paint(state, color_of(state)));
        if let Some(note) = note(peer) {
            let _ = writeln!(text, "    {note}");
        }
    }
    for (mark, means) in [
        ('*', "wanted: dialed again whenever it is lost"),
        ('b', "from the configuration or a flag (bootstrap)"),
    ] {
        if peers.iter().any(|peer| marks(peer).contains(mark)) {
            let _ = writeln!(text, "{mark} {means}");
        }
    }
    text
}

/// The colour of a state on a terminal.
pub(crate) fn color_of(state: &str) -> Color {
    match state {
        "connected" => Color::Good,
        "suspect" => Color::Warn,
        "failed" | "denied" => Color::Bad,
        _ => Color::Quiet,
    }
}

fn row(peer: &Json) -> Vec<String> {
    let text = |key: &str| peer.get(key).text().unwrap_or("-").to_owned();
    vec![
        text("state"),
        marks(peer),
        duration(whole_seconds(peer.get("since_s")).unwrap_or(0)),
        text("path"),
        text("addr"),
        tenths(peer.get("rtt_ms"), "ms"),
        percent(peer.get("loss")),
        bytes(peer.get("bytes_sent").whole().unwrap_or(0)),
        bytes(peer.get("bytes_received").whole().unwrap_or(0)),
        text("peer"),
    ]
}

fn marks(peer: &Json) -> String {
    let wanted = peer.get("wanted").is_true();
    let bootstrap = peer.get("origin").text() == Some("config");
    let mut marks = String::new();
    marks.extend(wanted.then_some('*'));
    marks.extend(bootstrap.then_some('b'));
    marks
}

/// Why a peer is not connected, or not well, and what happens next.
fn note(peer: &Json) -> Option<String> {
    let state = peer.get("state").text()?;
    if state == "connected" {
        return None;
    }
    let mut parts = Vec::new();
    if let Some(reason) = peer.get("reason").text() {
        parts.push(words::reason(reason).to_owned());
    }
    if let Some(other) = peer.get("wrong_identity").text() {
        parts.push(format!("{} lives at its address", short(other)));
    }
    let ill = matches!(state, "suspect" | "failed");
    if let Some(heard) = whole_seconds(peer.get("last_heard_s")).filter(|_| ill) {
        parts.push(format!("last heard {} ago", duration(heard)));
    }
    let others = peer.get("reached_by").items();
    if !others.is_empty() {
        let others: Vec<_> = others.iter().filter_map(Json::text).map(short).collect();
        parts.push(format!("still heard by {}", others.join(", ")));
    }
    match peer.get("failures").whole() {
        None | Some(0) => {}
        Some(1) => parts.push("1 failed try".to_owned()),
        Some(tries) => parts.push(format!("{tries} failed tries")),
    }
    if let Some(next) = whole_seconds(peer.get("next_retry_s")) {
        parts.push(format!("next try in {}", duration(next)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The beginning of an id.
fn short(peer: &str) -> String {
    match peer.get(..12) {
        Some(short) => format!("{short}…"),
        None => peer.to_owned(),
    }
}

fn whole_seconds(number: &Json) -> Option<u64> {
    number.thousandths().map(|value| value / 1000)
}

fn status(status: &Json, output: &Output) -> String {
    let text = |key: &str| status.get(key).text().unwrap_or("?");
    let size = |key: &str| status.get(key).whole().map_or_else(|| "unknown".to_owned(), bytes);
    let uptime = whole_seconds(status.get("uptime_s")).unwrap_or(0);
    let (count, nat) = (status.get("peers"), status.get("nat"));
    let public = list(status.get("public"));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("peer", text("peer").to_owned());
    row("version", format!("{}, up for {}", text("version"), duration(uptime)));
    row("listen", list(status.get("listen")));
    row("public", if public.is_empty() { "unknown".to_owned() } else { public });
    row("nat", nat_words(nat));
    row("peers", counted(count));
    row("mode", format!("{}: {}", text("mode"), mode(text("mode"))));
    let offered = status.get("relay").get("offered").is_true();
    row("relay", if offered { "offered" } else { "not offered" }.to_owned());
    let dht = *status.get("dht") != Json::Null;
    row("dht", if dht { "on" } else { "off" }.to_owned());
    row("traffic", format!("{} sent, {} received", size("bytes_sent"), size("bytes_received")));
    row("memory", size("rss_bytes"));
    let problems = status.get("problems").items();
    if problems.is_empty() {
        row("problems", "none".to_owned());
    }
    let mut text = aligned(&rows);
    for problem in problems.iter().filter_map(Json::text) {
        let word = output.paint("problem", Color::Bad);
        let _ = writeln!(text, "{word}  {}", printable(problem));
    }
    text
}

/// How many peers there are, and how many are in a state to look at.
fn counted(count: &Json) -> String {
    let number = |key: &str| count.get(key).line();
    let mut text = format!("{} connected, {} known", number("connected"), number("known"));
    for state in ["suspect", "failed", "denied"] {
        if count.get(state).whole().is_some_and(|number| number > 0) {
            let _ = write!(text, ", {} {state}", number(state));
        }
    }
    if let Some(wanted) = count.get("wanted_away").whole().filter(|number| *number > 0) {
        let _ = write!(text, "; {wanted} wanted and not connected: see `peers`");
    }
    text
}

fn nat(nat: &Json) -> String {
    let public = list(nat.get("public"));
    let public = match public.as_str() {
        "" => "no peer has yet said which address it sees".to_owned(),
        addrs => format!("peers see this node at {addrs}"),
    };
    format!(
        "nat       {}\npublic    {public}\nThis version does not yet classify NATs or map ports; \
         if nobody can dial this node,\nforward its UDP port in the router, or let it dial the \
         others.\n",
        nat_words(nat)
    )
}

fn nat_words(nat: &Json) -> String {
    match (nat.get("mapping").text(), nat.get("filtering").text()) {
        (Some("unknown"), Some("unknown")) => "unknown".to_owned(),
        (mapping, filtering) => {
            format!("mapping {}, filtering {}", mapping.unwrap_or("?"), filtering.unwrap_or("?"))
        }
    }
}

fn allowlist(json: &Json) -> String {
    let name = json.get("mode").text().unwrap_or("?");
    let mut text = format!("mode {name}: {}\n", mode(name));
    for word in ["allowed", "denied", "learned"] {
        for peer in json.get(word).items().iter().filter_map(Json::text) {
            let _ = writeln!(text, "{word:<8} {peer}");
        }
    }
    text
}

fn mode(mode: &str) -> &'static str {
    match mode {
        "open" => "everybody who is not denied may connect",
        "learn" => "everybody who is not denied may connect, and is noted",
        "strict" => "only the allowed may connect",
        _ => "this version does not know it",
    }
}

fn list(json: &Json) -> String {
    json.items().iter().filter_map(Json::text).collect::<Vec<_>>().join(", ")
}

/// A number with one decimal and its unit.
fn tenths(number: &Json, unit: &str) -> String {
    match number.thousandths() {
        Some(value) => format!("{}.{} {unit}", (value + 50) / 1000, (value + 50) % 1000 / 100),
        None => "-".to_owned(),
    }
}

fn percent(share: &Json) -> String {
    match share.thousandths() {
        Some(share) => format!("{}.{} %", share / 10, share % 10),
        None => "-".to_owned(),
    }
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
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Bytes in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    let mut units = ["kB", "MB", "GB", "TB", "PB", "EB"].iter().peekable();
    let mut unit = units.next().unwrap_or(&"kB");
    while tenths >= 10_000 && units.peek().is_some() {
        tenths /= 1_000;
        unit = units.next().unwrap_or(unit);
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(3_599), "59 min 59 s");
        assert_eq!(duration(90_061), "1 d 1 h");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_050_000), "1.0 MB");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(tenths(&Json::Number("12.349".into()), "ms"), "12.3 ms");
        assert_eq!(tenths(&Json::Number("0.999".into()), "ms"), "1.0 ms");
        assert_eq!(tenths(&Json::Null, "ms"), "-");
        assert_eq!(percent(&Json::Number("0.0123".into())), "1.2 %");
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]];
        assert_eq!(aligned(&rows), "a    bb\nccc  d\n");
    }

    #[test]
    fn peers_fit_in_a_table_whatever_is_unknown() {
        let known = object! {
            "peer": "pin1x", "state": "connected", "path": "direct", "addr": "192.0.2.1:4433",
            "origin": "config", "wanted": true, "rtt_ms": Json::Number("1.250".into()),
            "since_s": 61u32,
        };
        let unknown = object! { "peer": "pin1y", "state": "disconnected", "addr": Json::Null };
        let text = peers(&[known, unknown], &Output::new(false));
        let lines: Vec<&str> = text.lines().collect();
        let row = "connected     *b  1 min 1 s  direct  192.0.2.1:4433  1.3 ms  -";
        assert!(lines[1].starts_with(row), "{text}");
        assert!(lines[2].starts_with("disconnected      0 s        -       -"), "{text}");
        assert!(lines[3].starts_with("* ") && lines[4].starts_with("b "), "{text}");
    }

    #[test]
    fn a_peer_that_is_not_well_has_a_line_that_says_why() {
        let seconds = |number: &str| Json::Number(number.into());
        let failed = object! {
            "peer": "pin1x", "state": "failed", "reason": "unreachable", "failures": 0u32,
            "last_heard_s": seconds("31.200"), "reached_by": vec!["pin1abcdefgh234", "pin1z"],
        };
        assert_eq!(
            note(&failed).unwrap(),
            "nothing comes from it to us, and others hear it; last heard 31 s ago; still heard by \
             pin1abcdefgh…, pin1z"
        );
        let away = object! {
            "peer": "pin1x", "state": "disconnected", "reason": "refused", "failures": 3u32,
            "next_retry_s": seconds("4.900"), "wrong_identity": "pin1z",
        };
        assert_eq!(
            note(&away).unwrap(),
            "it ended our dial; pin1z lives at its address; 3 failed tries; next try in 4 s"
        );
        assert_eq!(note(&object! { "peer": "pin1x", "state": "connected" }), None);
    }
}
