# Writes meta-analyses of metafor with known sampling variances, and CR2 of clubSandwich, as JSON; and the two data sets.
# usage: Rscript gen_meta.R DIRECTORY      (metafor 3.8-1, clubSandwich 0.5.8)
suppressMessages({library(metafor); library(metadat); library(clubSandwich); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
fit <- function(m) list(variances=if (inherits(m, "rma.mv")) m$sigma2 else m$tau2, estimate=as.numeric(m$beta),
  se=m$se, logLik=as.numeric(logLik(m)))
robust <- function(m, cluster) {
  table <- as.data.frame(coef_test(m, vcov="CR2", cluster=cluster, test="Satterthwaite"))
  list(se=table$SE, df=table[[grep("df", names(table))]])
}
kon <- dat.konstantopoulos2011; ass <- dat.assink2016
for (name in c("konstantopoulos2011", "assink2016"))
  write.csv(get(paste0("dat.", name)), file.path(folder, paste0(name, ".csv")), row.names=FALSE)
nested <- rma.mv(yi, vi, random=~1|district/school, data=kon)
mods <- rma.mv(yi, vi, mods=~pubstatus+year, random=~1|study/esid, data=ass)
write(toJSON(list(
  konstantopoulos2011=list(`rma yi,vi REML`=fit(rma(yi, vi, data=kon)), `rma.mv ~1|district/school`=fit(nested),
    `rma with year moderator`=fit(rma(yi, vi, mods=~I(year-mean(year)), data=kon)),
    `CR2 Satterthwaite of nested`=robust(nested, kon$district)),
  assink2016=list(`~1|study/esid`=fit(rma.mv(yi, vi, random=~1|study/esid, data=ass)), `mods pubstatus+year`=fit(mods),
    `mods CR2`=robust(mods, ass$study))
), digits=NA, auto_unbox=FALSE, pretty=TRUE), file.path(folder, "meta.json"))
