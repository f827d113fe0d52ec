import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { withDefaults } from "../../../src/cli/documents/import-file.ts";
import { ACTIONS, type Asked, pocketwatch, schedule, type World } from "./fake-surroundings.ts";

const nightly = schedule();
const weekly = schedule({
  id: "0199e1aa-0000-7000-8000-000000000002",
  name: "weekly",
  description: "line one\nline two",
  labels: { team: "ops" },
  action_version: 1,
  timing: { kind: "calendar", times: ["17:30"], days_of_week: ["sunday"], timezone: "Europe/Berlin" },
  retry: { ...nightly.retry, max_attempts: 5 },
  heartbeat_seconds: null,
  pool: "default",
  depends_on: [nightly.id],
  revision: 7,
});

/** A service that has these schedules; `refuse` is what it does not want to have written. */
function service(
  items: readonly ReturnType<typeof schedule>[],
  refuse: Record<string, number> = {},
): NonNullable<World["answer"]> {
  return ({ method, path }: Asked) => {
    if (path === "/v1/actions") return [200, ACTIONS];
    if (path.startsWith("/v1/pools")) {
      return [200, { items: [{ name: "default" }, { name: "scouts" }], next_cursor: null }];
    }
    if (path === "/v1/schedules/preview") return [200, { occurrences: ["2026-11-22T02:00:00.000Z"], dst: [] }];
    if (method === "GET") return [200, { items, next_cursor: null }];
    const status = refuse[path.split("/").at(-1)!];
    if (status !== undefined) return [status, { title: "Somebody has changed it since", status, detail: "" }];
    return method === "DELETE" ? [204, ""] : [200, nightly];
  };
}
const both = service([nightly, weekly]);
const writes = (asked: readonly Asked[]) =>
  asked.filter(({ method }) => method === "PUT" || method === "DELETE").map(({ method, path }) => `${method} ${path}`);

describe("export", () => {
  test("writes only what differs from the defaults, names instead of ids, in a fixed order", async () => {
    const { out } = await pocketwatch({ answer: both }, "export");
    expect(parse(out)).toEqual({
      defaults: {},
      schedules: [
        {
          name: "nightly",
          action: "scout.trigger",
          payload: { source: "stratninja", max_strategies: 20 },
          timing: { kind: "cron", expression: "0 2 * * *" },
        },
        {
          name: "weekly",
          description: "line one\nline two",
          labels: { team: "ops" },
          action: "scout.trigger",
          payload: { source: "stratninja", max_strategies: 20 },
          timing: { kind: "calendar", times: ["17:30"], days_of_week: ["sunday"], timezone: "Europe/Berlin" },
          depends_on: ["nightly"],
          retry: { max_attempts: 5 },
          heartbeat_seconds: 0,
          pool: "default",
        },
      ],
    });
    expect(out.match(/^ {2,4}(- )?[a-z_]+:/gm)?.map((line) => line.trim())).toEqual([
      ...["- name:", "action:", "payload:", "timing:"],
      ...["- name:", "description:", "labels:", "action:", "payload:", "timing:"],
      ...["depends_on:", "retry:", "heartbeat_seconds:", "pool:"],
    ]);
    // What YAML 1.1 would read as a number is quoted for it.
    expect(out).toContain('- "17:30"');
  });

  test("into a file", async () => {
    const { out, err, files } = await pocketwatch({ answer: both }, "export", "-o", "all.yaml");
    expect([out, err]).toEqual(["", "2 schedules are written to all.yaml\n"]);
    expect(parse(files["all.yaml"]!).schedules).toHaveLength(2);
  });
});

