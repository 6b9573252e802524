"""Triton kernels for points on a GPU: split products, norms, attention of packed points, and output metrics.

A product in float32 leaves a GPU's matrix units idle. Here a number is the sum of a high and a low part, each narrow
enough for those units, and a product is three of theirs: high by high, high by low and low by high (Ootomo and Yokota
2022, doi:10.1177/10943420221090256). Low by low, which is left out, is of the size of float32's own rounding.

The parts stand in *planes*: a tensor shaped (plane, row, column) with one plane for each. This file needs Triton, which
comes with PyTorch for CUDA; only `plateaulens.scan.split` and `plateaulens.scan.fused` import it, where it is there.
"""
# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"

import triton
import triton.language as tl

HALVES, TF32, NARROW, WHOLE = (tl.constexpr(kind) for kind in range(4))
"""Kinds of planes: two of float16, two of float32 that hold TF32 numbers, one of bfloat16, one of float32."""
PLAIN, PLUS, GATED = (tl.constexpr(then) for then in range(3))
"""What becomes of a product: nothing, a summand is added, or SiLU of it times that with a second matrix."""
SMALL = tl.constexpr(0.35)
"""Up to here series stand for exponentials and logarithms, whose leading terms cancel."""
LOG_FLOOR = tl.constexpr(-80.0)
"""Of `plateaulens.scan.outputs`."""
LOWEST = tl.constexpr(-3e38)
"""Below every logit, and finite: differences of two of them are numbers."""


@triton.jit
def high(x, KIND: tl.constexpr):
    """The nearest number of the planes' kind."""
    if KIND == HALVES:
        return x.to(tl.float16)
    elif KIND == TF32:
        nearest = ((x.to(tl.int32, bitcast=True) + 0x1000) & -8192).to(tl.float32, bitcast=True)
        return tl.where(x != x, x, nearest)
    elif KIND == NARROW:
        return x.to(tl.bfloat16)
    else:
        return x


@triton.jit
def put(out, out_low, x, at, mask, KIND: tl.constexpr):
    """Store every part of x in its plane."""
    part = high(x, KIND)
    tl.store(out + at, part, mask=mask)
    if KIND == HALVES or KIND == TF32:
        tl.store(out_low + at, high(x - part.to(tl.float32), KIND), mask=mask)


@triton.jit
def norm_kernel(
    stream,
    out,
    out_low,
    weights,
    factor,
    eps,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    WEIGHTED: tl.constexpr,
    KIND: tl.constexpr,
):
    """RMS norm of a row, times its weights or a factor for all."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < D
    x = tl.load(stream + row * D + column, mask=inside, other=0.0)
    normed = x * (factor * tl.rsqrt(tl.sum(x * x) / D + eps))
    if WEIGHTED:
        normed *= tl.load(weights + column, mask=inside, other=0.0)
    put(out, out_low, normed, row * D + column, inside, KIND)


@triton.jit
def scale_kernel(x, out, out_low, back, K: tl.constexpr, BLOCK: tl.constexpr, TOP: tl.constexpr, KIND: tl.constexpr):
    """A row times a power of two that brings its largest number to between 2^TOP and 2^(TOP + 1); `back` undoes it."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < K
    numbers = tl.load(x + row * K + column, mask=inside, other=0.0)
    exponent = (tl.max(tl.abs(numbers)).to(tl.int32, bitcast=True) >> 23) & 255
    away = tl.minimum(tl.maximum(TOP + 127 - exponent, -100), 100)
    away = tl.where((exponent == 0) | (KIND != HALVES), 0, away)
    tl.store(back + row, ((127 - away) << 23).to(tl.float32, bitcast=True))
    put(out, out_low, numbers * ((127 + away) << 23).to(tl.float32, bitcast=True), row * K + column, inside, KIND)


