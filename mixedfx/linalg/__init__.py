"""Linear algebra without a model: batched small matrices, compiled sparse loops with NumPy twins, BLAS threads."""
