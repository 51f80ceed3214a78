//! A set of next hops in which the same key always finds the same member, by rendezvous hashing: every member draws a
//! number from its name and the key, and the highest wins. Who leaves takes only its own share along, who comes takes a
//! fair share of everybody's; weights are shares. Any two servers with the same set choose alike: nothing here is
//! secret or random, and names are what counts, not the order. It keeps no state (RFC 3261 §16.11).

use siphasher::sip::SipHasher13;

/// Members of one set. Drawing costs some nanoseconds a member.
pub const MEMBERS_MAX: usize = 256;

#[derive(Clone, Debug)]
pub struct Member<T> {
    pub hop: T,
    pub name: Box<str>,
    weight: u32,
    /// The hash of the name.
    seed: u64,
}

impl<T> Member<T> {
    pub fn new(name: &str, weight: u32, hop: T) -> Self {
        Self { hop, weight, seed: hash(name.as_bytes()), name: name.into() }
    }

    /// The name as a number: the same on every server and after every restart.
    pub const fn key(&self) -> u64 {
        self.seed
    }
}

#[derive(Clone, Debug)]
pub struct HashedSet<T> {
    members: Vec<Member<T>>,
    /// Shares differ: the logarithm is needed.
    is_weighted: bool,
}

impl<T> HashedSet<T> {
    /// Those beyond [`MEMBERS_MAX`] are left out.
    pub fn new(mut members: Vec<Member<T>>) -> Self {
        members.truncate(MEMBERS_MAX);
        let first = members.first().map_or(0, |member| member.weight);
        let is_weighted = members.iter().any(|member| member.weight != first);
        Self { members, is_weighted }
    }

    pub fn members(&self) -> &[Member<T>] {
        &self.members
    }

    /// The member of this key among those that `may` be chosen; a weight of 0 is never. `None`: there is none.
    pub fn pick(&self, key: &[u8], may: impl Fn(&Member<T>) -> bool) -> Option<&Member<T>> {
        if let [only] = &self.members[..] {
            return (only.weight > 0 && may(only)).then_some(only);
        }
        let key = hash(key);
        let chosen = self.members.iter().filter(|member| member.weight > 0 && may(member));
        chosen.max_by_key(|member| {
            let draw = mix(member.seed ^ key);
            // A weight of n draws n times: the best of n draws is the n-th root of one, whose logarithm is 1/n of it.
            let score =
                if self.is_weighted { !(neg_log2(draw) / u64::from(member.weight)) } else { 0 };
            (score, draw, member.seed)
        })
    }
}

/// Not keyed: two servers with the same set must agree.
fn hash(bytes: &[u8]) -> u64 {
    SipHasher13::new_with_keys(0x7269_6e67_7761_7921, 0).hash(bytes)
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the input.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// -log2(draw / 2^64) in units of 2^-48: whole numbers, so that every machine gets the same.
const fn neg_log2(draw: u64) -> u64 {
    let zeros = draw.leading_zeros();
    if zeros == 64 {
        return 64 << 48;
    }
    // 1.xxx in units of 2^-63; squaring it brings out one binary digit of its logarithm at a time.
    let mut rest = draw << zeros;
    let (mut fraction, mut digit) = (0u64, 0);
    while digit < 32 {
        let square = (rest as u128 * rest as u128) >> 63;
        let is_two = square >> 64 != 0;
        rest = if is_two { (square >> 1) as u64 } else { square as u64 };
        fraction = fraction << 1 | is_two as u64;
        digit += 1;
    }
    // draw / 2^64 = 2^(-zeros - 1) * 1.xxx
    ((zeros as u64 + 1) << 48) - (fraction << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(weights: &[u32]) -> HashedSet<usize> {
        let member = |(n, weight): (usize, &u32)| Member::new(&format!("core-{n}"), *weight, n);
        HashedSet::new(weights.iter().enumerate().map(member).collect())
    }

    fn share(set: &HashedSet<usize>, keys: u32, of: usize) -> u32 {
        let picked = |n: &u32| set.pick(format!("call-{n}@x").as_bytes(), |_| true).map(|m| m.hop);
        u32::try_from((0..keys).filter(|n| picked(n) == Some(of)).count()).unwrap()
    }

    /// C-3: one of ten leaves or comes, and at most 15 % of the Call-IDs move; none that was not the leaver's.
    #[test]
    fn who_leaves_takes_only_its_own_share() {
        const KEYS: u32 = 20_000;
        for weights in [[1; 10], [50, 50, 50, 50, 50, 10, 50, 50, 50, 50]] {
            let all = set(&weights);
            let (mut moved, mut strayed) = (0, 0);
            for n in 0..KEYS {
                let key = format!("call-{n}@x");
                let before = all.pick(key.as_bytes(), |_| true).unwrap().hop;
                let after = all.pick(key.as_bytes(), |member| member.hop != 3).unwrap().hop;
                moved += u32::from(before != after);
                strayed += u32::from(before != after && before != 3);
            }
            assert_eq!(strayed, 0);
            assert!((KEYS / 20..KEYS * 15 / 100).contains(&moved), "{moved} of {KEYS} moved");
        }
    }

    #[test]
    fn shares_are_even_or_as_weighted() {
        let even = set(&[7; 10]);
        for n in 0..10 {
            assert!((1_800..2_200).contains(&share(&even, 20_000, n)), "{n}");
        }
        let weighted = set(&[1, 2, 5, 0]);
        let got: Vec<u32> = (0..4).map(|n| share(&weighted, 16_000, n)).collect();
        for (got, wanted) in got.iter().zip([2_000, 4_000, 10_000, 0]) {
            assert!(got.abs_diff(wanted) <= wanted / 10, "{got} instead of {wanted}");
        }
    }

    #[test]
    fn order_does_not_matter_and_another_key_is_another_choice() {
        let one = set(&[1, 2, 3]);
        let mut reversed = one.members().to_vec();
        reversed.reverse();
        let other = HashedSet::new(reversed);
        let pick =
            |set: &HashedSet<usize>, n: u32| set.pick(&n.to_be_bytes(), |_| true).map(|m| m.hop);
        assert!((0..1_000).all(|n| pick(&one, n) == pick(&other, n)));
        assert!((0..1_000).any(|n| pick(&one, n) != pick(&one, n + 1)));
    }

    #[test]
    fn nobody_is_an_answer() {
        assert!(set(&[]).pick(b"x", |_| true).is_none());
        assert!(set(&[0]).pick(b"x", |_| true).is_none());
        assert!(set(&[0, 0]).pick(b"x", |_| true).is_none());
        assert!(set(&[1, 1]).pick(b"x", |_| false).is_none());
    }

    #[test]
    fn the_logarithm_is_one() {
        for draw in [1, 2, 3, 1 << 40, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let exact = 64.0 - (draw as f64).log2();
            let ours = neg_log2(draw) as f64 / (1u64 << 48) as f64;
            assert!((exact - ours).abs() < 1e-6, "{draw}: {ours} instead of {exact}");
        }
    }
}
