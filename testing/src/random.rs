//! Numbers that look random and are the same for the same seed.

/// A generator of Sebastiano Vigna's SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Makes a generator.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number from zero up to one.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a whole number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// Returns one of these, each as often as its weight says.
    pub fn weighted<T: Copy, const N: usize>(&mut self, choices: [(f64, T); N]) -> T {
        let whole: f64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.share() * whole;
        for (weight, choice) in choices {
            left -= weight;
            if left < 0.0 {
                return choice;
            }
        }
        choices[N - 1].1
    }

    /// Returns a random UUID as text.
    pub fn uuid(&mut self) -> String {
        let (a, b) = (self.bits(), self.bits());
        let (b, tail) = ((b >> 48) & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
        format!("{:08x}-{:04x}-4{:03x}-{b:04x}-{tail:012x}", a >> 32, (a >> 16) & 0xffff, a & 0xfff)
    }
}
