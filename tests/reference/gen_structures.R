# Writes fits with structured covariances and related levels, as JSON, and the data they are of (simulated here).
# usage: Rscript gen_structures.R DIRECTORY      (nlme 3.1-162, glmmTMB 1.1.5, metafor 3.8-1)
suppressMessages({library(nlme); library(glmmTMB); library(metafor); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
set.seed(20)
d <- expand.grid(rep=1:2, outcome=c("maths", "reading", "science"), school=sprintf("s%02d", 1:24))
shared <- rnorm(24); own <- matrix(rnorm(72, sd=0.7), 24)
d$x <- round(rnorm(nrow(d)), 3)
d$score <- round(5 + 0.4 * d$x + c(1, 1.4, 0.8)[d$outcome] * (shared[d$school] + own[cbind(as.integer(d$school), d$outcome)]) +
  rnorm(nrow(d), sd=0.8), 3)
d$vi <- round(runif(nrow(d), 0.05, 0.6), 3)
write.csv(d, file.path(folder, "schools.csv"), row.names=FALSE)
position <- round(sort(runif(24, 0, 6)), 3)
A <- exp(-abs(outer(position, position, "-"))); rownames(A) <- colnames(A) <- levels(d$school)
write.csv(A, file.path(folder, "relation.csv"))

tight <- lmeControl(msMaxIter=500, msTol=1e-12, tolerance=1e-10, niterEM=50, opt="nlminb", msMaxEval=2000)
of_lme <- function(random) lapply(c(ML="ML", REML="REML"), function(method) {
  m <- lme(score ~ x, data=d, random=list(school=random), method=method, control=tight)
  V <- as.matrix(getVarCov(m))
  list(criterion=-2 * as.numeric(logLik(m)), beta=as.numeric(fixef(m)), sd=sqrt(diag(V)), cor=cov2cor(V)[1, 2],
       sigma=m$sigma, se=as.numeric(sqrt(diag(vcov(m)))))
})
of_tmb <- function(formula) {
  m <- glmmTMB(formula, data=d, control=glmmTMBControl(optCtrl=list(iter.max=2000, eval.max=2000)))
  V <- VarCorr(m)$cond$school
  list(ML=list(criterion=-2 * as.numeric(logLik(m)), beta=as.numeric(fixef(m)$cond), sd=attr(V, "stddev"),
       cor={R <- attr(V, "correlation"); if (is.null(dim(R))) 0 else R[1, 2]}, sigma=sigma(m), se=as.numeric(sqrt(diag(vcov(m)$cond)))))
}
one <- d[d$rep == 1, ]
of_mv <- function(struct, ...) lapply(c(ML="ML", REML="REML"), function(method) {
  m <- rma.mv(score, vi, mods=~x, random=if (is.null(struct)) ~1 | school else ~outcome | school,
    struct=if (is.null(struct)) "CS" else struct, data=one, method=method,
    control=list(optimizer="optim", optmethod="BFGS", reltol=1e-15, maxit=5000), ...)
  list(loglik=as.numeric(logLik(m)), beta=as.numeric(m$beta), se=m$se, tau2=m$tau2, rho=m$rho, sigma2=m$sigma2)
})
write(toJSON(list(
  nlme=list(us=of_lme(pdSymm(~outcome - 1)), diag=of_lme(pdDiag(~outcome - 1)), id=of_lme(pdIdent(~outcome - 1)),
    homcs=of_lme(pdCompSymm(~outcome - 1))),
  glmmTMB=list(cs=of_tmb(score ~ x + cs(0 + outcome | school)), us=of_tmb(score ~ x + us(0 + outcome | school)),
    diag=of_tmb(score ~ x + diag(0 + outcome | school))),
  metafor=list(homcs=of_mv("CS"), cs=of_mv("HCS"), us=of_mv("UN"), diag=of_mv("DIAG"), id=of_mv("ID"),
    relation=of_mv(NULL, R=list(school=A), Rscale="none"))
), digits=NA, auto_unbox=FALSE, pretty=TRUE), file.path(folder, "structures.json"))

# Serial correlation of five occasions, 40 pupils, two answers each; a second response whose neighbours are opposed.
set.seed(21)
t <- expand.grid(rep=1:2, occasion=factor(1:5), pupil=sprintf("p%02d", 1:40))
serial <- function(rho) t(sapply(1:40, function(i) as.numeric(arima.sim(list(ar=rho), 5)) * sqrt(1 - rho^2)))
at <- cbind(as.integer(factor(t$pupil)), as.integer(t$occasion))
t$x <- round(rnorm(nrow(t)), 3)
t$score <- round(2 + 0.3 * t$x + c(0.8, 1, 1.3, 1, 1.5)[t$occasion] * serial(0.7)[at] + rnorm(nrow(t), sd=0.6), 3)
t$swing <- round(1 - 0.2 * t$x + serial(-0.5)[at] + rnorm(nrow(t), sd=0.6), 3)
t$vi <- round(runif(nrow(t), 0.05, 0.5), 3)
write.csv(t, file.path(folder, "pupils.csv"), row.names=FALSE)
serial_tmb <- function(formula, REML, data=t) {
  m <- glmmTMB(formula, data=data, REML=REML, control=glmmTMBControl(optCtrl=list(iter.max=5000, eval.max=5000, rel.tol=1e-14)))
  V <- VarCorr(m)$cond$pupil
  list(criterion=-2 * as.numeric(logLik(m)), beta=as.numeric(fixef(m)$cond), sd=attr(V, "stddev")[[1]],
       cor=attr(V, "correlation")[1, 2], sigma=sigma(m), se=as.numeric(sqrt(diag(vcov(m)$cond))))
}
single <- t[t$rep == 1, ]
serial_mv <- function(struct) lapply(c(ML="ML", REML="REML"), function(method) {
  m <- rma.mv(score, vi, mods=~x, random=~occasion | pupil, struct=struct, data=single, method=method,
    control=list(optimizer="optim", optmethod="BFGS", reltol=1e-15, maxit=5000))
  list(loglik=as.numeric(logLik(m)), beta=as.numeric(m$beta), se=m$se, tau2=m$tau2, rho=m$rho)
})
write(toJSON(list(
  glmmTMB=list(score=list(ML=serial_tmb(score ~ x + ar1(0 + occasion | pupil), FALSE), REML=serial_tmb(score ~ x + ar1(0 + occasion | pupil), TRUE)),
    swing=list(ML=serial_tmb(swing ~ x + ar1(0 + occasion | pupil), FALSE), REML=serial_tmb(swing ~ x + ar1(0 + occasion | pupil), TRUE))),
  metafor=list(ar1=serial_mv("AR"), hetar1=serial_mv("HAR"))
), digits=NA, auto_unbox=FALSE, pretty=TRUE), file.path(folder, "serial.json"))
