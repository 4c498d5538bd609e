"""Polynomial coefficients of vecmath, lowest power first: minimax fits from 200-bit arithmetic."""

from __future__ import annotations


def _hex(*texts: str) -> tuple[float, ...]:
    return tuple(map(float.fromhex, texts))


# (e**r - 1 - r) / r**2 on |r| <= ln(2)/2
EXP = _hex(
    "0x1.0000000000000p-1",
    "0x1.5555555555557p-3",
    "0x1.5555555555558p-5",
    "0x1.111111111009cp-7",
    "0x1.6c16c16c151a6p-10",
    "0x1.a01a01ac0aa02p-13",
    "0x1.a01a01ad19acbp-16",
    "0x1.71de01c40c148p-19",
    "0x1.27e4cc8526d77p-22",
    "0x1.af4ecce4ba5a5p-26",
    "0x1.1f8bc453e6a91p-29",
)

# the same, for float32
EXP_LOW = _hex(
    "0x1.0000000bb42f4p-1",
    "0x1.555555746d427p-3",
    "0x1.5554e830b382ap-5",
    "0x1.1110ab0e9fd1fp-7",
    "0x1.6d444a784b4e4p-10",
    "0x1.a17e90942d761p-13",
)

# (2**r - 1) / r on |r| <= 1/2
EXP2 = _hex(
    "0x1.62e42fefa39efp-1",
    "0x1.ebfbdff82c58fp-3",
    "0x1.c6b08d704a0c6p-5",
    "0x1.3b2ab6fba4e7dp-7",
    "0x1.5d87fe78a3ef8p-10",
    "0x1.430912f86a05bp-13",
    "0x1.ffcbfc6de8319p-17",
    "0x1.62c022496ed05p-20",
    "0x1.b524eb29d094dp-24",
    "0x1.e4cef60846fd1p-28",
    "0x1.e9ed48b5115a9p-32",
    "0x1.c4c9987de6635p-36",
)

# the same, for float32
EXP2_LOW = _hex(
    "0x1.62e42fef95ac6p-1",
    "0x1.ebfbe046e94eep-3",
    "0x1.c6b08dc6b9337p-5",
    "0x1.3b2a1a2e8eb08p-7",
    "0x1.5d874b7e6ef13p-10",
    "0x1.444140b253888p-13",
    "0x1.00dce99197397p-16",
)

# (atan(t) - t) / t**3 in t**2, on t <= sqrt(2) - 1
ATAN = _hex(
    "-0x1.5555555555555p-2",
    "0x1.999999999939ap-3",
    "-0x1.2492492439bacp-3",
    "0x1.c71c71874c12ap-4",
    "-0x1.745d0b74f999cp-4",
    "0x1.3b126960cb7bbp-4",
    "-0x1.10faca1dff754p-4",
    "0x1.dfeb74dd1560ep-5",
    "-0x1.a0b2af1bafb7bp-5",
    "0x1.41a610175de48p-5",
    "-0x1.3acb40f6ae6cdp-6",
)

# the same, for float32
ATAN_LOW = _hex(
    "-0x1.5555554c9d27ap-2",
    "0x1.99997c587f262p-3",
    "-0x1.248a50fbbcb5ap-3",
    "0x1.c582e1c820e3ep-4",
    "-0x1.61733ed5532ffp-4",
    "0x1.9e616bd790f4fp-5",
)

# (asin(t) - t) / t**3 in t**2, on t <= 1/2
ASIN = _hex(
    "0x1.5555555555556p-3",
    "0x1.3333333332e38p-4",
    "0x1.6db6db6e3f9c6p-5",
    "0x1.f1c71c15a9b5bp-6",
    "0x1.6e8bb2ff9cf33p-6",
    "0x1.1c4d19f68987fp-6",
    "0x1.c9d22f29c9d07p-7",
    "0x1.780834a85f319p-7",
    "0x1.5301b600018a1p-7",
    "0x1.5f5ea0adef3e5p-8",
    "0x1.2149ee0a530b8p-6",
    "-0x1.f3805e1e45767p-7",
    "0x1.db772198c23acp-6",
)

# the same, for float32
ASIN_LOW = _hex(
    "0x1.555554d53d593p-3",
    "0x1.333448bc63ab7p-4",
    "0x1.6d55b8af8ee09p-5",
    "0x1.fe154ec4ee96fp-6",
    "0x1.16881d8f3d26cp-6",
    "0x1.15f63cef2bbffp-5",
)

