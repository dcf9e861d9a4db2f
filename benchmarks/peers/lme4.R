# lme4 on one case, in a process of its own: the counterpart of worker.py.
# usage: Rscript lme4.R TASK.json OUT.jsonl           measure
#        Rscript lme4.R convert TASK.json             data once from CSV to RDS, so that reading does not count as memory
arguments <- commandArgs(TRUE)
SHORT <- 0.1; LONG <- 20; LEAST <- 5; MOST <- 100; ENOUGH <- 3; TOO_MUCH <- 30

emit <- function(path, record)
  cat(jsonlite::toJSON(record, digits = NA, auto_unbox = TRUE, null = "null", na = "null"), "\n", sep = "", file = path, append = TRUE)

resident_peak <- function() {
  line <- tryCatch(grep("^VmHWM:", readLines("/proc/self/status"), value = TRUE), error = function(e) character())
  if (length(line)) as.numeric(strsplit(trimws(sub("VmHWM:", "", line)), " +")[[1]][1]) / 1024 else NA
}

reset_peak <- function() {
  ok <- tryCatch({ cat("5", file = "/proc/self/clear_refs"); TRUE }, error = function(e) FALSE)
  if (ok) resident_peak() else NA
}

if (arguments[1] == "convert") {
  task <- jsonlite::fromJSON(arguments[2])
  frame <- read.csv(sub("parquet$", "csv", task$data), colClasses = ifelse(task$columns %in% task$categorical, "factor", "numeric"))
  saveRDS(frame, sub("parquet$", "rds", task$data), compress = FALSE)
  if (task$refits > 0) saveRDS(read.csv(sub("parquet$", "csv", task$responses)), sub("parquet$", "rds", task$responses))
  quit(save = "no")
}

task <- jsonlite::fromJSON(arguments[1], simplifyVector = FALSE)
out <- arguments[2]
if (!suppressMessages(suppressWarnings(requireNamespace("lme4", quietly = TRUE)))) {
  emit(out, list(status = "missing", reason = "R package lme4 is not installed"))
  quit(save = "no")
}
suppressMessages(library(lme4))
options(warn = -1)
blas <- basename(extSoftVersion()["BLAS"])
if (grepl("openblas", extSoftVersion()["BLAS"], ignore.case = TRUE)) blas <- "OpenBLAS"
load_now <- tryCatch(as.numeric(strsplit(readLines("/proc/loadavg"), " ")[[1]][1]), error = function(e) NA)
base <- list(version = as.character(packageVersion("lme4")), started = format(Sys.time(), "%Y-%m-%d %H:%M:%S"), load = load_now,
             runtime = paste0(R.version$major, ".", R.version$minor), blas = unname(blas))

control <- if (isTRUE(task$options$lean)) lmerControl(calc.derivs = FALSE) else lmerControl()
fit_once <- function(frame, formula) suppressMessages(lmer(formula, frame, REML = TRUE, control = control))
read_task <- function(t) readRDS(sub("parquet$", "rds", t$data))

measure <- function() {
  small <- task$warmup
  fit_once(read_task(small), as.formula(small$formula))
  frame <- read_task(task)
  formula <- as.formula(task$formula)
  if (task$refits > 0) {
    model <- fit_once(frame, formula)
    responses <- as.matrix(readRDS(sub("parquet$", "rds", task$responses)))
    run <- function() { apply(responses, 2, function(new) sigma(suppressMessages(refit(model, new)))); NULL }
  } else run <- function() fit_once(frame, formula)

  timed <- function() {
    cpu <- sum(proc.time()[1:2]); wall <- as.numeric(Sys.time())
    value <- run()
    list(wall = as.numeric(Sys.time()) - wall, cpu = sum(proc.time()[1:2]) - cpu, value = value)
  }
  invisible(gc())
  baseline <- reset_peak()
  first <- timed()
  peak <- resident_peak()
  record <- c(list(status = "ok"), base, list(first = list(wall = first$wall, cpu = first$cpu), seconds = list(first$wall),
              cpu = list(first$cpu), peak_mb = peak, baseline_mb = baseline), describe(first$value))
  emit(out, record)
  if (first$wall >= LONG) return(invisible())
  first <- NULL
  wall <- list(); cpu <- list(); begin <- as.numeric(Sys.time())
  repeat {
    elapsed <- as.numeric(Sys.time()) - begin
    if (elapsed >= TOO_MUCH || length(wall) >= MOST || (length(wall) >= LEAST && elapsed >= ENOUGH)) break
    if (record$first$wall > SHORT) invisible(gc(full = FALSE))
    one <- timed()
    wall <- c(wall, one$wall); cpu <- c(cpu, one$cpu)
  }
  record$seconds <- wall; record$cpu <- cpu
  emit(out, record)
}

describe <- function(model) {
  # What refit() of lme4 1.1 leaves in the fit as criterion is not that of its estimates: none is given.
  if (task$refits > 0) return(list(criterion = NULL, method = "sum"))
  v <- VarCorr(model)
  list(method = "REML", criterion = REMLcrit(model), sigma = sigma(model), sds = lapply(v, function(x) as.list(unname(attr(x, "stddev")))),
       evaluations = model@optinfo$feval, converged = length(model@optinfo$conv$lme4$messages) == 0,
       message = paste(unlist(model@optinfo$conv$lme4$messages), collapse = "; "), theta = as.list(unname(getME(model, "theta"))))
}

tryCatch(measure(), error = function(e) emit(out, c(list(status = "failed", reason = conditionMessage(e)), base)))
