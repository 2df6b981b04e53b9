//! New inputs out of old ones.

/// A source of inputs, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Mutator {
    /// State of SplitMix64 (Steele, Lea, Flood 2014).
    state: u64,
}

/// Most changes to one input.
const MOST_CHANGES: usize = 6;
/// Longest input; long ones are slow and say no more.
const LONGEST: usize = 1 << 20;

/// Numbers at which readers go wrong, as they stand in text.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e309",
    "5e-324",
    "1e-9",
    "0.5",
    "NaN",
    "Infinity",
    "-Infinity",
];
/// Other values of JSON.
const VALUES: [&str; 12] = [
    "null",
    "true",
    "false",
    "\"\"",
    "[]",
    "{}",
    "[[]]",
    "\"\\u0000\"",
    "\"\u{202e}\"",
    "[null]",
    "{\"a\":1}",
    "\"NaN\"",
];

impl Mutator {
    /// Of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of a list that is not empty.
    pub fn one_of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// An input that differs from one of `seeds` in a few places.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match seeds.len() {
            0 => Vec::new(),
            n => seeds[self.below(n)].clone(),
        };
        // One change half of the time: more are seldom read to the end.
        let changes = match self.below(2) {
            0 => 1,
            _ => 1 + self.below(MOST_CHANGES),
        };
        for _ in 0..changes {
            self.change(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        if input.is_empty() {
            input.extend((0..self.below(64)).map(|i| (i * 37) as u8));
            return;
        }
        // Text stays text more often than not: what is no UTF-8 gets no further than that.
        if self.below(2) == 0 && std::str::from_utf8(input).is_ok() {
            return self.word(input);
        }
        match self.below(12) {
            0 => self.flip(input),
            1 => {
                let at = self.below(input.len());
                input[at] = self.next() as u8;
            }
            2 | 3 => self.number(input),
            4 => {
                let range = self.range(input.len());
                input.drain(range);
            }
            5 => {
                let range = self.range(input.len());
                let piece = input[range].to_vec();
                self.insert(input, &piece);
            }
            6 => {
                let length = self.below(16);
                let piece: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
                self.insert(input, &piece);
            }
            7 => {
                let other = &seeds[self.below(seeds.len())];
                let range = self.range(other.len());
                self.insert(input, &other[range]);
            }
            8 => {
                let end = self.below(input.len());
                input.truncate(end);
            }
            9 | 10 => self.word(input),
            _ => self.swap(input),
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        let at = self.below(input.len());
        input[at] ^= 1 << self.below(8);
    }

    /// A binary number at any place, in either order of bytes.
    fn number(&mut self, input: &mut [u8]) {
        let value = match self.below(4) {
            0 => u64::MAX - self.next() % 3,
            1 => 1 << self.below(64),
            2 => (1u64 << self.below(64)).wrapping_sub(1 + self.next() % 2),
            _ => self.next() % 300,
        };
        let width = 1 << self.below(4);
        let bytes = if self.below(3) == 0 {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        let at = self.below(input.len());
        for (old, new) in input[at..].iter_mut().zip(&bytes[..width]) {
            *old = *new;
        }
    }

    /// A range of at least a byte, short ones more often.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        if length == 0 {
            return 0..0;
        }
        let most = match self.below(3) {
            0 => length,
            _ => length.min(16),
        };
        let wide = 1 + self.below(most);
        let begin = self.below(length - wide + 1);
        begin..begin + wide
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }

    /// A number, or what stands between two quotes, becomes another: of text, which binary files hold too.
    fn word(&mut self, input: &mut Vec<u8>) {
        let start = self.below(input.len());
        let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let in_text = self.below(3) == 0;
        let found = if in_text {
            between_quotes(input, start)
        } else {
            let from = input[start..].iter().position(u8::is_ascii_digit);
            from.map(|from| {
                let from = start + from;
                let rest = input[from..].iter();
                from..from + rest.take_while(|byte| is_number(byte)).count()
            })
        };
        let Some(range) = found else {
            return;
        };
        let new = match (in_text, self.below(4)) {
            (true, _) => {
                let at = self.below(input.len());
                let piece = between_quotes(input, at).map(|piece| input[piece].to_vec());
                piece.unwrap_or_default()
            }
            (false, 0) => self.one_of(&VALUES).as_bytes().to_vec(),
            (false, _) => self.one_of(&NUMBERS).as_bytes().to_vec(),
        };
        input.splice(range, new);
    }

    /// Two pieces change their places.
    fn swap(&mut self, input: &mut [u8]) {
        let wide = 1 + self.below(8);
        let (one, other) = (self.below(input.len()), self.below(input.len()));
        for i in 0..wide {
            if one.max(other) + i < input.len() {
                input.swap(one + i, other + i);
            }
        }
    }
}

/// What stands between the next two quotes after `start`.
fn between_quotes(input: &[u8], start: usize) -> Option<std::ops::Range<usize>> {
    let quote = |from: usize| input[from..].iter().position(|&byte| byte == b'"');
    let from = start + quote(start)? + 1;
    Some(from..from + quote(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_follow_from_the_seed_and_differ() {
        let seeds = [b"{\"a\": 12, \"b\": [3]}".to_vec(), vec![0; 40]];
        let made = |seed: u64| -> Vec<Vec<u8>> {
            let mut mutator = Mutator::new(seed);
            (0..200).map(|_| mutator.input(&seeds)).collect()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        let different: std::collections::BTreeSet<_> = made(1).into_iter().collect();
        assert!(different.len() > 120, "{}", different.len());
        // Numbers of a text are found.
        let text = |input: &Vec<u8>| {
            let found = String::from_utf8_lossy(input).into_owned();
            NUMBERS
                .iter()
                .any(|number| number.len() > 5 && found.contains(number))
        };
        assert!(made(3).iter().any(text));
    }
}
