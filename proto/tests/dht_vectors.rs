//! Holds the messages of SPEC §11 and the records of SPEC §12 against `docs/vectors/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use pinhole_proto::dht::{Contact, FindRequest, Found, Position, Stored};
use pinhole_proto::{PeerId, Record, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn file(name: &str) -> Value {
    let path = format!("{}/../docs/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cases(file: &Value, section: &str) -> Vec<Value> {
    let cases = file[section].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{section} is empty");
    cases
}

fn hex(case: &Value, field: &str) -> Vec<u8> {
    let digits = case[field].as_str().unwrap_or_else(|| panic!("no {field} in {case}"));
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn array(case: &Value, field: &str) -> [u8; 32] {
    hex(case, field).try_into().unwrap()
}

/// Decodes, and checks that the value has this one encoding.
fn round<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> T {
    let value = decode(bytes).unwrap();
    assert_eq!(encode(&value, usize::MAX).unwrap(), bytes);
    value
}

#[test]
fn places() {
    for case in cases(&file("dht.json"), "places") {
        let peer = || PeerId::from_bytes(array(&case, "peer")).unwrap();
        let place = match case["of"].as_str().unwrap() {
            "peer" => Position::of_peer(&peer()),
            "value" => Position::of_value(&peer(), case["name"].as_str().unwrap()),
            _ => Position::of_topic(&array(&case, "topic")),
        };
        assert_eq!(place.0, array(&case, "place"));
    }
}

#[test]
fn messages() {
    let file = file("dht.json");
    for case in cases(&file, "requests") {
        let request: FindRequest = round(&hex(&case, "body"));
        assert_eq!(request.serves, case["serves"].as_bool().unwrap());
        assert_eq!(request.near.0, array(&case, "near"));
    }
    for case in cases(&file, "replies") {
        let found: Found = round(&hex(&case, "body"));
        let said = case["reply"]["contacts"].as_array().unwrap();
        assert_eq!(found.contacts.len(), said.len());
        for (contact, said) in found.contacts.iter().zip(said) {
            assert_eq!(contact.peer.to_bytes(), array(said, "peer"));
            let addrs: Vec<String> = contact.addrs.iter().map(|addr| addr.to_string()).collect();
            assert_eq!(serde_json::to_value(addrs).unwrap(), said["addrs"]);
        }
        assert_eq!(found.records.len(), case["reply"]["records"].as_array().unwrap().len());
        assert!(found.records.iter().all(|record| record.verify().is_ok()));
    }
    for case in cases(&file, "stored") {
        round::<Stored>(&hex(&case, "body"));
    }
}

#[test]
fn what_is_refused() {
    for case in cases(&file("dht.json"), "refused") {
        let body = hex(&case, "body");
        let error = match case["type"].as_str().unwrap() {
            "find request" => decode::<FindRequest>(&body).unwrap_err(),
            "find reply" => decode::<Found>(&body).unwrap_err(),
            _ => decode::<Stored>(&body).unwrap_err(),
        };
        assert_eq!(error.kind(), case["error"].as_str().unwrap(), "{case}");
        assert_eq!(error.code().as_str(), case["code"].as_str().unwrap());
    }
    assert!(decode::<Contact>(&[]).is_err());
}

#[test]
fn records() {
    let file = file("records.json");
    for case in cases(&file, "records") {
        let record: Record = round(&hex(&case, "record"));
        assert_eq!(record.verify(), Ok(()));
        assert_eq!(record.owner.to_bytes(), array(&case, "owner"));
        assert_eq!(record.position().0, array(&case, "place"));
        assert_eq!(Some(record.sequence), case["sequence"].as_u64());
        assert_eq!(Some(record.expires), case["expires"].as_u64());
    }
    for case in cases(&file, "refused") {
        let error = match decode::<Record>(&hex(&case, "record")) {
            Ok(record) => record.verify().unwrap_err().kind(),
            Err(error) => error.kind(),
        };
        assert_eq!(error, case["error"].as_str().unwrap(), "{case}");
    }
    let record: Record = decode(&hex(&cases(&file, "records")[0], "record")).unwrap();
    for case in cases(&file, "times") {
        let error = record.check_time(case["now"].as_u64().unwrap()).err();
        assert_eq!(error.map(|error| error.kind()), case["error"].as_str());
    }
}
