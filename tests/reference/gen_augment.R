# Writes broom.mixed's augment of two lme4 fits as JSON.
# usage: Rscript gen_augment.R DATA OUT   DATA: tests/data; OUT: tests/reference
suppressMessages({library(lme4); library(broom.mixed); library(jsonlite)})
args <- commandArgs(TRUE)
control <- lmerControl(optimizer="bobyqa", optCtrl=list(maxfun=20000, rhoend=1e-10))
sleep <- read.csv(file.path(args[1], "sleepstudy.csv")); weighted <- read.csv(file.path(args[1], "sleepstudy_weighted.csv"))
one <- function(m) { a <- as.data.frame(augment(m)); a[grep("^\\.", names(a))] }
out <- list(version=as.character(packageVersion("broom.mixed")),
  sleepstudy=one(lmer(Reaction ~ Days + (Days | Subject), sleep, control=control)),
  sleepstudy_weighted=one(lmer(Reaction ~ Days + (Days | Subject), weighted, weights=w, offset=off, control=control)))
write(toJSON(out, digits=NA, auto_unbox=TRUE, pretty=FALSE, dataframe="columns"), file.path(args[2], "augment", "augment.json"))
