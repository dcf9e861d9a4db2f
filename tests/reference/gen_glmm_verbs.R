# Writes tests, profile intervals and marginal means of lme4, glmmTMB and emmeans as JSON: tests/reference/glmm_verbs.
# usage, from the root: Rscript tests/reference/gen_glmm_verbs.R
suppressMessages({library(lme4); library(glmmTMB); library(emmeans); library(jsonlite)})
root <- "tests/reference/glmm_verbs"
out <- function(name, x) write(toJSON(x, digits = NA, auto_unbox = TRUE, pretty = TRUE, na = "null", dataframe = "columns"), file.path(root, paste0(name, ".json")))
versions <- list(lme4 = as.character(packageVersion("lme4")), glmmTMB = as.character(packageVersion("glmmTMB")), emmeans = as.character(packageVersion("emmeans")))
cb <- cbpp; cb$period <- factor(cb$period)
gt <- grouseticks
ss <- sleepstudy
va <- subset(VerbAgg, as.integer(id) <= 60); va$y <- as.numeric(va$r2 == "Y"); va$id <- droplevels(va$id)
tight <- glmmTMBControl(optCtrl = list(rel.tol = 1e-14, x.tol = 1e-10, iter.max = 1000, eval.max = 2000))
tmb <- function(formula, data, family) glmmTMB(as.formula(formula), data = data, family = family, control = tight)
plain <- function(e, ...) { d <- as.data.frame(summary(e, infer = c(TRUE, TRUE), ...)); d[] <- lapply(d, function(v) if (is.factor(v)) as.character(v) else v); d }
em <- function(m, ...) emmeans(m, ..., df = Inf)  # of glmmTMB's fits emmeans takes n - p, as if rows were independent
lrt <- function(small, large) list(chisq = 2 * (as.numeric(logLik(large)) - as.numeric(logLik(small))), df = attr(logLik(large), "df") - attr(logLik(small), "df"))
# the ends where -2 log L is above its minimum by the quantile of chi square: coefficients, log shape, log sds
ends <- function(m) { k <- length(m$fit$par); ci <- suppressWarnings(confint(m, method = "uniroot", parm = 1:k)); list(parameter = rownames(ci), low = as.numeric(ci[, 1]), high = as.numeric(ci[, 2])) }

two <- "cbind(incidence, size - incidence) ~ period + (1 | herd)"
m <- tmb(two, cb, binomial()); m0 <- tmb("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", cb, binomial()); mf <- tmb("cbind(incidence, size - incidence) ~ period", cb, binomial())
g <- glmer(two, data = cb, family = binomial, control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhoend = 1e-8)))
p <- suppressMessages(confint(g, method = "profile", oldNames = FALSE, delta.cutoff = 1 / 40))
e <- em(m, "period")
out("cbpp", list(versions = versions, fixed = lrt(m0, m), random = lrt(mf, m), aic = c(AIC(m), AIC(m0)), ends = ends(m),
  lme4 = list(parameter = rownames(p), low = as.numeric(p[, 1]), high = as.numeric(p[, 2])),
  means = plain(e), response = plain(e, type = "response"), pairs = plain(pairs(e)), ratios = plain(pairs(e), type = "response"),
  control = plain(contrast(e, "trt.vs.ctrl"), adjust = "none"), effects = plain(contrast(e, "eff"), adjust = "none"), joint = as.data.frame(test(pairs(e), joint = TRUE))))
m <- tmb(two, cb, binomial("probit")); e <- em(m, "period")
out("cbpp_probit", list(response = plain(e, type = "response"), pairs = plain(pairs(e, adjust = "none"), type = "response")))
m <- tmb(two, cb, binomial("cloglog")); out("cbpp_cloglog", list(response = plain(em(m, "period"), type = "response")))

ticks <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
m <- tmb(ticks, gt, nbinom2())
out("grouseticks", list(versions = versions, year = lrt(tmb("TICKS ~ cHEIGHT + (1 | BROOD) + (1 | LOCATION)", gt, nbinom2()), m), height = lrt(tmb("TICKS ~ YEAR + (1 | BROOD) + (1 | LOCATION)", gt, nbinom2()), m),
  brood = lrt(tmb("TICKS ~ YEAR + cHEIGHT + (1 | LOCATION)", gt, nbinom2()), m), location = lrt(tmb("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", gt, nbinom2()), m), ends = ends(m),
  response = plain(em(m, "YEAR"), type = "response"), ratios = plain(pairs(em(m, "YEAR")), type = "response")))
m <- tmb("TICKS ~ YEAR * cHEIGHT + (1 | BROOD)", gt, poisson())
t <- emtrends(m, ~ YEAR, var = "cHEIGHT", df = Inf)
out("grouseticks_trends", list(trends = plain(t), pairs = plain(pairs(t)), at = plain(em(m, "YEAR", at = list(cHEIGHT = 30)), type = "response")))

m <- tmb("Reaction ~ Days + (Days | Subject)", ss, Gamma("log")); out("sleepstudy_gamma_slope", list(ends = ends(m)))

m <- tmb("y ~ btype * situ + Gender + (1 | id)", va, binomial())
out("verbagg", list(criterion = -2 * as.numeric(logLik(m)), joint = as.data.frame(joint_tests(ref_grid(m, df = Inf))), means = plain(em(m, ~ btype | situ)),
  interaction = lrt(tmb("y ~ btype + situ + Gender + (1 | id)", va, binomial()), m), gender = lrt(tmb("y ~ btype * situ + (1 | id)", va, binomial()), m)))
