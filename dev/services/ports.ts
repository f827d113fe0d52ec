import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";

export async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== null;
}

/** A free loopback port: the first of the wanted ones that nobody has, otherwise whichever the system offers. */
export async function freePort(...wanted: readonly number[]): Promise<number> {
  for (const port of wanted) if (await isFree(port)) return port;
  const port = await listenOnce(0);
  if (port === null) throw new Error("the system has no free loopback port");
  return port;
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

/** Binds the port for a moment; null if somebody has it, also on all interfaces. */
async function listenOnce(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(address !== null && typeof address === "object" ? address.port : null));
    });
  });
}
