//! Passwords people can read out and type into a phone: `vast-otter-3187-lime`. more than a hundred words in each place
//! and four digits: 34 bits. The server slows guessing down; against a stolen digest longer ones are better, and can be given.

use std::io::{self, Read as _};

const FIRST: &str = "able agile amber ample azure bald basic bent big blue bold brave brief bright brisk broad bronze \
    calm cheap chief civil clean clear clever close cold cool coral crisp cubic curly daily damp dark deep dense dry dual \
    dusty eager early easy equal even exact fair fast fine firm flat fond free fresh full gentle glad gold good grand \
    gray great green happy hardy heavy high hollow huge idle jolly keen kind large late lazy level light lively local \
    long loud loyal lucky lunar major mellow merry mild minor misty modern narrow neat new noble north odd olive open \
    oval pale plain polar prime proud pure quick quiet rapid rare ready red rich ripe rosy round royal safe sharp";
const SECOND: &str = "adder ant ape badger bat bear beaver bee bison boar buck bull camel carp cat cheetah chick clam cobra \
    cod colt condor coot cow coyote crab crane cricket crow cub deer dingo dog dolphin donkey dove dragon duck eagle eel \
    egret elk emu falcon ferret finch fish flea fly fox frog gecko gibbon goat goose gull hamster hare hawk hen heron \
    hippo horse hound hyena ibex iguana jackal jaguar jay koala lamb lark lemur lion lizard llama lobster lynx magpie \
    mammoth marten mink mole monkey moose moth mouse mule newt octopus oriole osprey otter owl ox oyster panda panther \
    parrot pelican penguin pig pigeon pike pony puffin puma quail rabbit raccoon ram rat raven robin rook salmon seal \
    shark sheep";
const THIRD: &str = "acorn anchor apple arch arrow ash axle bark barn basin beach bell birch blade boat book bow bowl box \
    branch brass bread brick bridge broom brush bucket button cabin cable cake candle canoe cart castle cedar chain chair \
    cherry clay cliff clock cloud clover coal coin comb copper cork cotton creek crown cup dawn desk dew dish door drum \
    dune elm feather fence fern field fig flag flame flint flute forest fork fruit garden gate ginger glass globe glove \
    grain grape grass gravel hail hammer harbor harp hazel hedge hill honey hook horn island ivory ivy jade jar kettle \
    key kite ladder lake lamp lantern leaf lemon lime linen lock loom maple marble meadow melon mill mint mirror moon";

pub fn make() -> io::Result<String> {
    let mut random = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(from(u64::from_le_bytes(random)))
}

/// Each part takes its share of `random`; the remainders' bias is below 2^-30.
fn from(mut random: u64) -> String {
    let mut take = |n: u64| {
        let value = random % n;
        random /= n;
        usize::try_from(value).unwrap_or(0)
    };
    let mut word = |list: &'static str| {
        let words: Vec<&str> = list.split_whitespace().collect();
        words.get(take(words.len() as u64)).copied().unwrap_or_default()
    };
    let (first, second, third) = (word(FIRST), word(SECOND), word(THIRD));
    format!("{first}-{second}-{:04}-{third}", take(10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_words_and_none_twice() {
        for list in [FIRST, SECOND, THIRD] {
            let mut words: Vec<&str> = list.split_whitespace().collect();
            assert!(
                words.iter().all(|w| w.len() <= 8 && w.bytes().all(|b| b.is_ascii_lowercase()))
            );
            words.sort_unstable();
            let count = words.len();
            words.dedup();
            assert_eq!(words.len(), count);
            assert!(count >= 116, "{count}");
        }
    }

    #[test]
    fn different_every_time() {
        let (a, b) = (make().unwrap(), make().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.split('-').count(), 4);
        assert_ne!(from(0), from(1));
    }
}
