"""Compiled loops over the levels of a grouping factor: modes, points around them, and the mean of their terms.

The derivation, and the vectorised twin, are in `mixedfx.bayes.importance.levels`. Levels are independent, so that a
level's rows stay near the processor while its mode is sought and its points are weighed.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfx.linalg.compiled import compiled

LONGEST = 4.0


@compiled
def normal_quantile(p):
    """Quantile of the standard normal distribution (Wichura 1988, algorithm AS 241)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = (
            (((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
               + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
            + 1.3314166789178437745e2
        ) * r + 3.3871328727963666080e0  # fmt: skip
        low = (
            (((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
               + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
            + 4.2313330701600911252e1
        ) * r + 1.0  # fmt: skip
        return q * top / low
    r = p if q < 0.0 else 1.0 - p
    r = math.sqrt(-math.log(max(r, 1e-300)))
    if r <= 5.0:
        r -= 1.6
        top = (
            (((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
               + 1.27045825245236838258e0) * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
            + 4.63033784615654529590e0
        ) * r + 1.42343711074968357734e0  # fmt: skip
        low = (
            (((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r
               + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
            + 2.05319162663775882187e0
        ) * r + 1.0  # fmt: skip
    else:
        r -= 5.0
        top = (
            (((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r
               + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
            + 5.46378491116411436990e0
        ) * r + 6.65790464350110377720e0  # fmt: skip
        low = (
            (((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r
               + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
            + 5.99832206555887937690e-1
        ) * r + 1.0  # fmt: skip
    found = top / low
    return -found if q < 0.0 else found


@compiled
def log_density(kind, y, m, eta, shape):
    """Log f, up to what eta does not move; kinds are those of `mixedfx.linalg.density_rows`."""
    if kind == 0:
        return y * eta - m * (max(eta, 0.0) + math.log1p(math.exp(-abs(eta))))
    mu = math.exp(min(eta, 700.0))
    if kind == 1:
        return y * eta - mu
    if kind == 2:
        return y * eta - (y + shape) * math.log1p(mu / shape)
    return -shape * eta - shape * y / mu


@compiled
def slopes(kind, y, m, eta, shape):
    """Derivative of log f in eta, and minus its second derivative."""
    if kind == 0:
        q = math.exp(-abs(eta))
        d = 1.0 / (1.0 + q)
        p = d if eta >= 0.0 else q * d
        return y - m * p, m * q * d * d
    mu = math.exp(min(eta, 700.0))
    if kind == 1:
        return y - mu, mu
    if kind == 2:
        total = shape + mu
        a = (y + shape) * (mu / total)
        return y - a, a * (shape / total)
    a = shape * y / mu
    return a - shape, a


@compiled
def integrals(kind, y, m, shape, base, starts, z, F, steps, lattice, bend, shifts, choices, total, v):
    """Fill `total` (D,) with logs of the products of the levels' means, and replace `v` (D, J, k) by points chosen.

    `base` is (D, n), `F` (D, k, k), `lattice` (pairs, k), `shifts` (D, J, k), `choices` (D, J).
    """
    D, J, k = v.shape
    pairs = lattice.shape[0]
    M = 2 * pairs
    terms = np.empty(M)
    points = np.empty((M, k))
    A = np.empty((k, k))
    K = np.empty((k, k))
    g = np.empty(k)
    step = np.empty(k)
    x = np.empty(k)
    u = np.empty(k)
    longest = np.max(starts[1:] - starts[:-1])
    zf = np.empty((longest, k))
    known = np.empty(longest)
    single = kind == 0 and np.all(m == 1.0)
    for d in range(D):
        total[d] = 0.0
        for j in range(J):
            begin, end = starts[j], starts[j + 1]
            for i in range(begin, end):  # covariates of standardised effects
                for a in range(k):
                    t = 0.0
                    for b in range(k):
                        t += z[i, b] * F[d, b, a]
                    zf[i - begin, a] = t
            c = v[d, j]
            for _ in range(steps):
                for a in range(k):
                    g[a] = -c[a]
                    for b in range(k):
                        A[a, b] = 1.0 if a == b else 0.0
                for i in range(begin, end):
                    eta = base[d, i]
                    for a in range(k):
                        eta += zf[i - begin, a] * c[a]
                    s, w = slopes(kind, y[i], m[i], eta, shape[d])
                    for a in range(k):
                        g[a] += s * zf[i - begin, a]
                        wz = w * zf[i - begin, a]
                        for b in range(a + 1):
                            A[a, b] += wz * zf[i - begin, b]
                for a in range(k):  # Cholesky factor in place, then its inverse
                    for b in range(a + 1):
                        t = A[a, b]
                        for e in range(b):
                            t -= A[a, e] * A[b, e]
                        A[a, b] = math.sqrt(max(t, 1.0)) if a == b else t / A[b, b]
                for b in range(k):
                    K[b, b] = 1.0 / A[b, b]
                    for a in range(b + 1, k):
                        t = 0.0
                        for e in range(b, a):
                            t -= A[a, e] * K[e, b]
                        K[a, b] = t / A[a, a]
                        K[b, a] = 0.0
                length = 0.0
                for a in range(k):
                    t = 0.0
                    for b in range(a + 1):
                        t += K[a, b] * g[b]
                    x[a] = t
                for a in range(k):
                    t = 0.0
                    for b in range(a, k):
                        t += K[b, a] * x[b]
                    step[a] = t if math.isfinite(t) else 0.0
                    length += step[a] * step[a]
                share = min(1.0, LONGEST / max(math.sqrt(length), 1e-300))
                for a in range(k):
                    c[a] += share * step[a]
            for i in range(begin, end):
                eta = base[d, i]
                for a in range(k):
                    eta += zf[i - begin, a] * c[a]
                known[i - begin] = eta
            log_root = 0.0
            for a in range(k):
                log_root += math.log(K[a, a])
            top = -math.inf
            for at in range(pairs):
                log_q = -log_root
                for a in range(k):
                    p = (shifts[d, j, a] + lattice[at, a]) % 1.0
                    t = normal_quantile(min(max(p, 2.0**-60), 1.0 - 2.0**-53))
                    log_q -= 0.5 * t * t
                    if bend > 0.0:
                        log_q -= math.log(math.cosh(bend * t))
                        t = math.sinh(bend * t) / bend
                    x[a] = t
                for a in range(k):
                    t = 0.0
                    for b in range(a, k):
                        t += K[b, a] * x[b]
                    u[a] = t
                for a in range(k):
                    points[2 * at, a] = c[a] + u[a]
                    points[2 * at + 1, a] = c[a] - u[a]
                one = -log_q
                two = -log_q
                for a in range(k):
                    one -= 0.5 * points[2 * at, a] ** 2
                    two -= 0.5 * points[2 * at + 1, a] ** 2
                more, less = 1.0, 1.0
                for i in range(begin, end):
                    eta = known[i - begin]
                    move = 0.0
                    for a in range(k):
                        move += zf[i - begin, a] * u[a]
                    if single:  # log f = y eta - max(eta, 0) - log(1 + exp(-|eta|)), the logarithm of a product
                        left, right = eta + move, eta - move
                        one += y[i] * left - max(left, 0.0)
                        two += y[i] * right - max(right, 0.0)
                        more *= 1.0 + math.exp(-abs(left))
                        less *= 1.0 + math.exp(-abs(right))
                        if max(more, less) > 1e150:
                            one -= math.log(more)
                            two -= math.log(less)
                            more, less = 1.0, 1.0
                    else:
                        one += log_density(kind, y[i], m[i], eta + move, shape[d])
                        two += log_density(kind, y[i], m[i], eta - move, shape[d])
                one -= math.log(more)
                two -= math.log(less)
                terms[2 * at], terms[2 * at + 1] = one, two
                top = max(top, one, two)
            if not top > -math.inf:
                total[d] = -math.inf
                continue
            whole = 0.0
            for at in range(M):
                terms[at] = math.exp(terms[at] - top)
                whole += terms[at]
            total[d] += math.log(whole / M) + top
            left = choices[d, j] * whole
            chosen = 0
            part = terms[0]
            while part < left and chosen < M - 1:
                chosen += 1
                part += terms[chosen]
            for a in range(k):
                c[a] = points[chosen, a]
