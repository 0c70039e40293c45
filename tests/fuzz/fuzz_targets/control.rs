//! A line over the control socket: JSON, and the request or answer in it.
#![no_main]
#![allow(dead_code)] // the program uses what this target does not

#[path = "../../../node/src/program/failure.rs"]
mod failure;
#[path = "../../../node/src/program/json.rs"]
mod json;
#[path = "../../../node/src/program/wire.rs"]
mod wire;

use json::Json;
use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use serde_json::Value;
use wire::{Line, Request};

fuzz_target!(|text: &str| {
    let theirs = serde_json::from_str::<Value>(text);
    let json = match Json::parse(text) {
        Ok(json) => json,
        Err(fault) => {
            assert!(theirs.is_err() || fault == "it is nested too deeply", "{fault}");
            return;
        }
    };
    // They do not take numbers that are too large for a float; here numbers stay text.
    let too_large = |error: &serde_json::Error| error.to_string().contains("out of range");
    match theirs {
        Ok(theirs) => assert_eq!(serde_json::from_str::<Value>(&json.line()).unwrap(), theirs),
        Err(error) => assert!(too_large(&error), "{error}"),
    }
    assert_eq!(read(&json), json);
    answer(&json);
    request(&json);
});

/// What comes out of the line that is written; it has to be one line.
fn read(json: &Json) -> Json {
    let line = json.line();
    assert!(!line.contains(['\n', '\r']));
    Json::parse(&line).unwrap()
}

fn answer(json: &Json) {
    if let Some(line) = Line::from_json(json.clone()) {
        let again = line.clone().into_json();
        assert_eq!(Line::from_json(read(&again)), Some(line));
    }
}

fn request(json: &Json) {
    match Request::from_json(json) {
        Ok(request) => {
            assert_eq!(Request::from_json(&read(&request.to_json())).as_ref(), Ok(&request));
            planted(matches!(request, Request::Ping { interval_ms: 2_000.., first: 2.., .. }));
        }
        Err(failure) => assert!(!failure.message.is_empty() && failure.status() == 2),
    }
}
