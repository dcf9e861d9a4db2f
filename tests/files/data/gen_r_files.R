# Writes the files of R that tests/files/test_r.py reads.
# usage: Rscript gen_r_files.R OUT   OUT: tests/files/data
out <- commandArgs(trailingOnly = TRUE)[1]
survey <- data.frame(
  arm = factor(c("drug", NA, "placebo", "drug"), levels = c("placebo", "drug", "none")),
  dose = factor(c("low", "high", "mid", "low"), levels = c("low", "mid", "high"), ordered = TRUE),
  region = addNA(factor(c("north", NA, "south", NA))),
  n = c(1L, NA, 3L, 4L),
  ok = c(TRUE, FALSE, NA, TRUE),
  y = c(0.5, NA, NaN, 2),
  city = c("K\u00f6ln", NA, "", "NA"),
  day = as.Date(c("2020-02-29", NA, "1969-12-31", "2026-01-01")),
  at = as.POSIXct(c("2020-02-29 12:30:00", NA, "2020-07-01 00:00:00", "2026-01-01 08:00:00"), tz = "Europe/Berlin"),
  seq = 1:4
)
attr(survey$y, "label") <- "Score of the test"
survey$trust <- structure(c(1, 2, 3, -9), labels = c(low = 1, high = 3, refused = -9), label = "Trust in people",
                          na_values = -9, class = c("haven_labelled_spss", "haven_labelled", "vctrs_vctr", "double"))
survey$age <- structure(c(30, 41, 98, 55), labels = c("98 or older" = 98), class = c("haven_labelled", "vctrs_vctr", "double"))
survey$sex <- structure(c("m", "f", "f", "m"), labels = c(female = "f", male = "m"),
                        class = c("haven_labelled", "vctrs_vctr", "character"))
survey$all <- list(1, 2:3, "a", NULL)
saveRDS(survey, file.path(out, "survey.rds"))
big <- structure(c(3e-323, 0), class = "integer64")  # bits of 6 and 0
tibble <- structure(list(id = big, x = c(1, 2)), row.names = c(NA, -2L), class = c("tbl_df", "tbl", "data.frame"))
cars <- head(mtcars[c("mpg", "cyl")], 3)
note <- "not a table"
save(tibble, cars, note, file = file.path(out, "several.RData"))
save(cars, note, file = file.path(out, "one.rda"), compress = "xz")
saveRDS(list(cars = cars, note = note), file.path(out, "list.rds"), version = 2)
saveRDS(1:3, file.path(out, "vector.rds"))
