# Sigmas for k-diffusion: T=60, cosine noise schedule, analytic variance, gaussian decoder, clip on.
# sigma = sqrt((1 - alpha_bar) / alpha_bar), noisiest first, 0 at the end. With eta = 1 (its
# default) sample_euler_ancestral takes exactly the steps of the ancestral sampler with fixed-small
# variances. Wrap the network with quantize=True, so that it is fed whole timesteps.
# Not taken over: the analytic variances (sample_euler_ancestral adds fixed-small noise, other
# samplers their own).
# Not taken over: clipping of the predicted image (the wrappers of k_diffusion.external do not
# clip).
sigmas = [1217.6061601346403, 0.3357246498019706, 0.036378002389929096, 0.0]


def sample(denoiser, shape, sigmas, device="cpu"):
    import torch
    from k_diffusion.sampling import sample_euler_ancestral

    sigmas = torch.tensor(sigmas, device=device)
    # The noisiest x_t has variance 1, and k-diffusion's x is x_t / sqrt(alpha_bar).
    x = torch.randn(shape, device=device) * (1 + sigmas[0] ** 2).sqrt()
    return sample_euler_ancestral(denoiser, x, sigmas)
