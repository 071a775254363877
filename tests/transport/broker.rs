//! A token broker that mints what a test wants.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use falco::protocol::ably::auth::{ApiKey, Claims, sign_jwt};
use serde_json::json;

/// What tokens are like.
#[derive(Debug, Clone)]
pub struct Minting {
    pub capability: String,
    pub lifetime_secs: i64,
}

pub struct Broker {
    pub minting: Arc<Mutex<Minting>>,
    fetches: Arc<AtomicUsize>,
}

impl Broker {
    /// Serves tokens of `key` at `socket`.
    pub fn start(socket: &Path, key: &str, minting: Minting) -> Self {
        let listener = UnixListener::bind(socket).expect("binds");
        let key: ApiKey = key.parse().expect("a key");
        let minting = Arc::new(Mutex::new(minting));
        let fetches = Arc::new(AtomicUsize::new(0));
        let broker = Self {
            minting: Arc::clone(&minting),
            fetches: Arc::clone(&fetches),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepts");
                let mut request = Vec::new();
                stream.read_to_end(&mut request).expect("reads");
                fetches.fetch_add(1, Ordering::SeqCst);
                let minting = minting.lock().expect("not poisoned").clone();
                let answer = answer(&key, &minting);
                _ = stream.write_all(answer.to_string().as_bytes());
            }
        });
        broker
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn answer(key: &ApiKey, minting: &Minting) -> serde_json::Value {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let now = i64::try_from(since.as_secs()).expect("before the end of time");
    let claims = Claims {
        issued: now,
        expires: now + minting.lifetime_secs,
        capability: Some(minting.capability.clone()),
        client_id: Some("u-1".to_owned()),
    };
    json!({"ok": true, "token_details": {
        "token": sign_jwt(key, &claims).reveal(),
        "issued": now * 1000,
        "expires": (now + minting.lifetime_secs) * 1000,
        "capability": minting.capability,
        "clientId": "u-1",
    }})
}
