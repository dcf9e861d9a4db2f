// R2D2: a prior of R^2 and of how it is divided (Zhang et al. 2022; Aguilar & Buerkner 2023).
//@ data
int<lower=1> S;  // scales, of coefficients first, then of random effects
vector<lower=0>[S] unit;  // their units
${residual_data}
real<lower=0> r2d2_mean;  // of R2
real<lower=0> r2d2_prec;
real<lower=0> r2d2_concentration;
//@ parameters each
real<lower=0, upper=1> R2@;  // share of the variance that is explained
simplex[S] phi_R2@;  // and its division
//@ transformed parameters each
vector[S] scales@ = ${residual} * unit .* sqrt(phi_R2@ * R2@ / (1 - R2@));  // scales
//@ model each
R2@ ~ beta(r2d2_mean * r2d2_prec, (1 - r2d2_mean) * r2d2_prec);
phi_R2@ ~ dirichlet(rep_vector(r2d2_concentration, S));
