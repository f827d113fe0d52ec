import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Everything the service counts. One registry per process part, so that tests can have several services in one process. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name: `pocketwatch_${name}`, help, labelNames, registers });
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `pocketwatch_${name}`, help, labelNames, registers });
  return {
    registry,
    runs_created: counter(
      "runs_created_total",
      "Runs made, by trigger type, kind of schedule, priority and first status",
      ["trigger_type", "kind", "priority", "status"],
    ),
    triggers_published: counter("triggers_published_total", "Trigger events, by what the broker made of them", [
      "outcome",
      "priority",
    ]),
    status_updates: counter("status_updates_total", "Status updates, by what became of them", ["outcome"]),
    runs_ended: counter("runs_ended_total", "Runs that ended", ["status", "reason", "action"]),
    retries: counter("retries_total", "Attempts that ended and were followed by another, by why they ended", [
      "action",
      "reason",
    ]),
    run_seconds: new Histogram({
      name: "pocketwatch_run_duration_seconds",
      help: "From started to the end of a run's last attempt; parents of targets are left out",
      labelNames: ["action", "status"] as const,
      buckets: [0.1, 1, 5, 30, 120, 600, 1_800, 7_200, 21_600],
      registers,
    }),
    commands: counter("commands_total", "Commands received by message", ["type", "outcome"]),
    signals: counter("signals_total", "Webhooks and channel messages, by what became of each matching schedule", [
      "kind",
      "outcome",
    ]),
    events_relayed: counter("events_relayed_total", "Lifecycle and control messages sent", ["outcome"]),
    pass_seconds: new Histogram({
      name: "pocketwatch_pass_duration_seconds",
      help: "Duration of a pass",
      labelNames: ["pass", "failed"] as const,
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      registers,
    }),
    lateness_seconds: new Histogram({
      name: "pocketwatch_lateness_seconds",
      help: "From the nominal instant to the commit of the run",
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10, 60, 600, 3600],
      registers,
    }),
    broker_ready: gauge("broker_ready", "1 while triggers can be published", []),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;

/** The process's own figures (memory, event loop, garbage collection). */
export function collectProcessMetrics(metrics: Metrics): void {
  collectDefaultMetrics({ register: metrics.registry, prefix: "pocketwatch_" });
}
