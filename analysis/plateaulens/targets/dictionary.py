"""What the synthetic activation types need to know of a sparse autoencoder, without any SAE library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from plateaulens.errors import UsageError

RowMap = Callable[[Float[Tensor, "rows inputs"]], Float[Tensor, "rows outputs"]]
"""From whole rows to whole rows, each treated by itself."""
Frames = Callable[[Float[Tensor, "rows d_model"]], tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows 1"]]]
"""The scale and the mean that an SAE takes out of each row before it encodes it."""

_ROWS_PER_BATCH = 256
_ROWS_TOGETHER = 16
"""Encoded by one product, each at a place of its own: weights are read so many times less often."""
_SAME = 1e-5
"""Times the lengths that are added up: what decoding may differ from a sum of decoder rows by, in single precision."""
_MOST_NEAREST = 32
"""Latents nearest to one that are remembered: of every latent they take less than its row of the decoder."""


class Autoencoder(Protocol):
    """What a `Dictionary` takes of an SAE; SAELens' inference SAEs have it."""

    @property
    def W_dec(self) -> Tensor:  # noqa: N802  SAELens' name
        """Decoder, shape (latents, d_model)."""
        ...

    def encode(self, x: Tensor, /) -> Tensor:
        """Codes of activations.

        Parameters
        ----------
        x
            Shaped (rows, d_model).

        Returns
        -------
        Tensor
            Shaped (rows, latents).
        """
        ...

    def decode(self, feature_acts: Tensor, /) -> Tensor:
        """Activations that codes stand for.

        Parameters
        ----------
        feature_acts
            Shaped (rows, latents).

        Returns
        -------
        Tensor
            Shaped (rows, d_model).
        """
        ...


@dataclass(frozen=True, eq=False)
class Code:
    """The active latents of one activation (those whose SAE activation is not 0); `len` counts them."""

    latent: Int64[np.ndarray, " active"]
    """Latent ids, ascending when they come from `Dictionary.encode`."""
    activation: Float32[np.ndarray, " active"]
    """How strong each of them is, in units of SAE activation."""
    frame: tuple[float, float] | None = None
    """Scale and mean of the activation that was encoded, where the SAE takes them out of each one. A code made from
    another is decoded with that one's: make it with `dataclasses.replace`."""

    def __len__(self) -> int:
        return len(self.latent)

    def __getitem__(self, kept: Bool[np.ndarray, " active"] | slice) -> "Code":
        """The code with these of its latents only."""
        return replace(self, latent=self.latent[kept], activation=self.activation[kept])


