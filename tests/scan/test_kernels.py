"""The Triton kernels beside PyTorch's operations: by Triton's interpreter on a CPU, or on a GPU where there is one."""

import copy
import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.architectures import stir
from torch import Tensor

from plateaulens.errors import UsageError
from plateaulens.scan import choice, direct, engine
from plateaulens.scan import split as splitting
from plateaulens.scan.direct import DirectForward
from plateaulens.scan.engine import PathCurves, Response, scan
from plateaulens.scan.linear import SplitLinear
from plateaulens.scan.metrics import divergences
from plateaulens.scan.outputs import Reference, top_token
from plateaulens.scan.split import Precision, has_kernels, split_rows
from plateaulens.subject.model import Subject

ON_GPU = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
LIKE_FLOAT32: tuple[Precision, ...] = ("float32", "fp16x3", "tf32x3")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or not (ON_GPU or INTERPRETED),
    reason="needs Triton, and a GPU or TRITON_INTERPRET=1: `nox -s kernels`",
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


@pytest.fixture
def by_pytorch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Call a function with the kernels out of reach."""

    def call(function: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            for module in (direct, engine, splitting):
                patch.setattr(module, "has_kernels", lambda _: False)
            return function()

    return call


def on_device(subject: Subject) -> Subject:
    model: Any = stir(copy.deepcopy(subject.model))  # norms' weights are 1 and biases 0 before training
    return replace(subject, model=model.to(DEVICE), lens=None)


def work(subject: Subject, length: int, steps: int = 9, size: float = 1.0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(4)
    tokens = torch.randint(0, subject.vocabulary, (2, length), generator=rng)
    start = subject.last_activations(tokens.to(DEVICE))[:, None, None]
    away = torch.randn((2, 3, 1, subject.d_model), generator=rng).to(DEVICE) * size
    return tokens.to(DEVICE), start + torch.linspace(0, 1, steps, device=DEVICE)[:, None] * away


def error(found: Tensor, wanted: Tensor) -> float:
    assert found.isfinite().all()
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_the_kernels_are_in_use() -> None:
    assert has_kernels(DEVICE)


@pytest.mark.parametrize("precision", LIKE_FLOAT32)
@pytest.mark.parametrize("length", [1, 2, 7, 140])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_blocks_give_what_they_give_without(
    family: str, length: int, precision: Precision, subject_at: Callable[..., Subject], by_pytorch: Any
) -> None:
    """Biases, norms of heads, windows shorter than the prompt, no earlier token, and more than the kernel holds."""
    if length == 140 and family not in {"mistral", "qwen3"}:
        pytest.skip("the way that two families are enough to see")
    subject = on_device(subject_at(family))
    tokens, points = work(subject, length)
    found: Response = DirectForward(subject, precision).run(tokens, points)
    wanted: Response = by_pytorch(lambda: DirectForward(subject).run(tokens, points))
    assert error(found.read - points, wanted.read - points) < 1e-5
    assert error(found.final, wanted.final) < 1e-5


@pytest.mark.parametrize("precision", ["fp16x3", "tf32x3"])
@pytest.mark.parametrize("size", [1e-2, 1e2])
def test_no_number_is_too_large_or_too_small(
    size: float, precision: Precision, subject_at: Callable[..., Subject], by_pytorch: Any
) -> None:
    subject = on_device(subject_at("llama"))
    tokens, points = work(subject, 4, size=size)
    points = points * size
    found: Response = DirectForward(subject, precision).run(tokens, points)
    wanted: Response = by_pytorch(lambda: DirectForward(subject).run(tokens, points))
    # of what the blocks add, but for what float32 loses of it beside a large stream
    assert error(found.read - points, wanted.read - points) < 1e-5 * max(1.0, size)
    assert error(found.final, wanted.final) < 1e-5


@pytest.mark.parametrize("precision", LIKE_FLOAT32)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_curves_are_those_without(
    family: str, precision: Precision, subject_at: Callable[..., Subject], by_pytorch: Any
) -> None:
    """Whichever architecture: what has no quick blocks has split linear layers and these metrics all the same."""
    subject = on_device(subject_at(family))
    tokens, points = work(subject, 5)
    found: PathCurves = scan(DirectForward(subject, precision), tokens, points)
    wanted: PathCurves = by_pytorch(lambda: scan(DirectForward(subject), tokens, points))
    assert (found.curve[:, :, 0] == 0).all()
    for metric in range(found.curve.shape[-1]):
        assert error(found.curve[..., metric], wanted.curve[..., metric]) < 3e-5
    assert torch.equal(found.top_token, wanted.top_token)


def test_likely_tokens_are_told(subject_at: Callable[..., Subject], by_pytorch: Any) -> None:
    subject = on_device(subject_at("llama"))
    tokens, points = work(subject, 5)
    found, wanted = (
        call(lambda: scan(engine.Telling(DirectForward(subject), 3), tokens, points).likely)
        for call in (lambda function: function(), by_pytorch)
    )
    assert torch.equal(found.token, wanted.token)
    torch.testing.assert_close(found.probability, wanted.probability, rtol=1e-4, atol=1e-6)


def logits(rows: int = 12, vocabulary: int = 5000) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    one = torch.randn((2, 1, vocabulary), generator=rng) * 5
    away = torch.randn((2, rows, vocabulary), generator=rng) * torch.logspace(-5, 1, rows)[:, None]
    away[:, 0] = 0
    return (one + away).to(DEVICE)


def by_definition(rows: Tensor) -> tuple[Tensor, Tensor]:
    """KL(p || q) in nats and the square root of the Jensen-Shannon divergence in bits, in float64."""
    log_q = rows.double().log_softmax(-1)
    log_p = log_q[:, :1]
    p, q = log_p.exp(), log_q.exp()
    log_m = ((p + q) / 2).log()
    js = ((p * (log_p - log_m)).sum(-1) + (q * (log_q - log_m)).sum(-1)) / (2 * math.log(2))
    return (p * (log_p - log_q)).sum(-1), js.clamp(min=0).sqrt()


@pytest.mark.parametrize("most_bytes", [1, 4 * 5000 * 5, 4 * 5000 * 12, 2**30])
def test_metrics_are_those_of_the_definition_however_many_rows_are_held(most_bytes: int) -> None:
    from plateaulens.scan.fused import measure_outputs

    rows = logits()
    held: list[int] = []

    def unembed(asked: Tensor) -> Tensor:
        held.append(len(asked))
        return asked

    found = measure_outputs(unembed, rows, most_bytes=most_bytes)
    kl, js = by_definition(rows)
    # float64's own definition loses what is below 1e-12 to cancellation
    torch.testing.assert_close(found.kl.double(), kl, rtol=5e-5, atol=1e-12)
    torch.testing.assert_close(found.js.double(), js, rtol=5e-5, atol=1e-6)
    assert (found.kl[:, 0] == 0).all()
    assert (found.js[:, 0] == 0).all()
    assert max(held) <= max(1, most_bytes // (4 * 5000))
    assert torch.equal(found.top_token.flatten(), top_token(rows.flatten(0, 1)).int())


def test_small_steps_are_measured_more_exactly_than_by_pytorch() -> None:
    """What cancels in PyTorch's operations is left out in the kernel's series."""
    from plateaulens.scan.fused import measure_outputs

    rows = logits()[:1]
    found = measure_outputs(lambda asked: asked, rows)
    kl, _ = by_definition(rows)
    eager = divergences(rows[0], Reference(rows[0, 0]), ("kl",))[:, 0]
    small = (kl[0] > 1e-12) & (kl[0] < 1e-7)
    assert small.sum() >= 3
    own, its = (((each - kl[0]).abs() / kl[0])[small] for each in (found.kl[0].double(), eager.double()))
    assert own.max() < 1e-4
    assert own.median() < its.median() / 3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of branches that are not taken
def test_what_is_no_number_stays_none() -> None:
    """A plateau must not come out of a model that overflows."""
    from plateaulens.scan.fused import measure_outputs

    rows = logits()[:1, :3].clone()
    rows[0, 1, 17] = math.nan
    rows[0, 2, rows[0, 0].argmax()] = -math.inf
    found = measure_outputs(lambda asked: asked, rows)
    assert found.kl[0, 0] == 0
    assert found.kl[0, 1].isnan()
    assert found.js[0, 1].isnan()
    assert not found.kl[0, 2].isfinite()
    nan = torch.tensor([[0x7FFFFFFF, 0x3F800000]], dtype=torch.int32).view(torch.float32).to(DEVICE)
    for precision in ("fp16x3", "tf32x3"):
        assert split_rows(nan, precision)[0][0, 0, 0].isnan()


def test_the_first_of_equal_logits_is_the_top_token_and_tokens_ruled_out_weigh_nothing() -> None:
    from plateaulens.scan.fused import measure_outputs

    rows = torch.zeros((1, 3, 4100), device=DEVICE)
    rows[0, :, 7] = -math.inf
    rows[0, 1:, [3000, 4099]] = 2.0
    rows[0, 2, 7] = -500.0
    found = measure_outputs(lambda asked: asked, rows)
    assert found.top_token.tolist() == [[0, 3000, 3000]]
    eager = divergences(rows[0], Reference(rows[0, 0]), ("kl", "js"))
    torch.testing.assert_close(torch.stack([found.kl[0], found.js[0]], dim=-1), eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp16x3", "tf32x3"])
@pytest.mark.parametrize(("rows", "depth", "width"), [(1, 16, 1), (130, 80, 96), (3, 576, 130)])
def test_products_are_as_accurate_as_float32(precision: Precision, rows: int, depth: int, width: int) -> None:
    rng = torch.Generator().manual_seed(2)
    weight, bias = torch.randn((width, depth), generator=rng), torch.randn(width, generator=rng)
    x = torch.randn((rows, depth), generator=rng) * torch.logspace(-8, 8, rows)[:, None]
    x[0, 0] = 0.0
    layer = SplitLinear(weight.to(DEVICE), bias.to(DEVICE), precision)
    exact = x.double() @ weight.double().T + bias.double()
    whole = torch.nn.functional.linear(x.to(DEVICE), weight.to(DEVICE), bias.to(DEVICE))
    size = x.norm(dim=-1, keepdim=True) * weight.norm(dim=-1) + bias.abs()

    def mistake(found: Tensor) -> float:
        return float(((found.cpu() - exact) / size).square().mean().sqrt())

    # few numbers may come out exactly right in float32
    assert mistake(layer(x.to(DEVICE))) <= 4 * max(mistake(whole), 2**-25)


def test_rows_are_split_as_by_pytorch(by_pytorch: Any) -> None:
    x = torch.randn((5, 33), generator=torch.Generator().manual_seed(3)).to(DEVICE) * torch.tensor(
        [1e-30, 1e-3, 1.0, 3e4, 1e30], device=DEVICE
    ).unsqueeze(-1)
    x[1] = 0
    for precision in ("fp16x3", "tf32x3"):
        planes, back = split_rows(x, precision)
        wanted, its = by_pytorch(lambda precision=precision: split_rows(x, precision))
        assert torch.equal(planes, wanted)
        if its is not None:
            assert back is not None
            assert torch.equal(back, its)


def test_auto_takes_split_products_where_they_pass(
    subject_at: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = on_device(subject_at("llama"))
    tokens, _ = work(subject, 5)
    taken = choice.choose(subject, tokens, points=4, precision="auto")
    assert (taken.way, taken.precision, taken.why) == ("packed", "fp16x3", "")

    checked = choice._check

    def failing(forward: Any, *others: Any) -> None:
        if isinstance(forward, DirectForward) and not failed:
            failed.append(forward)
            raise choice._WrongError("it differs")
        checked(forward, *others)

    failed: list[Any] = []
    monkeypatch.setattr(choice, "_check", failing)
    taken = choice.choose(subject, tokens, points=4, precision="auto")
    assert (taken.way, taken.precision, taken.why) == ("packed", "float32", "packed in fp16x3: it differs")
    failed.clear()
    with pytest.raises(UsageError, match="fp16x3"):
        choice.choose(subject, tokens, points=4, precision="fp16x3", way="packed")
