import { randomInt } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

/** Whether nobody has the port, on loopback or on all interfaces. */
export async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * A free loopback port: the first of the wanted ones that is free, else one drawn from below the range that systems
 * lend to outgoing connections, where it could be lent out before the server that it is meant for takes it.
 */
export async function freePort(...wanted: readonly number[]): Promise<number> {
  for (const port of wanted) if (await isFree(port)) return port;
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (await isFree(port)) return port;
  }
}

/**
 * Free ports by name, the same ones as last time where nobody took them since: a second start then has the same URLs,
 * and what was connected before (psql, a consumer under development) finds its server again.
 */
export async function rememberedPorts<Name extends string>(
  directory: string,
  names: readonly Name[],
): Promise<Record<Name, number>> {
  const file = join(directory, "ports.json");
  const last = (await readFile(file, "utf8").then(JSON.parse, () => ({}))) as Partial<Record<Name, number>>;
  const ports = {} as Record<Name, number>;
  for (const name of names) {
    const remembered = last[name];
    let port = await freePort(...(remembered === undefined ? [] : [remembered]));
    while (Object.values(ports).includes(port)) port = await freePort();
    ports[name] = port;
  }
  await mkdir(directory, { recursive: true });
  await writeFile(file, JSON.stringify(ports));
  return ports;
}
