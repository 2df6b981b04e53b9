# diffusion(use_timesteps, model_mean_type=gd.ModelMeanType...).p_sample_loop(model, shape) follows
# the list, on the device of the model.
# Timesteps for improved-diffusion and guided-diffusion: T=60, cosine noise schedule, fixed-large
# variance, gaussian decoder, clip on.
# They count from 0. No --timestep_respacing string can express them, so build the diffusion as
# below.
from improved_diffusion import gaussian_diffusion as gd
from improved_diffusion.respace import SpacedDiffusion

use_timesteps = {0, 1, 3, 6, 11, 19, 38, 59}


class FixedVariances(SpacedDiffusion):
    """SpacedDiffusion that takes the first half of the output of a network that learns its variance."""

    def p_mean_variance(self, model, x, t, **kwargs):
        def estimate(x, t, **model_kwargs):
            return model(x, t, **model_kwargs)[:, : x.shape[1]]

        return super().p_mean_variance(estimate, x, t, **kwargs)


def diffusion(use_timesteps, model_mean_type=None):
    if isinstance(use_timesteps, dict):
        raise ValueError(
            f"use_timesteps: found those of K = {', '.join(map(str, use_timesteps))}; expected one set: use_timesteps[K]"
        )
    if model_mean_type is None:
        raise ValueError(
            "model_mean_type: nothing says what your network predicts; expected gd.ModelMeanType.EPSILON or START_X"
        )
    return FixedVariances(
        use_timesteps=use_timesteps,
        betas=gd.get_named_beta_schedule("cosine", 60),
        model_mean_type=model_mean_type,
        model_var_type=gd.ModelVarType.FIXED_LARGE,
        loss_type=gd.LossType.MSE,
        rescale_timesteps=False,  # as your network was trained
    )
