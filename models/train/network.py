"""The encoder: fixed ramps, dense layers with relu between, an embedding of length 1; and how it is trained.

    x [n, features] -> ramps [n, columns] -> dense, relu, ..., dense -> z [n, dimensions] -> z / |z|

A ramp is clip((x[source] - low) / (high - low), 0, 1). The ramps of one feature stand end to end, so that a
column says how much of its piece of the feature's range the value has passed: a piecewise linear code, in which
a small network finds steps as easily as a tree does. Without ramps a feature is one column, standardised and
clipped; both are one matrix product and one clip in the graph.

Gradients are written out, and `test_train.py` holds them to finite differences.
"""

import dataclasses

import numpy

HEAD_SCALE = 4


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How raw features become columns: clip((x[source] - low) * slope, lowest, highest), f32."""

    source: numpy.ndarray  # [columns] which feature
    low: numpy.ndarray  # [columns] in the feature's unit
    slope: numpy.ndarray  # [columns] one over that unit
    clip: tuple

    def columns(self, x):
        """[n, features] -> [n, columns]."""
        return numpy.clip((x[:, self.source] - self.low) * self.slope, *self.clip)


def standard_inputs(x, clip=(-6.0, 12.0)):
    """One column per feature: standard deviations from its mean."""
    mean, deviation = x.mean(0, dtype=float), x.std(0, dtype=float)
    slope = 1 / numpy.maximum(deviation, 1e-6)
    return Inputs(numpy.arange(x.shape[1]), mean.astype("f4"), slope.astype("f4"), clip)


def ramp_inputs(x, frauds, pieces):
    """At most `pieces` ramps per feature, between quantiles of frauds and of genuine cases alike."""
    source, low, slope = [], [], []
    levels = numpy.linspace(0, 1, pieces + 1)
    for feature, column in enumerate(x.T):
        edges = [numpy.quantile(column[mask], levels, method="nearest") for mask in (frauds, ~frauds)]
        edges = numpy.unique(numpy.concatenate(edges)).astype(float)
        if len(edges) > pieces + 1:
            edges = edges[numpy.linspace(0, len(edges) - 1, pieces + 1).round().astype(int)]
        source += [feature] * (len(edges) - 1)
        low += list(edges[:-1])
        slope += list(1 / numpy.diff(edges))
    return Inputs(numpy.array(source), numpy.array(low, "f4"), numpy.array(slope, "f4"), (0.0, 1.0))


class Network:
    """Dense layers with relu between, the last one scaled to length 1, and a logistic head."""

    def __init__(self, columns, hidden, dimensions, seed):
        random = numpy.random.default_rng(seed)
        sizes = (columns, *hidden, dimensions)
        self.parameters = []
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            self.parameters.append(random.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in)))
            self.parameters.append(numpy.zeros(fan_out))
        self.parameters += [random.normal(0, 1, dimensions), numpy.array(-3.0)]
        self.parameters = [parameter.astype(numpy.float32) for parameter in self.parameters]

    @classmethod
    def of(cls, layers):
        """A network of these layers, [(weights, bias)]; its head is not known."""
        columns, sizes = layers[0][0].shape[1], [len(bias) for _, bias in layers]
        network = cls(columns, sizes[:-1], sizes[-1], 0)
        network.parameters[:-2] = [parameter for layer in layers for parameter in layer]
        return network

    def layers(self):
        """[(weights [outputs, inputs], bias [outputs])] of the dense layers."""
        body = self.parameters[:-2]
        return list(zip(body[::2], body[1::2]))

    def forward(self, x):
        """Inputs of each layer, the embedding [n, dimensions], and the lengths before scaling [n, 1]."""
        hidden = [x]
        layers = self.layers()
        for index, (weights, bias) in enumerate(layers):
            x = x @ weights.T + bias
            if index < len(layers) - 1:
                x = numpy.maximum(x, 0)
                hidden.append(x)
        length = numpy.sqrt((x * x).sum(1, keepdims=True) + 1e-12)
        return hidden, x / length, length

    def backward(self, hidden, unit, length, d_unit):
        """Gradients of the dense layers' parameters from that of the embedding."""
        delta = (d_unit - unit * (d_unit * unit).sum(1, keepdims=True)) / length
        grads, layers = [], self.layers()
        for index in reversed(range(len(layers))):
            grads = [delta.T @ hidden[index], delta.sum(0), *grads]
            if index:
                delta = (delta @ layers[index][0]) * (hidden[index] > 0)
        return grads

    def embed(self, x):
        """[n, columns] -> [n, dimensions]."""
        parts = range(0, len(x), 16384)
        return numpy.concatenate([self.forward(x[start : start + 16384])[1] for start in parts])

    def probability(self, unit):
        """What the head says of embeddings: [n, dimensions] -> [n]."""
        head, intercept = self.parameters[-2:]
        return 1 / (1 + numpy.exp(-numpy.clip(HEAD_SCALE * (unit @ head) + intercept, -60, 60)))


