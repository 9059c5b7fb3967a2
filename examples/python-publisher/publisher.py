"""Publishes payment and market events to a running engine and reads its decisions back.

    python publisher.py --aeron-dir DIR --count 200

Nothing here is Pinion's own code but the classes that flatc wrote from schemas/fbs: it shows what any
publisher in any language has to do. Needs Python 3.12 or later and the packages in requirements.txt.

Prints one JSON line per decision or reject on stdout, and a summary on stderr. Exit code 0 if every event
that asks for a decision got one and nothing was refused, else 1.
"""

import argparse
import json
import sys
import time

import flatbuffers
import pyaeron

from generated import wire

SCHEMA_VERSION = 1
PUBLISHER_ID = 77
SESSION = time.time_ns()
EURO = 978


def id_bytes(text):
    """A name as the 36 bytes of an Id: ASCII, padded with zeros."""
    raw = text.encode("ascii")
    if not 0 < len(raw) <= 36:
        raise ValueError(f"{text!r} has {len(raw)} bytes, expected 1 to 36")
    return raw.ljust(36, b"\0")


def stamp(sequence):
    """The fields of a FrameHeader."""
    return SESSION, sequence, time.time_ns(), PUBLISHER_ID, SCHEMA_VERSION, 0


def transaction(sequence, amount_minor, customer, terminal):
    """A frame PNTX."""
    builder = flatbuffers.Builder(512)
    wire.TransactionStart(builder)
    hot = wire.CreateTransactionHot(
        builder, *stamp(sequence), amount_minor, EURO, 5411, wire.Channel.CardPresent,
        id_bytes(f"py-{SESSION}-{sequence}"), id_bytes(customer), id_bytes(terminal), wire.Outcome.Unknown,
    )
    wire.TransactionAddHot(builder, hot)
    builder.Finish(wire.TransactionEnd(builder), b"PNTX")
    return bytes(builder.Output())


def book_level(sequence, side, price, quantity):
    """A frame PNBL; price and quantity in whole units."""
    builder = flatbuffers.Builder(512)
    wire.BookLevelStart(builder)
    hot = wire.CreateBookLevelHot(
        builder, *stamp(sequence), round(price * 1e9), round(quantity * 1e9), 0, 0,
        side, wire.BookAction.Modify, id_bytes("PYTHON"),
    )
    wire.BookLevelAddHot(builder, hot)
    builder.Finish(wire.BookLevelEnd(builder), b"PNBL")
    return bytes(builder.Output())


def text_of(identifier):
    return bytes(identifier.Bytes(index) for index in range(36)).rstrip(b"\0").decode("ascii")


def read_frame(frame):
    """A decision or a reject as a dictionary."""
    kind = frame[4:8]
    if kind == b"PNDC":
        decision = wire.Decision.GetRootAs(frame, 0)
        hot, deviations = decision.Hot(), decision.Deviations()
        subject = wire.Id()
        hot.Subject(subject)
        return {
            "decision": hot.Action(), "lane": hot.Lane(), "sequence": hot.Sequence(),
            "publisher": hot.InputPublisherId(), "input_sequence": hot.InputSequence(),
            "subject": text_of(subject), "score": round(hot.Score(), 6),
            "reasons": [hot.Reasons(index) for index in range(hot.ReasonCount())],
            "deviations": deviations and [
                deviations.Hundredths(index) / 100 for index in range(hot.ReasonCount())
            ],
            "event_ns": hot.EventNs(), "ingest_ns": hot.IngestNs(), "scored_ns": hot.ScoredNs(),
            "decided_ns": hot.DecidedNs(), "published_ns": hot.PublishedNs(),
        }
    if kind == b"PNRJ":
        hot = wire.Reject.GetRootAs(frame, 0).Hot()
        return {
            "reject": hot.Reason(), "publisher": hot.InputPublisherId(),
            "input_sequence": hot.InputSequence(), "found": hot.Found(), "expected": hot.Expected(),
        }
    return {"unknown": kind.decode("ascii", "replace")}


class Bus:
    """Two publications and a subscription, and the frames of ours that came back."""

    def __init__(self, aeron, args):
        self.payments = aeron.add_publication(args.channel, args.payments_stream)
        self.market = aeron.add_publication(args.channel, args.market_stream)
        self.decisions = aeron.add_subscription(args.channel, args.decisions_stream)
        self.answers = []
        self.payments.await_connected()
        self.market.await_connected()

    def poll(self):
        def on_fragment(buffer, _header):
            answer = read_frame(bytes(buffer))
            if answer.get("publisher") == PUBLISHER_ID:
                self.answers.append(answer)
                print(json.dumps(answer))

        return self.decisions.poll(on_fragment)

    def offer(self, publication, frame, deadline):
        while not publication.offer(frame):
            if time.monotonic() > deadline:
                raise SystemExit("the bus took no frame within the deadline")
            self.poll()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--aeron-dir", required=True, help="directory of the media driver")
    parser.add_argument("--channel", default="aeron:ipc")
    parser.add_argument("--market-stream", type=int, default=1001)
    parser.add_argument("--payments-stream", type=int, default=1002)
    parser.add_argument("--decisions-stream", type=int, default=1003)
    parser.add_argument("--count", type=int, default=200, help="events of each kind")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds until the last answer")
    return parser.parse_args()


def main():
    args = arguments()
    deadline = time.monotonic() + args.deadline
    with pyaeron.Aeron(dir=args.aeron_dir) as aeron:
        bus = Bus(aeron, args)
        while not bus.decisions.is_connected and time.monotonic() < deadline:
            bus.poll()
        for index in range(args.count):
            # Each publisher counts its frames per stream, from 1, without gaps.
            amount_minor = 1_000 + 37 * index
            frame = transaction(index + 1, amount_minor, f"py-customer-{index % 10}", f"py-terminal-{index % 7}")
            bus.offer(bus.payments, frame, deadline)
            side, price = (wire.Side.Bid, 99.0) if index % 2 else (wire.Side.Ask, 101.0)
            # A book that leans to one side and then to the other, so that there are signals.
            heavy = 50.0 if (index // 20 % 2 == 0) == (side == wire.Side.Bid) else 1.0
            bus.offer(bus.market, book_level(index + 1, side, price, heavy), deadline)
            bus.poll()
        decided = lambda lane: [a for a in bus.answers if a.get("lane") == lane]
        while len(decided(wire.Lane.Payment)) < args.count and time.monotonic() < deadline:
            bus.poll()
    payments, market = decided(wire.Lane.Payment), decided(wire.Lane.Market)
    rejects = [answer for answer in bus.answers if "reject" in answer]
    print(
        f"sent {args.count} payments and {args.count} book levels; "
        f"{len(payments)} payment decisions, {len(market)} market signals, {len(rejects)} rejects",
        file=sys.stderr,
    )
    raise SystemExit(0 if len(payments) == args.count and market and not rejects else 1)


if __name__ == "__main__":
    main()
