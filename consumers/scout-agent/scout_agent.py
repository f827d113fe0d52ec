#!/usr/bin/env python3
"""Scout agent: Pocketwatch's reference consumer in Python.

Waits for `scout.trigger` v1 events, looks for trading strategies in a directory of Python files, and reports what it
found. The files are parsed, never imported: nothing in them is ever run.

The file reads from top to bottom: settings, the trigger message, the status message, the work itself, and at the end
the agent, which ties them to RabbitMQ. A consumer of another action needs the same parts with other work in between.

Two kinds of threads: the main thread alone talks to the broker (a pika connection belongs to one thread, and has to be
served while work goes on); every run works in a thread of its own and hands its status updates to the main thread
through the outbox.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import random
import re
import signal
import socket
import stat
import sys
import threading
import time
import uuid
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import quote

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError, UnroutableError

log = logging.getLogger("scout-agent")

TRIGGER_TYPE = "scout.trigger.v1"
STATUS_TYPE = "run.status.v1"
CANCEL_TYPE = "run.cancel-requested.v1"
CONTENT_TYPE = "application/cloudevents+json"
STATUS_SCHEMA = "https://pocketwatch.dev/contracts/run-status.v1.schema.json"
ENDS = ("completed", "failed", "cancelled", "skipped")

REMEMBERED_TRIGGERS = 1000  # for recognising duplicates; a repetition comes within seconds or minutes
MOST_FILES = 10_000  # looked at in one run
MOST_BYTES = 1_000_000  # of one file; a strategy is a few thousand
MOST_LISTED = 200  # rejected files and duplicates named in the result; the metrics count all of them
MOST_RESULT_CHARACTERS = 500_000  # a status update must stay below 1 MiB
MOST_TEXT_CHARACTERS = 2000  # of a message for people
PROGRESS_EVERY_SECONDS = 0.2
LONGEST_BEAT_SECONDS = 600.0
REFUSED_AGAIN_SECONDS = 2.0  # between two tries at a status update that the broker does not take
FIRST_RECONNECT_SECONDS = 0.5
LONGEST_RECONNECT_SECONDS = 10.0


# --- Settings ---------------------------------------------------------------------------------------------------------


class BadSetting(Exception):
    """An environment variable that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    amqp_url: str
    prefix: str
    sources: Mapping[str, Path]
    concurrency: int
    delay_seconds: float

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Settings:
        samples = Path(__file__).resolve().parent / "samples"
        return Settings(
            amqp_url=env.get("AMQP_URL") or "amqp://guest:guest@127.0.0.1:5672",
            prefix=env.get("TOPOLOGY_PREFIX") or "pocketwatch",
            sources=parse_sources(env["SCOUT_SOURCES"]) if env.get("SCOUT_SOURCES") else {"stratninja": samples},
            concurrency=_number(env, "SCOUT_CONCURRENCY", int, default=1, least=1),
            delay_seconds=_number(env, "SCOUT_DELAY_SECONDS", float, default=0.05, least=0),
        )


def parse_sources(text: str) -> dict[str, Path]:
    """`stratninja=/path,github=/other` as a dictionary."""
    sources: dict[str, Path] = {}
    for entry in text.split(","):
        name, equals, path = entry.partition("=")
        if not (name.strip() and equals and path.strip()):
            raise BadSetting(f"SCOUT_SOURCES: expected name=/path,name=/path, got {entry!r}")
        sources[name.strip()] = Path(path.strip())
    return sources


def _number(env: Mapping[str, str], name: str, kind: Callable[[str], Any], default: Any, least: float) -> Any:
    try:
        value = kind(env[name]) if env.get(name) else default
    except ValueError:
        value = None
    # Written this way round so that "nan" is refused as well.
    if value is None or not least <= value < float("inf"):
        raise BadSetting(f"{name}: expected a number of at least {least}, got {env[name]!r}")
    return value


# --- The trigger: what comes in ---------------------------------------------------------------------------------------


class BadMessage(Exception):
    """The message is not a trigger of this action, so it can be answered by nobody."""