def head_loss(network, unit, targets, weights):
    """Weighted cross-entropy of the head; gradients of the embedding and of the head's two parameters."""
    probability = network.probability(unit)
    total = weights.sum()
    error = weights * (probability - targets) / total
    likelihood = numpy.where(targets > 0, probability, 1 - probability)
    loss = -(weights * numpy.log(numpy.maximum(likelihood, 1e-12))).sum() / total
    d_unit = HEAD_SCALE * error[:, None] * network.parameters[-2]
    return loss, d_unit, [HEAD_SCALE * unit.T @ error, error.sum()]


def vote_loss(unit, targets, weights, temperature):
    """Weighted cross-entropy of the vote of all other rows of the batch (neighbourhood components analysis).

    Row j votes for its own label at i with weights[j] * exp(unit[i] @ unit[j] / temperature); what is scored is the
    share of the votes for i's label. Gradient of the embedding, [n, dimensions].
    """
    votes = unit @ unit.T / temperature
    numpy.fill_diagonal(votes, -numpy.inf)
    votes += numpy.log(weights)
    votes = numpy.exp(votes - votes.max(1, keepdims=True))
    votes /= votes.sum(1, keepdims=True)
    same = targets[:, None] == targets
    right = numpy.maximum((votes * same).sum(1), 1e-6)
    share = weights / weights.sum()
    d_votes = share[:, None] * votes * (1 - same / right[:, None]) / numpy.float32(temperature)
    return -(share * numpy.log(right)).sum(), d_votes @ unit + d_votes.T @ unit


class Adam:
    """Adam over a list of arrays, in place."""

    def __init__(self, parameters):
        self.parameters, self.step = parameters, 0
        self.moments = [(numpy.zeros_like(p), numpy.zeros_like(p)) for p in parameters]

    def update(self, grads, rate):
        self.step += 1
        for parameter, gradient, (first, second) in zip(self.parameters, grads, self.moments):
            first += numpy.float32(0.1) * (gradient - first)
            second += numpy.float32(0.001) * (gradient * gradient - second)
            down = numpy.sqrt(second / numpy.float32(1 - 0.999**self.step)) + numpy.float32(1e-8)
            parameter -= numpy.float32(rate / (1 - 0.9**self.step)) * first / down


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an encoder is trained."""

    pieces: int = 24  # ramps per feature at most; 0 is one standardised column
    hidden: tuple = (128, 64)
    dimensions: int = 32
    genuine_share: float = 1.0  # of the genuine cases that are trained on, with as much more weight
    epochs: int = 5
    batch: int = 1024
    rate: float = 3e-3
    decay: float = 2.0  # of the weights, per step, times the rate
    vote: float = 0.0  # share of the vote's loss; the rest is the head's
    temperature: float = 0.1  # of the vote in training
    fraud_copies: int = 1  # how often a fraud stands in an epoch, at a lower weight each


def fit(inputs, x, frauds, weights, recipe, seed):
    """A network trained on x [n, features], frauds [n] bool, weights [n]; columns are made batch by batch."""
    network = Network(len(inputs.source), recipe.hidden, recipe.dimensions, seed)
    random = numpy.random.default_rng(seed + 1)
    copies = numpy.where(frauds, recipe.fraud_copies, 1)
    rows = numpy.repeat(numpy.arange(len(x)), copies)
    targets, weights = frauds.astype("f4"), (weights / copies).astype("f4")
    adam, steps = Adam(network.parameters), recipe.epochs * (len(rows) // recipe.batch)
    for _ in range(recipe.epochs):
        order = random.permutation(rows)
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            chosen = order[start : start + recipe.batch]
            rate = recipe.rate * 0.5 * (1 + numpy.cos(numpy.pi * adam.step / steps))
            grads = gradients(network, inputs.columns(x[chosen]), targets[chosen], weights[chosen], recipe)
            adam.update(grads, rate)
            for parameter in network.parameters[:-2:2]:
                parameter *= numpy.float32(1 - rate * recipe.decay)
    return network


def gradients(network, columns, targets, weights, recipe):
    """Of both losses, mixed as the recipe says, in the order of the network's parameters."""
    hidden, unit, length = network.forward(columns)
    _, d_unit, d_head = head_loss(network, unit, targets, weights)
    d_unit, d_head = (1 - recipe.vote) * d_unit, [(1 - recipe.vote) * gradient for gradient in d_head]
    if recipe.vote > 0:
        d_unit = d_unit + recipe.vote * vote_loss(unit, targets, weights, recipe.temperature)[1]
    return [*network.backward(hidden, unit, length, d_unit.astype("f4")), *d_head]
