# Writes cluster-robust covariances of clubSandwich for generalised linear models as JSON: tests/reference/glmm_verbs.
# usage, from the root: Rscript tests/reference/gen_glmm_robust.R
suppressMessages({library(lme4); library(clubSandwich); library(jsonlite)})
cb <- cbpp; cb$period <- factor(cb$period)
tight <- glm.control(epsilon = 1e-14, maxit = 100)
kinds <- function(m, cluster) sapply(c("CR0", "CR1", "CR1p"), function(k) unname(as.matrix(vcovCR(m, cluster = cluster, type = k))), simplify = FALSE)
x <- list(version = as.character(packageVersion("clubSandwich")),
  cbpp = kinds(glm(cbind(incidence, size - incidence) ~ period, binomial, cb, control = tight), cb$herd),
  grouseticks = kinds(glm(TICKS ~ YEAR + cHEIGHT, poisson, grouseticks, control = tight), grouseticks$BROOD))
write(toJSON(x, digits = NA, auto_unbox = TRUE, pretty = TRUE), "tests/reference/glmm_verbs/robust.json")
