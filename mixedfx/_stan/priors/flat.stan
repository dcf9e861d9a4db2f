// No prior.
