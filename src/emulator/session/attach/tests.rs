use super::*;

#[test]
fn a_rewind_is_a_count_or_a_time() {
    assert_eq!(parse_rewind("10", 100_000), Some(From::LastMessages(10)));
    assert_eq!(parse_rewind("15s", 100_000), Some(From::Since(85_000)));
    assert_eq!(parse_rewind("1m", 100_000), Some(From::Since(40_000)));
    for wrong in ["", "x", "-1", "-1s", "1h"] {
        assert_eq!(parse_rewind(wrong, 100_000), None);
    }
}
