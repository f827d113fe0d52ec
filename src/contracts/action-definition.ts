import { z } from "zod";
import { actionName, actionVersion, priority, seconds, text } from "./fields.ts";

/** `contracts/actions/<action>/action.json`. Strict: a misspelt policy that is silently ignored is worse than none. */
export const actionDefinition = z.strictObject({
  $schema: z.string().optional(),
  name: actionName,
  title: text(1, 255).optional(),
  description: text(0, 10_000).optional(),
  versions: z
    .array(actionVersion)
    .min(1)
    .refine((versions) => new Set(versions).size === versions.length, { error: "must not name a version twice" }),
  exchange: text(1, 127).optional().describe("Absent: <prefix>.triggers"),
  routing_key: z
    .string()
    .max(255)
    .regex(/^[\w.:{}-]+$/, "must be a plain routing key; {version} stands for the version")
    .optional()
    .describe("Absent: <action>.v<version>"),
  queue: z
    .discriminatedUnion("type", [
      z.strictObject({ type: z.literal("quorum") }),
      z.strictObject({ type: z.literal("classic"), max_priority: z.int().min(1).max(255) }),
    ])
    .optional()
    .describe("Absent: quorum"),
  pool: text(1, 255).optional(),
  breaker: z
    .strictObject({
      key: z.string().regex(/^(target|(\/([^~/]|~[01])*)+)$/, 'must be "target" or a JSON pointer into the payload'),
      threshold: z.int().min(1).max(1_000_000),
      cooldown_seconds: seconds.min(1),
    })
    .optional(),
  defaults: z
    .strictObject({
      priority: priority.optional(),
      max_attempts: z.int().min(1).max(1000).optional(),
      retry_backoff_seconds: seconds.optional(),
      retry_backoff_multiplier: z.number().min(1).max(100).optional(),
      retry_backoff_max_seconds: seconds.optional(),
      timeout_seconds: seconds.min(1).optional(),
      heartbeat_seconds: seconds.optional(),
      start_deadline_seconds: seconds.min(1).optional(),
      overlap: z.enum(["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"]).optional(),
    })
    .optional(),
});

export type ActionDefinition = z.infer<typeof actionDefinition>;
export type ActionDefaults = NonNullable<ActionDefinition["defaults"]>;
