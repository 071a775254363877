//! Order, retries and outages, as a transport sees them.

mod attempts;
mod garbage;
mod lanes;
mod outages;
mod still;

fn publish(session: &str, payload: u32) -> String {
    format!(r#"{{"type":"t","session_id":"{session}","channel":"c","payload":{payload}}}"#)
}
