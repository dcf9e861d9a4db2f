# Writes profile intervals of lme4 with five times its usual number of points, as JSON.
# usage: Rscript gen_profile.R > lmm_profile.json      (lme4 1.1-31)
suppressMessages({library(lme4); library(jsonlite)})
fine <- function(formula, d, name, tolerance) {
  m <- suppressMessages(suppressWarnings(lmer(as.formula(formula), d, REML=FALSE, control=lmerControl(optimizer="bobyqa", optCtrl=list(maxfun=20000, rhoend=1e-10)))))
  ci <- suppressMessages(suppressWarnings(confint(profile(m, signames=FALSE, delta.cutoff=1/40))))
  list(formula=formula, data=name, tolerance=tolerance, confint=cbind(par=rownames(ci), as.data.frame(ci)))
}
# the tolerance is what is left of the interpolation, as a share of the width of the interval
write(toJSON(list(
  sleepstudy=fine("Reaction ~ Days + (Days | Subject)", sleepstudy, "sleepstudy", 2e-6),
  dyestuff=fine("Yield ~ 1 + (1 | Batch)", Dyestuff, "dyestuff", 2e-6),
  penicillin=fine("diameter ~ 1 + (1 | plate) + (1 | sample)", Penicillin, "penicillin", 2e-6)
), digits=NA, auto_unbox=TRUE, pretty=TRUE), stdout())
