//! How many samples the paper's Table 5 takes, of which schedules.

use std::str::FromStr;

/// How samples are drawn: the ancestral sampler and DDIM without noise.
pub(crate) const SAMPLERS: [&str; 2] = ["ddpm", "ddim"];
/// How the timesteps are chosen.
pub(crate) const STRIDES: [&str; 4] = ["even", "quadratic", "dp-elbo", "dp-mse"];
/// How many samples of which schedules.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Size {
    /// Samples of each schedule.
    pub(crate) images: u64,
    /// Numbers of steps, ascending.
    pub(crate) steps: Vec<u64>,
    /// Real images that they are compared with; all where it is `None`.
    pub(crate) reference: Option<u64>,
}

impl Size {
    /// The size of a run, with what the command line says instead.
    pub(crate) fn new(full: bool, smoke: bool, images: Option<u64>, steps: Option<Steps>) -> Self {
        let (default_images, default_steps) = match (full, smoke) {
            (true, _) => (50_000, vec![8, 16, 32, 64, 128, 256]),
            (_, true) => (8, vec![3, 6]),
            _ => (1024, vec![5, 10]),
        };
        Self {
            images: images.unwrap_or(default_images),
            steps: steps.map_or(default_steps, |steps| steps.0),
            reference: smoke.then_some(256),
        }
    }

    /// Network evaluations, without those of the pictures.
    pub(crate) fn evaluations(&self) -> u64 {
        let schedules = (SAMPLERS.len() * STRIDES.len()) as u64;
        schedules * self.images * self.steps.iter().sum::<u64>()
    }
}

/// A number of samples, from the command line.
///
/// # Errors
/// Fewer than an error bar needs.
pub(crate) fn images(text: &str) -> Result<u64, String> {
    let images: u64 = text
        .parse()
        .map_err(|_| "expected a whole number".to_owned())?;
    if images < 4 {
        return Err("expected at least 4, which an error bar needs".to_owned());
    }
    Ok(images)
}

/// Numbers of steps, ascending.
#[derive(Clone, Debug)]
pub(crate) struct Steps(Vec<u64>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|word| word.trim().parse().ok().filter(|&steps| steps > 0))
            .collect::<Option<Vec<u64>>>()
            .filter(|steps| steps.is_sorted_by(|a, b| a < b))
            .map(Self)
            .ok_or_else(|| "expected ascending numbers of steps such as 5,10".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_twenty_minutes() {
        let size = Size::new(false, false, None, None);
        // 9 ms per network evaluation and image on two cores.
        let minutes = size.evaluations() as f64 * 9e-3 / 60.0;
        assert!((15.0..20.0).contains(&minutes), "{minutes}");
        let full = Size::new(true, false, None, None);
        assert_eq!((full.images, full.steps.len()), (50_000, 6));
    }

    #[test]
    fn sizes_that_make_no_table_are_refused() {
        assert_eq!(Steps::from_str("5, 8").unwrap().0, [5, 8]);
        for text in ["10,5", "5,5", "0", "five"] {
            let error = Steps::from_str(text).unwrap_err();
            assert!(error.contains("ascending"), "{error}");
        }
        assert_eq!(images("64"), Ok(64));
        assert!(images("3").unwrap_err().contains("at least 4"));
    }
}
