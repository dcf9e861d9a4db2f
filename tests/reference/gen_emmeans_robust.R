# Writes marginal means, pairwise contrasts and slopes with clubSandwich's CR2 covariance and Satterthwaite df, and
# emmeans' Tukey adjustment of the same with infinite df, as JSON.
# usage: Rscript gen_emmeans_robust.R DATA FLIPPED.csv OUT   (arguments as in gen_emmeans.R)
suppressMessages({library(lme4); library(clubSandwich); library(emmeans); library(jsonlite)})
args <- commandArgs(TRUE)
control <- lmerControl(optimizer="bobyqa", optCtrl=list(maxfun=20000, rhoend=1e-10))
flipped <- read.csv(args[2]); flipped$style <- factor(flipped$style, levels=c("Fully Flipped", "No Flipped", "Some Flipped"))
sleep <- read.csv(file.path(args[1], "sleepstudy.csv"))
sleep$phase <- factor(ifelse(sleep$Days < 4, "early", "late")); sleep$set <- factor(ifelse(sleep$Subject %% 2 == 0, "even", "odd"))
plain <- function(d) { d <- as.data.frame(d); names(d) <- c("contrast", "estimate", "SE", "df", "lower.CL", "upper.CL"); as.list(d) }
one <- function(m, cluster, means, pairs) {
  v <- vcovCR(m, cluster=cluster, type="CR2")
  w <- Wald_test(m, pairs[seq_len(qr(pairs)$rank), , drop=FALSE], vcov=v, test="HTZ")
  list(means=plain(linear_contrast(m, vcov=v, contrasts=means)), pairs=plain(linear_contrast(m, vcov=v, contrasts=pairs)),
       joint=list(F.ratio=w$Fstat, df1=w$df_num, df2=w$df_denom, p.value=w$p_val))
}
m <- lmer(score ~ style + (1 | professor), flipped, control=control)
K <- rbind(a=c(1, 0, 0), b=c(1, 1, 0), c=c(1, 0, 1))
out <- list(version=as.character(packageVersion("clubSandwich")),
  flipped=one(m, flipped$professor, K, rbind(K[1, ] - K[2, ], K[1, ] - K[3, ], K[2, ] - K[3, ])))
e <- emmeans(m, "style", vcov.=as.matrix(vcovCR(m, cluster=flipped$professor, type="CR2")), lmer.df="asymptotic")
t <- as.data.frame(summary(pairs(e), infer=TRUE))
out$flipped$tukey <- list(SE=t$SE, estimate=t$estimate, lower.CL=t$asymp.LCL, upper.CL=t$asymp.UCL, t.ratio=t$z.ratio, p.value=t$p.value)
m <- lmer(Reaction ~ Days * set + phase + (Days | Subject), sleep, control=control)
# coefficients: Intercept, Days, setodd, phaselate, Days:setodd
K <- rbind(even=c(0, 1, 0, 0, 0), odd=c(0, 1, 0, 0, 1))
out$sleep <- one(m, sleep$Subject, K, K[1, , drop=FALSE] - K[2, , drop=FALSE])
write(toJSON(out, digits=NA, auto_unbox=TRUE, pretty=TRUE, na="null"), file.path(args[3], "emmeans", "emmeans_robust.json"))
