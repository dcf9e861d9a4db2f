"""Learners of heterogeneous effects: scikit-learn estimators, seven CATE learners, doubly robust scores, policies."""
