# Writes fits of metafor's rma by every estimator of tau^2 and every test, with their intervals, as JSON.
# usage: Rscript gen_meta_rma.R FILE.json      (metafor 3.8-1, metadat 1.2-0)
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
tight <- list(threshold=1e-13, maxiter=10000, tol=1e-13, stepadj=1)
bcg <- escalc("RR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg)
kon <- dat.konstantopoulos2011; rau <- dat.raudenbush1985; han <- dat.hackshaw1998; ban <- dat.bangertdrowns2004
small <- bcg[1:3,]
methods <- c("FE","DL","HE","HS","HSk","SJ","SJIT","PM","PMM","ML","REML","EB")
number <- function(x) if (is.null(x)) NA else as.numeric(x)
fit <- function(m) list(tau2=number(m$tau2), se_tau2=number(m$se.tau2), beta=number(m$beta), se=number(m$se),
  statistic=number(m$zval), p=number(m$pval), low=number(m$ci.lb), high=number(m$ci.ub), vcov=as.numeric(m$vb),
  QE=number(m$QE), QEp=number(m$QEp), QM=number(m$QM), QMp=number(m$QMp), I2=number(m$I2), H2=number(m$H2), R2=number(m$R2),
  s2w=number(m$s2w), stats=as.numeric(m$fit.stats[, if (m$method == "REML") "REML" else "ML"]))
interval <- function(m, type) {
  ci <- suppressWarnings(tryCatch(confint(m, type=type, control=list(tol=1e-12, maxiter=10000, tau2.max=500)), error=function(e) NULL))
  if (is.null(ci)) return(NULL)
  list(tau2=as.numeric(ci$random["tau^2",]), I2=as.numeric(ci$random["I^2(%)",]), H2=as.numeric(ci$random["H^2",]))
}
models <- list()
for (method in methods) {
  quiet <- suppressWarnings
  models[[paste("bcg", method)]] <- quiet(rma(yi, vi, data=bcg, method=method, control=tight))
  models[[paste("konstantopoulos", method)]] <- quiet(rma(yi, vi, data=kon, method=method, control=tight))
  models[[paste("bcg ablat", method)]] <- quiet(rma(yi, vi, mods=~ablat, data=bcg, method=method, control=tight))
  models[[paste("bcg small", method)]] <- quiet(rma(yi, vi, data=small, method=method, control=tight))
}
for (test in c("t", "knha", "adhoc")) {
  models[[paste("bcg REML", test)]] <- rma(yi, vi, data=bcg, test=test, control=tight)
  models[[paste("bcg ablat REML", test)]] <- rma(yi, vi, mods=~ablat, data=bcg, test=test, control=tight)
  models[[paste("bcg ablat DL", test)]] <- rma(yi, vi, mods=~ablat, data=bcg, test=test, method="DL", control=tight)
}
models[["bcg ablat year alloc REML"]] <- rma(yi, vi, mods=~ablat+year+alloc, data=bcg, control=tight)
models[["bcg ablat year REML"]] <- rma(yi, vi, mods=~ablat+year, data=bcg, control=tight)
models[["bcg alloc no intercept REML"]] <- rma(yi, vi, mods=~0+alloc, data=bcg, control=tight)
models[["raudenbush REML"]] <- rma(yi, vi, data=rau, control=tight)
rau$few <- pmin(rau$weeks, 3)
models[["raudenbush weeks REML"]] <- rma(yi, vi, mods=~few, data=rau, control=tight)
models[["hackshaw REML"]] <- rma(yi, vi, data=han, control=tight)
weighted <- list(`bcg weights REML`=rma(yi, vi, data=bcg, weights=tpos+tneg, control=tight),
  `bcg weights GENQ`=rma(yi, vi, data=bcg, weights=sqrt(1/vi), method="GENQ", control=tight),
  `bcg ablat weights GENQ`=rma(yi, vi, mods=~ablat, data=bcg, weights=sqrt(1/vi), method="GENQ", control=tight))
profiled <- Filter(Negate(is.null), lapply(models, function(m) if (m$method != "FE") interval(m, "QP")))
likelihoods <- Filter(Negate(is.null), lapply(models[sapply(models, function(m) m$method %in% c("ML", "REML"))],
  function(m) if (m$test == "z") interval(m, "PL")))
scales <- list(`bangert grade ML`=rma(yi, vi, scale=~grade, data=ban, method="ML"),
  `bcg ablat REML`=rma(yi, vi, mods=~ablat, scale=~ablat, data=bcg, method="REML"),
  `bangert ni REML`=rma(yi, vi, mods=~ni100, scale=~ni100, data=transform(ban, ni100=ni/100), method="REML"),
  `bangert ni ML`=rma(yi, vi, mods=~ni100, scale=~ni100, data=transform(ban, ni100=ni/100), method="ML"))
scale <- function(m) list(beta=number(m$beta), se=number(m$se), alpha=number(m$alpha), se_alpha=number(m$se.alpha), p_alpha=number(m$pval.alpha),
  logLik=as.numeric(logLik(m)), QS=number(m$QS))
trials <- data.frame(ai=c(173,157,131,56,52,36,62,2), n1i=c(5331,1906,4541,2051,424,1149,6582,88),
  ci=c(210,193,121,84,65,42,20,2), n2i=c(5296,1900,4516,2030,422,1129,1663,30))  # Follmann and Proschan 1999, table 1
fp <- escalc("PETO", ai=ai, n1i=n1i, ci=ci, n2i=n2i, data=trials)
dl <- rma(yi, vi, data=fp, method="DL")
six <- rma(yi, vi, mods=~ablat, data=bcg[1:6,], method="DL")
seven <- rma(yi, vi, mods=~ablat, data=bcg[1:7,], method="REML", test="knha", control=tight)
quiet <- function(...) permutest(..., progbar=FALSE)
permuted <- list(coefficient=quiet(dl, control=list(stat="coef"))$pval, test=quiet(dl)$pval,
  moderator=quiet(six)$pval, moderator_QMp=quiet(six)$QMp, knha=quiet(seven, exact=TRUE)$pval)
frame <- function(d, names) as.list(as.data.frame(d)[names])
write(toJSON(list(
  data=list(bcg=frame(bcg, c("trial","author","year","tpos","tneg","cpos","cneg","ablat","alloc","yi","vi")),
    konstantopoulos=frame(kon, c("district","school","yi","vi")), raudenbush=frame(rau, c("study","weeks","few","yi","vi")),
    hackshaw=frame(han, c("yi","vi")), bangert=frame(ban, c("yi","vi","grade","ni")), follmann=c(as.list(trials), list(yi=as.numeric(fp$yi), vi=fp$vi))),
  fits=lapply(models, fit), weighted=lapply(weighted, fit), QP=profiled, PL=likelihoods, scale=lapply(scales, scale),
  permuted=permuted), digits=NA, auto_unbox=TRUE, na="null"), commandArgs(TRUE)[1])
