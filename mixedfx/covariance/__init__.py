"""Covariance structures of random terms: the map from parameters to relative covariance factors."""
