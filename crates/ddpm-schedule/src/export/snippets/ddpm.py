

class ListedDDPMScheduler(Follows, DDPMScheduler):
    """DDPMScheduler without noise on the step onto the data, which need not start at timestep 0."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        out = super().step(model_output, timestep, sample, generator)
        if int(self.previous_timestep(timestep)) < 0:
            out.prev_sample = out.pred_original_sample
        return out if return_dict else tuple(out.values())


def ddpm_scheduler(timesteps, clip_sample=CLIP, variance_type=VARIANCE, **config):
    return follow(
        ListedDDPMScheduler, timesteps, clip_sample=clip_sample, variance_type=variance_type, **config
    )
