"""Tests of the scout agent that need no broker: `/usr/bin/python3 -m unittest` in this directory."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
import unittest
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import scout_agent
from scout_agent import Agent, BadMessage, BadSetting, Settings, Trigger, WorkCancelled, WorkFailed

HERE = Path(__file__).resolve().parent
SAMPLES = HERE / "samples"
CONTRACTS = HERE.parent.parent / "contracts"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def trigger_event(**data: Any) -> dict[str, Any]:
    run_id = data.get("run_id", str(uuid.uuid4()))
    return {
        "specversion": "1.0",
        "id": f"{run_id}:{data.get('attempt', 1)}",
        "type": "scout.trigger.v1",
        "source": "/pocketwatch",
        "traceparent": TRACEPARENT,
        "data": {
            "run_id": run_id,
            "attempt": 1,
            "action": "scout.trigger",
            "start_before": "2999-01-01T00:00:00Z",
            "heartbeat_seconds": None,
            "payload": {"source": "stratninja", "max_strategies": 20},
            **data,
        },
    }


def encode(event: Any) -> bytes:
    return json.dumps(event).encode()


class SettingsTest(unittest.TestCase):
    def test_defaults(self) -> None:
        settings = Settings.from_environment({})
        self.assertEqual(settings.prefix, "pocketwatch")
        self.assertEqual(settings.sources, {"stratninja": SAMPLES})
        self.assertEqual((settings.concurrency, settings.delay_seconds), (1, 0.05))

    def test_sources_by_name(self) -> None:
        settings = Settings.from_environment({"SCOUT_SOURCES": "stratninja=/a, github=/b=c"})
        self.assertEqual(settings.sources, {"stratninja": Path("/a"), "github": Path("/b=c")})

    def test_what_cannot_be_used_is_said(self) -> None:
        for name, value in (
            ("SCOUT_SOURCES", "stratninja"),
            ("SCOUT_SOURCES", "=/a"),
            ("SCOUT_SOURCES", "a=/a,"),
            ("SCOUT_CONCURRENCY", "0"),
            ("SCOUT_CONCURRENCY", "two"),
            ("SCOUT_DELAY_SECONDS", "-1"),
            ("SCOUT_DELAY_SECONDS", "nan"),
            ("SCOUT_DELAY_SECONDS", "inf"),
        ):
            with self.subTest(name=name, value=value), self.assertRaisesRegex(BadSetting, name):
                Settings.from_environment({name: value})

    def test_broker_urls(self) -> None:
        for url in ("http://127.0.0.1", "127.0.0.1:5672", "amqp://host:port"):
            with self.subTest(url=url), self.assertRaisesRegex(BadSetting, "AMQP_URL"):
                scout_agent.connection_parameters(url)
        parameters = scout_agent.connection_parameters("amqp://someone:secret@broker:5673/%2Fteam")
        self.assertEqual((parameters.host, parameters.port, parameters.virtual_host), ("broker", 5673, "/team"))
        self.assertEqual((parameters.heartbeat, parameters.blocked_connection_timeout), (30, 60))
        self.assertEqual(scout_agent.connection_parameters("amqp://broker?heartbeat=5").heartbeat, 5)


class TriggerTest(unittest.TestCase):
    def test_reads_what_it_needs_and_ignores_the_rest(self) -> None:
        event = trigger_event(run_id="0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e", attempt=2, something_new=True)
        trigger = Trigger.parse(encode({**event, "extension": 1}))
        self.assertEqual(trigger.event_id, "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e:2")
        self.assertEqual((trigger.run_id, trigger.attempt), ("0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e", 2))
        self.assertEqual(trigger.traceparent, TRACEPARENT)

    def test_traceparent_from_the_header(self) -> None:
        event = trigger_event()
        del event["traceparent"]
        self.assertEqual(Trigger.parse(encode(event), {"traceparent": TRACEPARENT}).traceparent, TRACEPARENT)
        self.assertIsNone(Trigger.parse(encode(event), {}).traceparent)

    def test_what_is_no_trigger(self) -> None:
        good = trigger_event()
        bad = {
            "no JSON": b"hello",
            "no text": b"\xff\xfe\x00",
            "endless": b"[" * 100_000,
            "a list": encode([good]),
            "null": b"null",
            "other version of CloudEvents": encode({**good, "specversion": "0.3"}),
            "other type": encode({**good, "type": "scout.trigger.v2"}),
            "no id": encode({**good, "id": ""}),
            "no data": encode({**good, "data": None}),
            **{
                f"{name} = {value!r}": encode(trigger_event(**{name: value}))
                for name, value in (
                    ("run_id", 7),
                    ("run_id", "0199f3c2"),
                    ("attempt", 0),
                    ("attempt", True),
                    ("attempt", "1"),
                    ("attempt", 1.5),
                    ("start_before", "tomorrow"),
                    ("start_before", "2026-11-21T07:00:00"),
                    ("start_before", "2026-02-30T07:00:00Z"),
                    ("start_before", 1795251733),
                    ("heartbeat_seconds", 0),
                    ("heartbeat_seconds", float("nan")),
                    ("heartbeat_seconds", float("inf")),
                    ("heartbeat_seconds", "60"),
                    ("payload", None),
                    ("payload", []),
                )
            },
        }
        for name, body in bad.items():
            with self.subTest(name), self.assertRaises(BadMessage):
                Trigger.parse(body)

    def test_instants(self) -> None:
        noon = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
        for text in (
            "2026-11-21T12:00:00Z",
            "2026-11-21t12:00:00z",
            "2026-11-21T12:00:00.0Z",
            "2026-11-21T12:00:00.000000000Z",
            "2026-11-21T13:30:00.000+01:30",
        ):
            self.assertEqual(scout_agent.parse_instant(text), noon, text)
        self.assertEqual(scout_agent.parse_instant("2026-11-21T12:00:00.25Z"), noon + timedelta(milliseconds=250))


class StatusEventTest(unittest.TestCase):
    def test_envelope(self) -> None:
        trigger = Trigger.parse(encode(trigger_event(attempt=3)))
        event = scout_agent.status_event(trigger, "progress", progress=50, message=None)
        self.assertEqual(event["specversion"], "1.0")
        self.assertEqual(event["type"], "run.status.v1")
        self.assertRegex(event["source"], rf"^/consumers/scout-agent/.+-{os.getpid()}$")
        self.assertEqual(event["traceparent"], TRACEPARENT)
        self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        data = event["data"]
        self.assertEqual({**data, "sequence": 0}, {
            "run_id": trigger.run_id, "attempt": 3, "sequence": 0, "status": "progress", "progress": 50,
        })  # fmt: skip

    def test_sequence_grows_even_when_the_clock_does_not(self) -> None:
        with mock.patch("time.time_ns", side_effect=[5_000_000_000_000_000_000, 1, 1]):
            first, second, third = (scout_agent.next_sequence() for _ in range(3))
        self.assertEqual((second, third), (first + 1, first + 2))
        scout_agent._sequence = 0

    def test_texts_can_be_stored(self) -> None:
        self.assertEqual(scout_agent.clean("a\0b\udcffc"), "a\ufffdb?c")
        self.assertEqual(len(scout_agent.clean("x" * 10_000)), 2000)

    def test_result_fits_into_a_message(self) -> None:
        small = {"source": "s", "strategies": [{"file": "a.py"}], "rejected": []}
        self.assertEqual(scout_agent.fit(small), small)
        large = {"source": "s", "strategies": [{"file": "ä" * 2000}] * 1000, "rejected": [{"file": "b.py"}]}
        fitted = scout_agent.fit(large)
        self.assertLess(len(json.dumps(fitted)), 500_001)
        self.assertGreater(len(fitted["strategies"]), 0)
        self.assertEqual((fitted["rejected"], fitted["truncated"]), (large["rejected"], True))


class DiscoverTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.never = threading.Event()

    def write(self, name: str, text: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def discover(self, max_strategies: int = 100) -> scout_agent.Findings:
        return scout_agent.discover(self.folder, max_strategies, self.never)

    def test_the_samples(self) -> None:
        findings = scout_agent.discover(SAMPLES, 20, self.never)
        self.assertEqual(
            findings.metrics(), {"total_fetched": 14, "validated": 8, "rejected": 5, "duplicates": 1}
        )
        self.assertEqual(
            [(entry["file"], entry["reason"].split(":")[0]) for entry in findings.rejected],
            [
                ("broken_syntax.py", "syntax error in line 8"),
                ("empty.py", "empty file"),
                ("indicators.py", "no class derives from IStrategy"),
                ("no_entry.py", "no populate_entry_trend or populate_buy_trend"),
                ("no_indicators.py", "no populate_indicators"),
            ],
        )
        self.assertEqual(findings.duplicates[0]["first_seen_in"], "rsi_rebound.py")
        self.assertIn(
            {"file": "bollinger_breakout.py", "class": "BollingerBreakout", "entry": "populate_entry_trend"},
            findings.strategies,
        )

    def test_stops_at_max_strategies_even_within_a_file(self) -> None:
        strategy = "class S{}(IStrategy):\n def populate_indicators(s): 0\n def populate_entry_trend(s): 0\n"
        self.write("a.py", strategy.format(1) + strategy.format(2) + strategy.format(3))
        self.write("b.py", strategy.format(4))
        self.assertEqual([entry["class"] for entry in self.discover(2).strategies], ["S1", "S2"])
        self.assertEqual(self.discover(2).files_done, 1)
        self.assertEqual(len(self.discover(4).strategies), 4)

    def test_which_classes_are_strategies(self) -> None:
        methods = "\n def populate_indicators(s): 0\n def populate_entry_trend(s): 0\n"
        self.write("a.py", "class Direct(IStrategy):" + methods)
        self.write("b.py", "class Attribute(ft.strategy.IStrategy):" + methods)
        self.write("c.py", "class Mixed(Helper, IStrategy, metaclass=Meta):" + methods)
        self.write("d.py", "class Call(make('IStrategy')):" + methods)
        self.write("e.py", "class Other(Base[IStrategy]):" + methods)
        findings = self.discover()
        self.assertEqual([entry["class"] for entry in findings.strategies], ["Direct", "Attribute", "Mixed"])
        self.assertEqual([entry["file"] for entry in findings.rejected], ["d.py", "e.py"])

    def test_files_are_never_run(self) -> None:
        self.write("a.py", f"open({str(self.folder / 'ran')!r}, 'w')\n")
        self.discover()
        self.assertFalse((self.folder / "ran").exists())

    def test_odd_files_are_rejected_one_by_one(self) -> None:
        self.write("a_nul.py", "x = 1\0")
        self.write("b_large.py", b"#" * 1_000_001)
        self.write("c_bytes.py", b"\xff\xfe\xfd")
        self.write("d_brackets.py", "x = " + "(" * 50_000)
        self.write("e_blank.py", "\n \n")
        os.mkfifo(self.folder / "f_pipe.py")
        (self.folder / "g_dangling.py").symlink_to(self.folder / "nowhere")
        self.write("h_latin.py", b"# -*- coding: latin-1 -*-\nclass \xc4(IStrategy): pass\n")
        findings = self.discover()
        self.assertEqual(findings.metrics()["rejected"], 8)
        self.assertEqual(findings.rejected[7]["class"], "Ä")

    def test_what_is_looked_at(self) -> None:
        for name in ("b.py", "a/z.py", ".hidden/x.py", "__pycache__/x.py", "__init__.py", "notes.txt", "a/.py"):
            self.write(name, "")
        (self.folder / "circle").symlink_to(self.folder)
        files = scout_agent.python_files(self.folder, self.never)
        self.assertEqual([path.relative_to(self.folder).as_posix() for path in files], ["a/.py", "a/z.py", "b.py"])

    def test_directories_that_cannot_be_used(self) -> None:
        self.write("file.py", "")
        for path in (self.folder / "missing", self.folder / "file.py", Path("/nul\0byte")):
            with self.subTest(path=path), self.assertRaises(WorkFailed) as caught:
                scout_agent.discover(path, 1, self.never)
            self.assertEqual((caught.exception.code, caught.exception.retryable), ("missing_directory", False))

    def test_a_directory_that_cannot_be_read_may_be_readable_later(self) -> None:
        # Permissions do not hold root back, so the refusal is made up.
        with mock.patch("os.scandir", side_effect=PermissionError(13, "Permission denied")):
            with self.assertRaises(WorkFailed) as caught:
                self.discover()
        self.assertEqual((caught.exception.code, caught.exception.retryable), ("unreadable_directory", True))

    def test_too_many_files(self) -> None:
        self.write("a.py", "")
        self.write("b.py", "")
        with mock.patch.object(scout_agent, "MOST_FILES", 1), self.assertRaises(WorkFailed) as caught:
            self.discover()
        self.assertFalse(caught.exception.retryable)

    def test_cancelled_before_and_between_files(self) -> None:
        cancelled = threading.Event()
        with self.assertRaises(WorkCancelled):
            scout_agent.discover(SAMPLES, 20, cancelled, on_file=lambda findings: cancelled.set())
        with self.assertRaises(WorkCancelled):
            scout_agent.python_files(SAMPLES, cancelled)

    def test_sources(self) -> None:
        sources = {"stratninja": SAMPLES}
        self.assertEqual(scout_agent.resolve_source("stratninja", sources), SAMPLES)
        self.assertEqual(scout_agent.resolve_source("directory:/a b", sources), Path("/a b"))
        with self.assertRaisesRegex(WorkFailed, "known: stratninja") as caught:
            scout_agent.resolve_source("github", sources)
        self.assertEqual((caught.exception.code, caught.exception.retryable), ("unknown_source", False))


class RecordingChannel:
    """Stands in for pika's channel: what the agent's rules come to, without a broker."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.sent: list[dict[str, Any]] = []

    def basic_publish(self, body: bytes, **_: Any) -> None:
        event = json.loads(body)
        self.sent.append(event)
        self.said.append(event["data"]["status"])

    def basic_ack(self, tag: int) -> None:
        self.said.append(("ack", tag))

    def basic_reject(self, tag: int, requeue: bool) -> None:
        self.said.append(("reject", tag, requeue))

    def basic_cancel(self, tag: str) -> None:
        self.said.append("stop consuming")


