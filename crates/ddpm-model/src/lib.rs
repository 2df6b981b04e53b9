//! Diffusion UNets on candle and strict checkpoint readers.
