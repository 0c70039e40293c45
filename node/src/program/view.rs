//! Answers as text for people.

use std::fmt::Write;

use super::json::Json;
use super::wire::{Answer, Shape};

/// An answer as lines.
pub(crate) fn human(answer: &Answer) -> String {
    let json = &answer.json;
    let text = |key: &str| json.get(key).text().unwrap_or("?");
    let millis = |key: &str| tenths(json.get(key), "ms");
    match answer.shape {
        Shape::Addr => addrs(json),
        Shape::Status => status(json),
        Shape::Peer => peers(std::slice::from_ref(json)),
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

/// The table of peers.
pub(crate) fn peers(peers: &[Json]) -> String {
    if peers.is_empty() {
        return "no peers are known; `connect PEER@HOST:PORT` adds one\n".to_owned();
    }
    let heads = ["STATE", "PATH", "ADDRESS", "RTT", "LOSS", "FOR", "SENT", "RECEIVED", "PEER"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(peers.iter().map(row));
    let mut text = aligned(&rows);
    if peers.iter().any(|peer| peer.get("wanted").is_true()) {
        text.push_str("* is dialed again whenever it is lost\n");
    }
    text
}

fn row(peer: &Json) -> Vec<String> {
    let text = |key: &str| peer.get(key).text().unwrap_or("-").to_owned();
    let mut state = text("state");
    if peer.get("wanted").is_true() {
        state.push('*');
    }
    if let Some(next) = peer.get("next_retry_s").thousandths() {
        let _ = write!(state, " again in {}", duration(next / 1000));
    }
    vec![
        state,
        text("path"),
        text("addr"),
        tenths(peer.get("rtt_ms"), "ms"),
        percent(peer.get("loss")),
        duration(peer.get("since_s").thousandths().unwrap_or(0) / 1000),
        bytes(peer.get("bytes_sent").whole().unwrap_or(0)),
        bytes(peer.get("bytes_received").whole().unwrap_or(0)),
        text("peer"),
    ]
}

fn status(status: &Json) -> String {
    let text = |key: &str| status.get(key).text().unwrap_or("?");
    let size = |key: &str| status.get(key).whole().map_or_else(|| "unknown".to_owned(), bytes);
    let uptime = status.get("uptime_s").thousandths().unwrap_or(0) / 1000;
    let (count, nat) = (status.get("peers"), status.get("nat"));
    let public = list(status.get("public"));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("peer", text("peer").to_owned());
    row("version", format!("{}, up for {}", text("version"), duration(uptime)));
    row("listen", list(status.get("listen")));
    row("public", if public.is_empty() { "unknown".to_owned() } else { public });
    row("nat", nat_words(nat));
    row(
        "peers",
        format!("{} connected, {} known", count.get("connected").line(), count.get("known").line()),
    );
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
        let _ = writeln!(text, "problem   {problem}");
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
            "wanted": true, "rtt_ms": Json::Number("1.250".into()), "since_s": 61u32,
        };
        let unknown = object! { "peer": "pin1y", "state": "disconnected", "addr": Json::Null };
        let text = peers(&[known, unknown]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("connected*    direct  192.0.2.1:4433  1.3 ms  -"), "{text}");
        assert!(lines[2].starts_with("disconnected  -       -"), "{text}");
        assert!(lines[3].starts_with('*'), "{text}");
    }
}
