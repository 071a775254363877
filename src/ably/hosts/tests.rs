use super::*;

fn names(hosts: &Hosts) -> Vec<&str> {
    let fallbacks = hosts.fallbacks.iter().map(|host| &*host.name);
    std::iter::once(&*hosts.primary.name)
        .chain(fallbacks)
        .collect()
}

#[test]
fn a_routing_policy_has_five_fallbacks() {
    let hosts = Hosts::parse("main").expect("parses");
    assert_eq!(
        names(&hosts)[..2],
        [
            "main.realtime.ably.net",
            "main.a.fallback.ably-realtime.com"
        ]
    );
    assert_eq!(names(&hosts).len(), 6);
    let hosts = Hosts::parse("nonprod:sandbox").expect("parses");
    assert_eq!(
        names(&hosts)[..2],
        [
            "sandbox.realtime.ably-nonprod.net",
            "sandbox.a.fallback.ably-realtime-nonprod.com"
        ]
    );
}

#[test]
fn a_host_name_has_no_fallbacks_and_speaks_tls() {
    for name in ["localhost", "ably.example.com", "::1"] {
        let hosts = Hosts::parse(name).expect("parses");
        assert!(!hosts.has_fallbacks());
        assert_eq!((hosts.primary.port, hosts.primary.tls), (443, true));
    }
}

#[test]
fn only_a_loopback_url_goes_without_tls() {
    for (url, shown) in [
        ("http://127.0.0.1:8099", "127.0.0.1:8099"),
        ("http://localhost", "localhost:80"),
        ("http://[::1]:8099/", "[::1]:8099"),
    ] {
        let hosts = Hosts::parse(url).expect("parses");
        assert!(!hosts.primary.tls);
        assert_eq!(hosts.primary.to_string(), shown);
    }
    assert!(
        Hosts::parse("https://example.com:8443")
            .expect("parses")
            .primary
            .tls
    );
    assert!(matches!(
        Hosts::parse("http://example.com"),
        Err(EndpointError::NotLoopback { .. })
    ));
}

#[test]
fn nonsense_names_no_endpoint() {
    for text in [
        "",
        "a b",
        "http://",
        "http://127.0.0.1:x",
        "http://[::1",
        "x:y",
        "nonprod:",
    ] {
        assert!(Hosts::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_attempt_goes_through_three_different_fallbacks_in_random_order() {
    let hosts = Hosts::parse("main").expect("parses");
    let orders: Vec<_> = (0..20)
        .map(|seed| hosts.shuffled_fallbacks(&mut Chance::new(seed)))
        .collect();
    for order in &orders {
        assert_eq!(order.len(), FALLBACKS_PER_ATTEMPT);
        assert!(order[0] != order[1] && order[1] != order[2] && order[0] != order[2]);
    }
    assert!(orders.iter().any(|order| order != &orders[0]));
}
