"""Posteriors of generalised linear mixed models by importance sampling, without Markov chains."""
