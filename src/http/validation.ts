import type { z } from "zod";
import { check } from "../contracts/parse.ts";
import { InvalidRequest } from "./problem.ts";
import type { Server } from "./request.ts";

/**
 * Requests are checked by the zod schemas of their routes, and refused in the same words as messages are. What is answered
 * is typed, and tested against its schema; checking it again for every request would only cost time.
 */
export function validate(server: Server): void {
  server.setValidatorCompiler(({ schema }) => (data: unknown) => {
    const parsed = check(schema as unknown as z.ZodType, data, "");
    if (parsed.ok) return { value: parsed.value };
    // One thing said about a field is enough: 1e300 is no whole number, that it is too large follows.
    const first = new Map(parsed.errors.map((error) => [error.field, error] as const).reverse());
    return { error: new InvalidRequest(parsed.errors.filter((error) => first.get(error.field) === error)) };
  });
  server.setSerializerCompiler(() => JSON.stringify);
}
