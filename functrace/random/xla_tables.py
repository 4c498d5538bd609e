"""The numbers in XLA's elementary functions on CPUs, and in the C library's logarithm of float64.

Polynomials have their lowest power first, float64's before float32's.
"""

from __future__ import annotations

import math

import numpy as np

from functrace.compiler.ir.vecmath_expr import Table

__all__ = [
    "ERF_BELOW",
    "ERF_INV_FAR",
    "ERF_INV_FARTHEST",
    "ERF_INV_NEAR",
    "ERF_OVER",
    "EXP_BELOW",
    "EXP_OVER",
    "INVERSES",
    "LANCZOS",
    "LOG",
    "LOG1P_BELOW",
    "LOG1P_OVER",
    "LOGS",
    "LOG_NEAR",
    "LOG_REST",
]

# --- log ---------------------------------------------------------------------------------------

LOG = Table(
    "",
    "0x1.555554p-2 -0x1.fffff8p-3 0x1.999d58p-3 -0x1.555cap-3 0x1.23d37ep-3 -0x1.fcba9ep-4 "
    "0x1.de4a34p-4 -0x1.d7a37p-4 0x1.204376p-4",
)
"""What ``log(1 + x) - x + x**2 / 2`` is over ``x**3``."""
LOG_REST = Table(
    "-0x1.0000000000001p-1 0x1.555555551305bp-2 -0x1.fffffffeb459p-3 0x1.999b324f10111p-3 "
    "-0x1.55575e506c89fp-3",
)
"""What ``log(1 + x) - x`` is over ``x**2`` within 1/256 of 0."""
LOG_NEAR = Table(
    "-0x1p-1 0x1.5555555555577p-2 -0x1.ffffffffffdcbp-3 0x1.999999995dd0cp-3 "
    "-0x1.55555556745a7p-3 0x1.24924a344de3p-3 -0x1.fffffa4423d65p-4 0x1.c7184282ad6cap-4 "
    "-0x1.999eb43b068ffp-4 0x1.78182f7afd085p-4 -0x1.5521375d145cdp-4",
)
"""The same, further from 0."""
_INVERSES = (
    "0x1.734f0c3e0de9fp+0 0x1.713786a2ce91fp+0 0x1.6f26008fab5ap+0 0x1.6d1a61f138c7dp+0 "
    "0x1.6b1490bc5b4d1p+0 0x1.69147332f0cbap+0 0x1.6719f18224223p+0 0x1.6524f99a51ed9p+0 "
    "0x1.63356aa8f24c4p+0 0x1.614b36b9ddc14p+0 0x1.5f66452c65c4cp+0 0x1.5d867b5912c4fp+0 "
    "0x1.5babccb5b90dep+0 0x1.59d61f2d91a78p+0 0x1.5805612465687p+0 0x1.56397cee76bd3p+0 "
    "0x1.54725e2a77f93p+0 0x1.52aff42064583p+0 0x1.50f22dbb2bddfp+0 0x1.4f38f4734ded7p+0 "
    "0x1.4d843cfde284p+0 0x1.4bd3ec078a3c8p+0 0x1.4a27fc3e0258ap+0 0x1.4880524d48434p+0 "
    "0x1.46dce1b192d0bp+0 0x1.453d9d3391854p+0 0x1.43a2744b4845ap+0 0x1.420b54115f8fbp+0 "
    "0x1.40782da3ef4b1p+0 0x1.3ee8f5d57fe8fp+0 0x1.3d5d9a00b4ce9p+0 0x1.3bd60c010c12bp+0 "
    "0x1.3a5242b75dab8p+0 0x1.38d22cd9fd002p+0 0x1.3755bc5847a1cp+0 0x1.35dce49ad36e2p+0 "
    "0x1.34679984dd44p+0 0x1.32f5cceffcb24p+0 0x1.3187775a10d49p+0 0x1.301c8373e399p+0 "
    "0x1.2eb4ebb95f841p+0 0x1.2d50a0219a9d1p+0 0x1.2bef9a8b7fd2ap+0 0x1.2a91c7a0c1babp+0 "
    "0x1.293726014b53p+0 0x1.27dfa5757a1f5p+0 0x1.268b39b1d3bbfp+0 0x1.2539d838ff5bdp+0 "
    "0x1.23eb7aac9083bp+0 0x1.22a012ba940b6p+0 0x1.2157996cc4132p+0 0x1.201201dd2fc9bp+0 "
    "0x1.1ecf4494d480bp+0 0x1.1d8f5528f6569p+0 0x1.1c52311577e7cp+0 0x1.1b17c74cb26e9p+0 "
    "0x1.19e010c2c1ab6p+0 0x1.18ab07bb670bdp+0 0x1.1778a25efbcb6p+0 0x1.1648d354c31dap+0 "
    "0x1.151b990275fddp+0 0x1.13f0ea432d24cp+0 0x1.12c8b7210f9dap+0 0x1.11a3028ecb531p+0 "
    "0x1.107fbda8434afp+0 0x1.0f5ee0f4e6bb3p+0 0x1.0e4065d2a9fcep+0 0x1.0d244632ca521p+0 "
    "0x1.0c0a77ce2981ap+0 0x1.0af2f83c636d1p+0 0x1.09ddb98a01339p+0 0x1.08cabaf52e7dfp+0 "
    "0x1.07b9f2f4e28fbp+0 0x1.06ab58c358f19p+0 0x1.059eea5ecf92cp+0 0x1.04949cdd12c9p+0 "
    "0x1.038c6c6f0ada9p+0 0x1.02865137932a9p+0 0x1.0182427ea7348p+0 0x1.008040614b195p+0 "
    "0x1.fe01ff726fa1ap-1 0x1.fa11cc261ea74p-1 0x1.f6310b081992ep-1 0x1.f25f63ceeadcdp-1 "
    "0x1.ee9c8039113e7p-1 0x1.eae8078cbb1abp-1 0x1.e741aa29d0c9bp-1 0x1.e3a91830a99b5p-1 "
    "0x1.e01e009609a56p-1 0x1.dca01e577bb98p-1 0x1.d92f20b7c9103p-1 0x1.d5cac66fb5ccep-1 "
    "0x1.d272caa5ede9dp-1 0x1.cf26e3e6b2ccdp-1 0x1.cbe6da2a77902p-1 0x1.c8b266d37086dp-1 "
    "0x1.c5894bd5d5804p-1 0x1.c26b533bb9f8cp-1 0x1.bf583eeece73fp-1 0x1.bc4fd75db96c1p-1 "
    "0x1.b951e0c864a28p-1 0x1.b65e2c5ef3e2cp-1 0x1.b374867c9888bp-1 0x1.b094b211d304ap-1 "
    "0x1.adbe885f2ef7ep-1 0x1.aaf1d31603da2p-1 0x1.a82e63fd358a7p-1 0x1.a5740ef09738bp-1 "
    "0x1.a2c2a90ab4b27p-1 0x1.a01a01393f2d1p-1 0x1.9d79f24db3c1bp-1 0x1.9ae2505c7b19p-1 "
    "0x1.9852ef297ce2fp-1 0x1.95cbaeea44b75p-1 0x1.934c69de74838p-1 0x1.90d4f2f6752e6p-1 "
    "0x1.8e6528effd79dp-1 0x1.8bfce9fcc007cp-1 0x1.899c0dabec30ep-1 0x1.87427aa2317fbp-1 "
    "0x1.84f00acb39a08p-1 0x1.82a49e8653e55p-1 0x1.8060195f4026p-1 0x1.7e22563e0a329p-1 "
    "0x1.7beb377dcb5adp-1 0x1.79baa679725c2p-1 0x1.77907f2170657p-1 0x1.756cadbd6130cp-1"
)
INVERSES = np.array([float.fromhex(word) for word in _INVERSES.split()])
"""One over a number near the middle of each of 128 intervals from 0.6875 to 1.375.

The numbers are chosen so that their logarithms have 43 bits after the point and then only zeros.
"""
LOGS = np.array([-round(math.log(x) * 2.0**43) * 2.0**-43 for x in INVERSES.tolist()])
"""The logarithms of these numbers, exactly as far as float64 goes."""