@dataclass(frozen=True)
class Trigger:
    """What the agent needs of a trigger event. Other fields may be there; unknown ones are no error."""

    event_id: str
    run_id: str
    attempt: int
    start_before: datetime | None
    heartbeat_seconds: float | None
    payload: Mapping[str, Any]
    traceparent: str | None

    @staticmethod
    def parse(body: bytes, headers: Mapping[str, Any] | None = None) -> Trigger:
        event = _json_object(body)
        if event.get("specversion") != "1.0":
            raise BadMessage("specversion is not 1.0")
        if event.get("type") != TRIGGER_TYPE:
            raise BadMessage(f"type is {event.get('type')!r}, expected {TRIGGER_TYPE!r}")
        data = event.get("data")
        if not isinstance(data, dict):
            raise BadMessage("data is not an object")
        attempt = data.get("attempt")
        if type(attempt) is not int or attempt < 1:
            raise BadMessage("data.attempt is not a whole number from 1 up")
        heartbeat = data.get("heartbeat_seconds")
        if heartbeat is not None and not (type(heartbeat) in (int, float) and 0 < heartbeat < float("inf")):
            raise BadMessage("data.heartbeat_seconds is not a number above 0")
        if not isinstance(data.get("payload"), dict):
            raise BadMessage("data.payload is not an object")
        run_id = _text(data, "run_id")
        if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", run_id):
            raise BadMessage("data.run_id is not a UUID")
        start_before = data.get("start_before")
        traceparent = event.get("traceparent") or (headers or {}).get("traceparent")
        return Trigger(
            event_id=_text(event, "id"),
            run_id=run_id,
            attempt=attempt,
            start_before=None if start_before is None else parse_instant(start_before),
            heartbeat_seconds=heartbeat,
            payload=data["payload"],
            traceparent=traceparent if isinstance(traceparent, str) else None,
        )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadMessage("not a JSON object")
    return value


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or value == "":
        raise BadMessage(f"{name} is not a text")
    return value


def parse_instant(text: Any) -> datetime:
    """An RFC 3339 instant. `datetime.fromisoformat` takes neither `Z` nor every count of decimals before Python 3.11."""
    match = isinstance(text, str) and re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII
    )
    if not match:
        raise BadMessage(f"{text!r} is not an instant")
    day, clock, decimals, offset = match.groups()
    micros = ((decimals or ".0")[1:] + "000000")[:6]
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as error:
        raise BadMessage(f"{text!r} is not an instant") from error


# --- The status update: what goes out ---------------------------------------------------------------------------------

SOURCE = f"/consumers/scout-agent/{quote(socket.gethostname())}-{os.getpid()}"

_sequence = 0
_sequence_lock = threading.Lock()


def next_sequence() -> int:
    """Unix milliseconds, but never the same number twice and never a smaller one, whatever the clock does."""
    global _sequence
    with _sequence_lock:
        _sequence = max(_sequence + 1, time.time_ns() // 1_000_000)
        return _sequence


def status_event(trigger: Trigger, status: str, **fields: Any) -> dict[str, Any]:
    """A status update for the trigger's attempt, as a CloudEvent. Fields that are None are left out."""
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "type": STATUS_TYPE,
        "source": SOURCE,
        "subject": f"runs/{trigger.run_id}",
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": STATUS_SCHEMA,
        "data": {
            "run_id": trigger.run_id,
            "attempt": trigger.attempt,
            "sequence": next_sequence(),
            "status": status,
            **{name: value for name, value in fields.items() if value is not None},
        },
    }
    if trigger.traceparent:
        event["traceparent"] = trigger.traceparent
    return event


