# Writes multilevel meta-analyses of metafor, and robust tests of clubSandwich, as JSON; and Berkey's data.
# usage: Rscript gen_meta_mv.R DIRECTORY      (metafor 3.8-1, clubSandwich 0.5.8)
suppressMessages({library(metafor); library(metadat); library(clubSandwich); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
tight <- list(optimizer="optim", optmethod="BFGS", reltol=1e-15, maxit=5000)
fit <- function(m) list(beta=as.numeric(m$beta), se=m$se, sigma2=m$sigma2, tau2=m$tau2, rho=m$rho,
  loglik=as.numeric(logLik(m)), QE=m$QE, QEp=m$QEp, QM=m$QM, QMp=m$QMp, k=m$k, test=m$test)
pi_of <- function(m) {p <- predict(m); list(pred=p$pred, se=p$se, ci=c(p$ci.lb, p$ci.ub), pi=c(p$pi.lb, p$pi.ub))}
robust <- function(m, cluster) lapply(c(CR0="CR0", CR1="CR1", CR1p="CR1p", CR2="CR2", CR3="CR3"), function(kind) {
  V <- vcovCR(m, cluster=cluster, type=kind)
  s <- coef_test(m, vcov=V, test=c("Satterthwaite", "saddlepoint", "naive-t"))
  list(se=s$SE, df=s$df_Satt, p=s$p_Satt, p_saddle=s$p_saddle, p_naive=s$p_t)
})
joint <- function(m, cluster, which) {
  V <- vcovCR(m, cluster=cluster, type="CR2")
  w <- Wald_test(m, constraints=constrain_zero(which), vcov=V, test=c("HTZ", "HTA", "EDF", "Naive-F"))
  setNames(lapply(seq_len(nrow(w)), function(i) list(F=w$Fstat[i], num=w$df_num[i], den=w$df_denom[i], p=w$p_val[i])), w$test)
}
kon <- dat.konstantopoulos2011; ass <- dat.assink2016; ber <- dat.berkey1998
write.csv(ber, file.path(folder, "berkey1998.csv"), row.names=FALSE)
nested <- rma.mv(yi, vi, random=~1|district/school, data=kon, control=tight)
nested_ml <- rma.mv(yi, vi, random=~1|district/school, data=kon, method="ML", control=tight)
nested_t <- rma.mv(yi, vi, mods=~year, random=~1|district/school, data=kon, test="t", control=tight)
cs <- rma.mv(yi, vi, random=~school|district, data=kon, control=tight)
V <- bldiag(lapply(split(ber[c("v1i", "v2i")], ber$trial), as.matrix))
un <- function(method) rma.mv(yi, V, mods=~outcome - 1, random=~outcome|trial, struct="UN", data=ber, method=method, control=tight)
Va <- vcalc(vi, cluster=study, obs=esid, rho=0.6, data=ass)
plain <- rma.mv(yi, vi, random=~1|study/esid, data=ass, control=tight)
che <- rma.mv(yi, Va, random=~1|study/esid, data=ass, control=tight)
deltype <- rma.mv(yi, Va, mods=~deltype, random=~1|study/esid, data=ass, control=tight)
mods <- rma.mv(yi, vi, mods=~year+pubstatus, random=~1|study/esid, data=ass, control=tight)
bcg <- escalc(measure="RR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg)
write.csv(bcg[c("trial", "yi", "vi", "ablat", "year", "alloc")], file.path(folder, "bcg.csv"), row.names=FALSE)
uni <- rma(yi, vi, mods=~ablat+year, data=bcg, control=list(threshold=1e-12, maxiter=1000))
write(toJSON(list(
  nested=c(fit(nested), list(predict=pi_of(nested), robust=robust(nested, kon$district))), nested_ml=fit(nested_ml),
  nested_t=fit(nested_t), cs=fit(cs), berkey_reml=fit(un("REML")), berkey_ml=fit(un("ML")),
  assink=c(fit(plain), list(robust=robust(plain, ass$study))), che=c(fit(che), list(robust=robust(che, ass$study))),
  deltype=c(fit(deltype), list(robust=robust(deltype, ass$study), joint=joint(deltype, ass$study, 2:3))),
  mods=c(fit(mods), list(joint=joint(mods, ass$study, 2:3))),
  bcg_uni=list(beta=as.numeric(uni$beta), tau2=uni$tau2, robust=robust(uni, bcg$trial), joint=joint(uni, bcg$trial, 2:3))
), digits=NA, auto_unbox=TRUE, pretty=TRUE), file.path(folder, "mv.json"))
