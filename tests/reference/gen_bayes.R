# Writes the reference posteriors of rstanarm and the default priors of brms as JSON.
# usage: Rscript gen_bayes.R OUT   writes OUT/reference
suppressMessages({library(rstanarm); library(jsonlite); library(lme4); library(brms)})
options(mc.cores=2); root <- commandArgs(TRUE)[1]
out <- function(kind, name, x) write(toJSON(x, digits=NA, auto_unbox=TRUE, pretty=TRUE, na="null"), file.path(root, "reference", paste0(name, ".json")))
q <- function(f) { s <- as.data.frame(summary(f, probs=c(.025,.05,.25,.5,.75,.95,.975))); cbind(par=rownames(s), s) }
ps <- function(f) lapply(unclass(prior_summary(f)), function(x) if(is.list(x)) lapply(x, function(z) if(is.function(z)) NULL else z) else x)
f1 <- stan_lmer(Reaction ~ Days + (Days | Subject), sleepstudy, chains=4, iter=6000, seed=1, refresh=0)
out("shared","bayes_rstanarm_sleepstudy", list(data="data/sleepstudy.csv", formula="Reaction ~ Days + (Days | Subject)", note="rstanarm 2.21 default priors; draws 12000", summary=q(f1), priors=ps(f1), y_sd=sd(sleepstudy$Reaction), x_sd=sd(sleepstudy$Days)))
cb <- cbpp
f2 <- stan_glmer(cbind(incidence, size-incidence) ~ period + (1|herd), cb, family=binomial, chains=4, iter=6000, seed=1, refresh=0)
out("shared","bayes_rstanarm_cbpp", list(data="data/cbpp.csv", formula="cbind(incidence, size - incidence) ~ period + (1 | herd)", family="binomial", summary=q(f2), priors=ps(f2)))
gp <- as.data.frame(get_prior(Reaction ~ Days + (Days | Subject), sleepstudy)); out("shared","bayes_brms_default_priors_sleepstudy", list(formula="Reaction ~ Days + (Days | Subject)", priors=gp[,c("prior","class","coef","group")]))
cat("ok\n")
