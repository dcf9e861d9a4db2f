// Regularised horseshoe (Piironen & Vehtari 2017).
//@ functions
// Local scales times the global one, kept within the slab.
vector horseshoe_scales(vector lambda, real tau, real c2) {
  return tau * lambda .* sqrt(c2 ./ (c2 + square(tau) * square(lambda)));
}
//@ data
int<lower=1> S;  // scales, of coefficients first, then of random effects
vector<lower=0>[S] unit;  // their units
real<lower=0> horseshoe_df;
real<lower=0> horseshoe_df_global;
real<lower=0> horseshoe_scale_global;
real<lower=0> horseshoe_df_slab;
real<lower=0> horseshoe_scale_slab;
//@ parameters each
real<lower=0> horseshoe_tau@;  // global scale
vector<lower=0>[S] horseshoe_lambda@;  // local scales
real<lower=0> horseshoe_c2@;  // squared width of the slab, in units of its scale
//@ transformed parameters each
real slab@ = square(horseshoe_scale_slab) * horseshoe_c2@;  // squared width of the slab
vector[S] scales@ = unit .* horseshoe_scales(horseshoe_lambda@, horseshoe_tau@, slab@);  // scales
//@ model each
horseshoe_tau@ ~ student_t(horseshoe_df_global, 0, horseshoe_scale_global);
horseshoe_lambda@ ~ student_t(horseshoe_df, 0, 1);
horseshoe_c2@ ~ inv_gamma(0.5 * horseshoe_df_slab, 0.5 * horseshoe_df_slab);
