"""Bayesian model-averaged meta-analysis: evidences of every model by quadrature, and answers averaged over them."""
