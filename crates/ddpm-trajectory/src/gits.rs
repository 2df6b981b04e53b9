//! GITS (Chen et al. 2024, *On the trajectory regularity of ODE-based diffusion sampling*): the rival that is chosen on trajectories too.
//!
//! As the authors' `gits_utils.py` (metric "dev", coefficient 1.15): in the coordinates x / sqrt(alpha_bar) against
//! sigma, the cost of going from teacher node i to j is how far the Euler step's end deviates from the chord of the whole
//! trajectory, minus how far the teacher does; V[j][k] = min over i of cost[j][i] + 1.15 V[i][k-1], from the noisy end.
//! Differences: here the best choices are stored where the original compares sums of floats for equality, and the last
//! node is sigma = 0, with which paths end here.

use ddpm_core::TimePath;
use ddpm_schedule::Budgets;

use crate::error::Result;
use crate::store::Trajectories;

/// The factor per step that the authors recommend.
const COEFFICIENT: f64 = 1.15;

/// The costs of GITS between the nodes of a teacher.
#[derive(Clone, Debug)]
pub struct Gits {
    /// Between nodes in the order of sampling: 0 is the noisy end, the last is clean data.
    costs: Vec<Vec<f64>>,
    /// Timesteps in that order, with 0.
    timesteps: Vec<usize>,
    train_steps: usize,
}

impl Gits {
    /// Of trajectories of the flow, the teacher, as far as there is a signal.
    pub fn new(teacher: &Trajectories) -> Self {
        let schedule = teacher.schedule();
        // Where no signal is left sigma is infinite: the teacher begins below.
        let finite = |t: &&usize| schedule.alpha_bar(**t) > 0.0;
        let nodes: Vec<usize> = teacher.nodes().iter().take_while(finite).copied().collect();
        let n = nodes.len();
        let timesteps: Vec<usize> = nodes.into_iter().rev().chain([0]).collect();
        let mut costs = vec![vec![0.0; n + 1]; n + 1];
        let sigma = |t: usize| match t {
            0 => 0.0,
            t => (-0.5 * schedule.log_snr(t)).exp(),
        };
        for image in 0..teacher.images() {
            let scaled = |x: &[f32], t: usize| -> Vec<f64> {
                let scale = schedule.alpha_bar(t).sqrt();
                x.iter().map(|&x| f64::from(x) / scale).collect()
            };
            // Index m in the order of sampling is node index n - m.
            let states: Vec<Vec<f64>> = (0..=n)
                .map(|m| scaled(teacher.state(image, n - m), timesteps[m]))
                .collect();
            let slopes: Vec<Vec<f64>> = (0..n)
                .map(|m| {
                    let estimate = teacher.estimate(image, n - m);
                    let pairs = states[m].iter().zip(estimate);
                    pairs
                        .map(|(y, &d)| (y - f64::from(d)) / sigma(timesteps[m]))
                        .collect()
                })
                .collect();
            let (first, last) = (&states[0], &states[n]);
            let teacher_deviation: Vec<f64> =
                states.iter().map(|x| deviation(x, first, last)).collect();
            for i in 0..n {
                for j in i + 1..=n {
                    let step = sigma(timesteps[j]) - sigma(timesteps[i]);
                    let next: Vec<f64> = states[i]
                        .iter()
                        .zip(&slopes[i])
                        .map(|(x, d)| x + step * d)
                        .collect();
                    let of_teacher = if j == n { 0.0 } else { teacher_deviation[j] };
                    costs[i][j] +=
                        (deviation(&next, first, last) - of_teacher) / teacher.images() as f64;
                }
            }
        }
        Self {
            costs,
            timesteps,
            train_steps: schedule.train_steps(),
        }
    }

    /// The path of `steps` steps, with the authors' factor of 1.15 per step.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for a number of steps that the teacher has not the nodes for.
    pub fn path(&self, steps: usize) -> Result<TimePath> {
        let last = self.timesteps.len() - 1;
        Budgets::Only(vec![steps]).wanted(last)?;
        // V[k][j]: from j to the last node in k steps, and the node that the first of them goes to.
        let mut value: Vec<f64> = self.costs.iter().map(|row| row[last]).collect();
        let mut choices = Vec::new();
        for _ in 2..=steps {
            let mut next = vec![f64::INFINITY; last];
            let mut choice = vec![last; last];
            for j in 0..last {
                for i in j + 1..last {
                    let total = self.costs[j][i] + COEFFICIENT * value[i];
                    if total < next[j] {
                        (next[j], choice[j]) = (total, i);
                    }
                }
            }
            choices.push(choice);
            value = next;
        }
        let mut node = 0;
        let mut nodes = vec![self.timesteps[0]];
        for choice in choices.iter().rev() {
            node = choice[node];
            nodes.push(self.timesteps[node]);
        }
        nodes.push(0);
        nodes.reverse();
        Ok(TimePath::new(nodes, self.train_steps)?)
    }
}

/// The distance of `x` from the chord, the line through `first` and `last`: the authors' `cal_deviation`, the length of
/// the component of last - x that is perpendicular to last - first.
fn deviation(x: &[f64], first: &[f64], last: &[f64]) -> f64 {
    let (mut ac2, mut bc2, mut acbc) = (0.0, 0.0, 0.0);
    for ((a, b), c) in x.iter().zip(first).zip(last) {
        let (ac, bc) = (c - a, c - b);
        ac2 += ac * ac;
        bc2 += bc * bc;
        acbc += ac * bc;
    }
    if bc2 == 0.0 {
        ac2.sqrt()
    } else {
        (ac2 - acbc * acbc / bc2).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::deviation;

    #[test]
    fn deviation_is_the_distance_from_the_chord() {
        let (first, last) = ([10.0, 0.0, 0.0], [0.0, 0.0, 0.0]);
        // (2, 3, 4) is sqrt(3^2 + 4^2) from the first axis; the chord's end is 10 * 5 / sqrt(29) from the line to x.
        assert!((deviation(&[2.0, 3.0, 4.0], &first, &last) - 5.0).abs() < 1e-12);
        // Off the origin: the chord from (4, 1, 1) to (1, 1, 1), and a point 2 beside it.
        let x = [2.0, 1.0, 3.0];
        assert!((deviation(&x, &[4.0, 1.0, 1.0], &[1.0, 1.0, 1.0]) - 2.0).abs() < 1e-12);
        assert_eq!(deviation(&last, &first, &last), 0.0);
        assert_eq!(deviation(&first, &first, &last), 0.0);
    }
}