# --- log1p -------------------------------------------------------------------------------------

LOG1P_OVER = Table(
    "0x1.40a202d99830ap+4 0x1.c8e7597479a1p+5 0x1.e798eb86c3351p+5 0x1.de9738b8cb9c9p+4 "
    "0x1.a509f46f4fa53p+2 0x1.fe818a0fe1a83p-2 0x1.7bc0962b395cap-15",
    "0x1.40a202p+4 0x1.c8e75ap+5 0x1.e798ecp+5 0x1.de9738p+4 0x1.a509f4p+2 0x1.fe818ap-2 "
    "0x1.7bc096p-15",
)
LOG1P_BELOW = Table(
    "0x1.e0f304466448ep+5 0x1.b0db13e48e066p+7 0x1.351945dc908a5p+8 0x1.bb86590fcfb56p+7 "
    "0x1.4c30b52213498p+6 0x1.e20359e903e37p+3 0x1p+0",
    "0x1.e0f304p+5 0x1.b0db14p+7 0x1.351946p+8 0x1.bb865ap+7 0x1.4c30b6p+6 0x1.e2035ap+3 0x1p+0",
)
"""What ``log(1 + x) - x + x**2 / 2`` is over ``x**3``, as a quotient."""

# --- lgamma ------------------------------------------------------------------------------------

LANCZOS = Table(
    "",
    "0x1.52429cp+9 -0x1.3ac8e8p+10 0x1.81a966p+9 -0x1.613ae6p+7 0x1.903c28p+3 -0x1.1bcb2ap-3 "
    "0x1.4f0514p-17 0x1.435508p-23",
)
"""Of Lanczos's approximation with a shift of 7: what is divided by ``x``, ``x + 1``, ..."""

