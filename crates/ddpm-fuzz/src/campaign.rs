//! Many inputs for one reader, and what they find.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::mutator::Mutator;
use crate::targets::Target;

/// What a reader may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time for one input.
    pub time: Duration,
    /// Memory in bytes for an input of this many, beyond what was held before.
    pub memory: fn(usize) -> usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            memory: |input| 4 * input + (64 << 20),
        }
    }
}

/// What measures memory: the allocator of the program, if it counts.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Begins anew.
    pub reset: fn(),
    /// Bytes that are held.
    pub held: fn() -> usize,
    /// The most that were held since.
    pub peak: fn() -> usize,
}

/// An input that a reader did not take as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What happened.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

/// What a campaign did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Inputs that were shown.
    pub executions: u64,
    /// Those that the reader took.
    pub accepted: u64,
    /// The longest that one took.
    pub slowest: Duration,
    /// The most memory that one took, in bytes.
    pub most_memory: usize,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A reader and what its inputs are made of.
pub struct Campaign<'a> {
    /// The reader.
    pub target: &'a Target,
    /// What inputs are made of.
    pub seeds: &'a [Vec<u8>],
    /// Decides all inputs.
    pub seed: u64,
    /// What a reader may take.
    pub limits: Limits,
    /// What measures memory.
    pub meter: Option<Meter>,
}

impl Campaign<'_> {
    /// The input of a number, which depends on the seed and it alone.
    pub fn input(&self, number: u64) -> Vec<u8> {
        let name = self.target.name.bytes().fold(self.seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Mutator::new(name ^ number.wrapping_mul(0xd134_2543_de82_ef95)).input(self.seeds)
    }

    /// Shows the inputs from number `first` on, until `go_on` says no; it is asked with the number of the next input.
    pub fn run(&self, first: u64, go_on: &mut dyn FnMut(u64, &[u8]) -> bool) -> Report {
        let mut report = Report::default();
        for number in first.. {
            let input = self.input(number);
            if !go_on(number, &input) {
                break;
            }
            self.show(&input, &mut report);
        }
        report
    }

    /// Shows one input.
    pub fn show(&self, input: &[u8], report: &mut Report) {
        let held = self.meter.map_or(0, |meter| {
            (meter.reset)();
            (meter.held)()
        });
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.read)(input)));
        let time = begun.elapsed();
        let peak = self.meter.map_or(0, |meter| (meter.peak)());
        let memory = peak.saturating_sub(held);
        report.executions += 1;
        report.slowest = report.slowest.max(time);
        report.most_memory = report.most_memory.max(memory);
        let most = (self.limits.memory)(input.len());
        let what = match outcome {
            Err(panic) => Some(format!("panicked: {}", message(&*panic))),
            _ if time > self.limits.time => Some(format!("took {:.1} s", time.as_secs_f64())),
            _ if memory > most => Some(format!(
                "took {memory} bytes for {}, at most {most} are allowed",
                input.len()
            )),
            Ok(read) => {
                report.accepted += u64::from(read.is_ok());
                None
            }
        };
        report.findings.extend(what.map(|what| Finding {
            what,
            input: input.to_vec(),
        }));
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_slow_inputs_are_found_and_named() {
        let target = Target {
            name: "test",
            read: |input| match input.len() {
                0 => Err("nothing".to_owned()),
                1 => panic!("one byte"),
                2 => {
                    std::thread::sleep(Duration::from_millis(30));
                    Ok(())
                }
                _ => Ok(()),
            },
        };
        let campaign = Campaign {
            target: &target,
            seeds: &[],
            seed: 1,
            limits: Limits {
                time: Duration::from_millis(10),
                ..Limits::default()
            },
            meter: None,
        };
        let mut report = Report::default();
        for input in [&b""[..], b"1", b"12", b"123"] {
            campaign.show(input, &mut report);
        }
        assert_eq!((report.executions, report.accepted), (4, 1));
        let whats: Vec<&str> = report.findings.iter().map(|f| &*f.what).collect();
        assert_eq!(whats[0], "panicked: one byte");
        assert!(whats[1].starts_with("took"), "{whats:?}");
        assert_eq!(report.findings[0].input, b"1");
    }
}
