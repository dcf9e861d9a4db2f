# Processor time of lme4 over ten plausible values with a replicate weight as precision weights; see benchmarks/studies.md.
# python -m tests.surveys.speed csv FILE; Rscript tests/reference/time_surveys.R FILE
suppressMessages(library(lme4))
pupils <- read.csv(commandArgs(trailingOnly = TRUE)[1])
pupils$school <- factor(pupils$school)
seconds <- sapply(1:10, function(k) {
  formula <- reformulate(c("ses", "(1 + ses | school)"), paste0("PV", k))
  sum(system.time(lmer(formula, pupils, REML = FALSE, weights = replicate / mean(replicate)))[c(1, 2)])
})
cat("lme4", as.character(packageVersion("lme4")), ":", sum(seconds), "s for 10 fits,", 80 * sum(seconds), "s for 800\n")
