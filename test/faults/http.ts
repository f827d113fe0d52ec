import type { FaultInstance, World } from "./world.ts";

/** Asks one instance over HTTP: `post(a, "runs/…/cancel", {})`. */
export function post(
  instance: FaultInstance,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${instance.http}/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** What all instances together have counted, whatever the labels: `totalOf(world, "pocketwatch_commands_total")`. */
export async function totalOf(world: World, counter: string): Promise<number> {
  const counts = await Promise.all(
    world.instances.map(async ({ http }) => {
      const text = await (await fetch(`${http}/metrics`)).text();
      const lines = text.split("\n").filter((line) => line.startsWith(`${counter}{`));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
