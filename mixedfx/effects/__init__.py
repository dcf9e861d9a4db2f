"""Effects of a treatment for everybody and for subgroups, from any fit. Start at `mixedfx.effects.effects`.

A step of the pipeline is a file: `treatment` (which values are compared), `subgroups` and `query` (for whom), `grid`
(averaged over which rows), `comparisons` (how two averages become one number), `summary` (intervals), `checks` (what
the answer does not mean). `result` holds the answer; a question put to an answer, such as `contrasts`, is a file of
functions over it.
"""
