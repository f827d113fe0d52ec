import { describe, expect, test } from "vitest";
import { pocketwatch, schedule } from "./fake-surroundings.ts";

const page = (...items: unknown[]) => [200, { items, next_cursor: null }] as const;
const problem = (status: number, more: object = {}) =>
  [status, { title: "It was refused", status, detail: "because", ...more }] as const;

describe("exit codes", () => {
  test.each([
    ["an answer", page(), 0],
    ["a refusal", problem(422), 1],
    ["a conflict", problem(409), 1],
    ["a missing token", problem(401), 1],
    ["no such thing", problem(404), 4],
    ["a service whose database is away", problem(503), 3],
    ["a web server that is not Pocketwatch", [404, "<html>nothing here</html>"] as const, 3],
    ["a page instead of JSON", [200, "<html>welcome</html>"] as const, 3],
  ])("%s", async (_name, answer, exit) => {
    expect((await pocketwatch({ answer: () => answer }, "schedules", "list")).exit).toBe(exit);
  });

  test("nobody answers", async () => {
    const { exit, out, err } = await pocketwatch({}, "schedules", "list");
    expect([exit, out]).toEqual([3, ""]);
    expect(err).toContain("http://127.0.0.1:7420 cannot be reached: ECONNREFUSED");
    expect(err).toContain("POCKETWATCH_URL");
  });

  test.each([
    ["an unknown command", ["runs", "lits"], "Did you mean list?"],
    ["an unknown option", ["runs", "list", "--statsu", "failed"], "Did you mean --status?"],
    ["no command", ["schedules"], "Usage: pocketwatch schedules"],
    ["a missing argument", ["runs", "show"], "missing required argument 'run'"],
    ["a duration that is none", ["schedules", "add", "--every", "soon"], 'such as "90s"'],
    ["a choice that is none", ["schedules", "add", "--priority", "urgent"], "Allowed choices are high, normal, low"],
    ["an instant without its offset", ["schedules", "pause", "x", "--until", "2026-11-23T06:00"], "--until: expected"],
    ["two timings", ["schedules", "preview", "--every", "5m", "--cron", "@daily"], "exclude each other"],
    ["no timing", ["schedules", "preview"], "say when"],
    ["a payload that is no JSON", ["schedules", "trigger", "x", "--payload", "{a}"], "--payload: expected JSON"],
    ["a file that is not there", ["schedules", "add", "-f", "nowhere.yaml"], "there is no such file"],
    ["a schedule and labels", ["schedules", "pause", "x", "--label", "a=b"], "not both"],
    ["two values of a label", ["schedules", "pause", "--label", "a=b", "--label", "a=c"], "a is b already"],
    ["neither of them", ["schedules", "pause"], "name a schedule"],
    ["an empty name", ["schedules", "rm", ""], "must not be empty"],
    ["a name that is a step in every address", ["schedules", "rm", ".."], "only be named by its id"],
  ])("wrong usage: %s", async (_name, argv, message) => {
    const { exit, err, asked } = await pocketwatch({ answer: () => page() }, ...argv);
    expect(exit).toBe(2);
    expect(err).toContain(message);
    expect(asked).toEqual([]);
  });

  test.each([
    ["ftp://example", "POCKETWATCH_URL: expected a URL that starts with http:// or https://"],
    ["http://user:hunter2@example", "POCKETWATCH_URL: must not contain a user or a password"],
  ])("configuration that cannot be used: %s", async (url, message) => {
    const { exit, err } = await pocketwatch({ env: { POCKETWATCH_URL: url } }, "runs", "list");
    expect(exit).toBe(2);
    expect(err).toContain(message);
    expect(err).not.toContain("hunter2");
  });

  test("help and version need no service and no configuration", async () => {
    const env = { POCKETWATCH_URL: "nonsense" };
    expect(await pocketwatch({ env }, "--version")).toMatchObject({ exit: 0, out: "1.2.3\n" });
    expect(await pocketwatch({ env }, "runs", "list", "--help")).toMatchObject({ exit: 0, err: "" });
    expect(await pocketwatch({ env }, "serve")).toMatchObject({ exit: 0, out: "serving" });
    expect(await pocketwatch({ env }, "migrate")).toMatchObject({ exit: 0, out: "migrated" });
  });
});

describe("what the service says", () => {
  const invalid = problem(422, { errors: [{ field: "timing.expression", message: "minute: 61 is outside 0-59" }] });

  test("fields are named, a line each", async () => {
    const { err } = await pocketwatch({ answer: () => invalid }, "schedules", "list");
    expect(err).toBe("It was refused:\n  timing.expression: minute: 61 is outside 0-59\n");
  });

  test("programs get the problem details, on standard error", async () => {
    const { out, err } = await pocketwatch({ answer: () => invalid }, "schedules", "list", "--json");
    expect(out).toBe("");
    expect(JSON.parse(err)).toMatchObject({ status: 422, exit_code: 1, errors: [{ field: "timing.expression" }] });
  });

  test("the token is sent, and never shown", async () => {
    const env = { POCKETWATCH_TOKEN: "pw_s3cr3t" };
    const { asked, out, err } = await pocketwatch({ env, answer: () => problem(401) }, "runs", "list");
    expect(asked[0]?.headers.get("authorization")).toBe("Bearer pw_s3cr3t");
    expect(err).toContain("POCKETWATCH_TOKEN is not one of its tokens");
    expect(out + err).not.toContain("s3cr3t");
  });

  test("names may hold any character", async () => {
    const { asked } = await pocketwatch({ answer: () => [200, schedule()] }, "schedules", "show", "a/b ?#%é");
    expect(asked[0]?.path).toBe("/v1/schedules/a%2Fb%20%3F%23%25%C3%A9");
  });

  test("lists go on over pages up to the limit", async () => {
    const answer = ({ path }: { path: string }) => {
      const { searchParams } = new URL(path, "http://x");
      const items = Array.from({ length: Number(searchParams.get("limit")) }, () => schedule());
      return [200, { items, next_cursor: "more" }] as const;
    };
    const { asked, out } = await pocketwatch({ answer }, "schedules", "list", "--limit", "600", "--json");
    expect(asked.map(({ path }) => path)).toEqual(["/v1/schedules?limit=500", "/v1/schedules?cursor=more&limit=100"]);
    expect(JSON.parse(out)).toMatchObject({ next_cursor: "more" });
    expect(JSON.parse(out).items).toHaveLength(600);
  });
});