@triton.jit
def gate_kernel(both, out, out_low, scale, F: tl.constexpr, BLOCK: tl.constexpr, KIND: tl.constexpr):
    """SiLU of the first half of a row times the second, times a scale by column."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < F
    gate = tl.load(both + row * 2 * F + column, mask=inside, other=0.0)
    up = tl.load(both + row * 2 * F + F + column, mask=inside, other=0.0)
    factor = tl.load(scale + column, mask=inside, other=0.0)
    put(out, out_low, gate / (1.0 + tl.exp(-gate)) * up * factor, row * F + column, inside, KIND)


@triton.jit
def _part(at, start, inside, K: tl.constexpr, BK: tl.constexpr):
    if K % BK == 0:
        return tl.load(at)
    else:
        return tl.load(at, mask=start + inside < K, other=0.0)


@triton.jit(do_not_specialize=["rows"])
def product_kernel(
    a,
    a_low,
    b,
    b_low,
    out,
    out_low,
    by_row,
    by_column,
    bias,
    other,
    rows,
    columns,
    K: tl.constexpr,
    SPAN: tl.constexpr,
    KIND: tl.constexpr,
    THEN: tl.constexpr,
    BY_ROW: tl.constexpr,
    BIAS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    GROUP: tl.constexpr,
):
    """`(row, K)` by `(column, K)`, both in planes, scaled by column and perhaps by row, plus a bias.

    `PLUS` adds `other`, shaped as the result. `GATED` takes the rows of `b` from number `columns` on for a second
    matrix, multiplies by `other`, a number for each column, and hands out planes.

    Matrix units round sums towards zero. So small products are summed apart from large ones, and a sum that is `SPAN`
    products long is added up elsewhere, where sums are rounded to the nearest.
    """
    number = tl.program_id(0)
    row_blocks, column_blocks = tl.cdiv(rows, BM), tl.cdiv(columns, BN)
    # blocks with rows or columns in common run together, so that these stay in cache
    group = number // (GROUP * column_blocks)
    height = min(row_blocks - group * GROUP, GROUP)
    within = number % (GROUP * column_blocks)
    row = (group * GROUP + within % height) * BM + tl.arange(0, BM)
    column = (within // height) * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    # beyond the last row or column, others are computed again and not stored
    a_at = (row % rows).to(tl.int64)[:, None] * K + depth[None, :]
    b_at = (column % columns).to(tl.int64)[None, :] * K + depth[:, None]
    c_at = b_at + columns * K
    total = tl.zeros((BM, BN), tl.float32)
    second = tl.zeros((BM, BN), tl.float32)
    for begin in tl.static_range(0, K, SPAN):
        large, small = tl.zeros((BM, BN), tl.float32), tl.zeros((BM, BN), tl.float32)
        large2, small2 = tl.zeros((BM, BN), tl.float32), tl.zeros((BM, BN), tl.float32)
        for start in range(begin, min(begin + SPAN, K), BK):
            a_high = _part(a + a_at, start, depth[None, :], K, BK)
            b_high = _part(b + b_at, start, depth[:, None], K, BK)
            large = tl.dot(a_high, b_high, large, input_precision="tf32")
            if THEN == GATED:
                c_high = _part(b + c_at, start, depth[:, None], K, BK)
                large2 = tl.dot(a_high, c_high, large2, input_precision="tf32")
            if KIND == HALVES or KIND == TF32:
                a_rest = _part(a_low + a_at, start, depth[None, :], K, BK)
                b_rest = _part(b_low + b_at, start, depth[:, None], K, BK)
                small = tl.dot(a_high, b_rest, small, input_precision="tf32")
                small = tl.dot(a_rest, b_high, small, input_precision="tf32")
                if THEN == GATED:
                    c_rest = _part(b_low + c_at, start, depth[:, None], K, BK)
                    small2 = tl.dot(a_high, c_rest, small2, input_precision="tf32")
                    small2 = tl.dot(a_rest, c_high, small2, input_precision="tf32")
            a_at += BK
            b_at += BK
            c_at += BK
        total += large + small
        if THEN == GATED:
            second += large2 + small2
    known = column < columns
    stored = (row[:, None] < rows) & known[None, :]
    at = row.to(tl.int64)[:, None] * columns + column[None, :]
    result = total * tl.load(by_column + column, mask=known, other=0.0)[None, :]
    if BY_ROW:
        result *= tl.load(by_row + row, mask=row < rows, other=0.0)[:, None]
    if BIAS:
        result += tl.load(bias + column, mask=known, other=0.0)[None, :]
    if THEN == GATED:
        up = second * tl.load(by_column + columns + column, mask=known, other=0.0)[None, :]
        if BIAS:
            up += tl.load(bias + columns + column, mask=known, other=0.0)[None, :]
        factor = tl.load(other + column, mask=known, other=0.0)[None, :]
        put(out, out_low, result / (1.0 + tl.exp(-result)) * up * factor, at, stored, KIND)
    else:
        if THEN == PLUS:
            result += tl.load(other + at, mask=stored, other=0.0)
        tl.store(out + at, result, mask=stored)


@triton.jit
def _head(at, column, inside, weight, eps, D: tl.constexpr, NORM: tl.constexpr):
    """A head of some tokens, and its norm where it has one."""
    x = tl.load(at + column[None, :], mask=inside, other=0.0)
    if NORM:
        scale = tl.rsqrt(tl.sum(x * x, axis=1) / D + eps)
        x = x * scale[:, None] * tl.load(weight + column, mask=column < D, other=0.0)[None, :]
    return x


@triton.jit
def _rotated(at, token, column, inside, cosines, sines, weight, eps, D: tl.constexpr, NORM: tl.constexpr):
    """The same with rotary embeddings: `x cos + rotate_half(x) sin`."""
    x = tl.load(at + column[None, :], mask=inside, other=0.0)
    half = (column + D // 2) % D
    turned = tl.load(at + half[None, :], mask=inside, other=0.0)
    if NORM:
        scale = tl.rsqrt(tl.sum(x * x, axis=1) / D + eps)[:, None]
        x = x * scale * tl.load(weight + column, mask=column < D, other=0.0)[None, :]
        turned = turned * scale * tl.load(weight + half, mask=column < D, other=0.0)[None, :]
    turned = tl.where(column[None, :] < D // 2, -turned, turned)
    where = token[:, None] * D + column[None, :]
    cosine = tl.load(cosines + where, mask=inside, other=0.0)
    return x * cosine + turned * tl.load(sines + where, mask=inside, other=0.0)


@triton.jit(do_not_specialize=["tokens", "shared", "window"])
def attention_kernel(
    qkv,
    out,
    out_low,
    cosines,
    sines,
    factors,
    q_weight,
    k_weight,
    eps,
    scaling,
    tokens,
    shared,
    window,
    HEADS: tl.constexpr,
    KV: tl.constexpr,
    D: tl.constexpr,
    WIDE: tl.constexpr,
    KEYS: tl.constexpr,
    BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
    NORM: tl.constexpr,
    KIND: tl.constexpr,
):
    """Packed points' attention, see `plateaulens.scan.attention.attend`: `EARLY` for the prompt's earlier tokens.

    Queries, keys and values of a token stand in one row. Points are at position 0 and need no rotation.
    """
    prompt, kv = tl.program_id(0).to(tl.int64), tl.program_id(2)
    width = (HEADS + 2 * KV) * D
    base = qkv + prompt * tokens * width
    column, key = tl.arange(0, WIDE), tl.arange(0, KEYS)
    known = column < D
    shown = (key[:, None] < shared) & known[None, :]
    key_at = base + key[:, None] * width + (HEADS + kv) * D
    keys = _rotated(key_at, key, column, shown, cosines, sines, k_weight, eps, D, NORM)
    values = tl.load(key_at + KV * D + column[None, :], mask=shown, other=0.0)
    query = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if EARLY:
        last = shared
        token = query
        seen = (key[None, :] <= query[:, None]) & (key[None, :] > query[:, None] - window) & (key[None, :] < shared)
    else:
        last = tokens
        token = shared + query
        seen = ((key < shared) & (key > shared - window))[None, :]
    asking = (token[:, None] < last) & known[None, :]
    row_at = base + token[:, None].to(tl.int64) * width
    if not EARLY:
        own_key = _head(row_at + (HEADS + kv) * D, column, asking, k_weight, eps, D, NORM)
        own_value = tl.load(row_at + (HEADS + KV + kv) * D + column[None, :], mask=asking, other=0.0)
    for member in tl.static_range(HEADS // KV):
        head = kv * (HEADS // KV) + member
        if EARLY:
            q = _rotated(row_at + head * D, token, column, asking, cosines, sines, q_weight, eps, D, NORM)
        else:
            q = _head(row_at + head * D, column, asking, q_weight, eps, D, NORM)
        score = tl.dot(q, tl.trans(keys), input_precision="tf32x3") * scaling
        score = tl.where(seen, score, LOWEST)
        largest = tl.max(score, axis=1)
        if not EARLY:
            own = tl.sum(q * own_key, axis=1) * scaling
            largest = tl.maximum(largest, own)
        weight = tl.where(seen, tl.exp(score - largest[:, None]), 0.0)
        total = tl.sum(weight, axis=1)
        found = tl.dot(weight, values, input_precision="tf32x3")
        if not EARLY:
            own = tl.exp(own - largest)
            total += own
            found += own[:, None] * own_value
        factor = tl.load(factors + head * D + column, mask=known, other=0.0)
        at = (prompt * tokens + token)[:, None] * (HEADS * D) + head * D + column[None, :]
        put(out, out_low, found / tl.maximum(total, 1.0)[:, None] * factor[None, :], at, asking, KIND)


@triton.jit
def stats_kernel(logits, stats, top, V: tl.constexpr, BLOCK: tl.constexpr):
    """A row's largest logit, log of the sum of exponentials of what it is above others, and its place, the first one.

    The sum of both normalises a row; kept apart they lose no digits where logits are large.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    best = tl.full((BLOCK,), LOWEST, tl.float32)
    place = column
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        inside = start + column < V
        x = tl.load(logits + row * V + start + column, mask=inside, other=LOWEST)
        larger = tl.maximum(best, x)
        total = total * tl.exp(best - larger) + tl.where(inside, tl.exp(x - larger), 0.0)
        place = tl.where(x > best, start + column, place)
        best = larger
    largest = tl.max(best)
    tl.store(stats + 2 * row, largest)
    tl.store(stats + 2 * row + 1, tl.log(tl.sum(total * tl.exp(best - largest))))
    tl.store(top + row, tl.min(tl.where(best == largest, place, V)))


