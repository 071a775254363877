//! Two routes, each with a server of its own: neither death nor recovery mixes
//! them up.

use falco::client::Client;

use crate::checker::{Sent, check_copies, check_seen};
use crate::rig::{Death, Rig, channel, wait_until};
use crate::{DIRECT, EFFECTS, FALCO, JOURNAL, OUTBOX, deaths, survive};

const LANES: usize = 10;

/// What a daemon has handed over, by the route it goes.
#[derive(Default)]
struct HandedOver {
    sent: [Sent; 2],
    acks: Vec<falco::client::Ack>,
}

impl HandedOver {
    /// One more; every other lane goes over the other route.
    async fn add(&mut self, client: &Client) {
        let n = self.acks.len();
        let lane = n % LANES;
        let route = lane % 2;
        let named = ["", r#""route":"other","#][route];
        let lane = format!("lane{lane}");
        let payload = format!(r#"{{"n":{n}}}"#);
        let channel = channel(&lane);
        let effect = format!(
            r#"{{"type":"t",{named}"session_id":"{lane}","channel":"{channel}","payload":{payload}}}"#
        );
        self.acks
            .push(client.deliver(effect).await.expect("a client"));
        self.sent[route].entry(lane).or_default().push(payload);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn crash(death: Death, settings: &str) {
    let other = Rig::new(DIRECT);
    other.up(None);
    let socket = other.base().join("ably.sock");
    let socket = socket.display();
    let route = format!("[[route]]\nname = \"other\"\nsocket = \"{socket}\"\n");
    let rig = Rig::new(&format!("{settings}{route}"));
    rig.up(Some(death));
    let client = rig.client();
    let mut handed = HandedOver::default();
    for _ in 0..EFFECTS {
        handed.add(&client).await;
    }
    survive(&rig, death, async || handed.add(&client).await).await;
    let HandedOver { sent, acks } = handed;
    for ack in acks {
        assert_eq!(ack.await, Ok(()), "{death:?}");
    }
    wait_until("all is published", || rig.is_published()).await;
    for (sent, rig) in sent.iter().zip([&rig, &other]) {
        check_seen(sent, &rig.seen(sent));
        check_copies(sent, &rig.published(), death.times);
        assert_eq!(rig.published().len(), sent.len(), "only its own lanes");
    }
}

#[test]
fn a_falco_with_two_routes_that_dies_costs_neither_anything() {
    for death in deaths(&FALCO, &[2], 1) {
        crash(death, DIRECT);
    }
}

#[test]
fn a_falco_with_two_routes_that_dies_costs_an_outbox_nothing() {
    for death in deaths(&JOURNAL, &[2], 1) {
        crash(death, OUTBOX);
    }
}
