//! `Slots`: where transactions live. Index and generation name one; a name outlives its bearer harmlessly.
//!
//! Grows by blocks, so growing never moves what is there (no pause, no second copy); freed slots are used again,
//! latest first, while they are warm. It knows nothing of SIP.

const BLOCK: usize = 128;

/// Generations are this wide, because a Via branch and a timer mark carry them.
pub const GENERATION_BITS: u32 = 20;
pub const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

struct Block<T> {
    generations: [u32; BLOCK],
    values: [Option<T>; BLOCK],
}

pub struct Slots<T> {
    blocks: Vec<Box<Block<T>>>,
    free: Vec<u32>,
    /// Slots below this were used at least once.
    used: u32,
    len: usize,
}

impl<T> Slots<T> {
    pub const fn new() -> Self {
        Self { blocks: Vec::new(), free: Vec::new(), used: 0, len: 0 }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    /// The new bearer's index and generation.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = self.used;
            self.used += 1;
            index
        });
        let (block, offset) = split(index);
        if block == self.blocks.len() {
            self.blocks.push(Box::new(Block {
                generations: [0; BLOCK],
                values: core::array::from_fn(|_| None),
            }));
        }
        let Some(block) = self.blocks.get_mut(block) else { return (index, 0) };
        block.values[offset] = Some(value);
        self.len += 1;
        (index, block.generations[offset])
    }

    pub fn at(&self, index: u32) -> Option<&T> {
        let (block, offset) = split(index);
        self.blocks.get(block)?.values[offset].as_ref()
    }

    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        let (block, offset) = split(index);
        self.blocks.get_mut(block)?.values[offset].as_mut()
    }

    /// `None` if that bearer of the slot is gone.
    pub fn named_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let (block, offset) = split(index);
        let block = self.blocks.get_mut(block)?;
        if block.generations[offset] != generation {
            return None;
        }
        block.values[offset].as_mut()
    }

    pub fn named(&self, index: u32, generation: u32) -> Option<&T> {
        let (block, offset) = split(index);
        let block = self.blocks.get(block)?;
        if block.generations[offset] != generation {
            return None;
        }
        block.values[offset].as_ref()
    }

    pub fn generation(&self, index: u32) -> u32 {
        let (block, offset) = split(index);
        self.blocks.get(block).map_or(0, |block| block.generations[offset])
    }

    pub fn remove(&mut self, index: u32) -> Option<T> {
        let (block, offset) = split(index);
        let block = self.blocks.get_mut(block)?;
        let value = block.values[offset].take()?;
        block.generations[offset] = (block.generations[offset] + 1) & GENERATION_MASK;
        self.free.push(index);
        self.len -= 1;
        Some(value)
    }
}

const fn split(index: u32) -> (usize, usize) {
    (index as usize / BLOCK, index as usize % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_reach_the_next_bearer() {
        let mut slots = Slots::new();
        let (index, generation) = slots.insert('a');
        assert_eq!(slots.remove(index), Some('a'));
        let (again, next) = slots.insert('b');
        assert_eq!(again, index);
        assert_eq!(slots.named(index, generation), None);
        assert_eq!(slots.named(index, next), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn blocks_follow_each_other() {
        let mut slots = Slots::new();
        let names: Vec<_> = (0..1000).map(|n| slots.insert(n)).collect();
        for (n, (index, generation)) in names.into_iter().enumerate() {
            assert_eq!(slots.named(index, generation), Some(&n));
            slots.remove(index);
        }
        assert_eq!(slots.len(), 0);
        assert!(slots.at(5).is_none() && slots.at(100_000).is_none());
    }

    #[test]
    fn generations_stay_in_their_bits() {
        let mut slots = Slots::new();
        for _ in 0..=GENERATION_MASK {
            let (index, generation) = slots.insert(());
            assert!(generation <= GENERATION_MASK);
            slots.remove(index);
        }
        assert_eq!(slots.insert(()), (0, 0));
    }
}
