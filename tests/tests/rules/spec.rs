//! The spec and the source say the same.

use std::{collections::BTreeSet, fs, path::Path};

use super::{files, root};

/// The numbers of all chapters and sections of the spec.
fn headings() -> BTreeSet<String> {
    let mut headings = BTreeSet::new();
    for file in files(&root().join("docs/spec"), &[".md"]) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some(title) = line.strip_prefix('#') else { continue };
            let number = title.trim_start_matches('#').split_whitespace().next().unwrap_or("");
            assert!(headings.insert(number.to_owned()), "{}: {line} twice", file.display());
        }
    }
    headings
}

/// The sections that a text cites: what stands behind `SPEC §`, and after `, §` in a list.
fn cited(text: &str) -> Vec<String> {
    let mut cited = Vec::new();
    for tail in text.split("SPEC §").skip(1) {
        let mut tail = tail;
        loop {
            let len = tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
            if len > 0 {
                // Nothing stands there where a text speaks of citations themselves.
                cited.push(tail[..len].trim_end_matches('.').to_owned());
            }
            let Some(next) = tail[len..].strip_prefix(", §") else { break };
            tail = next;
        }
    }
    cited
}

#[test]
fn every_section_that_is_cited_exists() {
    let headings = headings();
    assert!(headings.contains("4.4.1"), "{headings:?}");
    let mut count = 0;
    let ourselves = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    for file in files(root(), &[".rs", ".md", ".py", ".toml"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if file.starts_with(&ourselves) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for section in cited(line) {
                count += 1;
                let place = format!("{}:{}", file.display(), number + 1);
                assert!(headings.contains(&section), "{place} cites SPEC §{section}: no such");
            }
        }
    }
    assert!(count > 200, "only {count} citations: are they still written `SPEC §n.m`?");
}

/// One row of the parameter table.
struct Row {
    name: String,
    value: String,
    unit: String,
    file: String,
    constant: String,
    chapters: Vec<String>,
}

fn table() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/spec/9-parameters.md")).unwrap();
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if cells == ["name", "value", "unit", "constant", "chapter"] {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.contains("---") {
            let [name, value, unit, place, chapter] = cells[..] else {
                panic!("a row of another shape: {line}");
            };
            let place = place.trim_matches('`');
            let (file, constant) = place.split_once(':').unwrap_or_else(|| panic!("{line}"));
            rows.push(Row {
                name: name.into(),
                value: value.into(),
                unit: unit.into(),
                file: file.into(),
                constant: constant.into(),
                chapters: chapter.split(',').map(|chapter| chapter.trim().to_owned()).collect(),
            });
        }
    }
    rows
}

/// The value of `const NAME` in a source file, as it is written there.
fn source(file: &str, constant: &str) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let declaration = format!("const {constant}:");
    let mut values = text.lines().filter(|line| line.contains(&declaration)).map(|line| {
        let (_, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{file}: {line}"));
        value.trim_end().trim_end_matches(';').to_owned()
    });
    let value = values.next().unwrap_or_else(|| panic!("{file} has no constant {constant}"));
    assert_eq!(values.next(), None, "{file} has more than one constant {constant}");
    value
}

/// A number as written in the source, with its unit if it is a `Duration`.
fn number(written: &str) -> Option<(u128, Option<&'static str>)> {
    let plain = |text: &str| {
        let text = text.trim().replace('_', "");
        let shifted = text.split_once(" << ");
        match (shifted, text.strip_prefix("0x")) {
            (Some((number, by)), _) => {
                Some(number.parse::<u128>().ok()? << by.parse::<u32>().ok()?)
            }
            (None, Some(hex)) => u128::from_str_radix(hex, 16).ok(),
            (None, None) => text.parse().ok(),
        }
    };
    let durations = [("from_secs", "s"), ("from_millis", "ms"), ("from_micros", "us")];
    for (constructor, unit) in durations {
        let inner = written
            .strip_prefix("Duration::")
            .and_then(|rest| rest.strip_prefix(constructor))
            .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
        if let Some(inner) = inner {
            return Some((plain(inner)?, Some(unit)));
        }
    }
    Some((plain(written)?, None))
}

#[test]
fn the_parameter_table_equals_the_constants() {
    let (rows, headings) = (table(), headings());
    assert!(rows.len() > 20, "{} rows", rows.len());
    for Row { name, value, unit, file, constant, chapters } in rows {
        let mut written = source(&file, &constant);
        let mut from = file.clone();
        // A constant may be another one's name.
        while let Some((path, last)) = written.rsplit_once("::").filter(|_| !written.contains('('))
        {
            let last = last.to_owned();
            from = match path {
                "pinhole_proto" => declaring("proto/src", &last),
                "bech32m" => "proto/src/bech32m.rs".into(),
                _ => from,
            };
            written = source(&from, &last);
        }
        let in_source = number(&written);
        let in_spec = number(&value);
        let (Some((in_source, source_unit)), Some((in_spec, _))) = (in_source, in_spec) else {
            panic!("{name}: cannot compare `{value}` with `{written}` of {file}:{constant}");
        };
        assert_eq!(in_spec, in_source, "{name}: {file}:{constant} is {written}");
        if let Some(source_unit) = source_unit {
            assert_eq!(unit.split(',').next(), Some(source_unit), "{name}: the unit");
        }
        for chapter in chapters {
            assert!(headings.contains(&chapter), "{name}: there is no SPEC §{chapter}");
        }
    }
}

/// The file below `folder` that declares a constant.
fn declaring(folder: &str, constant: &str) -> String {
    let declaration = format!("const {constant}:");
    let declares = |path: &Path| fs::read_to_string(path).unwrap().contains(&declaration);
    let found = files(&root().join(folder), &[".rs"]).into_iter().find(|path| declares(path));
    let found = found.unwrap_or_else(|| panic!("{folder} has no constant {constant}"));
    found.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn numbers_are_read_as_they_are_written() {
    assert_eq!(number("1_000"), Some((1000, None)));
    assert_eq!(number("8 << 20"), Some((8 << 20, None)));
    assert_eq!(number("0x7069_6e31"), Some((0x7069_6e31, None)));
    assert_eq!(number("Duration::from_millis(250)"), Some((250, Some("ms"))));
    assert_eq!(number("Duration::from_secs(5)"), Some((5, Some("s"))));
    assert_eq!(number("NAME"), None);
    assert_eq!(source("transport/src/paths.rs", "STAGGER"), "Duration::from_millis(250)");
}
