import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { pocketwatch } from "../unit/cli/fake-surroundings.ts";

/*
 * The command line against a real service. A few commands run as their users run them, as a process; the others run the
 * same program inside this one.
 */
describe("the command line", () => {
  let database: TestDatabase;
  let broker: TestBroker;
  let instance: Instance;
  let consumer: TestConsumer;
  let directory: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    broker = createTestBroker();
    directory = await mkdtemp(join(tmpdir(), "pocketwatch-cli-"));
    instance = await startInstance({
      ...{ DATABASE_URL: database.url, AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix },
    });
    consumer = await startTestConsumer(broker, "scout.trigger.v1");
  });
  afterAll(async () => {
    await consumer.close();
    await instance.stop();
    await broker.drop();
    await database.drop();
    await rm(directory, { recursive: true });
  });

  /** As a process of its own. */
  function spawn(argv: readonly string[], environment: Record<string, string> = {}) {
    return new Promise<{ exit: number; out: string; err: string }>((resolve) => {
      const env = { PATH: process.env.PATH, POCKETWATCH_URL: instance.url, ...environment };
      const options = { cwd: inject("build"), env: env as NodeJS.ProcessEnv, timeout: 15_000 };
      const child = execFile(process.execPath, ["dist/main.js", ...argv], options, (_, out, err) =>
        resolve({ exit: child.exitCode ?? -1, out, err }),
      );
    });
  }
  const here = (...argv: string[]) => pocketwatch({ url: instance.url }, ...argv);
  const json = async (...argv: string[]) => JSON.parse((await here(...argv, "--json")).out);

  const scout = ["--action", "scout.trigger", "--payload", '{"source":"stratninja","max_strategies":3}'];

  test("as a process: add, refuse, list, and not reach", async () => {
    const add = ["schedules", "add", "--name", "from a process", "--cron", "0 2 * * *", ...scout];
    expect(await spawn(add)).toMatchObject({ exit: 0, err: "" });
    const [refused, listed, unreachable, completion] = await Promise.all([
      spawn([...add.slice(0, 3), "refused", "--cron", "61 * * * *", "--action", "scout.trigger", "--payload", "{}"]),
      spawn(["schedules", "list", "--json"]),
      spawn(["runs", "list"], { POCKETWATCH_URL: "http://127.0.0.1:1", POCKETWATCH_TOKEN: "s3cr3t" }),
      spawn(["completion", "bash"]),
    ]);
    expect(refused).toMatchObject({ exit: 1, out: "" });
    expect(refused.err).toContain("  timing.expression: minute: 61 is outside 0-59\n");
    expect(refused.err).toContain("  payload.source: is required\n");
    expect(JSON.parse(listed.out).items).toMatchObject([{ name: "from a process", state: "active" }]);
    expect(unreachable.exit).toBe(3);
    expect(unreachable.err).toContain("http://127.0.0.1:1 cannot be reached");
    expect(unreachable.err).not.toContain("s3cr3t");
    const script = join(directory, "completion.bash");
    await writeFile(script, completion.out);
    await new Promise<void>((resolve, reject) => {
      execFile("bash", ["-n", script], (error) => (error === null ? resolve() : reject(error)));
    });
  });

  test("add, see when it fires, run it, watch it, find out why", async () => {
    const name = "nightly / ümlaut %2F?";
    const when = ["--calendar", "02:00", "--timezone", "Europe/Berlin"];
    expect((await here("schedules", "add", "--name", name, ...when, ...scout)).exit).toBe(0);
    expect((await here("schedules", "upcoming", name, "--count", "2")).out).toContain("Europe/Berlin");
    expect((await json("schedules", "preview", name, "--calendar", "03:00", "--count", "3")).vanish).not.toEqual([]);

    const watched = here("schedules", "trigger", name, "--watch");
    const [trigger] = await consumer.received(1);
    await consumer.report(trigger!.data, "started");
    await consumer.report(trigger!.data, "failed", {
      error: { code: "source_gone", message: "the source is gone", retryable: false },
    });
    const outcome = await watched;
    expect(outcome.exit).toBe(1);
    expect(outcome.out).toMatch(/● failed: error.* · the source is gone\n$/);

    const { items } = await json("runs", "list", "--schedule", name);
    expect(items).toMatchObject([{ status: "failed", schedule_name: name }]);
    const shown = await here("runs", "show", items[0].id);
    expect(shown.out).toMatch(/^why +its consumer reported an error$/m);
    const retried = here("runs", "retry", items[0].id, "--watch");
    const again = (await consumer.received(2))[1]!;
    expect(again.data.attempt).toBe(2);
    await consumer.report(again.data, "completed");
    expect((await retried).exit).toBe(0);
    expect((await here("runs", "cancel", items[0].id)).exit).toBe(1);
  });

  test("edit, pause, resume, skip, delete", async () => {
    await here("schedules", "add", "--name", "edited", "--every", "1h", "--label", "team=ops", ...scout);
    const edited = await here("schedules", "edit", "edited", "--every", "2h", "--max-attempts", "5");
    expect(edited.out).toContain("timing.every_seconds: 3600 → 7200");
    expect((await here("schedules", "edit", "edited", "--timezone", "Mars")).exit).toBe(1);
    expect((await json("schedules", "pause", "--label", "team=ops", "--until", "+2d")).matched).toBe(1);
    expect((await here("schedules", "list", "--state", "paused")).out).toContain("edited");
    expect((await here("schedules", "resume", "edited")).out).toContain("edited is active; next ");
    expect((await json("schedules", "skip-next", "edited")).status_reason).toBe("requested");
    expect((await here("schedules", "rm", "edited")).exit).toBe(0);
    expect((await here("schedules", "show", "edited")).exit).toBe(4);
  });

  test("pools, actions, reload", async () => {
    expect(await json("pools", "set", "scouts", "2")).toMatchObject({ name: "scouts", max_in_flight: 2 });
    expect((await here("pools", "drain", "scouts")).out).toContain("scouts is drained");
    expect((await here("pools", "list")).out).toMatch(/^scouts +drained/m);
    expect((await here("pools", "resume", "scouts")).exit).toBe(0);
    expect((await here("pools", "show", "nope")).exit).toBe(4);
    expect((await json("actions", "scout.trigger")).items[0].queue.consumers).toBe(1);
    expect((await here("reload")).exit).toBe(0);
  });

  test("export and import: the round trip changes nothing; pruning shows what it would do", async () => {
    const file = join(directory, "schedules.yaml");
    const add = async (name: string, ...flags: string[]) => {
      expect(await here("schedules", "add", "--name", name, ...scout, ...flags)).toMatchObject({ exit: 0, err: "" });
    };
    await here("pools", "set", "mine", "5");
    await add("a", "--cron", "*/5 * * * *", "--timezone", "America/New_York", "--dst-fold", "both", "--jitter", "30s");
    await add("b", "--every", "90s", "--anchor", "2026-01-01T00:00:00+01:00", "--depends-on", "a", "--heartbeat", "0");
    await add("c", "--calendar", "22:00,06:30", "--month-days", "1,-1", "--start-day", "2026-01-01", "--target", "x");
    await add("d", "--at", "+5h", "--ends-at", "+9h", "--overlap", "buffer_one", "--catchup", "all", "--max-runs", "3");
    await add("e", "--on-event", "--webhook", "git/*/push", "--priority", "high", "--pool", "mine", "--notify-on", "");
    await add(
      "f",
      "--manual",
      "--disable",
      "--backoff",
      "5s",
      "--description",
      "yes: # no\n\ttab",
      "--label",
      "on=off",
    );
    const before = (await json("schedules", "list", "--all")).items;
    const { out: text } = await here("export");
    const load = (content: string, ...options: string[]) =>
      pocketwatch({ url: instance.url, files: { [file]: content } }, "import", file, ...options);

    const same = await load(text, "--prune");
    expect(same).toMatchObject({
      exit: 0,
      err: "",
      out: `0 added, 0 changed, 0 removed, ${before.length} unchanged\n`,
    });

    // Elsewhere it makes the same: everything is deleted and imported anew.
    for (const { name } of [...before].reverse()) await here("schedules", "rm", name);
    expect((await load(text)).exit).toBe(0);
    expect((await here("export")).out).toBe(text);
    expect((await load(text)).out).toContain(`${before.length} unchanged`);

    const onlyA = text.slice(0, text.indexOf("  - name: b"));
    const dry = await load(onlyA.replace("*/5 * * * *", "*/6 * * * *"), "--prune", "--dry-run");
    expect(dry.out).toContain("~ a\n    timing.expression: */5 * * * * → */6 * * * *\n");
    expect(dry.out).toContain("- b\n- c\n- d\n- e\n- f\n");
    expect((await here("export")).out).toBe(text);
    expect((await load(onlyA.replace("*/5 *", "*/5 61"))).exit).toBe(1);
    expect((await load(onlyA, "--prune")).out).toContain(`${before.length - 1} removed, 1 unchanged`);
    expect((await json("schedules", "list")).items).toMatchObject([{ name: "a" }]);
  });
});
