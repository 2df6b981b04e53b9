# sample(denoiser, shape, sigmas) follows the list; denoiser is a wrapper of k_diffusion.external,
# made with quantize=True, so that the network is fed whole timesteps.
# Sigmas for k-diffusion: T=60, cosine noise schedule, analytic variance, gaussian decoder, clip on.
# sigma = sqrt((1 - alpha_bar) / alpha_bar), noisiest first, 0 at the end. With eta = 1 (its
# default) sample_euler_ancestral takes exactly the steps of the ancestral sampler with fixed-small
# variances.
# Not taken over: the analytic variances (sample_euler_ancestral adds fixed-small noise, other
# samplers their own).
# Not taken over: clipping of the predicted image (the wrappers of k_diffusion.external do not
# clip).
sigmas = [1217.6061601346403, 0.3357246498019706, 0.036378002389929096, 0.0]


def sample(denoiser, shape, sigmas, device=None):
    # On the device of the network, which is fed its own type; states stay in float32 at least, since fewer digits of sigma
    # name other timesteps.
    import torch
    from k_diffusion.sampling import sample_euler_ancestral

    if isinstance(sigmas, dict):
        raise ValueError(f"sigmas: found those of K = {', '.join(map(str, sigmas))}; expected one list: sigmas[K]")
    table = getattr(denoiser, "sigmas", torch.empty(0))
    if table.dtype in (torch.bfloat16, torch.float16):
        raise ValueError(f"denoiser: found a table of sigmas in {table.dtype}; expected one of float32 around such a network")
    weights = next(denoiser.parameters(), None) if isinstance(denoiser, torch.nn.Module) else None
    weights = torch.empty(0) if weights is None else weights
    like = dict(device=weights.device if device is None else device, dtype=torch.promote_types(weights.dtype, torch.float32))
    sigmas = torch.tensor(sigmas, **like)
    # The noisiest x_t has variance 1, and k-diffusion's x is x_t / sqrt(alpha_bar).
    x = torch.randn(shape, **like) * (1 + sigmas[0] ** 2).sqrt()
    network = getattr(denoiser, "inner_model", denoiser)
    if not isinstance(network, torch.nn.Module):
        return sample_euler_ancestral(denoiser, x, sigmas)
    hook = network.register_forward_pre_hook(lambda _, fed: (fed[0].to(weights.dtype), *fed[1:]))
    try:
        return sample_euler_ancestral(denoiser, x, sigmas)
    finally:
        hook.remove()