class AgentTest(unittest.TestCase):
    def setUp(self) -> None:
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.tag = 0
        self.agent, self.channel = self.make_agent()

    def make_agent(self, **changes: Any) -> tuple[Agent, RecordingChannel]:
        settings = Settings.from_environment({"SCOUT_DELAY_SECONDS": "0", **changes})
        agent, channel = Agent(settings), RecordingChannel()
        agent.channel = channel
        agent.consumer_tag = "consumer"
        return agent, channel

    def deliver(self, event: Any, headers: Any = None) -> None:
        self.tag += 1
        body = event if isinstance(event, bytes) else encode(event)
        method, properties = SimpleNamespace(delivery_tag=self.tag), SimpleNamespace(headers=headers, message_id="m")
        self.agent.on_trigger(self.channel, method, properties, body)

    def work_off(self) -> None:
        """Does what the main loop does, until nothing is left to do."""
        for _ in range(500):
            self.agent.flush()
            if self.agent.idle():
                return
            time.sleep(0.01)
        self.fail("the agent does not come to an end")

    def test_a_run_from_start_to_end(self) -> None:
        self.deliver(trigger_event())
        self.work_off()
        said = self.channel.said
        self.assertEqual(said[:3], ["started", "stop consuming", ("ack", 1)])
        self.assertEqual(said[-1], "completed")
        self.assertIn("progress", said)
        end = self.channel.sent[-1]["data"]
        self.assertEqual(end["metrics"], {"total_fetched": 14, "validated": 8, "rejected": 5, "duplicates": 1})
        self.assertEqual(len(end["result"]["strategies"]), 8)
        sequences = [event["data"]["sequence"] for event in self.channel.sent]
        self.assertEqual(sequences, sorted(set(sequences)))

    def test_a_duplicate_is_answered_with_the_last_status(self) -> None:
        event = trigger_event()
        self.deliver(event)
        self.work_off()
        ended = list(self.channel.sent)
        self.deliver(event)
        self.work_off()
        self.assertEqual(self.channel.sent, [*ended, ended[-1]])
        self.assertEqual(self.channel.said[-2:], ["completed", ("ack", 2)])

    def test_the_next_attempt_is_no_duplicate(self) -> None:
        run_id = str(uuid.uuid4())
        for attempt in (1, 2):
            self.deliver(trigger_event(run_id=run_id, attempt=attempt))
            self.work_off()
        self.assertEqual([e["data"]["attempt"] for e in self.channel.sent if e["data"]["status"] == "completed"], [1, 2])

    def test_too_late_is_skipped_and_told_why(self) -> None:
        self.deliver(trigger_event(start_before="2026-01-01T00:00:00Z"))
        self.work_off()
        self.assertEqual(self.channel.said, ["skipped", ("ack", 1)])
        self.assertIn("start_before passed", self.channel.sent[0]["data"]["message"])

    def test_no_start_before_means_any_time(self) -> None:
        self.deliver(trigger_event(start_before=None))
        self.work_off()
        self.assertEqual(self.channel.said[-1], "completed")

    def test_what_is_no_trigger_is_dead_lettered(self) -> None:
        self.deliver(b"hello")
        self.assertEqual(self.channel.said, [("reject", 1, False)])

    def test_failures_are_reported_once_with_a_code(self) -> None:
        for payload, code in (
            ({"source": "github", "max_strategies": 1}, "unknown_source"),
            ({"source": "directory:/no/such/place", "max_strategies": 1}, "missing_directory"),
            ({"source": "stratninja", "max_strategies": 0}, "invalid_payload"),
            ({"source": "stratninja", "max_strategies": True}, "invalid_payload"),
            ({"max_strategies": 1}, "invalid_payload"),
        ):
            with self.subTest(payload=payload):
                self.deliver(trigger_event(payload=payload))
                self.work_off()
                self.assertEqual(self.channel.said[-1], "failed")
                error = self.channel.sent[-1]["data"]["error"]
                self.assertEqual((error["code"], error["retryable"]), (code, False))

    def test_a_bug_still_ends_the_run(self) -> None:
        with mock.patch.object(scout_agent, "discover", side_effect=KeyError("oops")):
            self.deliver(trigger_event())
            self.work_off()
        self.assertEqual(self.channel.said[-1], "failed")
        self.assertEqual(
            self.channel.sent[-1]["data"]["error"],
            {"code": "internal_error", "message": "KeyError: 'oops'", "retryable": True},
        )

    def test_heartbeats_until_the_end_and_not_after(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="0.02")
        self.deliver(trigger_event(heartbeat_seconds=0.06))
        self.work_off()
        self.assertGreater(self.channel.said.count("heartbeat"), 2)
        time.sleep(0.1)
        self.agent.flush()
        self.assertEqual(self.channel.said[-1], "completed")

    def cancel(self, data: Any) -> None:
        self.agent.on_cancel_request(None, None, None, encode({"type": "run.cancel-requested.v1", "data": data}))

    def test_cancelling(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="60")
        event = trigger_event(attempt=2)
        run_id = event["data"]["run_id"]
        self.deliver(event)
        self.agent.flush()
        self.agent.on_cancel_request(None, None, None, b"hello")
        for meant_for_someone_else in (None, {}, {"run_id": str(uuid.uuid4())}, {"run_id": run_id, "attempt": 1}):
            self.cancel(meant_for_someone_else)
        self.assertEqual(len(self.agent.active()), 1)
        self.cancel({"run_id": run_id, "attempt": 2})
        self.work_off()
        self.assertEqual(self.channel.said[-1], "cancelled")

    def test_cancel_request_without_attempt_means_the_run(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="60")
        event = trigger_event(attempt=2)
        self.deliver(event)
        self.agent.flush()
        self.cancel({"run_id": event["data"]["run_id"], "attempt": None})
        self.work_off()
        self.assertEqual(self.channel.said[-1], "cancelled")

    def test_concurrency(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="60", SCOUT_CONCURRENCY="2")
        for _ in range(2):
            self.deliver(trigger_event())
            self.agent.flush()
        self.assertEqual(self.channel.said, ["started", ("ack", 1), "started", "stop consuming", ("ack", 2)])

    def test_an_outage_does_not_fill_the_memory(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="60")
        self.deliver(trigger_event())
        self.agent.flush()
        (job,) = self.agent.active()
        for number in range(100):
            self.agent.report(job, "heartbeat")
            self.agent.report(job, "progress", progress=number)
        self.assertEqual([outgoing.event["data"].get("progress") for outgoing in self.agent.outbox], [99])
        self.agent.report(job, "failed")
        self.agent.report(job, "heartbeat")
        self.assertEqual([outgoing.event["data"]["status"] for outgoing in self.agent.outbox], ["progress", "failed"])

    def test_what_the_broker_has_not_confirmed_is_forgotten_with_the_connection(self) -> None:
        event = trigger_event()
        self.deliver(event)
        self.agent.leave()
        self.assertEqual((self.agent.outbox, dict(self.agent.jobs)), ([], {}))
        self.agent.channel = self.channel
        self.deliver(event)
        self.work_off()
        self.assertEqual((self.channel.said[0], self.channel.said[-1]), ("started", "completed"))

    def test_a_running_run_survives_the_connection(self) -> None:
        self.agent, self.channel = self.make_agent(SCOUT_DELAY_SECONDS="60")
        event = trigger_event()
        self.deliver(event)
        self.agent.flush()
        self.agent.leave()
        self.agent.channel = self.channel
        self.deliver(event)  # as the broker does when the acknowledgement was lost
        self.agent.flush()
        self.assertEqual(self.channel.said[-2:], ["started", ("ack", 2)])
        self.assertEqual(self.channel.sent[0], self.channel.sent[1])
        self.cancel({"run_id": event["data"]["run_id"]})
        self.work_off()
        self.assertEqual(self.channel.said[-1], "cancelled")

    def test_memory_of_triggers_is_bounded(self) -> None:
        with mock.patch.object(scout_agent, "REMEMBERED_TRIGGERS", 3):
            for _ in range(6):
                self.deliver(trigger_event(start_before="2026-01-01T00:00:00Z"))
                self.work_off()
        self.assertEqual(len(self.agent.jobs), 3)

    def test_after_a_signal_nothing_new_is_begun(self) -> None:
        self.agent.stopping = True
        self.deliver(trigger_event())
        self.assertEqual(self.channel.said, [("reject", 1, True)])


class ContractTest(unittest.TestCase):
    """The published examples, as this consumer sees them."""

    def test_every_valid_payload_is_understood(self) -> None:
        examples = sorted((CONTRACTS / "actions/scout.trigger/examples/v1/valid").glob("*.json"))
        self.assertGreater(len(examples), 2)
        for path in examples:
            source, max_strategies = scout_agent.read_payload(json.loads(path.read_text()))
            self.assertTrue(source and max_strategies, path.name)


if __name__ == "__main__":
    unittest.main()