# --- exp ---------------------------------------------------------------------------------------

EXP_OVER = Table(
    "0x1p+0 0x1.f06d10cca2c7ep-6 0x1.089cdd5e44be8p-13",
    "0x1p-1 0x1.555554p-3 0x1.555382p-5 0x1.11121p-7 0x1.6e879cp-10 0x1.a0d2cep-13",
)
"""float32: what ``exp(x) - 1 - x`` is over ``x**2``; float64: with EXP_BELOW, as a quotient."""
EXP_BELOW = Table(
    "0x1p+1 0x1.d17099887e074p-3 0x1.4ae39b508b6cp-9 0x1.92eb6bc365fap-19",
)

# --- erf and its inverse -----------------------------------------------------------------------

ERF_OVER = Table(
    "",
    "0x1.20dd74p+0 0x1.7b4e8p-3 0x1.a16dd6p-5 0x1.bebb44p-9 0x1.e05aa2p-13",
)
ERF_BELOW = Table(
    "",
    "0x1p+0 0x1.fd6894p-2 0x1.c69842p-4 0x1.cd0fa8p-7 0x1.0ada5p-10 0x1.8b11bep-16 -0x1.fa720cp-24",
)
"""What erf(x) is over x, as a quotient of polynomials in ``x**2``."""
ERF_INV_NEAR = Table(
    "0x1.a755e7c99ae86p+0 0x1.ebd80d9b13e28p-3 -0x1.8b6c33114f909p-8 -0x1.845769484fca8p-11 "
    "0x1.879c2a212f024p-13 -0x1.d1d1f7b8736f6p-17 -0x1.6e8a5434ae8a2p-20 0x1.c6b4f5d03b787p-22 "
    "-0x1.f36cd6d3d46a9p-26 -0x1.1a9e38dc84d6p-28 0x1.20f47ccf46b3cp-30 -0x1.dc583d118a561p-35 "
    "-0x1.c8859c4e5c0afp-37 0x1.72a22c2d77e2p-39 -0x1.6f2167040d8e2p-44 -0x1.6d33eed66c487p-45 "
    "0x1.de4acfd9e26bap-48 0x1.82e11898132ep-56 -0x1.33689090a6b96p-53 0x1.9ba72cd589b91p-57 "
    "0x1.7b83eef0b7c9fp-60 -0x1.8ddf93324d327p-63 -0x1.135d2e746e627p-68",
    "0x1.805c5ep+0 0x1.f91ec6p-3 -0x1.11c9dep-8 -0x1.48a81p-10 0x1.ca65b6p-13 -0x1.26b582p-18 "
    "-0x1.d8e6aep-19 0x1.70966cp-22 0x1.e2cb1p-26",
)
ERF_INV_FAR = Table(
    "0x1.8abcc380d5a48p+1 0x1.0158a6d641d39p+0 0x1.5ffcfe5b76afcp-8 -0x1.ebadabb891bbdp-9 "
    "0x1.468eeca533cf8p-9 -0x1.ba924132f38b1p-10 0x1.f3cc55ad40c25p-11 -0x1.7448a89ef8aa3p-12 "
    "0x1.932cd54c8a222p-16 0x1.1e684d0b9188ap-14 -0x1.8cef1f80281f2p-15 0x1.a29a0cacdfb23p-17 "
    "0x1.8860cd5d652f6p-19 -0x1.0d5db812b5083p-18 0x1.936388a3790adp-20 0x1.395abcd554c6cp-26 "
    "-0x1.2777453dd3955p-22 0x1.85cbe52878635p-24 0x1.3040f87dbd932p-29 0 0 0 0",
    "0x1.6a9efcp+1 0x1.006db6p+0 0x1.354afcp-7 -0x1.f38baep-8 0x1.7824f6p-8 -0x1.e17bcep-9 "
    "0x1.61b8e4p-10 0x1.a76ad6p-14 -0x1.a3e136p-13",
)
ERF_INV_FARTHEST = Table(
    "0x1.3664ddd1ad7fbp+2 0x1.02a30d1fba0dcp+0 -0x1.22ea5df04047cp-13 -0x1.c2f36a8fc5d53p-13 "
    "0x1.3ebf4eb00938fp-14 -0x1.4a3497e1e0facp-16 0x1.2fbd29d093d2bp-18 -0x1.0a8d40ea372ccp-20 "
    "0x1.ebc8bb824cb54p-23 -0x1.22d220fdf9c3ep-24 0x1.f4c20e1334af8p-26 -0x1.0102e495fb9cp-26 "
    "0x1.05ac6a8fba182p-27 -0x1.0468fb24e2f5fp-28 0x1.9e6bf2dda45e3p-30 -0x1.18feec0e38727p-32 "
    "-0x1.dcec3a7785389p-36 0 0 0 0 0 0",
)
"""What erf_inv(x) is over x, by ``-log(1 - x**2)`` or the root of it; of one length."""
