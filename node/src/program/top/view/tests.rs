use std::time::{Duration, Instant};

use super::super::reading::{Node, Reading};
use super::super::screen::Top;
use super::*;

const USUAL: Size = Size { width: 80, height: 24 };

fn peer(n: usize) -> Peer {
    Peer {
        id: format!("pin1{n:02}{}", "q".repeat(56)),
        state: ["connected", "suspect", "disconnected"][n % 3].into(),
        path: Some("direct".into()),
        addr: Some(format!("203.0.113.{n}:44330")),
        rtt: Some(12_345 * (n as u64 + 1)),
        loss: Some(n as u64 * 10),
        since_s: 59 + n as u64 * 1_000,
        next_retry_s: None,
        sent: 1_000,
        received: 2_000,
    }
}

fn data(peers: Vec<Peer>) -> Data {
    let node = Node {
        id: format!("pin1{}", "z".repeat(58)),
        uptime_s: 3_661,
        connected: 2,
        known: peers.len() as u64,
        ..Node::default()
    };
    let mut data = Data { reading: Reading { node, peers }, ..Data::default() };
    let begin = Instant::now();
    for second in 0..30 {
        data.traffic.handle_reading(
            begin + Duration::from_secs(second),
            second * 10,
            second * 5_000,
        );
        for peer in &data.reading.peers {
            let history = data.histories.entry(peer.id.clone()).or_default();
            history.handle_rtt(Some(10_000 + second * 1_000));
            history.traffic.handle_reading(begin + Duration::from_secs(second), 0, second * 1_234);
        }
    }
    data
}

fn texts(data: &Data, size: Size) -> Vec<String> {
    lines(data, size).iter().map(Line::text).collect()
}

#[test]
fn the_usual_terminal_has_all_columns() {
    let texts = texts(&data((0..3).map(peer).collect()), USUAL);
    assert_eq!(texts.len(), 24);
    assert!(
        texts[0].starts_with("pin1zzz") && texts[0].ends_with("  up 1 h 1 min"),
        "{}",
        texts[0]
    );
    assert!(
        texts[1].starts_with("2 connected, 3 known   in 5.0 kB/s (0 B)   out 10 B/s (0 B)"),
        "{}",
        texts[1]
    );
    assert_eq!(texts[2], "no problems");
    let titles: Vec<&str> = texts[3].split_whitespace().collect();
    let wanted = "PEER STATE PATH ADDRESS RTT 30 s LOSS IN/s OUT/s FOR";
    assert_eq!(titles.join(" "), wanted, "{}", texts[3]);
    assert_eq!(texts[3].chars().count(), 80);
    assert!(texts[4].starts_with("pin100qqqq connected    direct 203.0.113.0:…"), "{}", texts[4]);
    assert!(texts[4].contains(" 12.3ms ▁") && texts[4].contains('█'), "{}", texts[4]);
    assert!(texts[4].ends_with(" 0.0%  1.2k     0  59s"), "{}", texts[4]);
    assert_eq!(texts[7], "");
    assert!(texts[23].starts_with("q quit  s sort: state  1-3 of 3  "), "{}", texts[23]);
}

#[test]
fn more_room_shows_whole_addresses_and_half_a_minute() {
    let wide = texts(&data(vec![peer(0)]), Size { width: 120, height: 40 });
    assert!(wide[4].contains(" 203.0.113.0:44330 "), "{}", wide[4]);
    let bars = |line: &str| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
    assert_eq!(bars(&wide[4]), REMEMBERED, "{}", wide[4]);
    let usual = texts(&data(vec![peer(0)]), USUAL);
    assert!(bars(&usual[4]) >= 6, "{}", usual[4]);
}

#[test]
fn what_says_least_goes_first_where_it_is_narrow() {
    let titles = |width| texts(&data(vec![peer(0)]), Size { width, height: 24 })[3].clone();
    assert!(!titles(70).contains("PATH") && titles(70).contains("LOSS"), "{}", titles(70));
    let narrow = titles(40);
    let kept: Vec<&str> = narrow.split_whitespace().collect();
    assert_eq!(kept.join(" "), "PEER STATE RTT 30 s IN/s", "{narrow}");
    assert_eq!(titles(20).split_whitespace().collect::<Vec<_>>(), ["PEER", "STATE"]);
}

