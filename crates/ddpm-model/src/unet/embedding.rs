//! Timestep and class embeddings.

use super::engine::Engine;
use super::layers;
use super::weights::Weights;
use crate::Result;
use crate::config::Architecture;

/// From a timestep (and a class) to the vector that every residual block sees.
pub(super) struct Embedding<E: Engine> {
    model_channels: usize,
    first: E::Linear,
    second: E::Linear,
    /// One row per class.
    classes: Option<Vec<f32>>,
}

impl<E: Engine> Embedding<E> {
    pub(super) fn load(
        engine: &E,
        weights: &Weights<'_>,
        architecture: &Architecture,
    ) -> Result<Self> {
        let (inner, outer) = (
            architecture.model_channels,
            architecture.embedding_channels(),
        );
        let scope = weights.scope("time_embed");
        let classes = architecture
            .num_classes
            .map(|classes| weights.scope("label_emb").take("weight", &[classes, outer]));
        Ok(Self {
            model_channels: inner,
            first: layers::linear(engine, &scope.scope("0"), inner, outer)?,
            second: layers::linear(engine, &scope.scope("2"), outer, outer)?,
            classes: classes.transpose()?,
        })
    }

    /// `SiLU(embedding)` of `4 model_channels` entries for every image: every user of the embedding applies SiLU first.
    pub(super) fn forward(
        &self,
        engine: &E,
        time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<E::Vectors> {
        let rows = time
            .iter()
            .flat_map(|&time| sinusoids(time, self.model_channels));
        let x = engine.load_vectors(rows.collect(), self.model_channels)?;
        let hidden = engine.dense(&self.first, &x, true)?;
        match (&self.classes, labels) {
            (Some(classes), Some(labels)) => {
                let outer = 4 * self.model_channels;
                let rows = labels
                    .iter()
                    .flat_map(|&label| &classes[label * outer..(label + 1) * outer]);
                let rows = engine.load_vectors(rows.copied().collect(), outer)?;
                engine.add_silu(&engine.dense(&self.second, &hidden, false)?, &rows)
            }
            _ => engine.dense(&self.second, &hidden, true),
        }
    }
}

/// Cosines, then sines, of `time` times frequencies from 1 down to almost 1 / 10000 in geometric steps; a last zero if
/// `channels` is odd.
///
/// Frequencies and angles are rounded to f32 as PyTorch does; the functions themselves are evaluated in f64, so that the
/// result does not depend on the platform's f32 library.
fn sinusoids(time: f32, channels: usize) -> Vec<f32> {
    const LOG_MAX_PERIOD: f64 = 9.210_340_371_976_184;
    let half = channels / 2;
    let angles = (0..half).map(|i| {
        let exponent = -(LOG_MAX_PERIOD as f32) * i as f32 / half as f32;
        f64::from(time * f64::from(exponent).exp() as f32)
    });
    let mut values: Vec<f32> = angles.clone().map(|angle| angle.cos() as f32).collect();
    values.extend(angles.map(|angle| angle.sin() as f32));
    values.resize(channels, 0.0);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinusoids_start_with_cosines_and_accept_fractions() {
        let values = sinusoids(2.5, 5);
        assert_eq!(values.len(), 5);
        assert!((values[0] - 2.5f32.cos()).abs() < 1e-6);
        assert!((values[1] - (2.5f32 * 0.01).cos()).abs() < 1e-6);
        assert!((values[2] - 2.5f32.sin()).abs() < 1e-6);
        assert!((values[3] - (2.5f32 * 0.01).sin()).abs() < 1e-6);
        assert_eq!(values[4], 0.0);
    }
}
