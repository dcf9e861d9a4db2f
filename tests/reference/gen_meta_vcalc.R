# Writes covariances of dependent effect sizes by metafor's vcalc, and aggregated effects, as JSON.
# usage: Rscript gen_meta_vcalc.R FILE.json      (metafor 3.8-1, metadat 1.2-0)
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
ass <- dat.assink2016
lab <- data.frame(study=c(1,1,1,1,1,1,2,2,2,3), part=c("a","a","a","a","b","b","a","a","a","a"), vi=c(.1,.2,.15,.3,.25,.12,.05,.07,.09,.2),
  type=c("x","x","y","y","x","y","x","y","y","x"), obs=c(1,2,1,2,1,1,1,1,2,1), t1=c(0,0,0,1,0,2,1,1,3,0), t2=c(1,2,1,1,0,0,2,3,1,1),
  g1=c("A","B","A","B","C","D","A","B","A","A"), g2=c("C","C","C","C","D","E","C","C","B","B"), w1=c(20,25,18,30,40,22,50,48,51,33), w2=c(22,22,22,22,41,20,49,49,48,30))
same <- transform(lab, g1="A", g2="A", t1=c(1,2,3,2,1,3,2,3,3,2), t2=c(0,0,0,1,0,0,0,0,1,0))
R <- matrix(c(1,.3,.3,1), 2, dimnames=list(c("x","y"), c("x","y"))); O <- matrix(c(1,.6,.6,1), 2, dimnames=list(1:2, 1:2))
quiet <- function(V) as.matrix(suppressWarnings(V))
V <- list(
  rho=quiet(vcalc(vi, cluster=study, obs=obs, data=lab, rho=.6, checkpd=FALSE)), type=quiet(vcalc(vi, cluster=study, type=type, data=lab, rho=.4, checkpd=FALSE)),
  type_obs=quiet(vcalc(vi, cluster=study, type=type, obs=obs, data=lab, rho=c(.7,.5), checkpd=FALSE)), type_matrix=quiet(vcalc(vi, cluster=study, type=type, data=lab, rho=R, checkpd=FALSE)),
  both_matrices=quiet(vcalc(vi, cluster=study, type=type, obs=obs, data=lab, rho=list(O, R), checkpd=FALSE)),
  subgroup=quiet(vcalc(vi, cluster=study, subgroup=part, obs=obs, data=lab, rho=.6, checkpd=FALSE)), time=quiet(vcalc(vi, cluster=study, time1=t1, phi=.8, data=lab, checkpd=FALSE)),
  obs_time=quiet(vcalc(vi, cluster=study, obs=obs, time1=t1, rho=.5, phi=.8, data=lab, checkpd=FALSE)),
  type_obs_time=quiet(vcalc(vi, cluster=study, type=type, obs=obs, time1=t1, rho=c(.7,.5), phi=.8, data=lab, checkpd=FALSE)),
  groups=quiet(vcalc(vi, cluster=study, grp1=g1, grp2=g2, data=lab, checkpd=FALSE)), groups_w=quiet(vcalc(vi, cluster=study, grp1=g1, grp2=g2, w1=w1, w2=w2, data=lab, checkpd=FALSE)),
  groups_obs=quiet(vcalc(vi, cluster=study, grp1=g1, grp2=g2, w1=w1, w2=w2, obs=obs, rho=.6, data=lab, checkpd=FALSE)),
  within=quiet(vcalc(vi, cluster=study, grp1=g1, grp2=g2, time1=t1, time2=t2, phi=.8, data=same, checkpd=FALSE)),
  mixed=quiet(vcalc(vi, cluster=study, grp1=g1, grp2=g2, w1=w1, w2=w2, time1=t1, time2=t2, phi=.8, type=type, rho=.5, data=lab, checkpd=FALSE)))
assink <- vcalc(vi, cluster=study, obs=esid, data=ass, rho=.6)
assink2 <- vcalc(vi, cluster=study, type=deltype, obs=esid, data=ass, rho=c(.7,.5))
esc <- escalc("GEN", yi=yi, vi=vi, data=ass)
lab$tt <- c(1,2,4,5,7,8,1,2,4,1); lab$yi <- c(.1,.4,.3,.2,.5,.6,.2,-.1,.3,.7); labesc <- escalc("GEN", yi=yi, vi=vi, data=lab)
agg <- function(a) list(yi=as.numeric(a$yi), vi=as.numeric(a$vi), k=a$ki)
aggregated <- list(ID=agg(aggregate(esc, cluster=study, struct="ID", addk=TRUE)), CS=agg(aggregate(esc, cluster=study, struct="CS", rho=.6, addk=TRUE)), V=agg(aggregate(esc, cluster=study, V=assink2, addk=TRUE)),
  unweighted=agg(aggregate(esc, cluster=study, struct="CS", rho=.6, weighted=FALSE, addk=TRUE)), CAR=agg(aggregate(labesc, cluster=study, struct="CAR", time=tt, phi=.7, addk=TRUE)),
  `CS+CAR`=agg(aggregate(labesc, cluster=study, struct="CS+CAR", time=tt, phi=.7, rho=.4, addk=TRUE)), `CS*CAR`=agg(aggregate(labesc, cluster=study, struct="CS*CAR", time=tt, obs=obs, phi=.7, rho=.4, addk=TRUE)))
write(toJSON(list(data=list(lab=as.list(lab), same=as.list(same)), V=V, assink=list(first=assink[ass$study==1, ass$study==1], sum=sum(assink), squares=sum(assink^2), sum2=sum(assink2), squares2=sum(assink2^2)),
  aggregate=aggregated), digits=NA, auto_unbox=TRUE), commandArgs(TRUE)[1])
