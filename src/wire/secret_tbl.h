/* SPDX-License-Identifier: Apache-2.0 */
/* How well-known tokens begin. What follows must be at least eight characters long. */
/* clang-format off */
#define SECRET_PREFIX_TABLE(X) \
    X("AGE-SECRET-KEY-") X("AIza") X("AKIA") X("ASIA") X("ATATT") X("ATCTT") X("EAACEdEose0cBA") X("GOCSPX-") \
    X("PMAK-") X("SG.") X("dapi") X("dckr_pat_") X("doo_v1_") X("dop_v1_") X("dor_v1_") X("eyJ") X("figd_") \
    X("ghb_") X("gho_") X("ghp_") X("ghr_") X("ghs_") X("ghu_") X("github_pat_") X("glpat-") X("glptt-") \
    X("glrt-") X("glsa_") X("gsk_") X("hf_") X("hvb.") X("hvs.") X("lin_api_") X("npm_") X("nvapi-") \
    X("oauth2_") X("pk_live_") X("pplx-") X("pypi-") X("r8_") X("rk_live_") X("rk_test_") X("rubygems_") \
    X("shpat_") X("shpss_") X("sk-") X("sk_live_") X("sk_test_") X("sq0atp-") X("sq0csp-") X("syt_") X("tskey-") \
    X("whsec_") X("xai-") X("xapp-") X("xoxa-") X("xoxb-") X("xoxe-") X("xoxo-") X("xoxp-") X("xoxr-") X("xoxs-") \
    X("ya29.")
/* clang-format on */
