

def sample(denoiser, shape, sigmas, device=None):
    # On the device of the network, which is fed its own type; states stay in float32 at least, since fewer digits of sigma
    # name other timesteps.
    import torch
    from k_diffusion.sampling import SAMPLER

    if isinstance(sigmas, dict):
        raise ValueError(f"sigmas: found those of K = {', '.join(map(str, sigmas))}; expected one list: sigmas[K]")
    table = getattr(denoiser, "sigmas", torch.empty(0))
    if table.dtype in (torch.bfloat16, torch.float16):
        raise ValueError(f"denoiser: found a table of sigmas in {table.dtype}; expected one of float32 around such a network")
    weights = next(denoiser.parameters(), None) if isinstance(denoiser, torch.nn.Module) else None
    weights = torch.empty(0) if weights is None else weights
    like = dict(device=weights.device if device is None else device, dtype=torch.promote_types(weights.dtype, torch.float32))
    sigmas = torch.tensor(sigmas, **like)
    START
    network = getattr(denoiser, "inner_model", denoiser)
    if not isinstance(network, torch.nn.Module):
        return SAMPLER(denoiser, x, sigmas)
    hook = network.register_forward_pre_hook(lambda _, fed: (fed[0].to(weights.dtype), *fed[1:]))
    try:
        return SAMPLER(denoiser, x, sigmas)
    finally:
        hook.remove()
