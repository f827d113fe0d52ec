import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createGauges } from "../../src/gauges.ts";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

const PAGE = fileURLToPath(new URL("../../docs/metrics.md", import.meta.url));

let service: TestService;
let scrape: () => Promise<string>;
beforeAll(async () => {
  service = await startTestService();
  const measure = createGauges(service.deps, service.broker.depths);
  scrape = async () => {
    await measure();
    return service.deps.metrics.registry.metrics();
  };
});
afterAll(() => service.stop());

test("docs/metrics.md names every metric with its labels, and no other", async () => {
  const documented = [...(await readFile(PAGE, "utf8")).matchAll(/^\| `(pocketwatch_\w+)` \|(.*)$/gm)].map(
    ([, name, rest]) => {
      const cells = rest!.split("|");
      const labels = /^ (counter|gauge|histogram) $/.test(cells[0]!) ? cells[1]! : cells[0]!;
      return [name!, [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label!).sort()] as const;
    },
  );
  await scrape();
  const actual = service.deps.metrics.registry
    .getMetricsAsArray()
    .map((metric) => [metric.name, [...(metric as unknown as { labelNames: string[] }).labelNames].sort()] as const);
  // The HTTP server's own, which this service has none of.
  const http = ["pocketwatch_http_request_duration_seconds", ["method", "route", "status"]] as const;
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries([...actual, http]));
});

test("runs are counted by what made them; what is skipped at once has ended too", async () => {
  await addSchedule(service, {
    name: "counted",
    notify_on: ["skipped"],
    kind: "interval",
    cron_expression: null,
    interval_seconds: 60,
    priority: 1,
  });
  await plan(service.deps);
  for (const minutes of [2, 4]) {
    service.setNow(Date.now() + minutes * 60_000);
    await fire(service.deps);
  }
  service.setNow(null);
  const text = await scrape();
  expect(text).toMatch(
    /runs_created_total\{trigger_type="scheduled",kind="interval",status="dispatched",priority="high"\} 1/,
  );
  expect(text).toMatch(/runs_ended_total\{status="skipped",reason="overlap",action="scout.trigger"\} 1/);
  expect(text).toMatch(/triggers_published_total\{outcome="confirmed",priority="high"\} 1/);
  expect(text).toMatch(/pocketwatch_runs_open\{status="in_flight"\} 1/);
  expect(text).toMatch(/pocketwatch_dead_letters\{queue="status"\} 0/);
  expect(text).toMatch(/pocketwatch_schedules\{state="active"\} 1/);
  expect(text).toMatch(/pocketwatch_schedules\{state="paused"\} 0/);
});

test("a scrape beside many waiting runs counts a bounded number of them", async () => {
  await service.rows("INSERT INTO pools (name) VALUES ('crowded')");
  await service.rows(`
    INSERT INTO runs (id, action, action_version, trigger_type, scheduled_for, available_at, priority, pool)
    SELECT gen_random_uuid(), 'scout.trigger', 1, 'manual', now(), now() - interval '1 hour', 3, 'crowded'
    FROM generate_series(1, 12000)`);
  const text = await scrape();
  expect(text).toContain('pocketwatch_pool_pending{pool="crowded",priority="low"} 10000\n');
  const [, seconds] = /^pocketwatch_pending_oldest_seconds (\S+)$/m.exec(text)!;
  expect(Number(seconds)).toBeGreaterThanOrEqual(3_600);
});

test("a run that nobody brought a trace for has its own, in its events too", async () => {
  const rows = await service.rows("SELECT subject, traceparent FROM outbox WHERE data->>'status' = 'skipped'");
  expect(rows.length).toBeGreaterThan(0);
  for (const { subject, traceparent } of rows as { subject: string; traceparent: string }[]) {
    expect(traceparent.split("-")[1]).toBe(subject.replace("runs/", "").replaceAll("-", ""));
  }
});
