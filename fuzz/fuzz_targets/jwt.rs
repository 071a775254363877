//! No bytes are believed to be a JWT unless our key signed them.
#![no_main]

use falco::protocol::ably::auth::{ApiKey, TokenRequest, sign_jwt, verify_jwt};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;

fuzz_target!(|data: &[u8]| {
    let Ok(token) = std::str::from_utf8(data) else {
        return;
    };
    let key: ApiKey = "app.key:secret".parse().expect("a key");
    if let Ok(claims) = verify_jwt(token, |_| Some(&key), NOW_MS) {
        // Only the seeds are signed; what is signed again must be believed.
        let again = sign_jwt(&key, &claims);
        let verified = verify_jwt(again.reveal(), |_| Some(&key), NOW_MS);
        assert_eq!(verified, Ok(claims));
    }
    if let Ok(mut request) = serde_json::from_str::<TokenRequest>(token) {
        let _ = request.verify(&key, NOW_MS);
        let _ = request.ttl_ms();
        request.sign(&key);
        let mac = request.mac.clone();
        request.mac.insert(0, 'A');
        assert!(request.verify(&key, NOW_MS).is_err());
        request.mac = mac;
    }
    let _ = token.parse::<ApiKey>();
});
