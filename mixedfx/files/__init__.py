"""Files that people have, as data frames: text, Excel, Parquet and Feather, Stata, SPSS, SAS and R."""
