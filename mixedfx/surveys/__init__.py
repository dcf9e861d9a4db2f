"""Surveys as they are: several completed data sets as one answer, sampling weights, replicate weights."""