def clean(text: object) -> str:
    """Text that any database can store: file names and messages may hold NUL or bytes that are no text at all."""
    return str(text)[:MOST_TEXT_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def fit(result: dict[str, Any]) -> dict[str, Any]:
    """The result, its longest lists halved until it fits into a message. The metrics have counted everything."""
    while len(json.dumps(result)) > MOST_RESULT_CHARACTERS:
        longest = max((name for name in result if isinstance(result[name], list)), key=lambda name: len(result[name]))
        result = {**result, longest: result[longest][: len(result[longest]) // 2], "truncated": True}
    return result


# --- The work: finding strategies -------------------------------------------------------------------------------------


class WorkFailed(Exception):
    """The run cannot be completed. `retryable` says whether another attempt could fare better."""

    def __init__(self, code: str, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class WorkCancelled(Exception):
    """Someone asked for the run to stop."""


@dataclass
class Findings:
    """What a run has found so far. total_fetched = validated + rejected + duplicates."""

    files: int = 0
    files_done: int = 0
    strategies: list[dict[str, str]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    duplicates: list[dict[str, str]] = field(default_factory=list)

    def metrics(self) -> dict[str, int]:
        return {
            "total_fetched": len(self.strategies) + len(self.rejected) + len(self.duplicates),
            "validated": len(self.strategies),
            "rejected": len(self.rejected),
            "duplicates": len(self.duplicates),
        }


def resolve_source(source: str, sources: Mapping[str, Path]) -> Path:
    """The directory that a payload's `source` means."""
    if source.startswith("directory:"):
        return Path(source[len("directory:") :])
    if source not in sources:
        known = ", ".join(sorted(sources))
        raise WorkFailed("unknown_source", f"unknown source {source!r}; known: {known}, directory:<path>", False)
    return sources[source]


def python_files(directory: Path, cancelled: threading.Event) -> list[Path]:
    """Every .py file below the directory, in a fixed order. Hidden directories and symbolic links to directories are
    left out, the latter because they can run in circles."""
    try:
        os.scandir(directory).close()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise WorkFailed("missing_directory", f"no such directory: {directory}", False) from error
    except OSError as error:
        raise WorkFailed("unreadable_directory", f"cannot read {directory}: {error.strerror}", True) from error

    def unreadable(error: OSError) -> None:
        raise WorkFailed("unreadable_directory", f"cannot read {error.filename}: {error.strerror}", True) from error

    files: list[Path] = []
    for folder, subfolders, names in os.walk(directory, onerror=unreadable):
        if cancelled.is_set():
            raise WorkCancelled
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__"))]
        files += [Path(folder, name) for name in names if name.endswith(".py") and not name.startswith("__")]
        if len(files) > MOST_FILES:
            raise WorkFailed("too_many_files", f"more than {MOST_FILES} Python files in {directory}", False)
    return sorted(files)


def discover(
    directory: Path,
    max_strategies: int,
    cancelled: threading.Event,
    delay_seconds: float = 0,
    on_file: Callable[[Findings], None] = lambda findings: None,
) -> Findings:
    """Looks through the directory until it has been all through it or has `max_strategies` valid strategies."""
    files = python_files(directory, cancelled)
    findings = Findings(files=len(files))
    seen: dict[str, str] = {}
    for path in files:
        # Waiting on the event, not sleeping: a cancelled run stops at once.
        if cancelled.wait(delay_seconds):
            raise WorkCancelled
        file = clean(path.relative_to(directory).as_posix())
        for found in examine(path):
            name = found.get("class")
            if "reason" in found:
                findings.rejected.append({"file": file, **found})
            elif name in seen:
                # A strategy is chosen by the name of its class, so a second one of that name could never be chosen.
                findings.duplicates.append({"file": file, **found, "first_seen_in": seen[name]})
            else:
                seen[name] = file
                findings.strategies.append({"file": file, **found})
            if len(findings.strategies) == max_strategies:
                break
        findings.files_done += 1
        on_file(findings)
        if len(findings.strategies) == max_strategies:
            break
    return findings


def examine(path: Path) -> Iterator[dict[str, str]]:
    """The candidates in one file: {class, entry} for a valid one, otherwise {reason} and, if known, {class}."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe or a device might never end
            yield {"reason": "not a regular file"}
            return
        if facts.st_size > MOST_BYTES:
            yield {"reason": f"larger than {MOST_BYTES} bytes"}
            return
        source = path.read_bytes()
    except OSError as error:
        yield {"reason": f"cannot be read: {error.strerror}"}
        return
    if not source.strip():
        yield {"reason": "empty file"}
        return
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        yield {"reason": clean(f"syntax error in line {error.lineno}: {error.msg}")}
        return
    except (ValueError, RecursionError, MemoryError):  # a NUL byte; brackets nested without end
        yield {"reason": "not a Python file"}
        return
    classes = [node for node in module.body if isinstance(node, ast.ClassDef) and derives_from_istrategy(node)]
    if not classes:
        yield {"reason": "no class derives from IStrategy"}
    for node in classes:
        methods = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
        entry = next((name for name in ("populate_entry_trend", "populate_buy_trend") if name in methods), None)
        if "populate_indicators" not in methods:
            yield {"class": node.name, "reason": "no populate_indicators"}
        elif entry is None:
            yield {"class": node.name, "reason": "no populate_entry_trend or populate_buy_trend"}
        else:
            yield {"class": node.name, "entry": entry}


def derives_from_istrategy(node: ast.ClassDef) -> bool:
    """`class A(IStrategy)` or `class A(strategy.IStrategy)`, among other bases or alone."""
    names = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", None) for base in node.bases]
    return "IStrategy" in names


# --- The agent: RabbitMQ ----------------------------------------------------------------------------------------------


class NotDeclaredYet(Exception):
    """Pocketwatch declares queues and exchanges; a consumer that starts first waits for them."""


@dataclass(eq=False)
class Job:
    """A trigger that was taken in, and how far its run has come."""

    trigger: Trigger
    last_update: dict[str, Any] | None = None
    accepted: bool = False  # the broker has confirmed the first update; until then the message may go to someone else
    ended: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class Outgoing:
    """A status update that the broker has not confirmed yet, and what to do once it has."""

    job: Job
    event: dict[str, Any]
    then: Callable[[], None] | None = None


class Agent:
    """Takes triggers in, works on them and reports, until it is asked to stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = False  # set by a signal handler, which must do nothing that takes a lock
        self.lock = threading.RLock()  # guards what run threads and the main thread share: jobs' updates and the outbox
        self.outbox: list[Outgoing] = []
        self.jobs: OrderedDict[str, Job] = OrderedDict()  # by event id, oldest first
        self.connection: pika.BlockingConnection | None = None
        self.channel: Any = None
        self.consumer_tag: str | None = None
        self.refused_until = 0.0
        self.work_queue = f"{settings.prefix}.work.{TRIGGER_TYPE}"
        self.status_exchange = f"{settings.prefix}.status"
        self.control_exchange = f"{settings.prefix}.control"

    # Staying connected

    def run(self) -> None:
        """Serves one connection after the other. Returns once asked to stop, with every run ended and reported."""
        failures = 0
        waiting_for = ""
        while True:
            started = time.monotonic()
            try:
                self.connection = pika.BlockingConnection(connection_parameters(self.settings.amqp_url))
                self.open_channel()
                waiting_for = ""
                self.serve()
                log.info("stopped")
                return
            except NotDeclaredYet as missing:
                if str(missing) != waiting_for:
                    waiting_for = str(missing)
                    log.info("waiting for %s, which the service declares", missing)
                pause = 1.0
            except (AMQPError, OSError) as error:
                # A connection that lasted was a good one; one that breaks again and again is given more and more time.
                lasted = time.monotonic() - started > LONGEST_RECONNECT_SECONDS
                failures = 1 if lasted else failures + 1
                pause = min(FIRST_RECONNECT_SECONDS * 2 ** min(failures - 1, 8), LONGEST_RECONNECT_SECONDS)
                pause *= random.uniform(0.8, 1.2)  # so that many agents do not all come back at the same moment
                log.warning("broker: %s; next try in %.1f s", describe(error), pause)
            finally:
                self.leave()
            if not self.wait(pause):
                log.info("stopped")
                return

    def wait(self, seconds: float) -> bool:
        """Sleeps, but not when there is nothing left to come back for."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.stopping and self.idle():
                return False
            time.sleep(0.1)
        return True

    def leave(self) -> None:
        """Lets go of the connection. Messages not acknowledged go back to their queue, so what was not yet accepted is
        forgotten here: it may well be another agent that gets it."""
        connection, self.connection, self.channel, self.consumer_tag = self.connection, None, None, None
        self.forget_unaccepted()
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError):
                pass

    def open_channel(self) -> None:
        for kind, name in (
            ("exchange", self.status_exchange),
            ("exchange", self.control_exchange),
            ("queue", self.work_queue),
        ):
            self.require(kind, name)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        # One unanswered message at a time; how many runs go on at once is decided in `serve`.
        self.channel.basic_qos(prefetch_count=1)
        self.channel.add_on_cancel_callback(self.on_consumer_cancelled)
        # A queue of this process alone, so that every agent hears every cancel request.
        control_queue = self.channel.queue_declare("", exclusive=True, auto_delete=True).method.queue
        self.channel.queue_bind(control_queue, self.control_exchange, CANCEL_TYPE)
        self.channel.basic_consume(control_queue, self.on_cancel_request, auto_ack=True)
        log.info("connected; consuming %s", self.work_queue)

    def require(self, kind: str, name: str) -> None:
        # A failed passive declaration closes its channel, hence one channel for each.
        channel = self.connection.channel()
        try:
            if kind == "queue":
                channel.queue_declare(name, passive=True)
            else:
                channel.exchange_declare(name, passive=True)
        except ChannelClosedByBroker as closed:
            if closed.reply_code != 404:
                raise
            raise NotDeclaredYet(f"{kind} {name}") from closed
        channel.close()

    def on_consumer_cancelled(self, _method: Any) -> None:
        raise NotDeclaredYet(f"queue {self.work_queue}")  # it was deleted under our hands

    def serve(self) -> None:
        """The main loop of one connection. Returns when the agent is to stop and has nothing left to do."""
        said = False
        while True:
            if self.stopping:
                if not said:
                    said = True
                    log.info("stopping; runs to finish: %d", len(self.active()))
                self.stop_consuming()
                self.forget_unaccepted()
                if self.idle():
                    return
            elif len(self.active()) < self.settings.concurrency and self.consumer_tag is None:
                self.consumer_tag = self.channel.basic_consume(self.work_queue, self.on_trigger)
            # Also answers the broker's heartbeats, so nothing on this thread may take long.
            self.connection.process_data_events(time_limit=0.5)
            self.flush()

    def stop_consuming(self) -> None:
        """Leaves the queue to other agents. With no hand free, a message taken in would only lie about here."""
        tag, self.consumer_tag = self.consumer_tag, None
        if tag is not None:
            self.channel.basic_cancel(tag)

    # Taking triggers in

    def on_trigger(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tag = method.delivery_tag
        if self.stopping:
            channel.basic_reject(tag, requeue=True)
            return
        try:
            trigger = Trigger.parse(body, properties.headers)
        except BadMessage as problem:
            log.warning("message %s rejected: %s", properties.message_id, problem)
            channel.basic_reject(tag, requeue=False)
            return

        job = self.jobs.get(trigger.event_id)
        if job is not None:
            self.repeat_last_update(job, lambda: channel.basic_ack(tag))
            return

        job = Job(trigger)
        self.remember(job)
        late = seconds_late(trigger)
        if late > 0:
            message = f"start_before passed {late:.1f} s before the trigger arrived; not started"
            self.report(job, "skipped", message=message, then=lambda: self.decline(job, tag))
        else:
            self.report(job, "started", then=lambda: self.begin(job, tag))

    def repeat_last_update(self, job: Job, then: Callable[[], None]) -> None:
        """The answer to a duplicate: the very same event once more, in case it was lost the first time."""
        with self.lock:
            log.info("%s is a duplicate; repeating %s", name_of(job), job.last_update["data"]["status"])
            self.outbox.append(Outgoing(job, job.last_update, then))

    def decline(self, job: Job, tag: int) -> None:
        job.accepted = True
        self.channel.basic_ack(tag)

    def begin(self, job: Job, tag: int) -> None:
        """`started` is confirmed: from here on the run is ours."""
        job.accepted = True
        # First of all the thread: should the connection break in the next lines, the trigger comes again and is
        # answered as a duplicate, so it must be true that the run has begun.
        threading.Thread(target=self.work, args=(job,), name=job.trigger.event_id, daemon=True).start()
        # Before the acknowledgement, since that lets the broker hand over the next message.
        if len(self.active()) >= self.settings.concurrency:
            self.stop_consuming()
        self.channel.basic_ack(tag)

    def on_cancel_request(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        try:
            data = _json_object(body).get("data")
        except BadMessage:
            return
        if not isinstance(data, dict):
            return
        attempt = data.get("attempt")
        for job in self.jobs.values():
            if job.ended or job.trigger.run_id != data.get("run_id"):
                continue
            # A request that names an attempt means that one and those before it, not a later retry.
            if not isinstance(attempt, int) or job.trigger.attempt <= attempt:
                log.info("%s: cancel requested", name_of(job))
                job.cancelled.set()

    # Working (in the run's own thread)

    def work(self, job: Job) -> None:
        finished = threading.Event()
        if job.trigger.heartbeat_seconds is not None:
            threading.Thread(target=self.beat, args=(job, finished), daemon=True).start()
        try:
            self.scout(job)
        except WorkCancelled:
            self.report(job, "cancelled", message="stopped on request")
        except WorkFailed as failure:
            error = {"code": failure.code, "message": clean(failure), "retryable": failure.retryable}
            self.report(job, "failed", error=error)
        except Exception as bug:  # a run always ends with a status
            log.exception("%s: unexpected", name_of(job))
            error = {"code": "internal_error", "message": clean(f"{type(bug).__name__}: {bug}"), "retryable": True}
            self.report(job, "failed", error=error)
        finally:
            finished.set()

    def scout(self, job: Job) -> None:
        source, max_strategies = read_payload(job.trigger.payload)
        directory = resolve_source(source, self.settings.sources)
        last_report = float("-inf")

        def on_file(findings: Findings) -> None:
            nonlocal last_report
            if time.monotonic() - last_report < PROGRESS_EVERY_SECONDS:
                return
            last_report = time.monotonic()
            self.report(
                job,
                "progress",
                progress=round(100 * findings.files_done / findings.files, 1),
                message=f"{findings.files_done} of {findings.files} files",
                metrics=findings.metrics(),
            )

        findings = discover(directory, max_strategies, job.cancelled, self.settings.delay_seconds, on_file)
        metrics = findings.metrics()
        self.report(
            job,
            "completed",
            progress=100,
            message=f"{metrics['validated']} valid strategies among {metrics['total_fetched']} candidates",
            metrics=metrics,
            result=fit(
                {
                    "source": clean(source),
                    "strategies": findings.strategies,
                    "rejected": findings.rejected[:MOST_LISTED],
                    "duplicates": findings.duplicates[:MOST_LISTED],
                }
            ),
        )

    def beat(self, job: Job, finished: threading.Event) -> None:
        while not finished.wait(min(job.trigger.heartbeat_seconds / 3, LONGEST_BEAT_SECONDS)):
            self.report(job, "heartbeat")

    # Reporting

    def report(self, job: Job, status: str, then: Callable[[], None] | None = None, **fields: Any) -> None:
        """Puts a status update into the outbox. An ended run stays ended: whatever comes after is dropped."""
        with self.lock:
            if job.ended:
                return
            job.ended = status in ENDS
            job.last_update = status_event(job.trigger, status, **fields)
            if status in ("progress", "heartbeat"):
                # Only the latest is of interest, so an outage of the broker does not fill the memory.
                self.outbox = [old for old in self.outbox if not (old.job is job and is_passing(old))]
            self.outbox.append(Outgoing(job, job.last_update, then))
        detail = fields.get("message") or fields.get("error", {}).get("message") or ""
        log.info("%s: %s%s", name_of(job), status, detail and f" ({detail})")
        self.wake()

    def wake(self) -> None:
        connection = self.connection
        if connection is not None:
            try:
                connection.add_callback_threadsafe(lambda: None)
            except AMQPError:
                pass  # the next connection sends what is in the outbox

    def flush(self) -> None:
        """Sends what is in the outbox, oldest first, each confirmed before the next."""
        while time.monotonic() >= self.refused_until:
            with self.lock:
                outgoing = self.outbox[0] if self.outbox else None
            if outgoing is None:
                return
            try:
                self.publish(outgoing.event)
            except (NackError, UnroutableError) as error:
                log.warning("%s: status not accepted (%s); trying again", name_of(outgoing.job), describe(error))
                self.refused_until = time.monotonic() + REFUSED_AGAIN_SECONDS
                return
            with self.lock:
                if outgoing in self.outbox:
                    self.outbox.remove(outgoing)
            if outgoing.then is not None:
                outgoing.then()

    def publish(self, event: dict[str, Any]) -> None:
        """Returns once the broker has confirmed; `mandatory`, so that an update that reaches no queue is an error."""
        traceparent = event.get("traceparent")
        self.channel.basic_publish(
            exchange=self.status_exchange,
            routing_key=STATUS_TYPE,
            body=json.dumps(event).encode(),
            properties=pika.BasicProperties(
                content_type=CONTENT_TYPE,
                delivery_mode=2,
                message_id=event["id"],
                type=STATUS_TYPE,
                app_id="scout-agent",
                headers={"traceparent": traceparent} if traceparent else None,
            ),
            mandatory=True,
        )

    # Remembering

    def active(self) -> list[Job]:
        with self.lock:
            return [job for job in self.jobs.values() if job.accepted and not job.ended]

    def idle(self) -> bool:
        with self.lock:
            return not self.outbox and not self.active()

    def remember(self, job: Job) -> None:
        with self.lock:
            self.jobs[job.trigger.event_id] = job
            for event_id in [event_id for event_id, old in self.jobs.items() if old.ended and old.accepted]:
                if len(self.jobs) <= REMEMBERED_TRIGGERS:
                    break
                del self.jobs[event_id]

    def forget_unaccepted(self) -> None:
        """Drops updates whose messages are about to be delivered anew; those of runs that are ours stay."""
        with self.lock:
            self.outbox = [outgoing for outgoing in self.outbox if outgoing.then is None]
            for event_id in [event_id for event_id, job in self.jobs.items() if not job.accepted]:
                del self.jobs[event_id]


def read_payload(payload: Mapping[str, Any]) -> tuple[str, int]:
    """Pocketwatch has checked the payload against its contract already; this guards against a different version of it."""
    source, max_strategies = payload.get("source"), payload.get("max_strategies")
    if not isinstance(source, str) or source == "":
        raise WorkFailed("invalid_payload", "payload.source is not a text", False)
    if type(max_strategies) is not int or max_strategies < 1:
        raise WorkFailed("invalid_payload", "payload.max_strategies is not a whole number from 1 up", False)
    return source, max_strategies


def seconds_late(trigger: Trigger) -> float:
    if trigger.start_before is None:
        return 0
    return (datetime.now(timezone.utc) - trigger.start_before).total_seconds()


def is_passing(outgoing: Outgoing) -> bool:
    return outgoing.then is None and outgoing.event["data"]["status"] in ("progress", "heartbeat")


def name_of(job: Job) -> str:
    return f"run {job.trigger.run_id} attempt {job.trigger.attempt}"


def describe(error: BaseException) -> str:
    """pika's connection errors often wrap others and say nothing themselves."""
    return str(error) or repr(error.args[0] if error.args else error)


def connection_parameters(url: str) -> pika.URLParameters:
    if not url.startswith(("amqp://", "amqps://")):
        raise BadSetting("AMQP_URL: expected amqp://user:password@host:port/vhost")
    try:
        parameters = pika.URLParameters(url)
    except ValueError as error:
        raise BadSetting(f"AMQP_URL: {error}") from error
    if "heartbeat=" not in url:
        parameters.heartbeat = 30
    # Without it a broker short of memory or disk would hold us in `basic_publish` for as long as it likes.
    if "blocked_connection_timeout=" not in url:
        parameters.blocked_connection_timeout = 60
    return parameters


def main() -> int:
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s scout-agent: %(message)s"
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what matters is logged here, in one line
    warnings.simplefilter("ignore")  # ast.parse warns about other people's string literals
    try:
        settings = Settings.from_environment(os.environ)
        connection_parameters(settings.amqp_url)
    except BadSetting as problem:
        print(f"scout-agent: {problem}", file=sys.stderr)
        return 2
    agent = Agent(settings)

    def on_signal(number: int, _frame: Any) -> None:
        if agent.stopping:
            os._exit(128 + number)
        agent.stopping = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    agent.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
