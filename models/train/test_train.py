"""Quick tests of the trainer: `python -m unittest discover models/train`."""

import dataclasses
import os
import pathlib
import tempfile
import tomllib
import unittest

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy

import bank
import calibration
import data
import fixtures
import metrics
import model
import network
import onnx_file
import precision
import reference
import settings
import train
from precision import PRECISIONS


class Metrics(unittest.TestCase):
    def test_ranking_by_hand(self):
        """0.9 fraud, 0.5 fraud and genuine, 0.1 genuine: of 4 pairs 3 are right and one is a tie."""
        area, precision = metrics.ranking_metrics(numpy.array([0.9, 0.5, 0.5, 0.1]), numpy.array([1, 1, 0, 0]))
        self.assertAlmostEqual(area, 3.5 / 4)
        self.assertAlmostEqual(precision, (1 + 2 / 3) / 2)

    def test_card_precision_by_hand(self):
        """Two best cards a day. Day 0: cards 1 (its genuine payment ranks it, another is a fraud) and 2 (genuine).
        Day 1: card 1 was found and is out; 3 is a fraud, 2 is not. Day 2: 3 is out, 1 too, and 2 is a fraud."""
        rows = [
            *[(0, 1, 0.9, 0), (0, 1, 0.1, 1), (0, 2, 0.8, 0), (0, 3, 0.7, 1)],
            *[(1, 1, 0.9, 1), (1, 2, 0.5, 0), (1, 3, 0.6, 1), (1, 4, 0.1, 1)],
            *[(2, 1, 1.0, 1), (2, 2, 0.2, 1), (2, 3, 1.0, 1), (2, 4, 0.1, 0), (2, 5, 0.0, 1)],
        ]
        days, cards, scores, frauds = (numpy.array(column) for column in zip(*rows))
        self.assertAlmostEqual(metrics.card_precision(scores, frauds > 0, cards, days, top=2), 0.5)

    def test_equal_scores_take_the_lower_card(self):
        frauds, zeros = numpy.array([False, True]), numpy.zeros(2)
        self.assertEqual(metrics.card_precision(zeros, frauds, numpy.array([4, 7]), zeros, top=1), 0)
        self.assertEqual(metrics.card_precision(zeros, frauds, numpy.array([7, 4]), zeros, top=1), 1)


