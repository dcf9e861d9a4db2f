# Writes marginal means, contrasts and trends of emmeans, and R2 and ICC of performance, as JSON.
# usage: Rscript gen_emmeans.R DATA FLIPPED.csv OUT
#   DATA: tests/data; FLIPPED.csv: mx.datasets.load("flipped_classroom", plan="crossed").to_csv(path, index=False); OUT: tests/reference
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(performance); library(jsonlite)})
args <- commandArgs(TRUE)
read <- function(name) read.csv(file.path(args[1], paste0(name, ".csv")), stringsAsFactors=TRUE)
write_json_file <- function(folder, name, x)
  write(toJSON(x, digits=NA, auto_unbox=TRUE, pretty=TRUE, na="null", dataframe="columns"), file.path(args[3], folder, paste0(name, ".json")))
control <- lmerControl(optimizer="bobyqa", optCtrl=list(maxfun=20000, rhoend=1e-10))
# the plain columns of a summary: transformed covariance, messages and classes left behind
plain <- function(e, ...) { d <- as.data.frame(summary(e, infer=c(TRUE, TRUE), ...)); d[] <- lapply(d, function(v) if (is.factor(v)) as.character(v) else v); d }
versions <- list(lme4=as.character(packageVersion("lme4")), lmerTest=as.character(packageVersion("lmerTest")),
                 pbkrtest=as.character(packageVersion("pbkrtest")), emmeans=as.character(packageVersion("emmeans")),
                 performance=as.character(packageVersion("performance")))

cake <- read("cake"); cake$temperature <- factor(cake$temperature)
unbalanced <- cake[seq_len(nrow(cake)) %% 7 != 1 & !(cake$recipe == "B" & cake$replicate > 9), ]
sleep <- read("sleepstudy")
sleep$phase <- factor(ifelse(sleep$Days < 4, "early", "late")); sleep$set <- factor(ifelse(sleep$Subject %% 2 == 0, "even", "odd"))
flipped <- read.csv(args[2]); flipped$style <- factor(flipped$style, levels=c("Fully Flipped", "No Flipped", "Some Flipped"))
flipped$professor <- factor(flipped$professor)
if (!all(unique(flipped$style) %in% levels(flipped$style))) stop("levels of style")

