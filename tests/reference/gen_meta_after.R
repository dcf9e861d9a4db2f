# Writes what metafor says after a fit: predictions, influence, leave-one-out, cumulative, publication bias, MH and Peto.
# usage: Rscript gen_meta_after.R FILE.json      (metafor 3.8-1, metadat 1.2-0, clubSandwich 0.5.8)
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
pdf(NULL)
tight <- list(threshold=1e-13, maxiter=10000, stepadj=1)
bcg <- escalc("RR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg)
bcg$ni <- with(bcg, tpos + tneg + cpos + cneg)
han <- dat.hackshaw1998
fits <- list(bcg=rma(yi, vi, data=bcg, control=tight), `bcg DL`=rma(yi, vi, data=bcg, method="DL"),
  `bcg EE`=rma(yi, vi, data=bcg, method="EE"), `bcg knha`=rma(yi, vi, data=bcg, test="knha", control=tight),
  `bcg ablat`=rma(yi, vi, mods=~ablat, data=bcg, control=tight),
  `bcg ablat knha`=rma(yi, vi, mods=~ablat, data=bcg, test="knha", control=tight))
frame <- function(x, names=NULL) {x <- as.data.frame(unclass(x)[sapply(unclass(x), function(v) is.numeric(v) && length(v) > 1)]); as.list(if (is.null(names)) x else x[names])}
columns <- function(x, names) lapply(setNames(names, names), function(n) as.numeric(x[[n]]))
influences <- function(m) {
  i <- influence(m)
  c(columns(i$inf, c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del", "hat", "weight")),
    list(dfbs=lapply(i$dfbs, as.numeric), inf=i$is.infl))
}
dropped <- function(m) columns(leave1out(m), intersect(c("estimate","se","zval","pval","ci.lb","ci.ub","Q","Qp","tau2","I2","H2"), names(leave1out(m))))
bits <- c("estimate","se","zval","pval","ci.lb","ci.ub","Q","Qp","tau2","I2","H2")
cumulative <- cumul(fits$bcg, order=year); cumulative$pval <- 2 * pnorm(-abs(cumulative$zval))
after <- lapply(fits, function(m) list(predict=columns(if (m$int.only) predict(m) else predict(m, newmods=c(10, 33, 55)), c("pred","se","ci.lb","ci.ub","pi.lb","pi.ub")),
  blup=if (m$method != "EE") columns(blup(m), c("pred","se","pi.lb","pi.ub")), ranef=if (m$method != "EE") columns(ranef(m), c("pred","se","pi.lb","pi.ub")),
  influence=influences(m), leave1out=if (m$int.only) dropped(m),
  rstandard=columns(rstandard(m), c("resid","se","z"))))
comparison <- function(a, b) {x <- anova(a, b); list(LRT=x$LRT, p=x$pval, R2=if (is.null(x$R2)) NA else x$R2)}
ml <- function(f) rma(yi, vi, mods=f, data=bcg, method="ML", control=tight)
anovas <- list(ML=comparison(ml(~ablat+year), ml(~1)), REML=comparison(fits$bcg, fits$`bcg EE`))
egger <- list()
for (model in c("rma", "lm")) for (predictor in c("sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv")) {
  x <- regtest(yi, vi, ni=ni, data=bcg, model=model, predictor=predictor, method="DL")
  egger[[paste(model, predictor)]] <- list(z=x$zval, p=x$pval, df=if (model == "lm") x$dfs else NA,
    est=if (is.null(x$est)) NA else x$est, low=if (is.null(x$est)) NA else x$ci.lb, high=if (is.null(x$est)) NA else x$ci.ub)
}
rank <- ranktest(fits$bcg); rank_h <- ranktest(rma(yi, vi, data=han))
tied <- data.frame(yi=c(.1,.2,.2,.4,.6,.3), vi=c(.1,.1,.2,.3,.4,.05)); rank_t <- suppressWarnings(ranktest(yi, vi, data=tied))
fills <- list()
for (estimator in c("L0", "R0", "Q0")) for (side in c("left", "right", "auto")) for (set in c("bcg", "hackshaw")) {
  m <- rma(yi, vi, data=if (set == "bcg") bcg else han, method="DL")
  x <- if (side == "auto") trimfill(m, estimator=estimator) else trimfill(m, estimator=estimator, side=side)
  fills[[paste(set, estimator, side)]] <- list(k0=x$k0, se=if (is.null(x$se.k0)) NA else x$se.k0, side=x$side, beta=as.numeric(x$beta), se_beta=x$se, tau2=x$tau2,
    p_k0=if (is.null(x$p.k0) || is.na(x$p.k0)) NA else x$p.k0, filled=as.numeric(x$yi[x$fill]))
}
safe <- list(Rosenthal=fsn(yi, vi, data=bcg)$fsnum, Orwin=fsn(yi, vi, data=bcg, type="Orwin", target=log(0.95))$fsnum,
  `Orwin weighted`=fsn(yi, vi, data=bcg, type="Orwin", weighted=TRUE, target=log(0.95))$fsnum,
  Rosenberg=fsn(yi, vi, data=bcg, type="Rosenberg")$fsnum, hackshaw=fsn(yi, vi, data=han)$fsnum,
  Rosenthal_p=fsn(yi, vi, data=bcg)$pval, Rosenberg_p=fsn(yi, vi, data=bcg, type="Rosenberg")$pval)
excess <- function(x) list(theta=as.numeric(x$theta), O=x$O, E=x$E, power=as.numeric(x$power), X2=x$X2, p=x$pval, limit=as.numeric(x$theta.lim))
tess <- list(bcg=excess(tes(yi, vi, data=bcg)), bcg_binom=excess(tes(yi, vi, data=bcg, test="binom")), bcg_exact=excess(tes(yi, vi, data=bcg, test="exact")),
  hackshaw=excess(tes(yi, vi, data=han)), hackshaw_greater=excess(tes(yi, vi, data=han, alternative="greater", theta=.1)),
  random=excess(tes(fits$bcg)))
number <- function(x) if (is.null(x)) NA else as.numeric(x)
mh <- function(m) list(beta=number(m$beta), se=number(m$se), z=number(m$zval), p=number(m$pval), low=number(m$ci.lb), high=number(m$ci.ub), QE=number(m$QE),
  QEp=number(m$QEp), I2=number(m$I2), H2=number(m$H2), MH=number(m$MH), MHp=number(m$MHp), TA=number(m$TA), TAp=number(m$TAp), BD=number(m$BD), BDp=number(m$BDp), k_yi=m$k.yi)
zero <- data.frame(ai=c(0,3,5,0,8), bi=c(20,17,30,15,22), ci=c(2,6,9,0,12), di=c(19,14,25,16,20))
rates <- data.frame(x1i=c(4,0,30,12), x2i=c(9,3,41,25), t1i=c(120.5,33,410,88.25), t2i=c(131,40,395.5,90))
pooled <- list()
for (measure in c("OR", "RR", "RD")) {
  pooled[[paste("bcg", measure)]] <- mh(rma.mh(measure=measure, ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg))
  pooled[[paste("zero", measure)]] <- mh(suppressWarnings(rma.mh(measure=measure, ai=ai, bi=bi, ci=ci, di=di, data=zero)))
}
for (measure in c("IRR", "IRD")) pooled[[paste("rates", measure)]] <- mh(suppressWarnings(rma.mh(measure=measure, x1i=x1i, x2i=x2i, t1i=t1i, t2i=t2i, data=rates)))
pooled[["corrected OR"]] <- mh(rma.mh(measure="OR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg, correct=FALSE))
peto <- list(bcg=mh(rma.peto(ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg)), zero=mh(suppressWarnings(rma.peto(ai=ai, bi=bi, ci=ci, di=di, data=zero))))
added <- list()
for (to in c("only0", "all", "if0all")) {
  both <- list(add=c(1/2, 1/2), to=c("only0", to))
  for (measure in c("OR", "RR", "RD")) added[[paste("zero", measure, to)]] <- mh(suppressWarnings(do.call(rma.mh, c(list(measure=measure, ai=zero$ai, bi=zero$bi, ci=zero$ci, di=zero$di), both))))
  for (measure in c("IRR", "IRD")) added[[paste("rates", measure, to)]] <- mh(suppressWarnings(do.call(rma.mh, c(list(measure=measure, x1i=rates$x1i, x2i=rates$x2i, t1i=rates$t1i, t2i=rates$t2i), both))))
}
added[["zero PETO only0"]] <- mh(suppressWarnings(rma.peto(ai=ai, bi=bi, ci=ci, di=di, data=zero, add=c(1/2, 1/2), to=c("none", "only0"))))
suppressMessages(library(clubSandwich))
robust <- function(m, cluster, kind, q) {t <- as.data.frame(coef_test(m, vcov=kind, cluster=cluster, test="Satterthwaite"))
  w <- if (q > 1) Wald_test(m, constraints=constrain_zero(2:3), vcov=kind, cluster=cluster, test="HTZ") else NULL
  list(se=t$SE, df=t[[grep("df", names(t))]], F=if (q > 1) w$Fstat else NA, num=if (q > 1) w$df_num else NA, den=if (q > 1) w$df_denom else NA)}
two <- rma(yi, vi, mods=~ablat+year, data=bcg, control=tight)
sandwiches <- list(); for (kind in c("CR0", "CR1", "CR2")) {sandwiches[[paste("mean", kind)]] <- robust(fits$bcg, bcg$trial, kind, 1)
  sandwiches[[paste("moderators", kind)]] <- robust(two, bcg$trial, kind, 2); sandwiches[[paste("alloc", kind)]] <- robust(fits$bcg, bcg$alloc, kind, 1)}
bau <- baujat(fits$bcg)
write(toJSON(list(after=after, cumul=columns(cumulative, bits), anova=anovas, regtest=egger,
  ranktest=list(bcg=c(rank$tau, rank$pval), hackshaw=c(rank_h$tau, rank_h$pval), tied=c(rank_t$tau, rank_t$pval)), trimfill=fills, fsn=safe, tes=tess, mh=pooled, peto=peto, added=added,
  robust=sandwiches, baujat=list(x=bau$x, y=bau$y), data=list(tied=as.list(tied), zero=as.list(zero), rates=as.list(rates))), digits=NA, auto_unbox=TRUE, na="null"), commandArgs(TRUE)[1])
