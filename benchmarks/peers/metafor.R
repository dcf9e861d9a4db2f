# Times meta-analyses of metafor and clubSandwich on the files that benchmarks/meta.py writes.
# usage: Rscript metafor.R FOLDER CASE   (prints seconds per fit and the estimates, as JSON)
suppressMessages({library(metafor); library(clubSandwich); library(jsonlite)})
arguments <- commandArgs(TRUE)
folder <- arguments[1]; case <- arguments[2]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")))
once <- function(work) system.time(work())[["user.self"]]
loop <- function(work, times) system.time(for (i in seq_len(times)) work())[["user.self"]] / times
if (case == "bcg") {
  d <- read("bcg"); m <- rma(yi, vi, data=d)
  out <- list(seconds=loop(function() rma(yi, vi, data=d), 200), estimate=as.numeric(m$beta))
} else if (case == "konstantopoulos") {
  d <- read("konstantopoulos"); f <- function() rma.mv(yi, vi, random=~1|district/school, data=d)
  out <- list(seconds=loop(f, 10), estimate=as.numeric(f()$beta))
} else if (case %in% c("large", "robust")) {
  d <- read("large")
  m <- NULL
  fit <- function() m <<- rma.mv(yi, vi, mods=~x1+x2+x3+x4+x5+x6, random=~1|study/esid, data=d, sparse=TRUE)
  seconds <- once(fit)
  if (case == "robust") seconds <- once(function() coef_test(m, vcov="CR2", cluster=d$study, test="Satterthwaite"))
  out <- list(seconds=seconds, estimate=as.numeric(m$beta))
} else if (case == "gosh") {
  d <- read("konstantopoulos"); m <- rma(yi, vi, data=d)
  out <- list(seconds=once(function() gosh(m, subsets=1000, progbar=FALSE)) * 100, estimate=as.numeric(m$beta))
}
cat(toJSON(out, auto_unbox=TRUE, digits=NA))
