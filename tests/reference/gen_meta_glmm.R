# Writes metafor's rma.glmm of tables, rates and single groups as JSON; BiasedUrn is not needed, and CM.EL of tables not made.
# usage: Rscript gen_meta_glmm.R FILE.json      (metafor 3.8-1, metadat 1.2-0, lme4 1.1-31)
suppressMessages({library(metafor); library(metadat); library(lme4); library(jsonlite)})
tight <- list(optimizer="bobyqa", optCtrl=list(rhoend=1e-10, maxfun=1e5))
number <- function(x) if (is.null(x) || length(x) == 0) NA else as.numeric(x)
fit <- function(m) list(beta=number(m$beta), se=number(m$se), tau2=number(m$tau2), sigma2=number(m$sigma2), k=m$k,
  QE_wald=number(m$QE.Wld), QE_lrt=number(m$QE.LRT), QE_df=number(m$QE.df), I2=number(m$I2), H2=number(m$H2),
  QM=number(m$QM), loglik=as.numeric(m$fit.stats["ll","ML"]), low=number(m$ci.lb), high=number(m$ci.ub))
quiet <- suppressWarnings
bcg <- dat.bcg; nie <- dat.nielweise2007; rate <- dat.nielweise2008; prop <- dat.debruin2009; hart <- dat.hart1999
table2 <- function(model, nAGQ=7, ...) quiet(rma.glmm(measure="OR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=bcg,
  model=model, nAGQ=nAGQ, control=list(optCtrl=list(rhoend=1e-10, rhobeg=1e-2, maxfun=1e5)), ...))
few <- function(model, nAGQ=7, ...) quiet(rma.glmm(measure="OR", ai=ai, n1i=n1i, ci=ci, n2i=n2i, data=nie, model=model, nAGQ=nAGQ, ...))
of_rates <- function(model, nAGQ=7, ...) quiet(rma.glmm(measure="IRR", x1i=x1i, t1i=t1i, x2i=x2i, t2i=t2i, data=rate, model=model, nAGQ=nAGQ, ...))
out <- list(
  `bcg UM.FS`=table2("UM.FS"), `bcg UM.FS ablat`=table2("UM.FS", mods=~ablat), `bcg UM.RS`=table2("UM.RS", 1),
  `bcg CM.AL`=table2("CM.AL"), `bcg CM.AL ablat`=table2("CM.AL", mods=~ablat),
  `nielweise2007 UM.FS`=few("UM.FS"), `nielweise2007 UM.RS`=few("UM.RS", 1), `nielweise2007 CM.AL`=few("CM.AL"),
  `nielweise2008 UM.FS`=of_rates("UM.FS"), `nielweise2008 UM.RS`=of_rates("UM.RS", 1), `nielweise2008 CM.EL`=of_rates("CM.EL"),
  `nielweise2008 proportion`=quiet(rma.glmm(measure="IRLN", xi=x1i, ti=t1i, data=rate, nAGQ=7)),
  `nielweise2007 proportion`=quiet(rma.glmm(measure="PLO", xi=ci, ni=n2i, data=nie, nAGQ=7)),
  `nielweise2007 proportion t`=quiet(rma.glmm(measure="PLO", xi=ci, ni=n2i, data=nie, nAGQ=7, test="t")))
write_json(list(fits=lapply(out, fit), data=list(bcg=bcg[, c("tpos","tneg","cpos","cneg","ablat")],
  nielweise2007=nie[, c("ai","n1i","ci","n2i")], nielweise2008=rate[, c("x1i","t1i","x2i","t2i")])),
  commandArgs(TRUE)[1], digits=12, auto_unbox=FALSE)
