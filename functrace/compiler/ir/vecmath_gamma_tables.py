"""Polynomial coefficients of the gamma functions, lowest power first: minimax fits."""

from __future__ import annotations

from functrace.compiler.ir.vecmath_expr import Table

# lgamma(y) / ((y - 1) (y - 2)) in y - 1.625, on 0.75 <= y <= 2.5
LGAMMA = Table(
    double="""
        0x1.dcfd339a88006p-2 -0x1.0d79494357498p-3 0x1.aebb0c81e4fc3p-5 -0x1.8c66d24dc2a8bp-6
        0x1.88f37b6d1788dp-7 -0x1.9755f441a2ca6p-8 0x1.b2cd23a9788fep-9 -0x1.d9b603811e84ep-10
        0x1.05f411038c891p-10 -0x1.250cf476864c4p-11 0x1.4ad18a6dc1eaap-12
        -0x1.78355fb2e7cb3p-13 0x1.ae7cdfddbdc67p-14 -0x1.ef19111f30829p-15
        0x1.1d7c22962c75dp-15 -0x1.4b0c6df89429fp-16 0x1.88985bff3aa8cp-17
        -0x1.ca6bcd0f4a6ecp-18 0x1.c752a7e701434p-19 -0x1.0a2c1483f1537p-19
        0x1.3d1e33e3017fbp-19 -0x1.7857445fa98b9p-20 -0x1.cfeb223a6c33p-21
        0x1.17f8bfaaec882p-21 0x1.6bf4af83a1098p-20 -0x1.b38547b0b8affp-21
        -0x1.4322d36f5b375p-21 0x1.835d0e929a267p-22 0x1.b73d6591cc012p-23
        -0x1.06d9712eedf63p-23
    """,
    single="""
        0x1.dcfd34p-2 -0x1.0d794ap-3 0x1.aeba08p-5 -0x1.8c641cp-6 0x1.8937e2p-7 -0x1.97f152p-8
        0x1.abb978p-9 -0x1.cbf422p-10 0x1.32efe8p-10 -0x1.7197bp-11 0x1.5d8c9ap-15
        0x1.d44892p-16 0x1.3bc8cap-12 -0x1.9608a2p-13
    """,
)

# x (lgamma(x) - (x - 1/2) (log(x) - 1) - log(2 pi) / 2 + 1/2) in 1 / x**2, on x >= 2.5
LGAMMA_TAIL = Table(
    double="""
        0x1.5555555555555p-4 -0x1.6c16c16c158d5p-9 0x1.a01a01972a469p-11
        -0x1.38137a91f1c47p-11 0x1.b94f3f802d25ep-11 -0x1.f658912be1dbfp-10
        0x1.a0b6591bdf87ap-8 -0x1.ca9aecb494685p-6 0x1.2736f3ffe94dap-3 -0x1.7f275ae9dfcdcp-1
        0x1.b65ba1e3ebaccp+1 -0x1.8cde4775894bdp+3 0x1.0118b11989c59p+5 -0x1.a057198c4ef87p+5
        0x1.39a29f8a6d247p+5
    """,
    single="""
        0x1.555554p-4 -0x1.6bfb12p-9 0x1.948146p-11 -0x1.94f3dap-12
    """,
)