class Gradients(unittest.TestCase):
    def setUp(self):
        random = numpy.random.default_rng(1)
        self.network = network.Network(5, (7, 6), 4, 3)
        self.network.parameters = [p.astype(float) for p in self.network.parameters]
        self.x = random.normal(size=(9, 5))
        self.targets = (random.random(9) < 0.5).astype(float)
        self.weights = random.uniform(0.5, 2, 9)
        self.recipe = network.Recipe(vote=0.3, temperature=0.4)

    def loss(self):
        unit = self.network.forward(self.x)[1]
        head = network.head_loss(self.network, unit, self.targets, self.weights)[0]
        vote = network.vote_loss(unit, self.targets, self.weights, self.recipe.temperature)[0]
        return (1 - self.recipe.vote) * head + self.recipe.vote * vote

    def test_against_finite_differences(self):
        grads = network.gradients(self.network, self.x, self.targets, self.weights, self.recipe)
        for parameter, gradient in zip(self.network.parameters, grads):
            for place in list(numpy.ndindex(parameter.shape))[:: max(1, parameter.size // 5)]:
                kept, ends = parameter[place].copy(), []
                for step in (1e-5, -1e-5):
                    parameter[place] = kept + step
                    ends.append(self.loss())
                parameter[place] = kept
                self.assertAlmostEqual(numpy.asarray(gradient)[place], (ends[0] - ends[1]) / 2e-5, places=5)


class Votes(unittest.TestCase):
    def setUp(self):
        random = numpy.random.default_rng(2)
        rows = random.normal(size=(60, 4)).astype("f4")
        self.rows = rows / numpy.linalg.norm(rows, axis=1, keepdims=True)
        self.bank = bank.Bank(self.rows[:50], random.uniform(1, 4, 50), (random.random(50) < 0.4).astype("f4"))

    def test_against_brute_force(self):
        found = bank.shares(self.rows[50:], self.bank, 7, 0.2)
        for query, share in zip(self.rows[50:].astype(float), found):
            cases = sorted((1 - query @ row, w, y) for row, w, y in zip(*dataclasses.astuple(self.bank)))[:7]
            votes = [(w * numpy.exp(-distance / 0.2), y) for distance, w, y in cases]
            self.assertAlmostEqual(share, sum(v * y for v, y in votes) / sum(v for v, _ in votes), places=5)

    def test_new_rows_are_seen(self):
        query = self.rows[50:51]
        grown = self.bank.with_rows(query, numpy.array([1e6]), numpy.array([True]))
        self.assertGreater(bank.shares(query, grown, 7, 0.2)[0], 0.99)

    def test_admission_stands_for_all(self):
        random = numpy.random.default_rng(3)
        probability = random.random(200_000) ** 4
        frauds = random.random(len(probability)) < probability
        chosen, weights = bank.admission(frauds, probability, 20_000).draw(frauds, probability, random)
        self.assertAlmostEqual(len(chosen) / 20_000, 1, delta=0.05)
        for mask in (frauds, ~frauds, probability > 0.5):
            self.assertAlmostEqual(weights[mask[chosen]].sum() / mask.sum(), 1, delta=0.05)


class Calibration(unittest.TestCase):
    def test_platt_finds_its_own_parameters(self):
        random = numpy.random.default_rng(4)
        x = random.normal(size=100_000) * 2
        targets = random.random(len(x)) < 1 / (1 + numpy.exp(-(0.7 * x - 1)))
        slope, intercept = calibration.platt(x, targets.astype(float))
        self.assertAlmostEqual(slope, 0.7, delta=0.03)
        self.assertAlmostEqual(intercept, -1, delta=0.05)

    def test_threshold_by_hand(self):
        """Alarms for the first two cost a false alarm and miss 3.00; for all four 2 false alarms."""
        scores, frauds = numpy.array([0.9, 0.8, 0.4, 0.2]), numpy.array([True, False, False, True])
        amounts = numpy.array([100.0, 10.0, 10.0, 3.0])
        self.assertEqual(calibration.cheapest_threshold(scores, frauds, amounts, 5), (0.9, 3.0))
        self.assertEqual(calibration.cheapest_threshold(scores, frauds, amounts, 1), (0.2, 2.0))
        self.assertEqual(calibration.cheapest_threshold(scores, frauds, amounts / 100, 5)[0], 0.9)
        self.assertEqual(calibration.cheapest_threshold(scores, ~frauds, amounts, 1000)[0], 1.0)


class Precision(unittest.TestCase):
    def setUp(self):
        random = numpy.random.default_rng(6)
        self.weights = (random.normal(size=(40, 30)) * 10 ** random.uniform(-5, 3, (40, 1))).astype("f4")
        self.weights[3] = 0

    def test_rounding_again_changes_nothing(self):
        for name in PRECISIONS:
            once = precision.rounded(self.weights, name)
            numpy.testing.assert_array_equal(precision.rounded(once, name), once)

    def test_int8_is_within_half_a_step_of_each_output(self):
        found = precision.rounded(self.weights, "int8")
        step = numpy.abs(self.weights).max(1, keepdims=True) / precision.MOST
        # The scale has 11 significant bits, so the largest value of a row may be off by a little more.
        self.assertTrue((numpy.abs(found - self.weights) <= 0.57 * step).all())

    def test_matrices_come_back_from_the_file(self):
        x = made_vectors().x
        inputs = network.ramp_inputs(x, x[:, 0] > 1, 4)
        encoder = model.Encoder(inputs, network.Network(len(inputs.source), (5,), 2, 0))
        for name in PRECISIONS:
            rounded = model.in_precision(encoder, name)
            read_inputs, layers = onnx_file.read_encoder(model.encoder_file(rounded, 3))
            numpy.testing.assert_array_equal(read_inputs.source, inputs.source)
            for (weights, bias), (expected, expected_bias) in zip(layers, rounded.network.layers()):
                numpy.testing.assert_array_equal(weights, expected)
                numpy.testing.assert_array_equal(bias, expected_bias)

    def test_unknown_precision_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "settings.toml")
            path.write_text('[encoder]\nprecision = "f8"\n')
            with self.assertRaisesRegex(SystemExit, "encoder.precision is 'f8', expected one of f32, f16, int8"):
                settings.read(path)


class Reference(unittest.TestCase):
    """The cases of the engine's own unit tests, engine/node/src/drift/mod.rs."""

    def edges(self, values):
        return reference.edges_of(numpy.array(values, "f4")).tolist()

    def test_deciles_do_not_depend_on_the_order(self):
        ascending = numpy.arange(100)
        self.assertEqual(self.edges(ascending), [10, 20, 30, 40, 50, 60, 70, 80, 90])
        self.assertEqual(self.edges(ascending * 37 % 100), self.edges(ascending))
        values = numpy.array([-5, 10, 10.5, 90, 90.5, numpy.inf, numpy.nan], "f4")
        self.assertEqual(reference.places_of(values, self.edges(ascending)).tolist(), [0, 0, 1, 8, 9, 9, 0])

    def test_equal_values_are_one_bin_with_one_below(self):
        below = lambda value: float(numpy.nextafter(numpy.float32(value), numpy.float32(-numpy.inf)))
        self.assertEqual(self.edges([7] * 50), [below(7), 7])
        mostly_zero = [0] * 85 + [1] * 15
        self.assertEqual(self.edges(mostly_zero), [below(0), 0, 1])
        self.assertEqual(self.edges([]), [])
        self.assertEqual(self.edges([numpy.nan, 3]), [below(3), 3])
        places = reference.places_of(numpy.array([-1, 0, 0, 0.5, 1, 2], "f4"), self.edges(mostly_zero))
        self.assertEqual(numpy.bincount(places).tolist(), [1, 2, 2, 1])

    def test_edges_are_the_same_f32_when_read_back(self):
        random = numpy.random.default_rng(8)
        values = (random.normal(size=2000) * 10 ** random.uniform(-40, 38, 2000)).astype("f4")
        for part in numpy.array_split(values, 50) + [numpy.zeros(9, "f4"), numpy.full(9, -0.1, "f4")]:
            table = {"found": reference.distribution(part)}
            read = tomllib.loads("\n".join(f"{key} = {model.toml_value(value)}" for key, value in table.items()))
            numpy.testing.assert_array_equal(numpy.array(read["found"]["edges"]).astype("f4"), reference.edges_of(part))

    def test_shares_sum_up_to_one(self):
        for count in (1, 3, 7, 999):
            shares = reference.distribution(numpy.random.default_rng(count).normal(size=count))["shares"]
            self.assertAlmostEqual(sum(shares), 1, places=12)
            self.assertGreaterEqual(min(shares), 0)

    def test_scores_with_other_last_digits_stay_in_their_bin(self):
        scores = numpy.array([0.001] * 60 + [0.5] * 40)
        edges = reference.edges_of(scores, reference.SLACK)
        exact = reference.places_of(scores.astype("f4"), edges)
        self.assertEqual(numpy.unique(exact).tolist(), [1, 2])
        for off in (1 - 2e-5, 1 + 2e-5):
            numpy.testing.assert_array_equal(reference.places_of((scores * off).astype("f4"), edges), exact)

    def test_feature_without_a_finite_value_is_refused_by_name(self):
        with self.assertRaisesRegex(SystemExit, "^b: no finite value on the validation days"):
            reference.tables(numpy.array([[1, numpy.nan]], "f4"), ["a", "b"], numpy.array([0.5]))


class Inputs(unittest.TestCase):
    def test_ramps_say_how_much_of_their_piece_is_passed(self):
        x = numpy.array([[0.0], [10.0], [30.0], [30.0]], "f4")
        inputs = network.ramp_inputs(x, numpy.array([True, False, True, False]), 8)
        found = inputs.columns(numpy.array([[-5], [5], [20], [99]], "f4"))
        numpy.testing.assert_allclose(found, [[0, 0], [0.5, 0], [1, 0.5], [1, 1]])


def made_vectors(rows=4000):
    """Vectors in which fraud is a step of the first feature and a slope of the second."""
    random = numpy.random.default_rng(5)
    x = random.normal(size=(rows, 3)).astype("f4")
    frauds = random.random(rows) < numpy.where(x[:, 0] > 1, 0.6, 0.02) * (x[:, 1] > 0)
    times = numpy.sort(random.integers(0, 20 * data.DAY_NS, rows))
    ids = numpy.arange(rows).astype(str)
    return data.Vectors(ids, times, frauds, x, ["a", "b", "c"], "00000000000000ff", numpy.ones(rows))


PLAN = settings.Settings(
    split=settings.Split(1, 10, 2, 3, 4),
    recipe=network.Recipe(pieces=6, hidden=(16,), dimensions=8, epochs=12, batch=128, rate=1e-2, genuine_share=0.5),
    bank=settings.BankSettings(rows=600, neighbours=40),
)


class Training(unittest.TestCase):
    def trained(self, folder, seed, precision="f32"):
        vectors = made_vectors()
        masks = train.split(vectors.times, PLAN.split)
        found, rows = train.train_models(vectors, masks, PLAN, seed)[precision]
        thresholds = train.alarm_thresholds(vectors, masks, found, PLAN.costs)
        about = {"name": "m", "features": vectors.features, "feature_set_hash": vectors.feature_set_hash}
        figures = train.measured(vectors, masks, found, thresholds)
        model.write(pathlib.Path(folder), found, vectors.ids[rows], about, thresholds, {"metrics": figures})
        return vectors, masks, found, figures

    def test_learns_writes_and_reads_back(self):
        with tempfile.TemporaryDirectory() as folder:
            vectors, masks, found, figures = self.trained(folder, 1)
            self.assertGreater(figures["auc_roc"], 0.8)
            read = model.read(pathlib.Path(folder), "00000000000000ff")
            x = vectors.x[masks[2]]
            numpy.testing.assert_allclose(read.scores(x), found.scores(x), atol=1e-4)
            with self.assertRaises(SystemExit):
                model.read(pathlib.Path(folder), "0000000000000000")

    def test_manifest_says_how_the_bank_was_drawn_and_when_to_alarm(self):
        with tempfile.TemporaryDirectory() as folder:
            vectors, masks, found, figures = self.trained(folder, 1)
            manifest = tomllib.loads(pathlib.Path(folder, "manifest.toml").read_text())
            last = vectors.times[masks[0]].max()
            self.assertEqual(manifest["bank"]["as_of_ns"], last)
            read = model.read(pathlib.Path(folder), "00000000000000ff")
            for name in ("fraud_factor", "genuine_factor"):
                self.assertAlmostEqual(getattr(read.admission, name) / getattr(found.admission, name), 1, places=5)
            known = vectors.x[masks[0]]
            numpy.testing.assert_allclose(manifest["reasons"]["mean"], known.mean(0, dtype=float), rtol=1e-4)
            numpy.testing.assert_allclose(manifest["reasons"]["deviation"], known.std(0, dtype=float), rtol=1e-4)
            alarm = manifest["thresholds"]["alarm"]
            self.assertEqual(manifest["thresholds"]["false_alarm_cost"], PLAN.costs.false_alarm)
            alarms = (found.scores(vectors.x[masks[2]]) >= alarm).sum()
            self.assertEqual(figures["alarms"], alarms)

    def test_manifest_says_what_inputs_and_scores_were_like_on_the_validation_days(self):
        with tempfile.TemporaryDirectory() as folder:
            vectors, masks, found, _ = self.trained(folder, 1)
            manifest = tomllib.loads(pathlib.Path(folder, "manifest.toml").read_text())["reference"]
            x = vectors.x[masks[1]]
            self.assertEqual(list(manifest["features"]), vectors.features)
            for index, name in enumerate(vectors.features):
                self.assertEqual(manifest["features"][name], reference.distribution(x[:, index]))
            self.assertEqual(manifest["score"], reference.distribution(found.scores(x), reference.SLACK))

    def test_reference_scores_are_of_cases_that_the_bank_does_not_hold(self):
        """Where the split is by shares, the bank that is written holds validation rows."""
        vectors, plan = made_vectors(), dataclasses.replace(PLAN, split=settings.Split(0, 0, 0, 0, 0, 0.2, 0.3))
        masks = train.split(vectors.times, plan.split)
        found, rows = train.train_models(vectors, masks, plan, 1)["f32"]
        x = vectors.x[masks[1]]
        without = dataclasses.replace(found, bank=found.bank.where(masks[0][rows]))
        expected, among = (reference.distribution(each.scores(x), reference.SLACK) for each in (without, found))
        self.assertEqual(found.reference["reference.score"], expected)
        self.assertNotEqual(expected, among)

    def test_every_precision_is_read_back_as_it_was_measured(self):
        x, sizes = made_vectors().x[:100], []
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as folder:
                found = self.trained(folder, 1, precision)[2]
                sizes.append(pathlib.Path(folder, "encoder.onnx").stat().st_size)
                read = model.read(pathlib.Path(folder), "00000000000000ff")
                self.assertEqual(read.encoder.precision, precision)
                numpy.testing.assert_array_equal(read.encoder.embed(x), found.encoder.embed(x))
        self.assertEqual(sizes, sorted(sizes, reverse=True))

    def test_precisions_are_compared(self):
        vectors = made_vectors()
        masks = train.split(vectors.times, PLAN.split)
        models = {name: each for name, (each, _) in train.train_models(vectors, masks, PLAN, 1).items()}
        tables = train.compared(vectors, masks, models, PLAN.costs)
        self.assertEqual(list(tables), list(PRECISIONS))
        off = [table["embedding_off_max"] for table in tables.values()]
        self.assertTrue(0 == off[0] < off[1] < off[2] < 0.1, off)
        self.assertEqual(train.as_table(tables).count("\n"), 4)

    def test_no_row_is_in_two_parts(self):
        vectors = made_vectors()
        masks = train.split(vectors.times, PLAN.split)
        self.assertEqual(max(sum(mask.astype(int) for mask in masks)), 1)
        gap = vectors.times[masks[1]].min() // data.DAY_NS - vectors.times[masks[0]].max() // data.DAY_NS
        self.assertEqual(gap, 3)

    def test_same_seed_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, seed in (("a", 1), ("b", 1), ("c", 2)):
                self.trained(pathlib.Path(folder, name), seed)
            for file in ("encoder.onnx", "bank.bin", "manifest.toml"):
                first, again, other = (pathlib.Path(folder, name, file).read_bytes() for name in "abc")
                self.assertEqual(first, again, file)
                self.assertNotEqual(first, other, file)

    def test_standard_inputs_need_no_repeating_product(self):
        x = made_vectors().x
        layers = network.Network(3, (4,), 2, 0).layers()
        body = onnx_file.encoder(network.standard_inputs(x), 3, layers)
        self.assertNotIn(b"repeat", body)
        inputs, read = onnx_file.read_encoder(body)
        numpy.testing.assert_array_equal(inputs.source, [0, 1, 2])
        numpy.testing.assert_array_equal(read[1][0], layers[1][0])


class Fixtures(unittest.TestCase):
    def test_the_engines_tests_read_what_is_written_today(self):
        """Weights and layout to the byte; embeddings in sums that another processor may order otherwise."""
        with tempfile.TemporaryDirectory() as folder:
            fixtures.write(pathlib.Path(folder))
            for precision in PRECISIONS:
                found, committed = (pathlib.Path(root, precision) for root in (folder, fixtures.FOLDER))
                files = [path.joinpath("encoder.onnx").read_bytes() for path in (found, committed)]
                self.assertEqual(*files)
                rows = [numpy.loadtxt(path / "expected.csv", delimiter=",") for path in (found, committed)]
                numpy.testing.assert_allclose(*rows, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
