# Writes effect sizes and sampling variances of metafor's escalc for every measure, vtype and treatment of zero cells.
# usage: Rscript gen_meta_escalc.R FILE.json      (metafor 3.8-1)
suppressMessages({library(metafor); library(jsonlite)})
tables <- data.frame(
  ai=c(4, 6, 0, 62, 5, 0, 12, 7), bi=c(119, 300, 11, 13536, 0, 20, 9, 25),
  ci=c(11, 29, 3, 248, 2, 0, 5, 0), di=c(128, 274, 9, 12619, 14, 18, 22, 31))
tables$n1i <- tables$ai + tables$bi; tables$n2i <- tables$ci + tables$di
twoway <- tables
filled <- tables[c(1, 2, 4, 7), ]
rates <- data.frame(x1i=c(4, 0, 30, 12), x2i=c(9, 3, 0, 25), t1i=c(120.5, 33, 410, 88.25), t2i=c(131, 40, 395.5, 90))
means <- data.frame(m1i=c(10.2, 5.5, 3.1, 22.7), m2i=c(8.7, 6.1, 2.4, 20.2), sd1i=c(2.3, 1.1, 0.9, 6.5),
  sd2i=c(2.9, 1.4, 0.6, 5.9), n1i=c(12, 30, 4, 151), n2i=c(14, 27, 6, 148))
correlations <- data.frame(ri=c(0.31, -0.62, 0.05, 0.88, 0), ni=c(24, 61, 8, 140, 33))
partial <- data.frame(ti=c(2.1, -0.8, 4.4, 0.3), ni=c(44, 30, 120, 18), mi=c(3, 5, 2, 4), r2i=c(.3, .22, .5, .1))
counts <- data.frame(xi=c(3, 0, 17, 20, 51), ni=c(20, 14, 40, 20, 160)); counts$mi <- counts$ni - counts$xi
incidence <- data.frame(xi=c(3, 0, 17, 51), ti=c(20.5, 14, 40, 160.25))
single <- data.frame(mi=c(10.2, 5.5, 3.1), sdi=c(2.3, 1.1, 0.9), ni=c(12, 30, 5))
paired <- data.frame(m1i=c(10.2, 5.5, 3.1), m2i=c(8.7, 6.1, 2.4), sd1i=c(2.3, 1.1, 0.9), sd2i=c(2.9, 1.4, 0.6),
  ni=c(12, 30, 5), ri=c(.5, .72, -.1))
alphas <- data.frame(ai=c(.93, .62, .81), mi=c(20, 4, 10), ni=c(103, 61, 15))
sets <- list(tables=tables, filled=filled, rates=rates, means=means, correlations=correlations, partial=partial,
  counts=counts, incidence=incidence, single=single, paired=paired, alphas=alphas)
columns <- list(tables=c("ai","bi","ci","di"), filled=c("ai","bi","ci","di"), rates=c("x1i","x2i","t1i","t2i"),
  means=c("m1i","m2i","sd1i","sd2i","n1i","n2i"), correlations=c("ri","ni"), partial=c("ti","ni","mi"),
  counts=c("xi","ni"), incidence=c("xi","ti"), single=c("mi","sdi","ni"),
  paired=c("m1i","m2i","sd1i","sd2i","ni","ri"), alphas=c("ai","mi","ni"))
measures <- list(
  tables=c("RR","OR","RD","AS","PETO","PHI","YUQ","YUY"), filled=c("PHI"), rates=c("IRR","IRD","IRSD"),
  means=c("MD","SMD","SMDH","SMD1","ROM","CVR","VR"), correlations=c("COR","ZCOR"), partial=c("PCOR","ZPCOR"),
  counts=c("PR","PLN","PLO","PAS","PFT"), incidence=c("IR","IRLN","IRS","IRFT"), single=c("MN","MNLN","SDLN","CVLN"),
  paired=c("MC","SMCC","SMCR","ROMC","VRC","CVRC"), alphas=c("ARAW","AHW","ABT"))
vtypes <- c("LS", "LS2", "UB", "AV", "HO", "AVHO", "ST", "CS")
treatments <- list(default=list(to="only0"), all=list(to="all", add=.5), if0all=list(to="if0all", add=.25),
  none=list(to="none", add=.5), drop00=list(drop00=TRUE))
found <- list()
for (set in names(sets)) for (measure in measures[[set]]) for (vtype in vtypes)
  for (treatment in names(treatments)) {
    if (treatment != "default" && !(set %in% c("tables", "rates", "counts", "incidence") && vtype == "LS")) next
    if (treatment == "drop00" && !(set %in% c("tables", "rates"))) next
    if (measure == "SMDH" && vtype == "LS2") next  # depends on the units of the data in this version of metafor
    if (measure == "COR" && vtype == "UB") next  # below
    given <- as.list(sets[[set]][columns[[set]]])
    answer <- tryCatch(suppressWarnings(do.call(escalc, c(list(measure=measure, vtype=vtype), given,
      treatments[[treatment]]))), error=function(e) NULL)
    if (is.null(answer)) next
    found[[length(found) + 1]] <- list(set=set, measure=measure, vtype=vtype, treatment=treatment,
      yi=as.numeric(answer$yi), vi=as.numeric(answer$vi))
  }
# Unbiased correlations and variances need Gauss' hypergeometric function: here by Euler's integral, since that of gsl,
# which metafor calls, is wrong in the fourth digit for n = 8 and r = .05.
gauss <- function(a, b, c, x) gamma(c) / (gamma(b) * gamma(c - b)) *
  integrate(function(t) t^(b-1) * (1-t)^(c-b-1) * (1-x*t)^(-a), 0, 1, rel.tol=1e-11)$value
r <- correlations$ri; n <- correlations$ni
unbiased <- sapply(seq_along(r), function(i) r[i] * gauss(1/2, 1/2, (n[i]-2)/2, 1 - r[i]^2))
square <- sapply(seq_along(r), function(i) 1 - (n[i]-3)/(n[i]-2) * (1 - r[i]^2) * gauss(1, 1, n[i]/2, 1 - r[i]^2))
average <- sum(n * unbiased) / sum(n)
add <- function(measure, vtype, yi, vi) found[[length(found) + 1]] <<-
  list(set="correlations", measure=measure, vtype=vtype, treatment="default", yi=yi, vi=vi)
add("COR", "UB", r, r^2 - square); add("UCOR", "UB", unbiased, unbiased^2 - square)
add("UCOR", "LS", unbiased, (1 - unbiased^2)^2 / (n - 1)); add("UCOR", "AV", unbiased, (1 - average^2)^2 / (n - 1))
write(toJSON(list(data=lapply(names(sets), function(s) as.list(sets[[s]][columns[[s]]])) |> setNames(names(sets)),
  treatments=treatments, answers=found), digits=NA, auto_unbox=TRUE, na="null"), commandArgs(TRUE)[1])