@triton.jit
def divergence_kernel(
    logits, reference, stats, reference_stats, kl, js, STEPS: tl.constexpr, V: tl.constexpr, BLOCK: tl.constexpr
):
    """KL and Jensen-Shannon distance of a row's q from p, its path's reference; a path is `STEPS` rows.

    The terms are those of `plateaulens.scan.metrics`. For q near p they are series in `log q/p`, whose leading terms
    are left out rather than cancelled.
    """
    row = tl.program_id(0).to(tl.int64)
    path = row // STEPS
    q_most, q_rest = tl.load(stats + 2 * row), tl.load(stats + 2 * row + 1)
    p_most, p_rest = tl.load(reference_stats + 2 * path), tl.load(reference_stats + 2 * path + 1)
    column = tl.arange(0, BLOCK)
    kl_sum, js_sum = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        inside = start + column < V
        of_p = tl.load(reference + path * V + start + column, mask=inside, other=0.0)
        of_q = tl.load(logits + row * V + start + column, mask=inside, other=0.0)
        log_p, log_q = of_p - p_most - p_rest, of_q - q_most - q_rest
        # log q/p, of the logits first: where they are near, their difference is exact
        x = (of_q - tl.maximum(of_p, LOWEST)) - ((q_most - p_most) + (q_rest - p_rest))
        x = tl.where(log_p < LOG_FLOOR, tl.maximum(log_q, LOG_FLOOR) - LOG_FLOOR, x)
        x = tl.where(inside, x, 0.0)
        p = tl.where(inside, tl.exp(tl.maximum(log_p, LOG_FLOOR)), 0.0)
        y = x * x
        # exp(x) - 1 - x, and log((1 + exp(x)) / 2) - x / 2
        rest = y * (
            1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720 + x * (1 / 5040 + x * (1 / 40320))))))
        )
        bend = y * (1 / 8 + y * (-1 / 192 + y * (1 / 2880 + y * (-17 / 645120))))
        excess = x + rest
        js_small = y * 0.5 - 2 * bend + rest * (0.5 * x) - bend * excess
        far = tl.exp(x) - 1
        mean = tl.log(1 + 0.5 * far)
        js_large = x - 2 * mean + far * (x - mean)
        near = tl.abs(x) < SMALL
        kl_sum += p * tl.where(near, rest, far - x)
        js_sum += p * tl.where(near, js_small, js_large)
    # what rounding leaves below 0 is 0, and what is no number stays none
    kl_sum, js_sum = tl.sum(kl_sum), tl.sum(js_sum)
    tl.store(kl + row, tl.where(kl_sum < 0, 0.0, kl_sum))
    tl.store(js + row, tl.sqrt(tl.where(js_sum < 0, 0.0, js_sum) / (2 * 0.6931471805599453)))
