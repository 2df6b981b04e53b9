

class ListedDPMSolver(Follows, DPMSolverMultistepScheduler):
    """DPMSolverMultistepScheduler whose thresholding is the clip to [-1, 1]."""

    def _threshold_sample(self, sample):
        # With sample_max_value=1 that is what it is, by way of quantiles that large batches have too many elements for.
        return sample.clamp(-1, 1)


def dpm_solver_scheduler(timesteps, clip_sample=CLIP, **config):
    # ORDER_WORDS
    steps = dict(ORDER)
    clip = dict(thresholding=clip_sample, sample_max_value=1.0)
    return follow(ListedDPMSolver, timesteps, **{**steps, **clip, **config})
