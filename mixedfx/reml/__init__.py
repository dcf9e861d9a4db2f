"""Linear mixed models by REML and maximum likelihood: `lmer`, the fit it returns, the optimiser, refits."""
