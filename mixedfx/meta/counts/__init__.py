"""Meta-analysis of counts by generalised linear mixed models: the exact distributions of events, not of estimates."""
