

class ListedDDPMScheduler(Follows, DDPMScheduler):
    """DDPMScheduler with these variances, and without noise on the step onto the data."""

    variances = {}  # by the timesteps that a step goes from and to

    def _get_variance(self, t, predicted_variance=None, variance_type=None):
        step = (int(t), int(self.previous_timestep(t)))
        if step not in self.variances:
            raise ValueError(f"timesteps: found the step {step}; expected those of the variances: {list(self.variances)}")
        return torch.tensor(self.variances[step], dtype=torch.float64)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        out = super().step(model_output, timestep, sample, generator)
        if int(self.previous_timestep(timestep)) < 0:
            out.prev_sample = out.pred_original_sample
        return out if return_dict else tuple(out.values())


def ddpm_scheduler(timesteps, variances, clip_sample=CLIP, **config):
    scheduler = follow(ListedDDPMScheduler, timesteps, clip_sample=clip_sample, **config)
    if isinstance(variances, dict) or len(variances) != len(timesteps):
        raise ValueError(f"variances: found {len(variances)}; expected one list of {len(timesteps)}, as of timesteps")
    steps = zip(timesteps, [*timesteps[1:], -1])
    scheduler.variances = dict(zip(steps, variances))
    return scheduler