# digamma(y) / (y - y0), y0 its zero, in y - 1.625, on 0.75 <= y <= 2.5
DIGAMMA = Table(
    double="""
        0x1.cd9d88c399e19p-1 -0x1.7aa649cce5858p-2 0x1.8ab0d9438e051p-3 -0x1.bf4556b33b581p-4
        0x1.0738222bbd5c5p-4 -0x1.3bdd9fa2f5b7p-5 0x1.7f10ac3f3027cp-6 -0x1.d35ab3622eb2cp-7
        0x1.1e17d28b69ab8p-7 -0x1.5efe3f7eaa392p-8 0x1.af2732b17a624p-9 -0x1.09025a9aaec79p-9
        0x1.45e8e850bd715p-10 -0x1.90f06e16dc21cp-11 0x1.edc0c2b81f25fp-12
        -0x1.2fcbc5104aa28p-12 0x1.7205655e71f1p-13 -0x1.c76167a512ba1p-14
        0x1.31699d4ed3974p-14 -0x1.77e23806f9be7p-15 0x1.b861ace40f82dp-17
        -0x1.0effbd0a9979dp-17 0x1.ff0e12dbc0aa2p-16 -0x1.3a7eb86f773d1p-16
        -0x1.60e9b958ff219p-16 0x1.b25ac37b2145dp-17 0x1.6646a395a5aa7p-16
        -0x1.b8f4795da922p-17 -0x1.4029925d5f7f2p-17 0x1.8a0bc7ea7f95fp-18
        0x1.6f8a6b27659c6p-19 -0x1.c45b9724a7c9p-20
    """,
    single="""
        0x1.cd9d8ap-1 -0x1.7aa64cp-2 0x1.8aaec2p-3 -0x1.bf41acp-4 0x1.0789dcp-4 -0x1.3c5a7cp-5
        0x1.7595e8p-6 -0x1.c60d3p-7 0x1.60458cp-7 -0x1.b72a82p-8 -0x1.9b6aeap-13
        0x1.d5e9fep-13 0x1.01e27p-8 -0x1.425dap-9
    """,
)

# x**2 (log(x) - 1 / (2 x) - digamma(x)) in 1 / x**2, on x >= 2.5
DIGAMMA_TAIL = Table(
    double="""
        0x1.5555555555554p-4 -0x1.111111110b1bfp-7 0x1.041040edeb29ep-8 -0x1.1111008de7b37p-8
        0x1.f0758c7bdabc3p-8 -0x1.592e4cf43410dp-6 0x1.510e4a976edeep-4 -0x1.a54c33f16a31p-2
        0x1.2894978728316p+1 -0x1.97760e744c013p+3 0x1.e2a009a3baa01p+5 -0x1.be6633985484ap+7
        0x1.252dcbefbafbp+9 -0x1.df29bc440a934p+9 0x1.6b4bcfb6d4a7dp+9
    """,
    single="""
        0x1.555556p-4 -0x1.111184p-7 0x1.03620cp-8 -0x1.f54a32p-9 0x1.e475cp-9
    """,
)

# sin(pi r) / (pi r) in r**2, on |r| <= 1/2
SINC = Table(
    double="""
        0x1p+0 -0x1.a51a6625307d3p+0 0x1.9f9cb402bc3ebp-1 -0x1.86a8e472088a4p-3
        0x1.ac6805cbe14fp-6 -0x1.338169708810ap-9 0x1.37469730d316cp-13 -0x1.d3e3c2969c92ap-18
        0x1.07192db6818d2p-22
    """,
    single="""
        0x1p+0 -0x1.a51a5ap+0 0x1.9f993cp-1 -0x1.8607dp-3 0x1.950198p-6
    """,
)

# (1 - pi r cot(pi r)) / r**2 in r**2, on |r| <= 1/2
COT = Table(
    double="""
        0x1.a51a6625307d3p+1 0x1.151322ac7d847p+1 0x1.0470984c09362p+1 0x1.010b36af7bac4p+1
        0x1.00412e36ece1bp+1 0x1.00102007e3281p+1 0x1.00041717c67p+1 0x1.fffea819dd214p+0
        0x1.001a9181d8cc9p+1 0x1.fda223b72b694p+0 0x1.0a1518009067ep+1 0x1.80af0ddfe346dp+0
        0x1.13b68129d9a3p+2 -0x1.6d1d21650d667p+2 0x1.3b987c41f5fa7p+4 -0x1.7c4ca29571acep+4
        0x1.520b3b2f9b47ap+4
    """,
    single="""
        0x1.a51a66p+1 0x1.15136p+1 0x1.046006p+1 0x1.02bd7ep+1 0x1.d57fcep+0 0x1.90035ap+1
        -0x1.f31632p+0 0x1.0a3bcep+3
    """,
)
