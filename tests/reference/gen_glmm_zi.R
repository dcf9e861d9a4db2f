# Writes reference fits of glmmTMB with zero inflation, and the simulated counts that they are of: tests/reference/glmm_zi.
# usage, from the root: Rscript tests/reference/gen_glmm_zi.R
# Counts of animals at 23 sites with 28 visits each, in the manner of the salamanders of Price et al. (2016).
suppressMessages({library(glmmTMB); library(jsonlite)})
root <- "tests/reference/glmm_zi"
set.seed(20)
d <- data.frame(site = rep(sprintf("s%02d", 1:23), each = 28), visit = rep(sprintf("v%02d", 1:28), 23))
n <- nrow(d)
d$mined <- as.numeric(as.integer(factor(d$site)) <= 11)
d$cover <- round(rnorm(n), 3)
d$effort <- round(runif(n, 0.5, 2), 2)
site <- as.integer(factor(d$site)); visit <- as.integer(factor(d$visit))
u <- rnorm(23, 0, 0.5)[site]; slope <- rnorm(23, 0, 0.3)[site]; v <- rnorm(28, 0, 0.3)[visit]; w <- rnorm(23, 0, 1.2)[site]
mu <- exp(0.9 - 0.6 * d$mined + (0.25 + slope) * d$cover + u + v)
none <- runif(n) < plogis(-1 + 0.9 * d$mined + w)
d$animals <- ifelse(none, 0, rpois(n, mu))
d$many <- ifelse(none, 0, rnbinom(n, size = 1.8, mu = exp(0.5) * mu))
d$lumped <- ifelse(none, 0, rnbinom(n, size = exp(0.3) * mu / 1.2, mu = exp(0.3) * mu))
write.csv(d, file.path(root, "sites.csv"), row.names = FALSE)
tight <- glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-10, iter.max = 2000, eval.max = 4000))
sds <- function(m, part) if (length(VarCorr(m)[[part]]) == 0) list() else lapply(VarCorr(m)[[part]], function(v)
  list(sd = as.numeric(attr(v, "stddev")), cor = as.numeric(attr(v, "correlation")[lower.tri(attr(v, "correlation"))])))
fit <- function(name, formula, family, zi, fam) {
  m <- suppressWarnings(glmmTMB(as.formula(formula), data = d, family = fam, ziformula = as.formula(zi), control = tight))
  se <- function(part) as.numeric(sqrt(diag(vcov(m)[[part]])))
  x <- list(program = "glmmTMB", version = as.character(packageVersion("glmmTMB")), formula = formula, family = family, zi = zi,
    criterion = -2 * as.numeric(logLik(m)), npar = attr(logLik(m), "df"), fixef = as.numeric(fixef(m)$cond), se = se("cond"),
    zi_fixef = as.numeric(fixef(m)$zi), zi_se = se("zi"), sds = sds(m, "cond"), zi_sds = sds(m, "zi"), sigma = sigma(m),
    response = as.numeric(predict(m, type = "response"))[1:40], conditional = as.numeric(predict(m, type = "conditional"))[1:40],
    zprob = as.numeric(predict(m, type = "zprob"))[1:40], pearson = as.numeric(residuals(m, type = "pearson"))[1:40],
    response_se = as.numeric(predict(m, newdata = d[seq(1, n, 60), ], type = "response", se.fit = TRUE)$se.fit))
  writeLines(toJSON(x, digits = NA, auto_unbox = TRUE, pretty = TRUE), file.path(root, paste0(name, ".json")))
  cat(name, format(x$criterion, digits = 12), m$fit$convergence, max(abs(m$obj$gr(m$fit$par))), "\n")
}
fit("poisson_none", "animals ~ mined + cover", "poisson", "~ 1", poisson())
fit("poisson_one", "animals ~ mined + cover + (1 | site)", "poisson", "~ 1", poisson())
fit("poisson_covariate", "animals ~ mined + cover + (1 | site)", "poisson", "~ mined", poisson())
fit("poisson_groups", "animals ~ mined + cover + (1 | site)", "poisson", "~ mined + (1 | site)", poisson())
fit("poisson_slopes", "animals ~ cover + (1 + cover | site)", "poisson", "~ 1 + (1 | site)", poisson())
fit("poisson_crossed", "animals ~ mined + cover + offset(log(effort)) + (1 | site) + (1 | visit)", "poisson", "~ cover + (1 | site)", poisson())
fit("negbinomial_groups", "many ~ mined + cover + (1 | site)", "negbinomial", "~ mined + (1 | site)", nbinom2())
fit("nbinom1_groups", "lumped ~ mined + cover + (1 | site)", "nbinom1", "~ mined + (1 | site)", nbinom1())
fit("nbinom1_covariate", "lumped ~ cover + (1 | site)", "nbinom1", "~ mined", nbinom1())