# erf(x) / x in x**2, on |x| <= 1
ERF = _hex(
    "0x1.20dd750429b6dp+0",
    "-0x1.812746b0379c2p-2",
    "0x1.ce2f21a041018p-4",
    "-0x1.b82ce312062bcp-6",
    "0x1.565bccfa9a911p-8",
    "-0x1.c02db072f86bbp-11",
    "0x1.f9a2bf748e6a6p-14",
    "-0x1.f4ca94a55ef4cp-17",
    "0x1.b9827bab75d99p-20",
    "-0x1.5c16e71d6c917p-23",
    "0x1.d784b2bad168fp-27",
    "-0x1.ace05f3b3074fp-31",
)

# the same, for float32
ERF_LOW = _hex(
    "0x1.20dd750406267p+0",
    "-0x1.812746682ca9dp-2",
    "0x1.ce2f09ac3d7a0p-4",
    "-0x1.b829d8d681590p-6",
    "0x1.562b1a65c9733p-8",
    "-0x1.bcd7e61e86fb9p-11",
    "0x1.d8b8bf3b7da6ap-14",
    "-0x1.44d03e20e306cp-17",
)

# (1 + 2 x) exp(x**2) erfc(x) in (x - 4) / (x + 4), on 0 <= x <= 28
ERFCX = _hex(
    "0x1.3ba5916e9fd7fp+0",
    "-0x1.1df1ad154a29cp-3",
    "0x1.f7f5df66fd77ap-7",
    "0x1.16ecefcfa5fe0p-4",
    "-0x1.9ddb23c3e8c75p-4",
    "0x1.7fee004df7641p-4",
    "-0x1.0fb06dfe56335p-4",
    "0x1.3079edf9e6ad9p-5",
    "-0x1.09623880e0b94p-6",
    "0x1.49c67195d11bfp-8",
    "-0x1.8d4a9f9f65619p-11",
    "-0x1.a1de85e460bb1p-13",
    "0x1.3be0ce25a5018p-13",
    "-0x1.9969af98406bep-16",
    "-0x1.78a7bcae51356p-17",
    "0x1.7fada78fb740bp-18",
    "0x1.44175b71f6ae5p-22",
    "-0x1.bfdedafd23959p-21",
    "0x1.0c672b5233b5ap-24",
    "0x1.ec1a15450e771p-24",
    "-0x1.0c9b0ee5d5780p-27",
    "-0x1.cc65397626b0dp-27",
    "-0x1.d7caa55ca5bc3p-30",
)

# the same to x = 11, for float32
ERFCX_LOW = _hex(
    "0x1.3ba5916f5e204p+0",
    "-0x1.1df1ad45a6552p-3",
    "0x1.f7f59bdd67554p-7",
    "0x1.16ed01cf114b0p-4",
    "-0x1.9dda21521395ap-4",
    "0x1.7fed8ea6e62dfp-4",
    "-0x1.0fbbaef94af26p-4",
    "0x1.306dc3286560dp-5",
    "-0x1.08961bdf409bbp-6",
    "0x1.4dd7d69f34a88p-8",
    "-0x1.ae7f81a7373b5p-11",
    "-0x1.726f02177da55p-12",
    "0x1.66c7225db034cp-14",
)

# erf_inv(x) / x to six digits in w = -log(1 - x**2), on w <= 6.25
ERF_INV_CENTRE = _hex(
    "0x1.c5bf7721a75a6p-1",
    "0x1.db31bab7fabe9p-3",
    "0x1.784061e0f8177p-7",
    "-0x1.22c19f250d326p-9",
    "-0x1.e0973df34e124p-13",
    "0x1.8d545a6fb7e1dp-14",
    "-0x1.6384abe296b12p-17",
    "0x1.0d35a7728988cp-21",
    "-0x1.e4f0a9dfe5aaap-28",
)

# the same in sqrt(w), on 2.5 <= sqrt(w) <= 6.1
ERF_INV_TAIL = _hex(
    "0x1.3fb47ca2a2321p+1",
    "-0x1.d58c9412cd39dp+1",
    "0x1.cb07d899536d5p+1",
    "-0x1.94005ff368ca8p+0",
    "0x1.bca9f1432065dp-2",
    "-0x1.38814cf4c3e19p-4",
    "0x1.116ec32e7c8fbp-7",
    "-0x1.100ea842a9ba5p-11",
    "0x1.d71074f2b73f0p-17",
)

# cbrt(m) to three digits, on 2**-1.5 <= m <= 2**1.5
CBRT = _hex(
    "0x1.a905592b6462dp-2",
    "0x1.0d7dcb89e7158p+0",
    "-0x1.85ec17a88ab06p-1",
    "0x1.8c8e5c39eab16p-2",
    "-0x1.ac360aaaf5a0ep-4",
    "0x1.71dd5c58d2b5bp-7",
)
