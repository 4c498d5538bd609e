"""Polynomial coefficients of vecmath, lowest power first: minimax fits."""

from __future__ import annotations

from functrace.compiler.ir.vecmath_expr import Table

# (e**r - 1 - r) / r**2 on |r| <= ln(2)/2
EXP = Table(
    double="""
        0x1p-1 0x1.5555555555557p-3 0x1.5555555555558p-5 0x1.111111111009cp-7
        0x1.6c16c16c151a6p-10 0x1.a01a01ac0aa02p-13 0x1.a01a01ad19acbp-16
        0x1.71de01c40c148p-19 0x1.27e4cc8526d77p-22 0x1.af4ecce4ba5a5p-26
        0x1.1f8bc453e6a91p-29
    """,
    single="""
        0x1p-1 0x1.55549ep-3 0x1.5554dep-5 0x1.12325ap-7 0x1.6d589cp-10
    """,
)

# (2**r - 1) / r on |r| <= 1/2
EXP2 = Table(
    double="""
        0x1.62e42fefa39efp-1 0x1.ebfbdff82c58fp-3 0x1.c6b08d704a0c6p-5 0x1.3b2ab6fba4e7dp-7
        0x1.5d87fe78a3ef8p-10 0x1.430912f86a05bp-13 0x1.ffcbfc6de8319p-17
        0x1.62c022496ed05p-20 0x1.b524eb29d094dp-24 0x1.e4cef60846fd1p-28
        0x1.e9ed48b5115a9p-32 0x1.c4c9987de6635p-36
    """,
    single="""
        0x1.62e43p-1 0x1.ebfbep-3 0x1.c6b074p-5 0x1.3b2a5cp-7 0x1.5d9ccap-10 0x1.440edep-13
        0x1.ec5b02p-17
    """,
)

# (log(1 + f) - f + f**2 / 2) / f**3 on |f| <= 1/7
LOG = Table(
    double="""
        0x1.555555555555bp-2 -0x1.ffffffffff53bp-3 0x1.9999999995fe7p-3 -0x1.5555555759dbbp-3
        0x1.2492492a61f24p-3 -0x1.fffffbac823fp-4 0x1.c71c69162ce12p-4 -0x1.999bd0e62b1f3p-4
        0x1.746089de1381ep-4 -0x1.54bf2538b4b41p-4 0x1.3a541eb833905p-4 -0x1.3852c5b135468p-4
        0x1.26793a0aa3286p-4
    """,
    single="""
        0x1.555564p-2 -0x1.fff19ap-3 0x1.99796cp-3 -0x1.5d422cp-3 0x1.2e6086p-3
    """,
)

# log2(1 + f) / f on -3/11 <= f <= 5/11, to 36 bits
LOG2_WIDE = Table(
    double="""
        0x1.71547652b3808p+0 -0x1.7154765a16b81p-1 0x1.ec709dfa2bc4ap-2 -0x1.7154696b198c5p-2
        0x1.2776a04bf66e8p-2 -0x1.ec76d52c65aap-3 0x1.a62ad97848a9bp-3 -0x1.70c025354ea2bp-3
        0x1.460c7e91df486p-3 -0x1.2c4218d5c77c3p-3 0x1.28febe9da8f6bp-3 -0x1.004b7ff03c94bp-3
        0x1.cff265925818fp-5
    """,
)

# (sin(r) - r) / r**3 in r**2, on |r| <= pi/4
SIN = Table(
    double="""
        -0x1.5555555555555p-3 0x1.1111111111089p-7 -0x1.a01a01a0065bdp-13 0x1.71de3a3f66ebbp-19
        -0x1.ae643c54b0a77p-26 0x1.61140dca33633p-33 -0x1.a512706b11374p-41
    """,
    single="""
        -0x1.555556p-3 0x1.111166p-7 -0x1.a04a86p-13 0x1.786c96p-19
    """,
)

# (cos(r) - 1 + r**2 / 2) / r**4 in r**2, on |r| <= pi/4
COS = Table(
    double="""
        0x1.555555555554cp-5 -0x1.6c16c16c15228p-10 0x1.a01a019cc0cddp-16 -0x1.27e4f813fd10bp-22
        0x1.1ee9f24d3a6f9p-29 -0x1.8fb1bc8137827p-37
    """,
    single="""
        0x1.55554ap-5 -0x1.6c0c2ep-10 0x1.99eacep-16
    """,
)

