//! The exchange on `ably-auth.sock`.

use falco::protocol::token::{Request, decode_answer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::load;

#[derive(Deserialize)]
struct Vectors {
    requests: Vec<Case>,
    responses: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    bytes: String,
    ok: Option<Value>,
    error: Option<String>,
}

#[test]
fn requests_read_or_are_refused_as_the_contract_says() {
    for case in load::<Vectors>("broker.json").requests {
        match (Request::parse(case.bytes.as_bytes()), case.ok) {
            (Ok(request), Some(want)) => {
                let read = json!({
                    "broker_token": request.broker_token.reveal(),
                    "audience": request.audience.as_str(),
                    "device_id": request.device_id,
                });
                assert_eq!(read, want);
            }
            (Err(refusal), None) => {
                let text = case.error.expect("a case has an outcome");
                assert!(refusal.to_string().starts_with(&text), "{refusal}");
            }
            (other, _) => panic!("{}: {other:?}", case.bytes),
        }
    }
}

#[test]
fn answers_read_as_the_contract_says() {
    for case in load::<Vectors>("broker.json").responses {
        let answer = decode_answer(case.bytes.as_bytes()).expect(&case.bytes);
        match (answer, case.ok) {
            (Ok(details), Some(want)) => {
                assert_eq!(serde_json::to_value(details).expect("serializes"), want);
            }
            (Err(refusal), None) => assert_eq!(Some(refusal.to_string()), case.error),
            (other, _) => panic!("{}: {other:?}", case.bytes),
        }
    }
}
