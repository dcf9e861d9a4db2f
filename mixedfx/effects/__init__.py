"""Effects of a treatment for everybody and for subgroups, and average outcomes, from any fit.

Start at `mixedfx.effects.effects` and `mixedfx.effects.poststratify`; `rake` makes weights from margins. A step of the
pipeline is a file: `treatment` (which values are compared), `subgroups` and `query` (for whom), `grid` (averaged over
which cells), `outcome` (what a cell is expected to have), `averages` (of subgroups: functionals or draws), `unseen`
(many levels without data as a few), `comparisons` (how two averages become one number), `reading` (taken back to the
variable behind a transformed response, and compared), `increments` (per unit, whatever the unit), `sampled` (an exact
fit as draws), `mean_fit` (what predicts means and has no linear predictor), `quantities` and `summary` (intervals),
`checks` (what the answer does not mean); `pipeline` puts them together. The answer is built in storeys:
`state` (what it holds), `questions` (what can be asked of it), `pictures`, `result` (how it is shown; `render`,
`report`). A question is a file of functions over the state: `contrasts`, `ranks`, `excess`, `shrinkage`,
`heterogeneity`, `decisions`. Answers of several data sets are pooled (`pooled`; the rules, for numbers, `pooling`).
"""
