# Leverage and deletion diagnostics of lme4, for tests/reml/test_influence.py.
# Run in tests/: Rscript reference/gen_diagnostics.R
suppressMessages({library(lme4); library(jsonlite)})
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
sleep <- read.csv("data/sleepstudy.csv")
uneven <- sleep[-c(2, 3, 5, 17, 18, 40, 41, 42, 43, 44, 45, 99, 100, 101, 150), ]
penicillin <- read.csv("data/penicillin.csv")
one <- function(formula, data, by) {
  fit <- lmer(formula, data, control = control)
  gone <- influence(fit, by)
  rows <- influence(fit)
  varcomps <- gone[[paste0("var.cov.comps[-", by, "]")]]
  list(hat = unname(hatvalues(fit)), studentised = unname(rstudent(fit)), groups = rownames(dfbeta(gone)),
       dfbeta = unname(dfbeta(gone)), cooks = unname(cooks.distance(gone)),
       varcomps = unname(varcomps), names = colnames(varcomps), row_dfbeta = unname(dfbeta(rows)))
}
out <- list(sleepstudy = one(Reaction ~ Days + (Days | Subject), uneven, "Subject"),
            penicillin = one(diameter ~ 1 + (1 | plate) + (1 | sample), penicillin, "sample"))
write(toJSON(out, digits = 14), "reference/diagnostics/lme4.json")
