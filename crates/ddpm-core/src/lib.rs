//! Diffusion mathematics: noise schedules, paths, transitions, variances, likelihood terms, counter-based noise.
