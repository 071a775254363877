//! Numbers that only look random.

#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Both ends included.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    /// The same, of small numbers.
    pub(super) fn small(&mut self, from: u8, to: u8) -> u8 {
        let number = self.between(u64::from(from), u64::from(to));
        u8::try_from(number).expect("at most `to`")
    }

    /// Which of so many.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let chosen = self.between(0, count as u64 - 1);
        usize::try_from(chosen).expect("below `count`")
    }

    pub(super) fn chance(&mut self, in_thousand: u64) -> bool {
        self.next() % 1000 < in_thousand
    }
}
