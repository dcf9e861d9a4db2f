# Writes reference fits of glmmTMB and ordinal, families beyond those of gen_glmm.R: tests/reference/glmm_families.
# usage, from the root: Rscript tests/reference/gen_glmm_families.R
suppressMessages({library(lme4); library(glmmTMB); library(ordinal); library(jsonlite)})
root <- "tests/reference/glmm_families"
out <- function(name, x) write(toJSON(x, digits = NA, auto_unbox = TRUE, pretty = TRUE, na = "null"), file.path(root, paste0(name, ".json")))
cb <- cbpp; cb$period <- factor(cb$period); cb$big <- as.numeric(cb$size > 12)
gt <- grouseticks
ss <- transform(sleepstudy, share = Reaction / 500, excess = pmax(Reaction - 260, 0))
positive <- subset(gt, TICKS > 0)
tight <- glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-10, iter.max = 2000, eval.max = 4000))

# name, ours (formula, family, link, data, dispersion), then the same for glmmTMB
tmb <- function(name, ours, family, link, data, d, formula, fam, disp = ~1, dispersion = NULL, zi = ~0, hurdle = NULL, start = NULL) {
  m <- suppressWarnings(glmmTMB(as.formula(formula), data = d, family = fam, dispformula = disp, ziformula = zi, control = tight, start = start))
  sds <- function(part) lapply(VarCorr(m)[[part]], function(v) list(sd = as.numeric(attr(v, "stddev")), cor = as.numeric(attr(v, "correlation")[lower.tri(attr(v, "correlation"))])))
  x <- list(program = "glmmTMB", version = as.character(packageVersion("glmmTMB")), formula = ours, family = family, link = link, data = data, dispersion = dispersion, zi = hurdle,
    criterion = -2 * as.numeric(logLik(m)), fixef = as.numeric(fixef(m)$cond), se = as.numeric(sqrt(diag(vcov(m)$cond))), sds = sds("cond"), disp = as.numeric(fixef(m)$disp),
    disp_se = as.numeric(sqrt(diag(vcov(m)$disp))), zi_fixef = as.numeric(fixef(m)$zi), zi_se = as.numeric(sqrt(diag(vcov(m)$zi))), power = if (family == "tweedie") as.numeric(family_params(m)) else NULL)
  if (is.null(m$modelInfo$allForm$dispformula) || identical(disp, ~1)) x$sigma <- sigma(m)
  out(name, x[!sapply(x, is.null)])
  cat(name, format(x$criterion, digits = 12), m$fit$convergence, x$disp, "\n")
}
two <- "incidence | trials(size) ~ period + (1 | herd)"; two_r <- "cbind(incidence, size - incidence) ~ period + (1 | herd)"
ticks <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
tmb("cbpp_beta_binomial", two, "beta_binomial", "logit", "cbpp", cb, two_r, betabinomial())
tmb("grouseticks_nbinom1", ticks, "nbinom1", "log", "grouseticks", gt, ticks, nbinom1())
tmb("sleepstudy_beta", "share ~ Days + (1 | Subject)", "beta", "logit", "sleepstudy", ss, "share ~ Days + (1 | Subject)", beta_family())
tmb("sleepstudy_beta_slope", "share ~ Days + (Days | Subject)", "beta", "logit", "sleepstudy", ss, "share ~ Days + (Days | Subject)", beta_family())
tmb("sleepstudy_tweedie", "excess ~ Days + (1 | Subject)", "tweedie", "log", "sleepstudy", ss, "excess ~ Days + (1 | Subject)", tweedie())
tmb("grouseticks_truncated_poisson", paste(ticks, "+ (1 | INDEX)"), "truncated_poisson", "log", "positive", positive, paste(ticks, "+ (1 | INDEX)"), truncated_poisson())
tmb("grouseticks_truncated_negbinomial", ticks, "truncated_negbinomial", "log", "positive", positive, ticks, truncated_nbinom2())
# models of the dispersion
tmb("grouseticks_negbinomial_dispersion", ticks, "negbinomial", "log", "grouseticks", gt, ticks, nbinom2(), ~ YEAR, "~ YEAR")
tmb("grouseticks_nbinom1_dispersion", ticks, "nbinom1", "log", "grouseticks", gt, ticks, nbinom1(), ~ YEAR, "~ YEAR")
tmb("sleepstudy_gamma_dispersion", "Reaction ~ Days + (Days | Subject)", "gamma", "log", "sleepstudy", ss, "Reaction ~ Days + (Days | Subject)", Gamma("log"), ~ Days, "~ Days")
tmb("sleepstudy_gaussian_dispersion", "Reaction ~ Days + (Days | Subject)", "gaussian", "identity", "sleepstudy", ss, "Reaction ~ Days + (Days | Subject)", gaussian(), ~ Days, "~ Days")
tmb("sleepstudy_beta_dispersion", "share ~ Days + (1 | Subject)", "beta", "logit", "sleepstudy", ss, "share ~ Days + (1 | Subject)", beta_family(), ~ Days, "~ Days")
tmb("cbpp_beta_binomial_dispersion", two, "beta_binomial", "logit", "cbpp", cb, two_r, betabinomial(), ~ big, "~ big")
# hurdles, random effects in both parts
hurdle <- "TICKS ~ YEAR + cHEIGHT + (1 | LOCATION)"
tmb("grouseticks_hurdle_poisson", hurdle, "hurdle_poisson", "log", "grouseticks", gt, hurdle, truncated_poisson(), zi = ~ cHEIGHT + (1 | LOCATION), hurdle = "~ cHEIGHT + (1 | LOCATION)")
tmb("grouseticks_hurdle_negbinomial", hurdle, "hurdle_negbinomial", "log", "grouseticks", gt, hurdle, truncated_nbinom2(), zi = ~ cHEIGHT + (1 | LOCATION), hurdle = "~ cHEIGHT + (1 | LOCATION)")

