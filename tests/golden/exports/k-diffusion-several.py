# Sigmas for k-diffusion: T=60, cosine noise schedule, fixed-small variance, gaussian decoder, clip
# on.
# sigma = sqrt((1 - alpha_bar) / alpha_bar), noisiest first, 0 at the end. With eta = 1 (its
# default) sample_euler_ancestral takes exactly the steps of the ancestral sampler with fixed-small
# variances. Wrap the network with quantize=True, so that it is fed whole timesteps.
# Not taken over: clipping of the predicted image (the wrappers of k_diffusion.external do not
# clip).
sigmas = {
    3: [1217.6061601346403, 1.6477737828029102, 0.9123599566280831, 0.0],
    8: [1217.6061601346403, 1.6477737828029102, 0.7378709347871802, 0.4560223934726487,
        0.2509862395250109, 0.14274187184777265, 0.08976145958913787, 0.06327889217608293, 0.0],
}


def sample(denoiser, shape, sigmas, device="cpu"):
    import torch
    from k_diffusion.sampling import sample_euler_ancestral

    sigmas = torch.tensor(sigmas, device=device)
    # The noisiest x_t has variance 1, and k-diffusion's x is x_t / sqrt(alpha_bar).
    x = torch.randn(shape, device=device) * (1 + sigmas[0] ** 2).sqrt()
    return sample_euler_ancestral(denoiser, x, sigmas)