class Residue(NamedTuple):
    """What an SAE makes of some activations."""

    latents: Int32[np.ndarray, " samples"]
    """How many are active in each."""
    error: Float32[np.ndarray, " samples"]
    """How far each lies from its reconstruction (L2)."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse autoencoder: `encoder` maps activations to codes, `reconstructor` codes to activations.

    Both take and return whole rows and must treat each row by itself, which excludes the batch-wide threshold that a
    BatchTopK autoencoder uses in training.

    Raises
    ------
    UsageError
        When shapes disagree, when a decoder value is not finite, or when a frequency is negative or not finite.
    """

    encoder: RowMap
    reconstructor: RowMap
    decoder: Float[Tensor, "latents d_model"]
    """One direction per latent: what cosines are between, and what codes add up."""
    frequency: Float[Tensor, " latents"]
    """Share of tokens that a latent is active on, on a linear scale; 0 marks a dead latent."""
    frames: Frames | None = None
    """What `encoder` takes out of each row, for an SAE that has a scale for each; `reconstructor` leaves it out."""

    @classmethod
    def of(cls, sae: Autoencoder, frequency: Float[Tensor, " latents"]) -> Self:
        """The dictionary of an SAE.

        Parameters
        ----------
        sae
            Its `encode` and `decode` treat each row by itself. One that `decode` leaves out the scales of has them in
            an attribute `frames`, as `load_sae` makes it.
        frequency
            How often each latent fires, shaped (latents,).

        Returns
        -------
        Dictionary
            With the SAE's own decoder.
        """
        return cls(sae.encode, sae.decode, sae.W_dec.detach(), frequency, getattr(sae, "frames", None))

    def __post_init__(self) -> None:
        if self.frequency.shape != self.decoder.shape[:1]:
            raise UsageError(
                f"SAE: {len(self.decoder)} decoder rows but firing frequencies of shape {tuple(self.frequency.shape)}; "
                f"supply one frequency per latent"
            )
        for what, wrong in (
            ("decoder row", ~self.decoder.isfinite().all(dim=1)),
            ("firing frequency", ~(self.frequency.isfinite() & (self.frequency >= 0))),
        ):
            if wrong.any():
                latent = int(wrong.nonzero()[0, 0])
                raise UsageError(
                    f"SAE: the {what} of latent {latent} is not a finite number (>= 0 for a frequency); check its files"
                )

    @torch.no_grad()
    def encode(self, activation: Float[Tensor, " d_model"]) -> Code:
        """The code of one activation.

        One row at a time: a matrix product over a batch may round a row differently with the size of the batch. The
        copy gives every row the same memory alignment, which may matter to the rounding as well.

        Parameters
        ----------
        activation
            Shaped (d_model,).

        Returns
        -------
        Code
            Latents in ascending order.
        """
        return self._codes(activation.clone()[None], [0])[0]

    @torch.no_grad()
    def encode_each(self, activations: Float[Tensor, "rows d_model"], sample: Sequence[int]) -> list[Code]:
        """The codes of several activations, 16 of them by one product, which reads the SAE's weights once.

        Each has the place in the product that its sample's number gives it, so that what comes of it depends on neither
        the other rows nor how many there are. `encode` may round it differently.

        Parameters
        ----------
        activations
            Shaped (rows, d_model).
        sample
            The number in the run of each row's sample, by which a row is the same in whatever span it is drawn;
            consecutive ones go together.

        Returns
        -------
        list of Code
            In the order of the rows, with latents in ascending order.
        """
        place = np.asarray(sample, dtype=np.int64) % _ROWS_TOGETHER
        ends = [0, *(np.flatnonzero(np.diff(place) <= 0) + 1), len(place)]
        codes: list[Code] = []
        for start, stop in pairwise(ends):
            rows, own = activations[start:stop], place[start:stop]
            together = rows[:1].repeat(_ROWS_TOGETHER, 1)
            together[torch.from_numpy(own)] = rows
            codes += self._codes(together, own.tolist())
        return codes

    def _codes(self, rows: Float[Tensor, "rows d_model"], wanted: Sequence[int]) -> list[Code]:
        """The codes of some of these rows, all of which go through one product."""
        values = self.encoder(rows)
        assert values.shape == (len(rows), len(self.decoder)), f"encoder returned shape {tuple(values.shape)}"
        dense = values.float().cpu().numpy()
        active = [np.flatnonzero(dense[row]) for row in wanted]
        codes = [Code(latent, dense[row, latent]) for row, latent in zip(wanted, active, strict=True)]
        if self.frames is None:
            return codes
        scale, mean = (each.flatten().tolist() for each in self.frames(rows))
        return [replace(code, frame=(scale[row], mean[row])) for row, code in zip(wanted, codes, strict=True)]

    def decode(self, code: Code) -> Float[Tensor, " d_model"]:
        """The activation that a code stands for; an empty code gives the decoder of zeros.

        Parameters
        ----------
        code
            Latents in any order, each at most once.

        Returns
        -------
        Tensor
            Shaped (d_model,), as `decode_each` gives it.

        Raises
        ------
        UsageError
            When the SAE has a scale for each activation, and the code was made from none.
        """
        return self.decode_each([code])[0]

    @torch.no_grad()
    def decode_each(self, codes: Sequence[Code]) -> Float[Tensor, "codes d_model"]:
        """The activations that codes stand for, each to the last bit as it is alone.

        Where the SAE adds up decoder rows, as nearly all do, only those of active latents are read, and added up in the
        order of their ids; that it does so is tried once, with codes of many latents, strengths of either sign and
        three magnitudes. Any other SAE decodes one row at a time.

        Parameters
        ----------
        codes
            Any number of them, with latents in any order, each at most once.

        Returns
        -------
        Tensor
            Shaped (code, d_model).

        Raises
        ------
        UsageError
            When the SAE has a scale for each activation, and a code was made from none.
        """
        if self.frames is not None and any(code.frame is None for code in codes):
            raise UsageError(
                "the SAE has a scale for each activation, and a code has none: make it from the base's code, with "
                "dataclasses.replace"
            )
        order = [np.argsort(code.latent) for code in codes]
        latents = [code.latent[own] for code, own in zip(codes, order, strict=True)]
        assert all((np.diff(own) > 0).all() for own in latents), "a latent occurs twice in one code"
        strengths = [code.activation[own] for code, own in zip(codes, order, strict=True)]
        if self._origin is None:
            values = self._decoded_by_itself(latents, strengths)
        else:
            latent = torch.from_numpy(np.concatenate([*latents, np.empty(0, np.int64)])).to(self.decoder.device)
            strength = torch.from_numpy(np.concatenate([*strengths, np.empty(0, np.float32)])).to(self.decoder)
            starts = torch.tensor([0, *map(len, latents[:-1])], device=latent.device).cumsum(0)[: len(codes)]
            sums = embedding_bag(latent, self.decoder, starts, mode="sum", per_sample_weights=strength)
            values = self._origin + sums
        if self.frames is None:
            return values
        frames = torch.tensor([code.frame for code in codes]).reshape(-1, 2).to(values)
        return values * frames[:, :1] + frames[:, 1:]

    def _decoded_by_itself(
        self, latents: Sequence[Int64[np.ndarray, " active"]], strengths: Sequence[Float32[np.ndarray, " active"]]
    ) -> Float[Tensor, "codes d_model"]:
        values = self.decoder.new_empty((len(latents), self.decoder.shape[1]))
        for place, (latent, strength) in enumerate(zip(latents, strengths, strict=True)):
            dense = self.decoder.new_zeros((1, len(self.decoder)))
            dense[0, torch.from_numpy(latent)] = torch.from_numpy(strength).to(dense)
            values[place] = self.reconstructor(dense)[0]
        return values

    @cached_property
    @torch.no_grad()
    def _origin(self) -> Float[Tensor, " d_model"] | None:
        """What no latents decode to, where the SAE decodes to that and the sum of decoder rows; None for another."""
        latents, width = self.decoder.shape
        if self.decoder.dtype not in {torch.float32, torch.float64}:
            return None
        rng = np.random.default_rng(0)
        codes = np.zeros((5, latents))
        for row, scale in enumerate((0.1, 10.0, 1000.0), start=1):
            some = rng.choice(latents, min(64, latents), replace=False)
            codes[row, some] = scale * rng.standard_normal(len(some))
        codes[4] = rng.choice([-1.0, 1.0], latents)
        tried = torch.from_numpy(codes).to(self.decoder)
        decoded = self.reconstructor(tried)
        assert decoded.shape == (5, width), f"reconstructor returned shape {tuple(decoded.shape)}"
        error = (decoded - (decoded[0] + tried @ self.decoder)).norm(dim=1)
        added_up = decoded[0].norm() + tried.abs() @ self.decoder.norm(dim=1)
        return decoded[0].clone() if bool((error <= _SAME * added_up).all()) else None

    @torch.no_grad()
    def residue(self, activations: Float[Tensor, "rows d_model"], sample: Sequence[int]) -> Residue:
        """How many latents are active in each of some activations, and what their reconstructions lack.

        Parameters
        ----------
        activations
            Shaped (row, d_model).
        sample
            The number in the run of each row's sample, see `encode_each`.

        Returns
        -------
        Residue
            An error too large for single precision is the largest number that it has.
        """
        codes = self.encode_each(activations, sample)
        missing = (activations - self.decode_each(codes)).double().cpu().numpy()
        error = np.nan_to_num(np.sqrt(np.einsum("rd,rd->r", missing, missing)), nan=np.inf)
        return Residue(
            np.array([len(code) for code in codes], dtype=np.int32),
            np.minimum(error, np.finfo(np.float32).max).astype(np.float32),
        )

    @torch.no_grad()
    def mean_code_norm(self, activations: Float[Tensor, "pool d_model"]) -> float:
        """Mean Euclidean norm of the codes of some activations, encoded in batches of a fixed size to be reproducible.

        Parameters
        ----------
        activations
            Shaped (pool, d_model).

        Returns
        -------
        float
            In units of SAE activation.
        """
        norms = [self.encoder(batch).double().norm(dim=1) for batch in torch.split(activations, _ROWS_PER_BATCH)]
        return float(torch.cat(norms).mean())

    def randomized(self, generator: np.random.Generator) -> Self:
        """The dictionary with random directions: each decoder row uniform on the sphere of the row's own length.

        Parameters
        ----------
        generator
            What the directions are drawn from.

        Returns
        -------
        Dictionary
            See `Dictionary.with_decoder`, also for what it raises.
        """
        rows = torch.from_numpy(generator.standard_normal(self.decoder.shape)).to(self.decoder)
        lengths: Tensor = self.decoder.norm(dim=1, keepdim=True)
        return self.with_decoder(torch.nn.functional.normalize(rows, dim=1) * lengths)

    def shuffled(self, generator: np.random.Generator) -> Self:
        """The dictionary with its decoder rows dealt out to other latents, uniformly (a latent may keep its own).

        Parameters
        ----------
        generator
            What the order is drawn from.

        Returns
        -------
        Dictionary
            See `Dictionary.with_decoder`, also for what it raises.
        """
        return self.with_decoder(self.decoder[torch.from_numpy(generator.permutation(len(self.decoder)))])

    @torch.no_grad()
    def with_decoder(self, decoder: Float[Tensor, "latents d_model"]) -> Self:
        """The same codes of activations and the same frequencies, decoded along other rows: `decode(0) + f W`.

        Parameters
        ----------
        decoder
            The rows W, shaped (latents, d_model).

        Returns
        -------
        Dictionary
            With this one's encoder.

        Raises
        ------
        UsageError
            When the SAE's own decoding is not of that form.
        """
        if self._origin is None:
            raise UsageError("the SAE decodes by more than adding up decoder rows, so these cannot be replaced in it")
        origin = self._origin
        return replace(self, reconstructor=lambda codes: origin + codes @ decoder, decoder=decoder)

    @cached_property
    def live(self) -> Int64[np.ndarray, " live"]:
        """Ids of the latents with a frequency above 0, ascending."""
        return np.flatnonzero(self._frequencies)

    @cached_property
    def pointing(self) -> Bool[np.ndarray, " latents"]:
        """Which latents have a decoder row other than zero, and so a direction."""
        result: NDArray[np.bool_] = self.decoder.any(dim=1).cpu().numpy()
        return result

    def cosines(
        self, latent: int, others: Int64[np.ndarray, " others"] | None = None
    ) -> Float64[np.ndarray, " others"]:
        """Cosines of one latent's decoder row to those of others.

        In float64 because latents are chosen by it: a rounding difference between machines should not change an id.

        Parameters
        ----------
        latent
            Id of the latent.
        others
            Ids of the others, shaped (others,); None for all latents, itself among them.

        Returns
        -------
        NDArray
            Shaped (others,), float64; NaN where either row is zero.
        """
        rows = self._directions if others is None else self._directions[torch.from_numpy(others)]
        result: NDArray[np.float64] = (rows @ self._directions[latent].clone()).cpu().numpy()
        return result

    def cosines_of_each(self, latents: Int64[np.ndarray, " rows"]) -> tuple[Float64[np.ndarray, "rows latents"], float]:
        """`cosines` of several latents to all, by one matrix product, which adds up in another order.

        Parameters
        ----------
        latents
            Ids of the latents, shaped (rows,).

        Returns
        -------
        NDArray
            Shaped (rows, latents), float64; NaN where either row is zero.
        float
            How far each may be from what `cosines` gives: the bound on the error of a sum of d products, and of one in
            another order, for rows of length 1.
        """
        rows = self._directions[torch.from_numpy(latents)]
        result: NDArray[np.float64] = (rows @ self._directions.T).cpu().numpy()
        return result, 2 * (rows.shape[1] + 4) * torch.finfo(torch.float64).eps

    def nearest_in_frequency(
        self, latent: int, count: int, excluded: Bool[np.ndarray, " latents"] | None = None
    ) -> Int64[np.ndarray, " nearest"]:
        """The latents whose frequency is nearest to that of one latent, nearest first.

        Frequencies are compared on the linear scale; ties go to the lowest id; dead latents count like others.

        Parameters
        ----------
        latent
            Id of the latent, which is left out itself.
        count
            How many to find, at least 1.
        excluded
            Which latents to leave out as well, shaped (latents,); None for no others.

        Returns
        -------
        NDArray
            Ids shaped (count,), or fewer when too few remain.
        """
        if excluded is not None and excluded.any():
            wanted = ~excluded
            wanted[latent] = False
            candidates = np.flatnonzero(wanted)
            return self._nearest_of(candidates, latent, count)
        if count > _MOST_NEAREST:
            return self._nearest_of(self._around(latent, count), latent, count)
        known = self._nearest.get((latent, count))
        if known is None:
            found = self._nearest_of(self._around(latent, count), latent, count)
            known = self._nearest[latent, count] = found.copy()  # not a view of all that are equally near
        return known.copy()

    def _nearest_of(
        self, candidates: Int64[np.ndarray, " candidates"], latent: int, count: int
    ) -> Int64[np.ndarray, " nearest"]:
        """The nearest of these; of equally near ones the lowest ids."""
        distance = np.abs(self._frequencies[candidates] - self._frequencies[latent])
        if count < len(candidates):
            near = distance <= np.partition(distance, count - 1)[count - 1]
            candidates, distance = candidates[near], distance[near]
        return candidates[np.lexsort((candidates, distance))][:count]

    def _around(self, latent: int, count: int) -> Int64[np.ndarray, " candidates"]:
        """As many others on either side in the order of the frequencies, and whatever is as far as the farthest."""
        order, frequencies = self._by_frequency
        own = self._frequencies[latent]
        first, last = np.searchsorted(frequencies, own), np.searchsorted(frequencies, own, side="right")
        start, stop = max(0, first - count), min(len(order), last + count)
        while start > 0 and abs(frequencies[start - 1] - own) <= abs(frequencies[start] - own):
            start = np.searchsorted(frequencies, frequencies[start - 1])
        while stop < len(order) and abs(frequencies[stop] - own) <= abs(frequencies[stop - 1] - own):
            stop = np.searchsorted(frequencies, frequencies[stop], side="right")
        found: Int64[np.ndarray, " candidates"] = order[start:stop]
        others: Int64[np.ndarray, " candidates"] = found[found != latent]
        return others

    @cached_property
    def _nearest(self) -> dict[tuple[int, int], Int64[np.ndarray, " nearest"]]:
        """What was looked for before: the same latents are active in many activations."""
        return {}

    @cached_property
    def _by_frequency(self) -> tuple[Int64[np.ndarray, " latents"], Float64[np.ndarray, " latents"]]:
        """Ids in the order of their frequencies, and these."""
        order = np.argsort(self._frequencies, kind="stable")
        return order, self._frequencies[order]

    @cached_property
    def _frequencies(self) -> Float64[np.ndarray, " latents"]:
        result: NDArray[np.float64] = self.frequency.double().cpu().numpy()
        return result

    @cached_property
    def _directions(self) -> Float[Tensor, "latents d_model"]:
        decoder = self.decoder.detach().double()
        lengths: Tensor = decoder.norm(dim=1, keepdim=True)
        return decoder / lengths
