use super::*;

/// Made with Python's `hmac` and `json`, not with this module.
const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImFwcDEua2V5MSJ9.\
        eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMCwieC1hYmx5LWNhcGFiaWxpdHkiOiJ7XCJhXCI6W1wicHVibGlzaFwiXX0iLCJ4LWFibHktY2xpZW50SWQiOiJ1LTEifQ.\
        EuFx-pVkj19fPYlvoXVGOb0GLUbwO5xYAS1d5sQHyLI";
const NOW_MS: i64 = 1_700_000_000_000;

fn key() -> ApiKey {
    "app1.key1:se:cret".parse().expect("a key")
}

fn claims() -> Claims {
    Claims {
        issued: 1_700_000_000,
        expires: 1_700_003_600,
        capability: Some(r#"{"a":["publish"]}"#.to_owned()),
        client_id: Some("u-1".to_owned()),
    }
}

fn verify(token: &str, now_ms: i64) -> Result<Claims, JwtError> {
    let key = key();
    verify_jwt(token, |name| (name == "app1.key1").then_some(&key), now_ms)
}

fn refused_with(token: &str, now_ms: i64) -> u32 {
    ErrorInfo::from(&verify(token, now_ms).expect_err("refused")).code
}

/// A token with any header and claims, rightly signed.
fn signed(header: &str, claims: &str) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = mac(b"se:cret", text.as_bytes()).finalize().into_bytes();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn the_mac_is_that_of_rfc_7515_appendix_a1() {
    let secret = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("base64");
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = mac(&secret, text.as_bytes()).finalize().into_bytes();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(signature),
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

#[test]
fn our_token_has_the_bytes_another_tool_makes() {
    assert_eq!(sign_jwt(&key(), &claims()).reveal(), TOKEN);
}

#[test]
fn a_valid_token_says_what_was_signed() {
    assert_eq!(verify(TOKEN, NOW_MS), Ok(claims()));
}

#[test]
fn a_token_expires_in_the_second_it_names() {
    assert!(verify(TOKEN, 1_700_003_599_999).is_ok());
    assert_eq!(refused_with(TOKEN, 1_700_003_600_000), 40142);
}

#[test]
fn a_changed_token_is_refused_with_40144() {
    let mut changed = TOKEN.to_owned();
    changed.replace_range(70..71, "x");
    assert_eq!(refused_with(&changed, NOW_MS), 40144);
    assert_eq!(refused_with(&TOKEN[..TOKEN.len() - 4], NOW_MS), 40144);
    assert_eq!(refused_with("no.jwt", NOW_MS), 40144);
    assert_eq!(refused_with("", NOW_MS), 40144);
    assert_eq!(
        refused_with(&"x".repeat(TOKEN_BYTES_MAX + 1), NOW_MS),
        40144
    );
}

#[test]
fn only_hs256_and_a_key_we_have_are_believed() {
    let none = signed(
        r#"{"alg":"none","kid":"app1.key1"}"#,
        r#"{"exp":1700003600}"#,
    );
    assert_eq!(verify(&none, NOW_MS), Err(JwtError::Algorithm));
    let other = signed(
        r#"{"alg":"HS256","kid":"app1.key9"}"#,
        r#"{"exp":1700003600}"#,
    );
    assert_eq!(refused_with(&other, NOW_MS), 40101);
}

#[test]
fn a_token_that_never_expires_is_refused_and_a_fractional_time_is_not() {
    let header = r#"{"alg":"HS256","kid":"app1.key1"}"#;
    assert_eq!(refused_with(&signed(header, "{}"), NOW_MS), 40144);
    let token = signed(header, r#"{"iat":1.7e9,"exp":1700003600.5}"#);
    let claims = verify(&token, NOW_MS).expect("valid");
    assert_eq!(
        (claims.issued, claims.expires),
        (1_700_000_000, 1_700_003_600)
    );
    assert_eq!(claims.capability, None);
}
