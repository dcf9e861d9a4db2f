# Writes reference fits of glmmTMB and lme4 as JSON: tests/reference/glmm.
# usage, from the root: Rscript tests/reference/gen_glmm.R
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})
root <- "tests/reference/glmm"
out <- function(name, x) write(toJSON(x, digits = NA, auto_unbox = TRUE, pretty = TRUE, na = "null"), file.path(root, paste0(name, ".json")))
cb <- cbpp; cb$period <- factor(cb$period)
gt <- grouseticks
ss <- sleepstudy
tight <- glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-10, iter.max = 1000, eval.max = 2000))

# name, ours (formula, family, link, data), then the same for glmmTMB
tmb <- function(name, ours, family, link, data, d, formula, fam) {
  m <- suppressWarnings(glmmTMB(as.formula(formula), data = d, family = fam, control = tight))
  sds <- lapply(VarCorr(m)$cond, function(v) list(sd = as.numeric(attr(v, "stddev")), cor = as.numeric(attr(v, "correlation")[lower.tri(attr(v, "correlation"))])))
  out(name, list(program = "glmmTMB", version = as.character(packageVersion("glmmTMB")), formula = ours, family = family, link = link, data = data,
    criterion = -2 * as.numeric(logLik(m)), fixef = as.numeric(fixef(m)$cond), se = as.numeric(sqrt(diag(vcov(m)$cond))), sds = sds, sigma = sigma(m)))
  cat(name, format(-2 * as.numeric(logLik(m)), digits = 12), "\n")
}
two <- "incidence | trials(size) ~ period + (1 | herd)"; two_r <- "cbind(incidence, size - incidence) ~ period + (1 | herd)"
for (link in c("logit", "probit", "cloglog")) tmb(paste0("cbpp_", link), two, "binomial", link, "cbpp", cb, two_r, binomial(link))
ticks <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
tmb("grouseticks_poisson", paste(ticks, "+ (1 | INDEX)"), "poisson", "log", "grouseticks", gt, paste(ticks, "+ (1 | INDEX)"), poisson())
tmb("grouseticks_negbinomial", ticks, "negbinomial", "log", "grouseticks", gt, ticks, nbinom2())
# counts far from zero: about zero the root has a mode on either side, and programs may differ in which they take
tmb("cbpp_sqrt", "size ~ period + (1 | herd)", "poisson", "sqrt", "cbpp", cb, "size ~ period + (1 | herd)", poisson("sqrt"))
tmb("sleepstudy_gamma", "Reaction ~ Days + (1 | Subject)", "gamma", "log", "sleepstudy", ss, "Reaction ~ Days + (1 | Subject)", Gamma("log"))
tmb("sleepstudy_gamma_slope", "Reaction ~ Days + (Days | Subject)", "gamma", "log", "sleepstudy", ss, "Reaction ~ Days + (Days | Subject)", Gamma("log"))
tmb("sleepstudy_gaussian_log", "Reaction ~ Days + (Days | Subject)", "gaussian", "log", "sleepstudy", ss, "Reaction ~ Days + (Days | Subject)", gaussian("log"))
tmb("sleepstudy_gaussian", "Reaction ~ Days + (Days | Subject)", "gaussian", "identity", "sleepstudy", ss, "Reaction ~ Days + (Days | Subject)", gaussian())

# lme4, its inner iteration tight; its likelihood by quadrature leaves constants out, so only estimates are compared
for (n in c(1, 9, 25)) {
  m <- glmer(two_r, data = cb, family = binomial, nAGQ = n, control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhoend = 1e-8)))
  out(paste0("cbpp_lme4_agq", n), list(program = "lme4", version = as.character(packageVersion("lme4")), formula = two, family = "binomial", link = "logit", data = "cbpp", nAGQ = n,
    criterion = if (n == 1) -2 * as.numeric(logLik(m)) else NULL, fixef = as.numeric(fixef(m)), se = as.numeric(sqrt(diag(vcov(m)))), theta = as.numeric(getME(m, "theta")),
    ranef = as.numeric(ranef(m)$herd[, 1]), fitted = as.numeric(fitted(m)), pearson = as.numeric(residuals(m, "pearson")), deviance = as.numeric(residuals(m, "deviance")),
    working = as.numeric(residuals(m, "working")), response = as.numeric(residuals(m, "response"))))
  cat("lme4", n, format(-2 * as.numeric(logLik(m)), digits = 12), "\n")
}

# generalised linear models without random effects: R's glm
glms <- function(name, ours, family, link, data, m) out(name, list(program = "glm", version = as.character(getRversion()), formula = ours, family = family, link = link, data = data,
  fixef = as.numeric(coef(m)), pearson = as.numeric(residuals(m, "pearson")), deviance = as.numeric(residuals(m, "deviance")), working = as.numeric(residuals(m, "working")), response = as.numeric(residuals(m, "response"))))
tight_glm <- glm.control(epsilon = 1e-14, maxit = 100)
glms("glm_binomial_cauchit", "incidence | trials(size) ~ period", "binomial", "cauchit", "cbpp", glm(cbind(incidence, size - incidence) ~ period, binomial("cauchit"), cb, control = tight_glm))
glms("glm_poisson_identity", "TICKS ~ YEAR", "poisson", "identity", "grouseticks", glm(TICKS ~ YEAR, poisson("identity"), gt, control = tight_glm))
glms("glm_gamma_inverse", "Reaction ~ Days", "gamma", "inverse", "sleepstudy", glm(Reaction ~ Days, Gamma("inverse"), ss, control = tight_glm))
glms("glm_gaussian_inverse", "Reaction ~ Days", "gaussian", "inverse", "sleepstudy", glm(Reaction ~ Days, gaussian("inverse"), ss, start = c(0.004, -1e-4), control = tight_glm))
