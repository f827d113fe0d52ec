import { describe, expect, test } from "vitest";
import { ACTIONS, type Asked, pocketwatch, schedule } from "./fake-surroundings.ts";

const made = () => [201, schedule()] as const;

describe("schedules add", () => {
  async function bodyOf(...flags: string[]) {
    const argv = ["schedules", "add", "--name", "nightly", "--action", "scout.trigger", ...flags];
    const { asked, err } = await pocketwatch({ answer: made }, ...argv);
    expect(err).toBe("");
    const { name, action, ...body } = asked[0]!.body as Record<string, unknown>;
    expect([name, action]).toEqual(["nightly", "scout.trigger"]);
    return body;
  }

  test.each<[string[], object]>([
    [["--cron", "0 2 * * *"], { kind: "cron", expression: "0 2 * * *" }],
    [["--every", "1h30m"], { kind: "interval", every_seconds: 5_400 }],
    [["--at", "2026-12-01T09:00:00+01:00"], { kind: "once", at: "2026-12-01T08:00:00.000Z" }],
    [["--at", "+2h"], { kind: "once", at: "2026-11-21T12:00:00.000Z" }],
    [["--at", "14:30", "--timezone", "Europe/Berlin"], { kind: "once", time: "14:30", timezone: "Europe/Berlin" }],
    [
      ["--calendar", "09:00,17:30", "--days", "monday,friday"],
      { kind: "calendar", times: ["09:00", "17:30"], days_of_week: ["monday", "friday"] },
    ],
    [
      ["--calendar", "09:00", "--month-days", "1,-1", "--jitter", "5m"],
      { kind: "calendar", times: ["09:00"], days_of_month: [1, -1], jitter_seconds: 300 },
    ],
    [["--manual"], { kind: "manual" }],
    [["--on-event"], { kind: "event" }],
  ])("%j", async (flags, timing) => {
    expect(await bodyOf(...flags)).toEqual({ timing });
  });

  test("policies, labels, targets and triggers", async () => {
    const what = ["--payload", '{"source":"x"}', "--label", "team=ops", "--label", "tier=a=b", "--target", "a"];
    const more = ["--target", "b,c", "--webhook", "gh/push", "--depends-on", "other", "--disable", "--heartbeat", "0"];
    const policies = ["--max-attempts", "5", "--backoff", "1m", "--catchup", "all", "--notify-on", "failed,skipped"];
    expect(await bodyOf("--manual", ...what, ...more, ...policies)).toEqual({
      timing: { kind: "manual" },
      payload: { source: "x" },
      labels: { team: "ops", tier: "a=b" },
      targets: ["a", "b,c"],
      triggers: { webhook: "gh/push" },
      depends_on: ["other"],
      enabled: false,
      heartbeat_seconds: 0,
      retry: { max_attempts: 5, backoff_seconds: 60 },
      catchup: { policy: "all" },
      notify_on: ["failed", "skipped"],
    });
  });

  test("from a file, flags over it; another kind of timing replaces the file's", async () => {
    const files = {
      "s.yaml":
        "name: a\naction: x.y\nretry: { max_attempts: 2, backoff_seconds: 9 }\ntiming: { kind: cron, expression: 1 * * * * }",
      "p.json": '{"source": "x"}',
    };
    const flags = ["--name", "b", "--every", "5m", "--max-attempts", "4", "--payload", "@p.json"];
    const { asked } = await pocketwatch({ files, answer: made }, "schedules", "add", "-f", "s.yaml", ...flags);
    expect(asked[0]?.body).toEqual({
      name: "b",
      action: "x.y",
      payload: { source: "x" },
      retry: { max_attempts: 4, backoff_seconds: 9 },
      timing: { kind: "interval", every_seconds: 300 },
    });
  });

  test("from standard input", async () => {
    const input = '{"name": "a", "action": "x.y", "timing": {"kind": "manual"}}';
    const { asked } = await pocketwatch({ input, answer: made }, "schedules", "add", "-f", "-");
    expect(asked[0]?.body).toEqual(JSON.parse(input));
  });
});

describe("schedules edit", () => {
  const before = schedule({ labels: { team: "ops", old: "1" } });
  const after = schedule({ retry: { ...before.retry, max_attempts: 5 } });
  const answer = ({ method, path }: Asked) => {
    if (path === "/v1/actions") return [200, ACTIONS] as const;
    if (path.startsWith("/v1/pools")) return [200, { items: [], next_cursor: null }] as const;
    return method === "GET" ? ([200, before, { etag: '"3"' }] as const) : ([200, after] as const);
  };

  test("merges flags into what was read, and does not overwrite somebody else's edit", async () => {
    const flags = [
      "--max-attempts",
      "5",
      "--label",
      "tier=1",
      "--remove-label",
      "old",
      "--reset",
      "pool,retry.multiplier",
    ];
    const { asked, out } = await pocketwatch({ answer }, "schedules", "edit", "nightly", ...flags);
    expect(asked[1]).toMatchObject({
      method: "PATCH",
      body: { retry: { max_attempts: 5, multiplier: null }, labels: { team: "ops", tier: "1" }, pool: null },
    });
    expect(asked[1]?.headers.get("if-match")).toBe('"3"');
    expect(out).toContain("retry.max_attempts: 3 → 5");
  });

  test("in an editor: what comes back is put as a whole", async () => {
    const edit = (text: string) => text.replace("0 2 * * *", "0 4 * * *");
    const { asked, files } = await pocketwatch({ answer, edit }, "schedules", "edit", "nightly");
    expect(asked.at(-1)).toMatchObject({
      method: "PUT",
      path: `/v1/schedules/${before.id}`,
      body: { name: "nightly", timing: { kind: "cron", expression: "0 4 * * *" } },
    });
    expect(asked.at(-1)?.headers.get("if-match")).toBe('"3"');
    expect(files).toEqual({});
  });

  test("in an editor: leaving it as it is changes nothing", async () => {
    const { asked, out } = await pocketwatch({ answer, edit: (text) => text }, "schedules", "edit", "nightly");
    expect(asked.every(({ method }) => method === "GET")).toBe(true);
    expect(out).toBe("Nothing was changed.\n");
  });

  test("in an editor: a text that cannot be used is kept", async () => {
    const { exit, err, files } = await pocketwatch({ answer, edit: () => "a: [" }, "schedules", "edit", "nightly");
    expect(exit).toBe(2);
    expect(err).toContain("Your text is kept in edited.yaml");
    expect(files["edited.yaml"]).toBe("a: [");
  });
});
