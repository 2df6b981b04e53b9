

def sample(unet, scheduler, shape, generator=None, device=None, dtype=None):
    # On the device and in the type of the network; name them for a plain function, which has none.
    weights = next(unet.parameters(), None) if isinstance(unet, torch.nn.Module) else None
    weights = torch.empty(0) if weights is None else weights
    device = torch.device(weights.device if device is None else device)
    x = randn_tensor(shape, generator, device, weights.dtype if dtype is None else dtype)
    scheduler.set_timesteps()
    for t in scheduler.timesteps:
        with torch.no_grad():
            prediction = unet(x, t.to(device)).sample
        x = scheduler.step(prediction, t, x, generator=generator).prev_sample
    return x
