import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { isLoopback } from "../../../src/access/loopback.ts";
import { holdTokens, readTokenFile } from "../../../src/access/token-source.ts";
import { bearerSecret, findToken, newSecret, parseTokens, tokenEntry } from "../../../src/access/tokens.ts";
import { waitFor } from "../../support/wait-for.ts";

const hash = (secret: string) => createHash("sha256").update(secret).digest("hex");

describe("tokens in the configuration", () => {
  test("are separated by commas, spaces or lines, with comments", () => {
    const text = `ops:admin:${hash("a")}, ci-1:trigger:${hash("b").toUpperCase()}\n# rotated in May\n\tgraf.ana:read:${hash("c")} # new`;
    expect(parseTokens(text).map(({ name, scope }) => `${name} ${scope}`)).toEqual([
      "ops admin",
      "ci-1 trigger",
      "graf.ana read",
    ]);
  });

  test.each([
    ["a secret alone", "pwt_s3cr3t"],
    ["a secret for a hash", `ops:admin:pwt_s3cr3t`],
    ["an unknown scope", `ops:root:${hash("s3cr3t")}`],
    ["a hash that is cut off", `ops:admin:${hash("s3cr3t").slice(1)}`],
    ["a hash with something behind it", `ops:admin:${hash("s3cr3t")}0`],
    ["a name with a colon", `s3cr3t:x:admin:${hash("s3cr3t")}`],
    ["no name", `:admin:${hash("s3cr3t")}`],
  ])("%s is refused by its place, and not repeated", (_what, entry) => {
    let message = "";
    try {
      parseTokens(`good:read:${hash("x")} ${entry}`);
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("entry 2 is not name:scope:hash");
    expect(message).not.toMatch(/s3cr3t|[0-9a-f]{30}/);
  });

  test("nothing at all is no way to say that everybody may come in", () => {
    for (const empty of [" ", "\n", "# none yet\n", ","]) expect(() => parseTokens(empty)).toThrow("holds no token");
  });

  test("a secret is found by its entry, an old one beside its successor, and nothing else", () => {
    const [old, successor] = [newSecret(), newSecret()];
    expect(old).toMatch(/^pwt_[\w-]{43}$/);
    expect(old).not.toBe(successor);
    const text = `${tokenEntry("ops", "admin", old)} ${tokenEntry("ops", "read", successor)}`;
    expect(text).not.toContain(old);
    const tokens = parseTokens(text);
    expect(findToken(tokens, old)).toMatchObject({ name: "ops", scope: "admin" });
    expect(findToken(tokens, successor)).toMatchObject({ name: "ops", scope: "read" });
    for (const wrong of ["", `${old} `, old.slice(0, -1), hash(old), "ops"])
      expect(findToken(tokens, wrong)).toBeNull();
  });

  test("the header names the scheme in any case, and one secret", () => {
    expect(bearerSecret("Bearer abc")).toBe("abc");
    expect(bearerSecret("bearer  abc ")).toBe("abc");
    for (const not of [undefined, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer a, Bearer b"]) {
      expect(bearerSecret(not)).toBeNull();
    }
  });
});

test("a file of tokens is followed; while it cannot be used, what was in force stays", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pocketwatch-tokens-"));
  const file = join(directory, "tokens");
  const [first, second] = [newSecret(), newSecret()];
  await writeFile(file, tokenEntry("one", "read", first));
  const log: { level: number; reason?: string; tokens?: string[] }[] = [];
  let next = () => {};
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    after: () => () => {},
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        next = resolve;
        signal?.addEventListener("abort", () => resolve());
      }),
  };
  const logger = pino({ level: "info" }, { write: (line: string) => log.push(JSON.parse(line)) });
  const fixed = parseTokens(tokenEntry("fixed", "admin", "f"));
  const held = holdTokens({ fixed, file }, { clock, logger });
  const names = () => held.current().map(({ name }) => name);
  expect(names()).toEqual(["fixed", "one"]);
  const reread = async (content: string | null) => {
    await (content === null ? rm(file) : writeFile(file, content));
    const before = log.length;
    next();
    await waitFor(() => log.length > before);
  };
  await reread(`${tokenEntry("one", "read", second)}\n${tokenEntry("two", "trigger", "t")}`);
  expect(names()).toEqual(["fixed", "one", "two"]);
  expect(findToken(held.current(), first)).toBeNull();
  expect(findToken(held.current(), second)?.name).toBe("one");
  for (const unusable of ["", first, null]) {
    await reread(unusable);
    expect(names()).toEqual(["fixed", "one", "two"]);
    expect(log.at(-1)?.level).toBe(50);
  }
  await reread(tokenEntry("two", "trigger", "t"));
  expect(names()).toEqual(["fixed", "two"]);
  expect(JSON.stringify(log)).not.toContain("pwt_");
  held.stop();
  await rm(directory, { recursive: true });
  expect(() => readTokenFile(file)).toThrow("cannot be read (ENOENT)");
});

test("loopback is this machine, however it is written", () => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST", "localhost."]) {
    expect(isLoopback(host), host).toBe(true);
  }
  for (const host of ["0.0.0.0", "::", "[::]", "10.0.0.1", "128.0.0.1", "localhost.example", "127.0.0.1.nip.io", ""]) {
    expect(isLoopback(host), host).toBe(false);
  }
});