# (atan(t) - t) / t**3 in t**2, on |t| <= 1/4
ATAN = Table(
    double="""
        -0x1.5555555555553p-2 0x1.9999999998db1p-3 -0x1.24924923ebce6p-3 0x1.c71c7138bb435p-4
        -0x1.745cf4d2e30dcp-4 0x1.3b0ea5f452824p-4 -0x1.109c0aee4e362p-4 0x1.d4f7d6f3b3f01p-5
        -0x1.479fa09e7741cp-5
    """,
    single="""
        -0x1.55555p-2 0x1.9992dcp-3 -0x1.23428ap-3 0x1.933a94p-4
    """,
)

# (asin(t) - t) / t**3 in t**2, on t <= 1/2
ASIN = Table(
    double="""
        0x1.5555555555556p-3 0x1.3333333332e38p-4 0x1.6db6db6e3f9c6p-5 0x1.f1c71c15a9b5bp-6
        0x1.6e8bb2ff9cf33p-6 0x1.1c4d19f68987fp-6 0x1.c9d22f29c9d07p-7 0x1.780834a85f319p-7
        0x1.5301b600018a1p-7 0x1.5f5ea0adef3e5p-8 0x1.2149ee0a530b8p-6 -0x1.f3805e1e45767p-7
        0x1.db772198c23acp-6
    """,
    single="""
        0x1.5555c8p-3 0x1.330206p-4 0x1.747b72p-5 0x1.8c415ap-6 0x1.5959aap-5
    """,
)

# erf(x) / x - 1 in x**2, on |x| <= 1 (float32: 5/4)
ERF = Table(
    double="""
        0x1.06eba8214db68p-3 -0x1.812746b0379b2p-2 0x1.ce2f21a0408d3p-4 -0x1.b82ce311ee0f8p-6
        0x1.565bccf7e2d03p-8 -0x1.c02db0149a554p-11 0x1.f9a2b753e3ca4p-14 -0x1.f4ca202d425c9p-17
        0x1.b97e42a3e286ap-20 -0x1.5bfe6b8799e1bp-23 0x1.d6e38ce8ee939p-27 -0x1.ab14c3666b59dp-31
    """,
    single="""
        0x1.06eba8p-3 -0x1.81274p-2 0x1.ce2dcap-4 -0x1.b8125ep-6 0x1.55558cp-8 -0x1.b4ed78p-11
        0x1.b2e1a4p-14 -0x1.f93fb2p-18
    """,
)

# erfc(x)**(1/8) on 5/4 <= x <= 3.95; only float32 is computed so
ERFC_ROOT = Table(
    single="""
        0x1.00622cp+0 -0x1.2dec76p-3 -0x1.daedb6p-5 -0x1.cb4d84p-7 0x1.cc3294p-7 -0x1.642a9ap-9
        0x1.693c18p-13
    """,
)

# (1 + 2 x) exp(x**2) erfc(x) in (x - 4) / (x + 4), as far as erfc(x) is no 0
ERFCX = Table(
    double="""
        0x1.3ba5916e9fd7fp+0 -0x1.1df1ad154a29cp-3 0x1.f7f5df66fd77ap-7 0x1.16ecefcfa5fep-4
        -0x1.9ddb23c3e8c75p-4 0x1.7fee004df7641p-4 -0x1.0fb06dfe56335p-4 0x1.3079edf9e6ad9p-5
        -0x1.09623880e0b94p-6 0x1.49c67195d11bfp-8 -0x1.8d4a9f9f65619p-11
        -0x1.a1de85e460bb1p-13 0x1.3be0ce25a5018p-13 -0x1.9969af98406bep-16
        -0x1.78a7bcae51356p-17 0x1.7fada78fb740bp-18 0x1.44175b71f6ae5p-22
        -0x1.bfdedafd23959p-21 0x1.0c672b5233b5ap-24 0x1.ec1a15450e771p-24
        -0x1.0c9b0ee5d578p-27 -0x1.cc65397626b0dp-27 -0x1.d7caa55ca5bc3p-30
    """,
    single="""
        0x1.3ba592p+0 -0x1.1df1aep-3 0x1.f7d546p-7 0x1.16eb1ep-4 -0x1.9d8d5cp-4 0x1.804682p-4
        -0x1.118d02p-4 0x1.29778cp-5 -0x1.002d28p-6 0x1.e5ffc8p-8 0x1.0ef93p-10
    """,
)