for (ddf in c("kenward-roger", "satterthwaite")) {
  emm_options(lmer.df=ddf, pbkrtest.limit=1e5, lmerTest.limit=1e5)
  out <- list(versions=versions)

  m <- lmer(score ~ style + (1 | professor), flipped, control=control)
  e <- emmeans(m, "style")
  out$flipped <- list(formula="score ~ style + (1 | professor)", means=plain(e), pairs_tukey=plain(pairs(e)), pairs_holm=plain(pairs(e), adjust="holm"),
    pairs_bonferroni=plain(pairs(e), adjust="bonferroni"), pairs_sidak=plain(pairs(e), adjust="sidak"), pairs_none=plain(pairs(e), adjust="none"),
    control=plain(contrast(e, "trt.vs.ctrl", ref=2, adjust="none")), effects=plain(contrast(e, "eff", adjust="none")),
    custom=plain(contrast(e, list("flipped against not"=c(.5, -1, .5)), adjust="none")), joint=as.data.frame(test(pairs(e), joint=TRUE)))

  m <- lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, control=control)
  e <- emmeans(m, ~ temperature | recipe); r <- suppressMessages(emmeans(m, "recipe"))
  out$cake <- list(formula="angle ~ recipe * temperature + (1 | recipe:replicate)", means=plain(e), recipe=plain(r), pairs=plain(pairs(e)),
    poly=plain(contrast(e, "poly", adjust="none")), joint=as.data.frame(test(contrast(e, "poly"), joint=TRUE)))

  m <- lmer(angle ~ recipe + temperature + (1 | recipe:replicate), unbalanced, control=control)
  out$unbalanced <- list(formula="angle ~ recipe + temperature + (1 | recipe:replicate)")
  for (w in c("equal", "proportional", "outer", "cells")) out$unbalanced[[w]] <- plain(emmeans(m, "recipe", weights=w))
  out$unbalanced$pairs_cells <- plain(pairs(emmeans(m, "recipe", weights="cells")))
  out$unbalanced$at <- plain(emmeans(m, "recipe", at=list(temperature=c("175", "225")), weights="proportional"))

  m <- lmer(Reaction ~ Days * set + phase + (Days | Subject), sleep, control=control)
  t <- emtrends(m, "set", var="Days")
  out$sleep <- list(formula="Reaction ~ Days * set + phase + (Days | Subject)", means=plain(emmeans(m, ~ set | phase)), at=plain(emmeans(m, ~ set * Days, at=list(Days=c(0, 5, 9)))),
    trends=plain(t), pairs=plain(pairs(t)), proportional=plain(emmeans(m, "set", weights="proportional")))

  # emmeans takes forward differences: a small step, so that its slope is the one at the point
  m <- lmer(Reaction ~ poly(Days, 2) * set + (1 | Subject), sleep, control=control)
  out$quadratic <- list(formula="Reaction ~ poly(Days, 2) * set + (1 | Subject)", trends=plain(emtrends(m, ~ set * Days, var="Days", at=list(Days=c(2, 7)), delta.var=1e-6)))

  empty <- cake[!(cake$recipe == "C" & cake$temperature == "225"), ]
  m <- suppressMessages(lmer(angle ~ recipe * temperature + (1 | recipe:replicate), empty, control=control))
  out$empty <- list(formula="angle ~ recipe * temperature + (1 | recipe:replicate)", means=plain(emmeans(m, ~ temperature | recipe)),
    recipe=plain(suppressMessages(emmeans(m, "recipe"))), cells=plain(suppressMessages(emmeans(m, "recipe", weights="cells"))))
  write_json_file("emmeans", paste0("emmeans_", gsub("-", "_", ddf)), out)
}

# R2 and ICC
penicillin <- read("penicillin"); pastes <- read("pastes")
cases <- list(
  sleepstudy=list(data=sleep, formula="Reaction ~ Days + (Days | Subject)"),
  sleepstudy_intercept=list(data=sleep, formula="Reaction ~ Days + (1 | Subject)"),
  sleepstudy_uncorrelated=list(data=sleep, formula="Reaction ~ Days + (Days || Subject)"),
  cake=list(data=cake, formula="angle ~ recipe * temperature + (1 | recipe:replicate)"),
  flipped=list(data=flipped, formula="score ~ style + (1 | professor)"),
  penicillin=list(data=penicillin, formula="diameter ~ 1 + (1 | plate) + (1 | sample)"),
  pastes=list(data=pastes, formula="strength ~ 1 + (1 | batch/cask)"))
out <- list(versions=versions)
for (name in names(cases)) {
  d <- cases[[name]]$data
  m <- suppressMessages(lme4::lmer(as.formula(cases[[name]]$formula), d, control=control))
  r2 <- suppressWarnings(r2_nakagawa(m)); i <- suppressWarnings(icc(m))
  one <- list(formula=cases[[name]]$formula, R2_conditional=unname(r2$R2_conditional), R2_marginal=unname(r2$R2_marginal),
    ICC_adjusted=i$ICC_adjusted, ICC_unadjusted=i$ICC_unadjusted)
  if (!grepl("Days \\|", cases[[name]]$formula)) {
    g <- suppressWarnings(icc(m, by_group=TRUE)); one$icc_by_group <- list(group=g$Group, icc=g$ICC)
    if (name %in% c("sleepstudy_intercept", "cake", "flipped")) { b <- suppressWarnings(r2_nakagawa(m, by_group=TRUE)); one$r2_by_level <- list(level=b$Level, R2=b$R2) }
  }
  out[[name]] <- one
}
write_json_file("variance_explained", "variance_explained", out)
