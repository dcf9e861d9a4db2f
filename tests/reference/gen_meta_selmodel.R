# Writes what metafor says of selection models by maximum likelihood, and the data they are fitted to.
# usage: Rscript gen_meta_selmodel.R FILE.json      (metafor 3.8-1, metadat 1.2-0)
# metafor integrates smooth weights by adaptive quadrature with a relative tolerance of 1e-4 and differentiates the result
# numerically; here the tolerance is 1e-11 (or the
# smallest with which it fits), its optimisers start from the estimates of the run before.
suppressMessages({library(metafor); library(metadat); library(jsonlite)})
hackshaw <- dat.hackshaw1998
bcg <- escalc("RR", ai=tpos, bi=tneg, ci=cpos, di=cneg, data=dat.bcg)
fits <- list(hackshaw=rma(yi, vi, data=hackshaw, method="ML"), `hackshaw EE`=rma(yi, vi, data=hackshaw, method="EE"),
  `hackshaw year`=rma(yi, vi, mods=~I(year - 1990), data=hackshaw, method="ML"), bcg=rma(yi, vi, data=bcg, method="ML"))
best <- function(fit, ...) {
  x <- NULL
  for (rel.tol in c(1e-11, 1e-9, 1e-7, 1e-5)) if (is.null(x)) for (optimizer in c("nlminb", "nlminb")) {
    control <- list(intCtrl=list(rel.tol=rel.tol, subdivisions=2000L), optimizer=optimizer)
    if (!is.null(x)) control <- c(control, list(beta.init=as.numeric(x$beta), delta.init=x$delta), if (x$tau2 > 0) list(tau2.init=x$tau2))
    new <- try(suppressWarnings(selmodel(fit, ..., control=control)), silent=TRUE); used <- if (is.null(x)) rel.tol else used
    if (!inherits(new, "try-error") && (is.null(x) || logLik(new) > logLik(x))) x <- new
  }
  if (is.null(x)) stop(paste("no fit:", paste(list(...), collapse=" ")))
  number <- function(v) if (is.null(v)) NA else as.numeric(v)
  list(rel.tol=used, beta=number(x$beta), se=number(x$se), tau2=x$tau2, se_tau2=number(x$se.tau2), delta=number(x$delta), se_delta=number(x$se.delta),
    loglik=as.numeric(logLik(x)), lrt=number(x$LRT), df=number(x$LRTdf))
}
out <- list()
for (spec in list(list("hackshaw", "stepfun", .025, "greater"), list("hackshaw", "stepfun", c(.025, .1, .5), "greater"),
    list("hackshaw", "stepfun", c(.05, .1, .5), "greater"), list("hackshaw", "stepfun", .05, "two.sided"), list("hackshaw", "stepfun", c(.025, .5), "greater"),
    list("hackshaw EE", "stepfun", .025, "greater"), list("hackshaw year", "stepfun", c(.025, .5), "greater"), list("bcg", "stepfun", .025, "less"),
    list("hackshaw", "halfnorm", NULL, "greater"), list("hackshaw", "negexp", NULL, "greater"), list("hackshaw", "logistic", NULL, "greater"),
    list("hackshaw", "power", NULL, "greater"), list("hackshaw", "beta", NULL, "greater"), list("hackshaw", "halfnorm", NULL, "two.sided"),
    list("hackshaw", "negexp", NULL, "two.sided"), list("hackshaw", "logistic", NULL, "two.sided"), list("hackshaw", "power", NULL, "two.sided"),
    list("hackshaw", "beta", NULL, "two.sided"), list("hackshaw", "halfnorm", .025, "greater"), list("hackshaw", "negexp", .025, "greater"),
    list("hackshaw EE", "negexp", NULL, "greater"), list("hackshaw year", "halfnorm", NULL, "greater"), list("bcg", "negexp", NULL, "less"))) {
  arguments <- list(fits[[spec[[1]]]], type=spec[[2]], alternative=spec[[4]])
  if (!is.null(spec[[3]])) arguments$steps <- spec[[3]]
  found <- do.call(best, arguments)
  out[[length(out) + 1]] <- c(list(data=spec[[1]], type=spec[[2]], steps=I(if (is.null(spec[[3]])) numeric() else spec[[3]]), alternative=spec[[4]]), found)
}
data <- list(hackshaw=list(yi=as.numeric(hackshaw$yi), vi=hackshaw$vi, year=hackshaw$year - 1990), bcg=list(yi=as.numeric(bcg$yi), vi=as.numeric(bcg$vi)))
write(toJSON(list(data=data, fits=out), digits=NA, auto_unbox=TRUE, na="null"), commandArgs(TRUE)[1])