# ordered responses: the wine data of ordinal (Randall 1989)
write.csv(wine[, c("rating", "temp", "contact", "bottle", "judge")], "tests/data/wine.csv", row.names = FALSE)
# standard errors of clmm2 where there is one random intercept: those of clmm are coarser differences
clm <- function(name, formula, link, m, m2 = NULL) {
  k <- length(m$alpha); p <- length(m$beta)
  s <- if (is.null(m2)) sqrt(diag(vcov(m)))[seq_len(k + p)] else coef(summary(m2))[seq_len(k + p), "Std. Error"]
  out(name, list(program = "ordinal", version = as.character(packageVersion("ordinal")), formula = formula, family = "cumulative", link = link, data = "wine",
    criterion = -2 * as.numeric(logLik(m)), thresholds = as.numeric(m$alpha), names = names(m$alpha), fixef = as.numeric(m$beta), threshold_se = as.numeric(s[seq_len(k)]), se = as.numeric(s[k + seq_len(p)]),
    sds = lapply(VarCorr(m), function(w) list(sd = as.numeric(attr(w, "stddev"))))))
  cat(name, format(-2 * as.numeric(logLik(m)), digits = 12), "\n")
}
ctl <- clmm.control(gradTol = 1e-8)
# clmm calls loglog what clm and others call cloglog, F(x) = 1 - exp(-exp(x)), and the other way round
theirs <- c(logit = "logit", probit = "probit", cloglog = "loglog")
for (link in names(theirs)) clm(paste0("wine_", link), "rating ~ temp + contact + (1 | judge)", link, clmm(rating ~ temp + contact + (1 | judge), data = wine, link = theirs[[link]], control = ctl),
  clmm2(rating ~ temp + contact, random = judge, data = wine, link = c(logit = "logistic", probit = "probit", cloglog = "loglog")[[link]], Hess = TRUE))
clm("wine_crossed", "rating ~ temp + (1 | judge) + (1 | bottle)", "logit", clmm(rating ~ temp + (1 | judge) + (1 | bottle), data = wine, control = ctl))
