use super::*;

#[test]
fn a_value_nests_as_deep_in_msgpack_as_json_can_say() {
    let nested = |levels| {
        let mut bytes = vec![0x91; levels];
        bytes.push(0xc0);
        rmp_serde::from_slice::<Tolerant>(&bytes)
    };
    assert!(nested(NESTING_MAX).is_ok());
    assert!(nested(NESTING_MAX + 1).is_err());
}
