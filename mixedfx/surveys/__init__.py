"""Surveys as they are: sampling weights at each level, replicate weights, several data sets that give one answer."""
