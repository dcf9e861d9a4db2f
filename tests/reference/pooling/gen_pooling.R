# Pooled estimates of multiple imputations by mice and mitml: Rscript gen_pooling.R FOLDER
#
# 40 schools with pupils whose ses and score have gaps, imputed seven times (mice, normal regression). Writes
# imputed.csv, the long form of mice, and pooling.json: estimates and covariances of each fit of lme4, what mitml makes
# of them (with and without df of complete data), D1, D2 and D3. lme4 minimises with BOBYQA to 1e-10.
suppressMessages({library(mice); library(mitml); library(lme4); library(jsonlite)})
out <- commandArgs(TRUE)[1]
set.seed(7)
J <- 40; n <- sample(6:14, J, TRUE); school <- rep(1:J, n); N <- length(school)
ses <- rnorm(N) + rnorm(J, 0, .5)[school]
arm <- rep(c("a", "b", "c"), length.out = J)[school]
u <- rnorm(J, 0, 2)[school]; v <- rnorm(J, 0, 1.8)[school]
score <- 50 + 2 * ses + (arm == "b") * 1.5 + (arm == "c") * -1 + u + v * ses + rnorm(N, 0, 4)
d <- data.frame(score, ses, arm = factor(arm), school)
d$ses[runif(N) < .25] <- NA
d$score[runif(N) < .15] <- NA
imp <- mice(d, m = 7, maxit = 5, seed = 11, printFlag = FALSE, method = c("norm", "norm", "", ""))
long <- mice::complete(imp, "long", include = TRUE)
long$score <- round(long$score, 4); long$ses <- round(long$ses, 4)
write.csv(long[, c(".imp", ".id", "score", "ses", "arm", "school")], file.path(out, "imputed.csv"), row.names = FALSE,
          quote = FALSE)
sets <- as.mitml.list(split(long[long$.imp > 0, ], long$.imp[long$.imp > 0]))
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = .2, rhoend = 1e-10, maxfun = 1e5))
R1 <- with(sets, lmer(score ~ ses + arm + (1 + ses | school), control = control))
R0 <- with(sets, lmer(score ~ ses + (1 + ses | school), control = control))
M1 <- with(sets, lmer(score ~ ses + arm + (1 + ses | school), REML = FALSE, control = control))
M0 <- with(sets, lmer(score ~ ses + (1 + ses | school), REML = FALSE, control = control))
table <- function(e) as.data.frame(unclass(e))[, c("Estimate", "Std.Error", "df", "RIV", "FMI")]
one <- function(t) as.list(setNames(as.numeric(t$test), c("F", "num_df", "den_df", "p", "riv")))
pooled <- testEstimates(R1, extra.pars = TRUE)
write_json(list(
  estimates = t(sapply(R1, fixef)), covariances = lapply(R1, function(f) as.matrix(vcov(f))),
  names = names(fixef(R1[[1]])),
  large = table(pooled$estimates), small = table(testEstimates(R1, df.com = 36.5)$estimates),
  variances = as.list(pooled$extra.pars[, 1]),
  D1 = one(testModels(R1, R0, method = "D1")), D1_small = one(testModels(R1, R0, method = "D1", df.com = 36.5)),
  D2_wald = one(testModels(M1, M0, method = "D2", use = "wald")),
  D2 = one(testModels(M1, M0, method = "D2", use = "likelihood")),
  D3 = one(testModels(M1, M0, method = "D3"))
), file.path(out, "pooling.json"), digits = 12, auto_unbox = TRUE, pretty = TRUE)
