import type { FaultInstance } from "./world.ts";

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