#[test]
fn no_size_makes_a_line_too_wide_or_lines_too_many() {
    let mut data = data((0..50).map(peer).collect());
    data.reading.node.problems = vec!["long ".repeat(100)];
    for width in 0..140 {
        for height in 0..30 {
            let texts = texts(&data, Size { width, height });
            assert_eq!(texts.len(), height, "{width}x{height}");
            assert!(texts.iter().all(|text| text.chars().count() <= width), "{width}x{height}");
        }
    }
    let huge = texts(&data, Size { width: 65_535, height: 1_000 });
    assert!(huge[53].contains("again in") || huge[53].starts_with("pin149"), "{}", huge[53]);
}

#[test]
fn text_from_elsewhere_is_harmless() {
    let evil = "\x1b[2J\n\r\t\u{9b}\u{7}\u{202e}\u{200b}漢字👍\u{301}\u{ad}ü";
    let mut data = data(vec![Peer {
        id: evil.repeat(9),
        state: evil.repeat(9),
        path: Some(evil.repeat(9)),
        addr: Some(evil.repeat(9)),
        ..peer(0)
    }]);
    data.reading.node.id = evil.repeat(9);
    data.reading.node.problems = vec![evil.repeat(9)];
    for text in texts(&data, Size { width: 300, height: 24 }) {
        let foreign = text
            .chars()
            .find(|c| c.is_control() || "\u{202e}\u{200b}漢👍\u{301}\u{ad}".contains(*c));
        assert_eq!(foreign, None, "{text:?}");
    }
    assert!(texts(&data, USUAL)[2].starts_with("problem: ?[2J??"));
    assert_eq!(harmless("grüß Дом…"), "grüß Дом…");
}

#[test]
fn a_peer_that_is_away_says_when_it_is_dialed_again() {
    let away = Peer {
        state: "disconnected".into(),
        addr: None,
        path: None,
        rtt: None,
        loss: None,
        next_retry_s: Some(125),
        ..peer(0)
    };
    let text = &texts(&data(vec![away]), USUAL)[4];
    assert!(text.contains(" disconnected -      again in 2m "), "{text}");
}

#[test]
fn problems_and_an_empty_table_are_said() {
    let mut data = data(Vec::new());
    assert!(texts(&data, USUAL)[4].contains("`connect PEER@HOST:PORT`"));
    data.reading.node.problems = vec!["first".into(), "second".into()];
    assert_eq!(texts(&data, USUAL)[2], "2 problems, the last: second");
    data.silent_s = Some(7);
    assert_eq!(texts(&data, USUAL)[2], "the node has not answered for 7 s");
}

#[test]
fn states_have_colours() {
    let colors = |state: &str| {
        let data = data(vec![Peer { state: state.into(), ..peer(0) }]);
        lines(&data, USUAL)[4].pieces()[1].0
    };
    assert_eq!(colors("connected"), Some(Color::Good));
    assert_eq!(colors("suspect"), Some(Color::Warn));
    assert_eq!(colors("failed"), Some(Color::Bad));
    assert_eq!(colors("new in a later version"), None);
}

#[test]
fn scrolled_peers_are_counted() {
    let mut top = Top::new(Size { width: 40, height: 10 });
    let peers = (0..20).map(peer).collect();
    top.handle_reading(Instant::now(), Reading { peers, ..Reading::default() });
    top.handle_bytes(b"sss\x1b[B");
    let texts: Vec<String> = top.lines(Instant::now()).iter().map(Line::text).collect();
    assert_eq!(texts[9], "q quit  s sort: since  2-6 of 20  ↑ ↓ P…");
    assert!(texts[4].starts_with("pin101"), "{}", texts[4]);
}

#[test]
fn numbers_fit_their_places() {
    let ends = [0, 9, 10, 99, 999, 1_000, 9_999, 10_000, 99_999, 999_999, 1_000_000, 99_999_999];
    let more = (0..64).map(|shift| (1_u64 << shift) - 1).chain([u64::MAX]);
    for number in ends.into_iter().chain(more) {
        for (text, places) in
            [(round_trip(number), 6), (percent(number), 4), (short(number), 5), (time(number), 4)]
        {
            assert!(text.chars().count() <= places, "{number} is {text}");
        }
    }
    assert_eq!(
        [0, 999, 1_000, 1_234, 12_345, 999_999].map(short),
        ["0", "999", "1.0k", "1.2k", "12k", "999k"]
    );
    assert_eq!(
        [340, 12_345, 123_456, 1_234_567].map(round_trip),
        ["0.34ms", "12.3ms", "123ms", "1.2s"]
    );
    assert_eq!([0, 15, 99, 100, 1_000].map(percent), ["0.0%", "1.5%", "9.9%", "10%", "100%"]);
}
