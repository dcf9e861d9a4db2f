# Effects of small classes on STAR by hand from lme4's estimates, and by emmeans.
# usage: python -c "import mixedfx as mx; mx.datasets.load('star').to_csv('star.csv', index=False)"
#        Rscript gen_effects.R star.csv star.json
suppressMessages({library(lme4); library(emmeans); library(Matrix); library(jsonlite)})
arg <- commandArgs(TRUE)
d <- read.csv(arg[1], stringsAsFactors = TRUE)
d$sch <- factor(d$sch)
formula <- math ~ small * race + small * gender + (1 + small | sch)
# lme4's optimisers stop when the criterion no longer changes, about 1e-5 short in theta. Newton steps from there, with
# central differences of the deviance function (step 1e-3; its rounding error of 1e-10 leaves 1e-8 in theta).
parsed <- lFormula(formula, d, REML = TRUE)
deviance <- do.call(mkLmerDevfun, parsed)
theta <- optimizeLmer(deviance, optimizer = "bobyqa", control = list(maxfun = 1e4, rhoend = 1e-9))$par
k <- length(theta)
step <- function(i, h) { e <- numeric(k); e[i] <- h; e }
for (iteration in 1:6) {
  h <- 1e-3
  gradient <- sapply(1:k, function(i) {
    f <- function(s) deviance(theta + step(i, s * h))
    (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / (12 * h)
  })
  hessian <- outer(1:k, 1:k, Vectorize(function(i, j) {
    f <- function(a, b) deviance(theta + step(i, a * 5e-3) + step(j, b * 5e-3))
    (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * 25e-6)
  }))
  change <- solve(hessian, gradient)
  theta <- theta - change
}
stopifnot(max(abs(change)) < 1e-7)
value <- deviance(theta)
m <- mkMerMod(environment(deviance), list(par = theta, fval = value, conv = 0, feval = 0, message = ""), parsed$reTrms, parsed$fr)
m@call <- quote(lmer(formula, d, REML = TRUE))
used <- model.frame(m)

# The joint covariance of estimate minus truth of (beta, u), from Henderson's equations at theta-hat.
X <- getME(m, "X"); Zt <- getME(m, "Zt"); Lambda <- t(getME(m, "Lambdat"))
W <- cbind(Matrix(X), t(Zt)); p <- ncol(X); q <- nrow(Zt)
A <- crossprod(W)
prior <- solve(tcrossprod(Lambda))
A[(p + 1):(p + q), (p + 1):(p + q)] <- A[(p + 1):(p + q), (p + 1):(p + q)] + prior
V <- sigma(m)^2 * as.matrix(solve(A))
estimate <- c(fixef(m), getME(m, "b")@x)

rows <- function(small) {
  n <- used; n$small <- small
  Xn <- model.matrix(~ small * race + small * gender, n)
  Zn <- matrix(0, nrow(n), q)
  school <- as.integer(n$sch)
  Zn[cbind(seq_len(nrow(n)), 2 * school - 1)] <- 1
  Zn[cbind(seq_len(nrow(n)), 2 * school)] <- small
  list(X = Xn, Z = Zn)
}
one <- rows(1); zero <- rows(0)
stopifnot(max(abs(rows(0)$X[used$small == 0, ] - X[used$small == 0, ])) == 0)
stopifnot(max(abs(as.matrix(t(Zt))[used$small == 1, ] - one$Z[used$small == 1, ])) == 0)
groups <- function(by) interaction(used[by], drop = TRUE, lex.order = TRUE, sep = ":")
effect <- function(by, random) {
  g <- groups(by)
  C <- t(sapply(levels(g), function(l) {
    i <- g == l
    c(colMeans(one$X[i, , drop = FALSE] - zero$X[i, , drop = FALSE]),
      if (random) colMeans(one$Z[i, , drop = FALSE] - zero$Z[i, , drop = FALSE]) else rep(0, q))
  }))
  S <- C %*% V %*% t(C)
  data.frame(subgroup = levels(g), n = as.vector(table(g)), estimate = as.vector(C %*% estimate), se = sqrt(diag(S)))
}
# Covariance of the effects of the four crossings, groups fitted.
g <- groups(c("race", "gender"))
C <- t(sapply(levels(g), function(l) colMeans(cbind(one$X - zero$X, one$Z - zero$Z)[g == l, ])))
e <- suppressMessages(emmeans(m, ~ small | race * gender, at = list(small = c(0, 1)), lmer.df = "asymptotic", pbkrtest.limit = 0))
by_emmeans <- as.data.frame(contrast(e, list("1 - 0" = c(-1, 1))))
out <- list(
  formula = "math ~ small*race + small*gender + (1 + small | sch)", R = R.version.string,
  lme4 = as.character(packageVersion("lme4")), emmeans_version = as.character(packageVersion("emmeans")),
  theta = as.list(getME(m, "theta")), sigma = sigma(m), criterion = REMLcrit(m),
  fitted = list(race_gender = effect(c("race", "gender"), TRUE), race = effect("race", TRUE), gender = effect("gender", TRUE)),
  average = list(race_gender = effect(c("race", "gender"), FALSE), race = effect("race", FALSE)),
  covariance = C %*% V %*% t(C),
  emmeans = by_emmeans[, c("race", "gender", "estimate", "SE")]
)
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), arg[2])