describe("import", () => {
  async function load(world: World, text: string, ...options: string[]) {
    return pocketwatch({ answer: both, ...world, files: { "s.yaml": text } }, "import", "s.yaml", ...options);
  }
  const item = (name: string, more = "") =>
    `- { name: ${name}, action: scout.trigger, payload: { source: x }, timing: { kind: manual }${more} }\n`;

  test("what was exported changes nothing", async () => {
    const { out: text } = await pocketwatch({ answer: both }, "export");
    const { exit, out, asked } = await load({}, text, "--prune");
    expect([exit, out]).toEqual([0, "0 added, 0 changed, 0 removed, 2 unchanged\n"]);
    expect(writes(asked)).toEqual([]);
  });

  test("shows a diff and changes nothing in a dry run", async () => {
    const text = item("nightly", ", retry: { max_attempts: 9 }") + item("new");
    const { exit, out, asked } = await load({}, text, "--dry-run", "--prune");
    expect(exit).toBe(0);
    expect(out).toBe(
      [
        "~ nightly",
        "    payload.source: stratninja → x",
        "    payload.max_strategies: 20 → -",
        "    retry.max_attempts: 3 → 9",
        "    timing.kind: cron → manual",
        "    timing.timezone: UTC → -",
        "    timing.expression: 0 2 * * * → -",
        "+ new",
        "- weekly",
        "Dry run, nothing was changed: 1 added, 1 changed, 1 removed, 0 unchanged",
        "",
      ].join("\n"),
    );
    expect(writes(asked)).toEqual([]);
  });

  test("dependencies first; changes are made only to what was read; nothing is deleted unless asked to", async () => {
    const text = item("late", ", depends_on: [early]") + item("nightly") + item("early");
    const { asked, out } = await load({}, text);
    expect(writes(asked)).toEqual(["PUT /v1/schedules/early", "PUT /v1/schedules/late", "PUT /v1/schedules/nightly"]);
    const conditions = asked
      .filter(({ method }) => method === "PUT")
      .map(({ headers }) => [headers.get("if-none-match"), headers.get("if-match")]);
    expect(conditions).toEqual([
      ["*", null],
      ["*", null],
      [null, '"3"'],
    ]);
    expect(out).toContain("1 not in the file: kept (--prune deletes them)");
  });

  test("--prune deletes the rest, after everything else", async () => {
    const { asked, out } = await load({}, item("nightly"), "--prune");
    expect(writes(asked)).toEqual(["PUT /v1/schedules/nightly", "DELETE /v1/schedules/weekly"]);
    expect(out).toContain("- weekly\n");
  });

  test("what is refused is reported, the rest goes on, and nothing is deleted", async () => {
    const answer = service([nightly, weekly], { nightly: 412 });
    const { exit, asked, out } = await load({ answer }, item("nightly") + item("new"), "--prune");
    expect(exit).toBe(1);
    expect(writes(asked)).toEqual(["PUT /v1/schedules/nightly", "PUT /v1/schedules/new"]);
    expect(out).toContain("    ! Somebody has changed it since");
    expect(out).toContain("    ! not deleted, because something else was refused");
    expect(out).toContain("1 added, 0 changed, 0 removed, 0 unchanged, 2 refused");
  });

  test.each([
    ["no list", "schedules: 5", "schedules: expected a list of schedules"],
    ["another top-level field", "schedule: []\nschedules: []", "schedule: unknown field"],
    ["a name for all", "defaults: { name: x }\nschedules: []", "defaults.name: every schedule needs a name of its own"],
    ["a name twice", item("a") + item("a"), '"a" name: is there twice'],
    ["a misspelt field", item("a", ", prioriti: high"), '"a" prioriti: unknown field'],
    [
      "a payload against its contract",
      item("a").replace("source: x", "source: 1"),
      '"a" payload.source: expected string',
    ],
    ["an unknown action", item("a").replace("scout.trigger", "no.such"), '"a" action: there is no action no.such'],
    [
      "an unknown version",
      item("a", ", action_version: 2"),
      '"a" action_version: scout.trigger has no version 2; it has 1',
    ],
    [
      "an unknown dependency",
      item("a", ", depends_on: [nobody]"),
      '"a" depends_on: "nobody": there is no such schedule',
    ],
    ["an unknown pool", item("a", ", pool: pond"), '"a" pool: there is no pool "pond"'],
    [
      "a dependency that is pruned",
      item("a", ", depends_on: [nightly]"),
      '"a" depends_on: "nightly": is removed by --prune',
    ],
    [
      "a local time of day",
      item("a").replace("kind: manual", "kind: once, time: 10:00"),
      '"a" timing.time: means another instant each time the file is imported',
    ],
    ["no object", "- 5", "schedules.0 body: "],
  ])("checks everything before changing anything: %s", async (_name, text, message) => {
    const { exit, asked, err, out } = await load({}, text, "--prune");
    expect(err.replace('"schedules.0"', "schedules.0")).toContain(message);
    expect([exit, out]).toEqual([1, ""]);
    expect(writes(asked)).toEqual([]);
  });

  test("a text that is no YAML is wrong usage, with the place", async () => {
    const { exit, err } = await load({}, "a: [");
    expect(exit).toBe(2);
    expect(err).toContain("s.yaml is not valid YAML");
    expect(err).toContain("line 1");
  });

  test("for programs", async () => {
    const { out } = await load({}, item("nightly"), "--dry-run", "--json");
    expect(JSON.parse(out)).toMatchObject({
      ...{ dry_run: true, added: 0, changed: 1, removed: 0, unchanged: 0, refused: 0, kept: 1 },
      items: [{ name: "nightly", change: "changed", problem: null }],
    });
  });
});

describe("defaults of a file", () => {
  test("objects are merged at every depth, everything else is replaced, null takes away", () => {
    const defaults = {
      ...{ pool: "a", labels: { team: "ops", tier: "1" }, notify_on: ["failed"] },
      ...{ payload: { deep: { x: 1, y: 2 } }, timing: { timezone: "Europe/Berlin" } },
    };
    const own = {
      ...{ name: "n", pool: null, labels: { tier: null, own: "yes" }, notify_on: [] },
      ...{ payload: { deep: { y: 3 } }, timing: { kind: "cron", expression: "@daily" } },
    };
    expect(withDefaults(defaults, own)).toEqual({
      name: "n",
      labels: { team: "ops", own: "yes" },
      notify_on: [],
      payload: { deep: { x: 1, y: 3 } },
      timing: { kind: "cron", expression: "@daily", timezone: "Europe/Berlin" },
    });
  });

  test("a zone for all does not spoil the schedules that have none", () => {
    const defaults = { timing: { timezone: "Europe/Berlin", jitter_seconds: 5 } };
    const own = { timing: { kind: "interval", every_seconds: 60 } };
    expect(withDefaults(defaults, own)).toEqual({ timing: { kind: "interval", every_seconds: 60, jitter_seconds: 5 } });
  });
});
