# Writes tests of terms, single deletions, random terms and robust covariances by lmerTest, pbkrtest and clubSandwich.
# usage: Rscript gen_inference.R DATA OUT   reads DATA/*.csv, writes OUT/tests.json
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(clubSandwich); library(jsonlite)})
args <- commandArgs(TRUE)
read <- function(name) read.csv(file.path(args[1], paste0(name, ".csv")))
tab <- function(x) { x <- as.data.frame(x); cbind(term=rownames(x), x) }
tight <- lmerControl(optimizer="bobyqa", optCtrl=list(maxfun=20000, rhoend=1e-9))

cake <- read("cake"); cake$temperature <- factor(cake$temperature); cake$recipe <- factor(cake$recipe)
cake$replicate <- factor(cake$replicate)
cake$temp <- cake$temp / 10 - 20
cake <- cake[seq_len(nrow(cake)) %% 7 != 0 & !(cake$recipe == "B" & seq_len(nrow(cake)) %% 5 == 0), ]  # unbalanced
sleep <- read("sleepstudy"); sleep$Subject <- factor(sleep$Subject)
sleep <- sleep[!(as.integer(sleep$Subject) %% 3 == 0 & sleep$Days > 5) & seq_len(nrow(sleep)) %% 11 != 0, ]
weighted <- read("sleepstudy_weighted"); weighted$Subject <- factor(weighted$Subject)
pastes <- read("pastes"); penicillin <- read("penicillin")
out <- list()

# terms: three types, three codings, two methods
formulas <- list(factors="angle ~ recipe * temperature + (1 | recipe:replicate)",
                 covariate="angle ~ recipe * temp + (1 | recipe:replicate)",
                 main="angle ~ recipe + temp + (1 | replicate) + (1 | recipe:replicate)")
for (name in names(formulas)) {
  one <- list(formula=formulas[[name]])
  for (coding in c("contr.treatment", "contr.sum", "contr.helmert")) {
    options(contrasts=c(coding, "contr.poly"))
    m <- lmerTest::lmer(as.formula(formulas[[name]]), cake, control=tight)
    for (type in c("I", "II", "III")) one[[paste0("satterthwaite_", type)]][[coding]] <- tab(anova(m, type=type))
    if (coding == "contr.treatment") {
      for (type in c("I", "II", "III")) one[[paste0("kenward_roger_", type)]] <- tab(anova(m, type=type, ddf="Kenward-Roger"))
      one$coef_kenward_roger <- tab(coef(summary(m, ddf="Kenward-Roger")))
      one$coef_satterthwaite <- tab(coef(summary(m)))
      p <- length(fixef(m))
      plain <- lme4::lmer(as.formula(formulas[[name]]), cake, control=tight)
      for (rows in list(first=2:3, all=2:p)) {
        k <- KRmodcomp(plain, diag(p)[rows, ])
        one$KRmodcomp[[paste(rows, collapse=" ")]] <- list(F=k$stats$Fstat, scaling=k$stats$F.scaling, df=k$stats$ddf, p=k$stats$p.value)
      }
      one$drop1_F <- tab(drop1(m))
      ml <- lme4::lmer(as.formula(formulas[[name]]), cake, REML=FALSE, control=tight)
      one$drop1_chisq <- tab(drop1(as(ml, "lmerMod"), test="Chisq"))
      one$ranova <- tab(ranova(m))
    }
  }
  out$terms[[name]] <- one
}
options(contrasts=c("contr.treatment", "contr.poly"))

# random terms
random <- list(sleep="Reaction ~ Days + (Days | Subject)", sleep_uncorrelated="Reaction ~ Days + (Days || Subject)")
for (name in names(random)) {
  m <- lmerTest::lmer(as.formula(random[[name]]), sleep, control=tight)
  out$ranova[[name]] <- list(formula=random[[name]], table=tab(ranova(m)),
    coef_satterthwaite=tab(coef(summary(m))), coef_kenward_roger=tab(coef(summary(m, ddf="Kenward-Roger"))))
}
m <- lmerTest::lmer(strength ~ 1 + (1 | batch/cask), pastes, control=tight)
out$ranova$pastes <- list(formula="strength ~ 1 + (1 | batch/cask)", table=tab(ranova(m)))
m <- lmerTest::lmer(diameter ~ 1 + (1 | plate) + (1 | sample), penicillin, control=tight)
out$ranova$penicillin <- list(formula="diameter ~ 1 + (1 | plate) + (1 | sample)", table=tab(ranova(m)))

# likelihood ratio tests of nested fits
f0 <- lme4::lmer(Reaction ~ 1 + (Days | Subject), sleep, control=tight)
f1 <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleep, control=tight)
f2 <- lme4::lmer(Reaction ~ Days + I(Days^2) + (Days | Subject), sleep, control=tight)
out$anova_models <- tab(suppressMessages(anova(f0, f1, f2)))

# robust covariances
robust <- function(m, C) {
  one <- list()
  for (kind in c("CR0", "CR1", "CR2")) {
    V <- vcovCR(m, type=kind)
    w <- as.data.frame(Wald_test(m, constraints=C, vcov=V, test="HTZ"))
    one[[kind]] <- list(vcov=as.matrix(V), coef=as.data.frame(coef_test(m, vcov=V, test="Satterthwaite")), wald=w)
  }
  one
}
m <- lme4::lmer(Reaction ~ Days + (Days | Subject), sleep, control=tight)
out$robust$sleep <- robust(m, diag(2))
m <- lme4::lmer(angle ~ recipe * temp + (1 | replicate), cake, control=tight)
out$robust$cake <- robust(m, diag(6)[c(2, 3, 5, 6), ])
m <- lme4::lmer(strength ~ 1 + (1 | batch/cask), pastes, control=tight)
out$robust$pastes <- robust(m, diag(1))
write(toJSON(out, digits=NA, auto_unbox=TRUE, pretty=TRUE, na="null"), file.path(args[2], "tests.json"))