# erf_inv(x) / x in w = -log(1 - x**2) (float32: w - 3.125), w <= 6.25; float64 to six digits
ERF_INV_CENTRE = Table(
    double="""
        0x1.c5bf7721a75a6p-1 0x1.db31bab7fabe9p-3 0x1.784061e0f8177p-7 -0x1.22c19f250d326p-9
        -0x1.e0973df34e124p-13 0x1.8d545a6fb7e1dp-14 -0x1.6384abe296b12p-17
        0x1.0d35a7728988cp-21 -0x1.e4f0a9dfe5aaap-28
    """,
    single="""
        0x1.a755e8p+0 0x1.ebd80ep-3 -0x1.8b6d48p-8 -0x1.84582ep-11 0x1.87bdd8p-13
        -0x1.d1d6e6p-17 -0x1.751d9p-20 0x1.c874ccp-22 -0x1.a58e72p-26 -0x1.3ae082p-28
        0x1.679f4ap-31
    """,
)

# the same in sqrt(w) (float32: sqrt(w) - 3.5), beyond
ERF_INV_TAIL = Table(
    double="""
        0x1.3fb47ca2a2321p+1 -0x1.d58c9412cd39dp+1 0x1.cb07d899536d5p+1 -0x1.94005ff368ca8p+0
        0x1.bca9f1432065dp-2 -0x1.38814cf4c3e19p-4 0x1.116ec32e7c8fbp-7 -0x1.100ea842a9ba5p-11
        0x1.d71074f2b73fp-17
    """,
    single="""
        0x1.aaf132p+1 0x1.01e2ecp+0 0x1.ad855ap-9 -0x1.0e99a6p-9 0x1.1f184cp-10
        -0x1.5cb374p-11 0x1.bbbf12p-12 -0x1.1f5f62p-12 0x1.4b5e5cp-14 0x1.9f9a38p-15 0x0p+0
    """,
)

# 1 / cbrt(m) to two digits, on 4/11 <= m <= 32/11
INVERSE_CBRT = Table(
    double="""
        0x1.feef82p+0 -0x1.25fea8p+1 0x1.14073ap+1 -0x1.1f7298p+0 0x1.2e8cb2p-2 -0x1.f5ebe8p-6
    """,
    single="""
        0x1.feef82p+0 -0x1.25fea8p+1 0x1.14073ap+1 -0x1.1f7298p+0 0x1.2e8cb2p-2 -0x1.f5ebe8p-6
    """,
)

# (atanh(s) / s - 1 - s**2 / 3) / s**4 in s**2, on |s| <= 1/13
ATANH = Table(
    double="""
        0x1.9999999999997p-3 0x1.2492492493b3cp-3 0x1.c71c71bdd5825p-4 0x1.745d263e66ff6p-4
        0x1.3b06ee787ac51p-4 0x1.16923e689a56bp-4
    """,
)

# (tanh(r) - r) / r**3 in r**2, on |r| <= 0.5567
TANH = Table(
    double="""
        -0x1.555555555546fp-2 0x1.11111110ff56ap-3 -0x1.ba1ba1aaf6f76p-5 0x1.664f454d087a6p-6
        -0x1.226dd0f78b8f7p-7 0x1.d6c491706925dp-9 -0x1.7ce475142d742p-10 0x1.2f47ec7b0e73p-11
        -0x1.b6b9dafc09f25p-13 0x1.a59cadb5edee8p-15
    """,
    single="""
        -0x1.55554ap-2 0x1.110ce4p-3 -0x1.b91bc6p-5 0x1.58c81ep-6 -0x1.98605ap-8
    """,
)

# (tanh(r / 2) - r / 2) / r**3 in r**2, on |r| <= ln(2)/2
TANH_HALF = Table(
    double="""
        -0x1.55555555554bdp-5 0x1.11111110e0da2p-8 -0x1.ba1ba11762debp-12 0x1.664eca2a9a125p-15
        -0x1.223c87d4d0f75p-18 0x1.c3875b5b65817p-22
    """,
    single="""
        -0x1.554ee4p-5 0x1.0c324ap-8
    """,
)
