//! Timestep and class embeddings.

use super::engine::Engine;
use super::layers;
use super::names::Names;
use super::weights::Weights;
use crate::Result;
use crate::config::{Architecture, Sinusoids};

/// From a timestep (and a class) to the vector that every residual block sees.
pub(super) struct Embedding<E: Engine> {
    sinusoids: Sinusoids,
    first: E::Linear,
    second: E::Linear,
    /// Length of the result.
    outputs: usize,
    /// One row per class.
    classes: Option<Vec<f32>>,
}

impl<E: Engine> Embedding<E> {
    pub(super) fn load(
        engine: &E,
        weights: &Weights<'_>,
        architecture: &Architecture,
    ) -> Result<Self> {
        let names = Names::new(architecture);
        let [first, second] = names.timestep();
        let (inputs, outputs) = (
            architecture.sinusoids.count,
            architecture.embedding_channels,
        );
        let linear = |name, inputs| layers::linear(engine, &weights.scope(name), inputs, outputs);
        let classes = architecture.num_classes.map(|classes| {
            weights
                .scope(names.classes())
                .take("weight", &[classes, outputs])
        });
        Ok(Self {
            sinusoids: architecture.sinusoids,
            first: linear(first, inputs)?,
            second: linear(second, outputs)?,
            outputs,
            classes: classes.transpose()?,
        })
    }

    /// `SiLU(embedding)` for every image: every user of the embedding applies SiLU first.
    pub(super) fn forward(
        &self,
        engine: &E,
        time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<E::Vectors> {
        let rows = time
            .iter()
            .flat_map(|&time| sinusoids(time, self.sinusoids));
        let x = engine.load_vectors(rows.collect(), self.sinusoids.count)?;
        let hidden = engine.dense(&self.first, &x, true)?;
        match (&self.classes, labels) {
            (Some(classes), Some(labels)) => {
                let rows = labels
                    .iter()
                    .flat_map(|&label| &classes[label * self.outputs..(label + 1) * self.outputs]);
                let rows = engine.load_vectors(rows.copied().collect(), self.outputs)?;
                engine.add_silu(&engine.dense(&self.second, &hidden, false)?, &rows)
            }
            _ => engine.dense(&self.second, &hidden, true),
        }
    }
}

/// Cosines and sines of `time` times frequencies from 1 down to (almost) 1 / 10000 in geometric steps; a last zero if their
/// number is odd.
///
/// Frequencies and angles are rounded to f32 as PyTorch does; the functions themselves are evaluated in f64, so that the
/// result does not depend on the platform's f32 library.
fn sinusoids(time: f32, kind: Sinusoids) -> Vec<f32> {
    const LOG_MAX_PERIOD: f64 = 9.210_340_371_976_184;
    let half = kind.count / 2;
    let divisor = (half as f64 - kind.frequency_shift) as f32;
    let angles = (0..half).map(|i| {
        let exponent = -(LOG_MAX_PERIOD as f32) * i as f32 / divisor;
        f64::from(time * f64::from(exponent).exp() as f32)
    });
    let cosines = angles.clone().map(|angle| angle.cos() as f32);
    let sines = angles.map(|angle| angle.sin() as f32);
    let mut values: Vec<f32> = if kind.sines_first {
        sines.chain(cosines).collect()
    } else {
        cosines.chain(sines).collect()
    };
    values.resize(kind.count, 0.0);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(values: &[f32], expected: &[f32]) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn sinusoids_accept_fractions_and_odd_counts() {
        let mut kind = Sinusoids {
            count: 5,
            sines_first: false,
            frequency_shift: 0.0,
        };
        let (slow, fast) = (2.5f32 * 0.01, 2.5f32);
        let cosines_first = [fast.cos(), slow.cos(), fast.sin(), slow.sin(), 0.0];
        close(&sinusoids(fast, kind), &cosines_first);
        kind.sines_first = true;
        let sines_first = [fast.sin(), slow.sin(), fast.cos(), slow.cos(), 0.0];
        close(&sinusoids(fast, kind), &sines_first);
        kind.frequency_shift = 1.0;
        assert!((sinusoids(fast, kind)[1] - (fast * 1e-4).sin()).abs() < 1e-9);
    }
}
