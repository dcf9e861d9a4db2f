"""What to do about each error and warning of `mixedfx.errors`; a test asks that every class has its line."""

WHAT_TO_DO = {
    "FormulaError": "Read from the mark: the formula could not be read further. Random terms need brackets, "
    "`(1 + x | g)`.",
    "UnsafeFormulaError": "Compute the column before the fit, or pass what you need by `env=`: formula text is never "
    "evaluated beyond the documented functions.",
    "DataError": "Mend the data where the message points: the column, the rows or the file are named.",
    "UnseenLevelError": 'Correct the level if it is a typing error; for new groups ask with `new_levels="sample"` or '
    '`"population"`.',
    "ModelError": "Ask for a smaller model: the message says which part the data cannot carry.",
    "MemoryForecastError": "Nest instead of cross where the design is nested, drop the term with most levels, or use a "
    "machine with the memory that is forecast.",
    "IterativeSolverError": 'Ask for chosen levels or given theta, or fit with `control={"solver": "direct"}` where '
    "its factor fits in memory.",
    "MonteCarloError": 'Ask for more probes, `control={"monte_carlo": 0.005}`, or fit both with '
    '`{"solver": "direct"}`.',
    "RowsNotHeldError": "Give a frame, or `stream=False` where the rows fit in memory; predictions and residuals take "
    "`to=`.",
    "ImportanceError": 'Use `engine="auto"`, which goes on to chains, or `engine="stanli"`.',
    "UnknownQuantityError": "Take one of the names that the message offers.",
    "OptionError": "Take one of the values that the message lists.",
    "MissingPackageError": "Run the line of the message; it names the extra.",
    "ImproperPosteriorError": "Give the parameter that is named a proper prior.",
    "EffectsError": "Ask the question that the message writes out: mostly a column or level that the model does not "
    "have.",
    "RowsDroppedWarning": "Nothing, if weights of zero mean that rows are not to count.",
    "MissingModeratorsWarning": "Compare models on the same rows: drop the rows with missing moderators, or the "
    "moderators.",
    "UnweightedRowsWarning": "Give the new rows weights, if they are not of weight 1.",
    "UnusedCategoryWarning": "Remove the category (`cat.remove_unused_categories()`), or keep it knowingly.",
    "SamplingWeightsWarning": "Say what was supposed: the method of the replicates, or the weights of a level.",
    "MonteCarloWarning": 'Ask for more probes, `control={"monte_carlo": 0.005}`, or fit with `{"solver": "direct"}`.',
    "UnsavableWarning": "Remove what the message names, an object of `env=` mostly, before hours of sampling.",
    "RankDeficiencyWarning": "Leave one of the columns that say the same out of the formula; effects that need it "
    "are NaN.",
    "IdentifiabilityWarning": "Drop one of the two parts that explain the same variation.",
    "StructureWarning": "Write the plain bars `(x | g)`, or standardise the columns that the structure depends on.",
    "IdentifierSlopeWarning": "Write `(1 | school)` or `factor(school)` if the number is a name; nothing if it is a "
    "number.",
    "FewLevelsWarning": "Make it a fixed effect, or fit `mx.bayes` with a prior for the standard deviation.",
    "FewGroupsWarning": "Use tests by F or t, a bootstrap, or Kenward and Roger's degrees of freedom.",
    "FewEffectsWarning": "Use fewer moderators, or say with a prior what heterogeneity is plausible.",
    "EmptyIntervalWarning": "Look at the sampling variances: estimates agree better than these allow.",
    "FewInIntervalWarning": "Merge intervals of p values (`steps=`), or report the sensitivity instead of the "
    "estimate.",
    "MergedIntervalsWarning": "Report the intervals that were used; they are in the summary.",
    "EvidenceErrorWarning": "Ask for more draws, or read model probabilities to the digits that the error allows.",
    "ExcludedDirectionWarning": "Check the sign of the estimates, or allow both sides with another prior.",
    "SingularFitWarning": "Read [](../explain/singular.md). Fixed effects stay good; do not drop terms for the "
    "message alone.",
    "SingularEffectsWarning": "Read effects of single groups as pooled altogether, or fit `mx.bayes`.",
    "ConvergenceWarning": "Standardise covariates, give more steps by `mx.control`, or simplify the random terms.",
    "SeparationWarning": "Ask for a prior of the coefficients (`prior=` of `mx.glmer`, or `mx.bayes`).",
    "NoOverdispersionWarning": 'Use `family="poisson"`.',
    "NoZeroInflationWarning": "Leave `zi=` out.",
    "BoundaryTestWarning": "Use the p value of the mixture of chi squares or of the simulation that the message names.",
    "QuadratureWarning": 'Give more nodes, or `nAGQ="auto"`.',
    "ThetaUncertaintyWarning": "Trust such intervals roughly; `mx.bayes` integrates exactly.",
    "DegreesOfFreedomWarning": 'Ask for `ddf="kenward-roger"`, or a bootstrap.',
    "IgnoredGroupsWarning": 'Ask for `ddf="kenward-roger"`, which counts the groups; do not drop them from the model.',
    "FewClustersWarning": "Do not rest a claim on this p value: few clusters say little, robust or not.",
    "SingleClusterWarning": "Ask about the difference that more than one cluster tells.",
    "RefittedWarning": "Nothing: the models were made comparable. Give `REML=False` to do without the second fits.",
    "NestingWarning": "Compare by AIC or cross-validation, or write the smaller model so that it is part of the "
    "larger.",
    "ResamplingWarning": "Read how many refits failed; a few in a thousand do no harm, a tenth does.",
    "NotEstimableWarning": "Merge sparse categories, or ask without the column that is named: these data do not say.",
    "NotDrawableWarning": "Ask for the other picture that is named.",
    "SamplingWarning": "Run longer, with another seed, or reparametrise; do not report numbers from such draws.",
    "ImportanceWarning": 'Use `engine="stanli"`, or priors that keep away from the boundary.',
    "ModeWarning": "Start more chains from far apart; look at the prior of the parameters that are named.",
    "DivergenceWarning": "Raise `adapt_delta`, or centre the random terms that have many rows (`centred=`).",
    "RHatWarning": "Run longer chains.",
    "EffectiveSizeWarning": "Ask for more draws.",
    "EnergyWarning": "Standardise covariates; give standard deviations of random effects a tighter prior.",
    "TreedepthWarning": "Raise `max_treedepth`, or standardise covariates.",
    "ApproximationWarning": "Use it to look around; sample before you report.",
    "ParetoKWarning": "Leave whole groups out instead (`fit.logo`), or model what makes them unlike others.",
    "DataDependentPriorWarning": "Give priors as numbers before you compare models by their marginal likelihood.",
    "PriorScaleWarning": "Look at the prior predictive distribution (`mx.prior_predictive`), and set the unit of "
    "the prior.",
    "NoVariationWarning": "Fit the formula that the message writes: it lets the effect vary over what you asked about.",
    "UnknownLevelWarning": "Correct the level, or leave it out of the question.",
    "PlausibleValueWarning": "Give all plausible values, `[PV1MATH:PV10MATH]` in the place of the response, or pool "
    "fits with `mx.pool`.",
    "OverlapWarning": "Clip propensities (`clip=`), or restrict the question to rows that could be in either arm.",
    "OneArmWarning": "Pool groups that hold one arm only, or ask about averages over groups.",
    "ConstantEffectsWarning": "Do not rank people by this learner; report the average effect.",
    "DependentErrorsWarning": "Name the groups (`groups=`), if rows belong together.",
    "UnseenLevelsWarning": "Correct a typing error; otherwise nothing: their uncertainty is in the interval.",
}
