# Linear regression with survey weights by the survey package: linearised with strata and sampling units, and by
# replicate weights about the full estimate. Data: written by `python -m tests.surveys.reference`.
# Run from the repository root: Rscript tests/reference/gen_surveys.R

suppressPackageStartupMessages(library(survey))
options(survey.replicates.mse = TRUE)

data <- read.csv("tests/reference/surveys/pupils.csv")
out <- list(packages = list(R = as.character(getRversion()), survey = as.character(packageVersion("survey"))))

told <- function(fit) {
  list(coef = unname(coef(fit)), vcov = unname(unclass(vcov(fit)))[1:3, 1:3])
}

designs <- list(
  rows = svydesign(ids = ~1, weights = ~w_pupil, data = data),
  clusters = svydesign(ids = ~school, weights = ~w_pupil, data = data),
  strata = svydesign(ids = ~school, strata = ~region, weights = ~w_pupil, data = data)
)
for (name in names(designs)) {
  fit <- svyglm(y ~ x + sex, designs[[name]])
  out[[name]] <- c(told(fit), list(df = degf(designs[[name]])))
}

for (name in c("BRR", "Fay", "JK1", "JK2", "JKn")) {
  weights <- as.matrix(data[, grep(paste0("^", name, "[0-9]+$"), names(data))])
  R <- ncol(weights)
  arguments <- switch(name,
    BRR = list(type = "BRR"),
    Fay = list(type = "Fay", rho = 0.5),
    JK1 = list(type = "JK1", scale = (R - 1) / R),
    JK2 = list(type = "JKn", scale = 1, rscales = rep(1, R)),
    JKn = list(type = "JKn", scale = 1, rscales = rep(0.75, R)))
  design <- do.call(svrepdesign, c(list(data = data, repweights = weights, weights = data$w_pupil,
                                        combined.weights = TRUE), arguments))
  fit <- svyglm(y ~ x + sex, design)
  out[[name]] <- c(told(fit), list(df = degf(design)))
}

jsonlite::write_json(out, "tests/reference/surveys/survey.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
