

def diffusion(use_timestepsMEAN_ARGUMENT):
    if isinstance(use_timesteps, dict):
        raise ValueError(
            f"use_timesteps: found those of K = {', '.join(map(str, use_timesteps))}; expected one set: use_timesteps[K]"
        )
ASK    return CLASS(
        use_timesteps=use_timesteps,
        betas=BETAS,
        model_mean_type=MEAN,
        model_var_type=gd.ModelVarType.VARIANCE,
        loss_type=gd.LossType.MSE,
        rescale_timesteps=RESCALE
    )
